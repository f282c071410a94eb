"""Models of PyTorch and Keras as classifiers, so that they can be attacked.

    victim = attacks.from_torch(net.eval())                  # takes NCHW, as PyTorch does; images given to attacks are NHWC
    victim = attacks.from_keras(model)
    attacks.ladder(victim, x, y, eps="8/255")
"""
import contextlib
import hashlib
from typing import Any

import numpy as np

from tinyvgg.attacks.checks import count, switch
from tinyvgg.attacks.identity import FRAMEWORKS, class_code, value_identity
from tinyvgg.classifier import as_classes, of_outputs
from tinyvgg.errors import DataError, GradientError, OptionError, ShapeError, require
from tinyvgg.images import check_range
from tinyvgg.report.record import sha256_arrays
from tinyvgg.types import Images, Range


def from_torch(net: Any, *, bounds: Range = (0.0, 1.0), n_classes: int | None = None, channels_last: bool = False) -> Any:
    """Return a torch.nn.Module that maps images to logits as a classifier with gradients. Needs PyTorch (extra `torch`).

    net: in eval() mode, on any device, float32 or float64. bounds: (low, high) of its pixels. If it needs normalised images, put
    attacks.preprocessed before it, so that eps is still in pixels. n_classes: by default the number of outputs of the last Linear
    or convolution. channels_last: the net itself takes NHWC. Attacks always take images (N, H, W, C).
    Raises MissingExtra, and OptionError for a net in training mode or one whose number of classes is not known.
    """
    torch = require("torch", "torch")
    if not isinstance(net, torch.nn.Module):
        raise OptionError(f"from_torch was given a {type(net).__name__}; expected a torch.nn.Module", "from_keras(model), or as_classifier(function)")
    if any(module.training for module in net.modules()):
        raise OptionError("the net is in training mode, where dropout and batch-norm answer at random", "attacks.from_torch(net.eval())")
    n_classes = _outputs_of(torch, net) if n_classes is None else count(n_classes, "n_classes", least=2)
    return TorchNet(torch, net, check_range(bounds, what="bounds"), n_classes, switch(channels_last, "channels_last"))


def _outputs_of(torch, net):
    """The outputs of the last layer with weights: a guess that the first answer confirms or refuses."""
    for module in reversed(list(net.modules())):
        for name in ("out_features", "out_channels"):
            if isinstance(getattr(module, name, None), int):
                return getattr(module, name)
    raise OptionError(f"{type(net).__name__} does not tell its number of classes", "from_torch(net, n_classes=10)")


class TorchNet:
    """See from_torch."""

    def __init__(self, torch: Any, net: Any, bounds: Range, n_outputs: int, channels_last: bool) -> None:
        self.torch, self.net, self.bounds, self.n_outputs, self.channels_last = torch, net, bounds, n_outputs, channels_last
        self.n_classes = 2 if n_outputs == 1 else n_outputs
        first = next((p for p in net.parameters() if p.is_floating_point()), torch.zeros(0))
        self.device, self.type = first.device, first.dtype
        self.dtype = np.dtype(np.float64 if first.dtype == torch.float64 else np.float32)

    def identity(self):
        """The identity: its weights, its printed form, its code and attributes, its bounds; None where one of these tells nothing."""
        parts = [_told_module(self.torch, module) for module in self.net.modules()]
        if None in parts:
            return None
        arrays = [value.detach().cpu().double().numpy() for value in self.net.state_dict().values()]
        told = hashlib.sha256(repr(self.net).encode()).hexdigest()
        return {"class": f"{type(self.net).__module__}.{type(self.net).__qualname__}", "repr": told, "sha256": sha256_arrays(*arrays),
                "parts": hashlib.sha256(repr(parts).encode()).hexdigest(), "bounds": list(self.bounds), "channels_last": self.channels_last}

    def logits(self, x: Images):
        """x (N, H, W, C) -> (N, classes)."""
        with self.torch.no_grad():
            return as_classes(self._numpy(self._outputs(self._tensor(x))))

    def labels(self, x: Images):
        """x (N, H, W, C) -> (N,) int64."""
        return self.logits(x).argmax(axis=1)

    def vjp(self, x: Images, g):
        """d sum(g * logits(x)) / dx, shaped as x; g (N, classes), or a function of the logits that gives it."""
        with self.torch.enable_grad():
            z = self._tensor(x).requires_grad_(True)
            outputs = self._outputs(z)
            if not outputs.requires_grad:
                raise GradientError(f"{type(self.net).__name__} gives no gradients: its answers are cut off from the images",
                                    "attacks.square, or a net without no_grad, detach or numpy in its forward")
            logits = as_classes(self._numpy(outputs))
            direction = of_outputs(np.asarray(g(logits) if callable(g) else g, self.dtype), outputs.shape[1:])
            (outputs * self.torch.as_tensor(np.ascontiguousarray(direction), dtype=outputs.dtype, device=outputs.device)).sum().backward(
                inputs=[z])
        dx = self._numpy(z.grad)
        return dx if self.channels_last or dx.ndim != 4 else np.ascontiguousarray(dx.transpose(0, 2, 3, 1))

    def _outputs(self, z):
        """The net's answers (N, ...), a tensor, or raise ShapeError or DataError."""
        try:
            outputs = self.net(z)
        except RuntimeError as error:
            raise ShapeError(f"the net does not take images of shape {tuple(z.shape)}: {str(error).splitlines()[0]}",
                             "images (N, H, W, C); channels_last=True for a net that takes them so") from error
        if not isinstance(outputs, self.torch.Tensor):
            raise DataError(f"the net answers with a {type(outputs).__name__}; expected a tensor of logits (N, classes)",
                            "a torch.nn.Module that returns the logits alone")
        return outputs

    def _tensor(self, x):
        x = np.asarray(x, self.dtype)
        x = x if self.channels_last or x.ndim != 4 else x.transpose(0, 3, 1, 2)
        return self.torch.as_tensor(np.ascontiguousarray(x), dtype=self.type, device=self.device)

    def _numpy(self, tensor):
        return tensor.detach().cpu().to(self.torch.float64 if self.dtype == np.float64 else self.torch.float32).numpy()


def _told_module(torch, module):
    """What tells one module of a net: its class, the code of one's own class, its attributes; None for what nothing tells."""
    own = not type(module).__module__.startswith(FRAMEWORKS)
    told = {"class": f"{type(module).__module__}.{type(module).__qualname__}", "code": class_code(type(module)) if own else None}
    for name, value in vars(module).items():
        if name in vars(torch.nn.Module()):                             # weights, parts, hooks
            if "hooks" in name and value:
                return None
        elif isinstance(value, torch.Tensor):
            told[name] = sha256_arrays(value.detach().cpu().double().numpy())
        else:
            told[name] = value_identity(value)
            if told[name] is None and own:
                return None
    return sorted(told.items(), key=lambda item: item[0])


def from_keras(model: Any, *, bounds: Range = (0.0, 1.0)) -> Any:
    """Return a Keras model (Keras 2, or Keras 3 on TensorFlow, PyTorch or JAX) as a classifier with gradients. Extra `keras`.

    A softmax or sigmoid in its last layer is left out, so that logits are attacked. bounds: (low, high) of its pixels. Raises
    OptionError for anything but a Keras model with one output.
    """
    shape = getattr(model, "output_shape", None)
    if not (callable(model) and isinstance(shape, tuple) and len(shape) == 2 and shape[1] and hasattr(model, "layers")):
        raise OptionError(f"from_keras was given a {type(model).__name__} with output shape {shape}; expected a Keras model with one "
                          "output (N, classes)", "from_torch(net), or as_classifier(function)")
    kind = _backend(model)
    return KerasNet(model, {"tensorflow": _by_tensorflow, "torch": _by_torch, "jax": _by_jax}[kind], check_range(bounds, what="bounds"))


def _backend(model):
    """The framework that a Keras model computes with."""
    if type(model).__module__.startswith("tf_keras") or not hasattr(require("keras", "keras"), "backend"):
        return "tensorflow"
    import keras
    kind = keras.backend.backend() if keras.__version__.split(".")[0] != "2" else "tensorflow"
    if kind not in ("tensorflow", "torch", "jax"):
        raise OptionError(f"Keras computes with {kind}, which has no gradients", "KERAS_BACKEND=tensorflow, torch or jax")
    return kind


class KerasNet:
    """See from_keras. outputs_and_gradient(model, x, g): (N, K) and dx, or None without g."""

    def __init__(self, model: Any, outputs_and_gradient: Any, bounds: Range) -> None:
        self.model, self.compute, self.bounds = model, outputs_and_gradient, bounds
        self.n_outputs = int(model.output_shape[1])
        self.n_classes = 2 if self.n_outputs == 1 else self.n_outputs
        shape = getattr(model, "input_shape", None)
        if isinstance(shape, tuple) and None not in shape[1:]:
            self.input_shape = tuple(shape[1:])

    def identity(self):
        """The identity: its weights, its configuration, the code of one's own layers, its bounds; None where one of them tells nothing."""
        try:
            config = self.model.to_json()
        except Exception:                                               # a layer of one's own without get_config: any exception
            return None
        parts = [class_code(type(part)) for part in (self.model, *self.model.layers) if not type(part).__module__.startswith(FRAMEWORKS)]
        return {"parts": hashlib.sha256(repr(parts).encode()).hexdigest(),
                "class": f"{type(self.model).__module__}.{type(self.model).__qualname__}", "bounds": list(self.bounds),
                "config": hashlib.sha256(config.encode()).hexdigest(), "sha256": sha256_arrays(*self.model.get_weights())}

    def logits(self, x: Images):
        """x (N, ...) -> (N, classes) float32."""
        with _without_last(self.model):
            return as_classes(self.compute(self.model, np.asarray(x, np.float32), None)[0])

    def labels(self, x: Images):
        """x (N, ...) -> (N,) int64."""
        return self.logits(x).argmax(axis=1)

    def vjp(self, x: Images, g):
        """d sum(g * logits(x)) / dx, shaped as x; g (N, classes), or a function of the logits that gives it."""
        def direction(outputs):
            logits = as_classes(outputs)
            return of_outputs(np.asarray(g(logits) if callable(g) else g, np.float32), outputs.shape[1:])

        with _without_last(self.model):
            return self.compute(self.model, np.asarray(x, np.float32), direction)[1]


@contextlib.contextmanager
def _without_last(model):
    """The model without the softmax or sigmoid of its last layer."""
    layer = model.layers[-1]
    before = getattr(layer, "activation", None)
    if getattr(before, "__name__", None) not in ("softmax", "sigmoid"):
        yield
        return
    layer.activation = lambda z: z
    try:
        yield
    finally:
        layer.activation = before


def _by_tensorflow(model, x, direction):
    import tensorflow as tf
    z = tf.convert_to_tensor(x)
    if direction is None:
        return model(z, training=False).numpy(), None
    with tf.GradientTape() as tape:
        tape.watch(z)
        outputs = model(z, training=False)
    return outputs.numpy(), tape.gradient(outputs, z, output_gradients=tf.convert_to_tensor(direction(outputs.numpy()))).numpy()


def _by_torch(model, x, direction):
    import torch
    z = torch.as_tensor(x).requires_grad_(direction is not None)
    with torch.set_grad_enabled(direction is not None):
        outputs = model(z, training=False)
        values = outputs.detach().cpu().numpy()
        if direction is None:
            return values, None
        outputs.backward(torch.as_tensor(np.ascontiguousarray(direction(values))).to(outputs.device), inputs=[z])
    return values, z.grad.cpu().numpy()


def _by_jax(model, x, direction):
    import jax
    if direction is None:
        return np.asarray(model(x, training=False)), None
    outputs, back = jax.vjp(lambda z: model(z, training=False), jax.numpy.asarray(x))
    return np.asarray(outputs), np.asarray(back(jax.numpy.asarray(direction(np.asarray(outputs))))[0])
