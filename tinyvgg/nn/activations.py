"""Activations by Keras' names, for `activation=` and for the Activation layer."""
from dataclasses import dataclass
from typing import Any

from tinyvgg import kernels
from tinyvgg.errors import OptionError


@dataclass(frozen=True)
class Activation:
    """An elementwise function (softmax: along the last axis) and its backward pass; `kernel` is None for the identity."""
    name: str
    kernel: str | None
    settings: tuple[tuple[str, Any], ...] = ()

    def forward(self, x):
        """Return y, of the shape of x."""
        return x if self.kernel is None else getattr(kernels, self.kernel)(x, **dict(self.settings))

    def backward(self, dy, x):
        """Return dx for dy and the x that forward was given."""
        return dy if self.kernel is None else getattr(kernels, f"{self.kernel}_backward")(dy, x, **dict(self.settings))


_ALL = [
    Activation("linear", None), Activation("relu", "relu"), Activation("relu6", "relu", (("max_value", 6.0),)),
    Activation("leaky_relu", "relu", (("negative_slope", 0.2),)), Activation("elu", "elu"), Activation("silu", "silu"),
    Activation("sigmoid", "sigmoid"), Activation("tanh", "tanh"), Activation("softmax", "softmax"), Activation("gelu", "gelu"),
    Activation("softplus", "softplus"), Activation("hard_sigmoid", "hard_sigmoid"), Activation("selu", "selu"),
    Activation("mish", "mish"), Activation("hard_silu", "hard_silu"),
    Activation("keras2_hard_sigmoid", "hard_sigmoid", (("slope", 0.2),)),          # within the steps of recurrent layers of old files
    Activation("softsign", "softsign"), Activation("exponential", "exponential"),
]
ACTIVATIONS = {a.name: a for a in _ALL} | {"swish": Activation("silu", "silu"), "hard_swish": Activation("hard_silu", "hard_silu")}


def get(name):
    """Return the Activation called `name`; None is "linear"."""
    if isinstance(name, Activation):
        return name
    if name is not None and (not isinstance(name, str) or name not in ACTIVATIONS):
        raise OptionError(f"there is no activation {name!r}; expected one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name or "linear"]
