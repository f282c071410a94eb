"""Bidirectional (Schuster and Paliwal 1997): one recurrent layer reads a series forwards, another backwards; results are joined
as in Keras."""
from typing import Any, Unpack

import numpy as np

from tinyvgg.errors import FormatError, OptionError
from tinyvgg.nn.layers.base import Layer, choice
from tinyvgg.nn.layers.recurrent import GRU, LSTM, SimpleRNN, _Recurrent
from tinyvgg.types import LayerOptions

SIDES = ("forward", "backward")
KINDS = {"LSTM": LSTM, "GRU": GRU, "SimpleRNN": SimpleRNN}
MODES = ("concat", "sum", "ave", "mul")


class Bidirectional(Layer):
    """Two layers read the same series (N, L, C), one of them backwards. Their results are placed side by side (N, ..., U + V), or
    summed, averaged or multiplied (N, ..., U). With return_sequences the second layer's steps are reversed, so that steps match.

    layer: an LSTM, GRU or SimpleRNN, or its {"class_name", "config"}. backward_layer: the second layer, which reads in the other
    direction; by default a copy of `layer`. The first layer's arrays come first: forward_kernel, ..., backward_kernel, ...
    """

    options = ("layer", "backward_layer", "merge_mode")

    def __init__(self, layer: Any, merge_mode: str = "concat", backward_layer: Any = None, **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        first = _recurrent(layer)
        second = _recurrent({"class_name": type(first).__name__, "config": {**first.get_config(), "go_backwards": not first.go_backwards}}
                            if backward_layer is None else backward_layer)
        self.directions, self.merge_mode = (first, second), choice(merge_mode, MODES, "merge_mode")
        self.given = backward_layer is not None
        if first.go_backwards == second.go_backwards or first.return_sequences != second.return_sequences:
            raise OptionError("backward_layer reads in the same direction as layer, or only one of them returns sequences; expected two that differ "
                              "in go_backwards alone")
        if merge_mode != "concat" and first.units != second.units:
            raise OptionError(f"merge_mode is {merge_mode!r} with {first.units} and {second.units} units; expected as many of both")

    @property
    def layer(self):
        """The first layer as {"class_name", "config"}."""
        return _described(self.directions[0])

    @property
    def backward_layer(self):
        """The second layer in the same form; None if it is the reversed first one. (If the first one reads backwards it is always
        given: Keras 3 needs it.)"""
        return _described(self.directions[1]) if self.given or self.directions[0].go_backwards else None

    def output_shape(self, input_shape):
        first, second = (side.output_shape(input_shape) for side in self.directions)
        self.check_last_axis(input_shape)
        return (*first[:-1], first[-1] + second[-1]) if self.merge_mode == "concat" else first

    def weight_shapes(self, input_shape):
        return {f"{side}_{name}": shape for side, layer in zip(SIDES, self.directions, strict=True)
                for name, shape in layer.weight_shapes(input_shape).items()}

    def build(self, input_shape, rng):
        for side, layer in zip(SIDES, self.directions, strict=True):
            layer.build(input_shape, rng)
            self.parameters.update({f"{side}_{name}": array for name, array in layer.parameters.items()})

    def _sides(self):
        """(prefix, layer with this layer's arrays) of both."""
        for side, layer in zip(SIDES, self.directions, strict=True):
            prefix = f"{side}_"
            layer.parameters = {name.removeprefix(prefix): a for name, a in self.parameters.items() if name.startswith(prefix)}
            yield prefix, layer

    def forward(self, x, *, training=False):
        first, second = (layer.forward(x) for _, layer in self._sides())
        second = second[:, ::-1] if self.directions[0].return_sequences else second
        self.saved = first, second
        if self.merge_mode == "concat":
            return np.concatenate([first, second], axis=-1)
        if self.merge_mode == "mul":
            return first * second
        return first + second if self.merge_mode == "sum" else (first + second) / 2

    def backward(self, dy, *, parameters=True):
        first, second = self.saved
        if self.merge_mode == "concat":
            pulled = [dy[..., :first.shape[-1]], dy[..., first.shape[-1]:]]
        elif self.merge_mode == "mul":
            pulled = [dy * second, dy * first]
        else:
            pulled = [dy if self.merge_mode == "sum" else dy / 2] * 2
        if self.directions[0].return_sequences:
            pulled[1] = pulled[1][:, ::-1]
        dx = 0
        for (prefix, layer), gradient in zip(self._sides(), pulled, strict=True):
            dx = dx + layer.backward(gradient, parameters=parameters)
            if parameters:
                self.gradients.update({prefix + name: g for name, g in layer.gradients.items()})
        return dx

    def macc(self, input_shape):
        return sum(layer.macc(input_shape) for layer in self.directions)


def _described(layer):
    return {"class_name": type(layer).__name__, "config": layer.get_config()}


def _recurrent(layer):
    """A layer of its own, with the settings of a recurrent layer or of its description."""
    if isinstance(layer, _Recurrent):
        layer = _described(layer)
    name = layer.get("class_name") if isinstance(layer, dict) else type(layer).__name__
    if name not in KINDS or not isinstance(layer, dict):
        raise OptionError(f"Bidirectional of {str(name)[:40]}; expected an LSTM, a GRU or a SimpleRNN")
    try:
        return KINDS[name](**layer["config"])
    except (KeyError, TypeError) as error:
        raise FormatError(f"the {name} within a Bidirectional has settings that do not fit: {error}") from error
