"""What every layer is: options, parameters, shapes, forward and backward."""
import copy
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyvgg.changes import Arrays, note
from tinyvgg.errors import OptionError, ShapeError
from tinyvgg.nn import activations, initializers
from tinyvgg.nn.graph import Node, connect
from tinyvgg.words import nearest

OTHERS = {"units": "out-features n-units num-units size", "filters": "channels out-channels n-filters num-filters",
          "kernel_size": "size kernel ksize filter-size", "strides": "stride", "pool_size": "size kernel-size", "rate": "p drop dropout",
          "activation": "act nonlinearity", "use_bias": "bias"}


class PerThread:
    """Holds `saved` (what forward keeps for backward) separately for each thread, so that threads can share an object."""

    def __init__(self) -> None:
        self._local = threading.local()

    @property
    def saved(self):
        """What the last forward of this thread kept, or None."""
        return self._local.__dict__.get("saved")

    @saved.setter
    def saved(self, value):
        self._local.saved = value

    def __getstate__(self):
        return {key: value for key, value in self.__dict__.items() if key != "_local"}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._local = threading.local()


class Layer(PerThread):
    """A layer: one step of a network.

    A layer's class lists in `options` the settings that its constructor takes, by Keras' names; each is an attribute too.
    `parameters` (trained), `gradients` (same keys, filled by backward) and `state` (not trained: moving statistics) are dicts
    of arrays, in Keras' order. Shapes leave out the batch axis; layers that join several inputs get a list of shapes.

    To write one: set `options`, and define `output_shape`, `forward`, `backward`, and `build` if there are parameters.
    """

    options: tuple[str, ...] = ()
    class_name: str | None = None       # the name in files, where it is not the class's own
    joins = False           # takes a list of arrays (and of shapes), gives back a list of gradients

    def __init__(self, *, name: str | None = None, trainable: bool = True, input_shape: Any = None, **unknown: Any) -> None:
        super().__init__()
        if unknown:
            self._refuse(next(iter(unknown)))
        self.name, self.trainable = name, bool(trainable)
        self.input_shape = None if input_shape is None else _checked_shape(input_shape)
        self.parameters, self.gradients, self.state = Arrays(), Arrays(), Arrays()
        self.activation = activations.get(None)
        self.built = False

    def __setattr__(self, name, value):
        note()
        super().__setattr__(name, value)
        note()

    def _refuse(self, option):
        near = nearest(option, self.options, OTHERS)
        raise OptionError(f"{type(self).__name__} has no option {option!r}; it takes "
                          f"{', '.join((*self.options, 'name', 'trainable', 'input_shape'))}",
                          f"{near}=..." if near else "")

    # --- for a layer to define ---

    def output_shape(self, input_shape):
        """Return the shape of the result for one image of `input_shape`, or raise ShapeError."""
        return input_shape

    def build(self, input_shape, rng):
        """Create the parameters for `input_shape` from the generator `rng`."""

    def forward(self, x, *, training=False):
        """Return y (N, *output_shape) for x (N, *input_shape); keep in `self.saved` what backward needs."""
        raise NotImplementedError

    def backward(self, dy, *, parameters=True):
        """Return dx for dy, the gradient with respect to the last forward's result; fill `gradients` unless parameters=False."""
        raise NotImplementedError

    def macc(self, input_shape):
        """Return the number of multiplications with weights for one image."""
        return 0

    # --- common ---

    def ensure_built(self, input_shape, rng):
        """Build once; a second call checks that the shape still fits."""
        self.output_shape(input_shape)
        if not self.built:
            self.build(input_shape, rng)
            self.input_shape, self.built = input_shape, True

    def add_parameter(self, name, shape, initializer, rng):
        """Create a trained array (`parameters`) by an initializer's name."""
        self.parameters[name] = initializers.initialize(initializer, shape, rng)

    def add_state(self, name, shape, initializer):
        """Create an array that is not trained (`state`), by "zeros" or "ones"."""
        self.state[name] = initializers.initialize(initializer, shape, None)

    def keep_gradients(self, **gradients):
        """Set the gradients of those arrays that the layer has."""
        self.gradients.update({name: gradient for name, gradient in gradients.items() if name in self.parameters})

    def check_last_axis(self, input_shape, what="channels"):
        """Raise ShapeError if the layer was built for inputs with another number of `what`."""
        if self.built and input_shape[-1] != self.input_shape[-1]:
            raise ShapeError(f"{type(self).__name__} {self.name or ''} got {input_shape[-1]} {what}; it was built for {self.input_shape[-1]}")

    def weight_shapes(self, input_shape):
        """Return {name: shape} of the arrays that build would create for `input_shape`, without creating them."""
        shapes, twin = {}, copy.copy(self)
        twin.add_parameter = twin.add_state = lambda name, shape, *_: shapes.update({name: tuple(shape)})
        twin.build(input_shape, None)
        return shapes

    @property
    def weights(self):
        """(name, array) of parameters, then state: Keras' order within a layer."""
        return [*self.parameters.items(), *self.state.items()]

    def set_weight(self, name, value):
        """Replace one array by another of the same shape, converted to the dtype in use."""
        holder = self.parameters if name in self.parameters else self.state
        value = np.asarray(value)
        if value.shape != holder[name].shape:
            raise ShapeError(f"weight {self.name}/{name} has shape {value.shape}; expected {holder[name].shape}")
        holder[name] = np.array(value, dtype=holder[name].dtype, order="C")

    def without_activation(self):
        """Return a view of this layer, with the same weights, that leaves out `activation`."""
        view = copy.copy(self)
        view.activation = activations.get(None)
        return view

    def get_config(self):
        """Return the settings as plain data: the constructor's arguments."""
        return {"name": self.name, "trainable": self.trainable, **{key: _plain(getattr(self, key)) for key in self.options}}

    def __call__(self, inputs: Node | Sequence[Node]) -> Node:
        """Connect this layer to a node (or a list of nodes) of a graph and return its output node: see nn.Input."""
        return connect(self, inputs)

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items() if k != 'trainable')})"


def _plain(value):
    if isinstance(value, activations.Activation):
        return value.name
    return list(value) if isinstance(value, tuple) else value


def _checked_shape(given):
    shape = tuple(given) if isinstance(given, tuple | list | np.ndarray) else ()
    if not shape or not all(isinstance(n, int | np.integer) and n > 0 for n in shape):
        raise ShapeError(f"input_shape is {given!r}; expected positive sizes without the batch, as in (32, 32, 3)")
    return tuple(int(n) for n in shape)


def pair(value, option):
    """Return (a, b) for 3, (3, 3) or [3, 3]; raise OptionError for anything else."""
    both = (value, value) if isinstance(value, int | np.integer) and not isinstance(value, bool) else value
    try:
        first, second = both
        ok = all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n > 0 for n in (first, second))
    except (TypeError, ValueError):
        ok = False
    if not ok:
        raise OptionError(f"{option} is {value!r}; expected a positive whole number or a pair of them")
    return int(first), int(second)


def positive(value, option):
    """Return a positive whole number, or raise OptionError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise OptionError(f"{option} is {value!r}; expected a positive whole number")
    return int(value)


def number(value, option):
    """Return a float, or raise OptionError."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise OptionError(f"{option} is {value!r}; expected a number")
    return float(value)


def choice(value, allowed, option):
    """Return `value` if it is one of `allowed`, or raise OptionError."""
    if value not in allowed:
        raise OptionError(f"{option} is {value!r}; expected one of {', '.join(map(repr, allowed))}")
    return value


def image_shape(layer, shape):
    """Return (H, W, C) of an input shape, or raise ShapeError with the layer's name."""
    if len(shape) != 3 or isinstance(shape[0], tuple | list):
        raise ShapeError(f"{type(layer).__name__} {layer.name or ''} got inputs of shape {shape}; expected images (H, W, C)")
    return shape
