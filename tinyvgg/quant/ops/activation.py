"""Activation: an elementwise function; in integers, a table of 256 levels."""
import math
from dataclasses import dataclass, replace

import numpy as np

from tinyvgg import kernels
from tinyvgg.errors import QuantError
from tinyvgg.kernels import reference
from tinyvgg.quant.fixedpoint import saturate
from tinyvgg.quant.ops.base import Op, inside, integers, need

FUNCTIONS = ("relu", "linear", "elu", "selu", "sigmoid", "hard_sigmoid", "tanh", "silu", "hard_silu", "gelu", "mish", "softplus",
             "softsign", "exponential")
NO_MAXIMUM = -1.0


def level_table(function, source, target):
    """Return the table (256,) uint8 of a function f of real values: table[q] = saturate(floor(f(s (q - z)) / s' + z' + 1/2)).

    source, target: (scale, zero) of input and output, (s, z) and (s', z'). Computed in float64 and rounded once.
    """
    (scale, zero), (to_scale, to_zero) = source, target
    with np.errstate(over="ignore"):
        level = function(scale * (np.arange(256, dtype=np.float64) - zero)) / to_scale + to_zero
    return saturate(np.floor(np.clip(level, -1, 256) + 0.5)).astype(np.uint8)


@dataclass(frozen=True, eq=False, kw_only=True)
class Activation(Op):
    """y = f(x + start), elementwise; f is one of FUNCTIONS, as kernels.reference defines it. In integers, q = table[x].

    alpha: alpha of an ELU, slope of a hard sigmoid, or slope of a ReLU below its threshold. high: maximum of a ReLU, or
    NO_MAXIMUM. start: 0, or the residue of an image (see ops.image.Image).
    """

    function: str
    alpha: float = 0.0
    threshold: float = 0.0
    high: float = NO_MAXIMUM
    start: float = 0.0
    table: np.ndarray | None = integers(None)

    writes_over_input = True

    @property
    def settings(self):
        """The keyword arguments of the kernel called `function`."""
        maximum = None if self.high == NO_MAXIMUM else self.high
        return {"relu": {"negative_slope": self.alpha, "threshold": self.threshold, "max_value": maximum},
                "elu": {"alpha": self.alpha}, "hard_sigmoid": {"slope": self.alpha}}.get(self.function, {})

    def output_shape(self, before):
        need(self.function in FUNCTIONS, self, f"the function {self.function!r}")
        need(all(map(math.isfinite, (self.alpha, self.threshold, self.high, self.start))), self, "settings that are not finite")
        need(not self.integer or isinstance(self.table, np.ndarray) and self.table.shape == (256,) and self.table.dtype == np.uint8,
             self, "no table of 256 levels")
        need(before.dtype == self.dtype, self, f"an input of {before.dtype}")
        return before.shape

    def forward(self, x):
        return getattr(kernels, self.function)(self._moved(x), **self.settings)

    def backward(self, dy, x, *, parameters=True, limits=None):
        if limits is not None:
            dy = inside(dy, self.forward(x), limits)
        return [getattr(kernels, f"{self.function}_backward")(dy, self._moved(x), **self.settings)], {}

    def _moved(self, x):
        return x + x.dtype.type(self.start) if self.start else x

    def lower(self, work, before):
        (source,), (scale, zero) = before, work.output(self)
        start = self.start + work.residue.get(source.name, 0.0)

        def function(real):
            return getattr(reference, self.function)(real + start, **self.settings)
        table = level_table(function, (source.scale, source.zero), (scale, zero))
        return replace(self, start=start, scale=scale, zero=zero, table=table)

    def simulate(self, x):
        return self.table[x]

    def check(self):
        if self.table is None:
            raise QuantError(f"{self.name!r} has no table of 256 levels")

    def dequantize(self, graph):
        return self.in_floats()

    def counts(self):
        return {"layer": 1, "outputs": math.prod(self.shape)}
