"""A plain chain of layers."""
from collections.abc import Iterable
from typing import Any

from tinyvgg.errors import OptionError, ShapeError
from tinyvgg.nn.graph import connect, input_node
from tinyvgg.nn.layers import InputLayer, Layer
from tinyvgg.nn.model import Model, layer_config
from tinyvgg.types import Range


class Sequential(Model):
    """Layers one after another; the first is an InputLayer or has input_shape=.

        model = Sequential([InputLayer((32, 32, 3)), Flatten(), Dense(10, activation="softmax")])
    """

    def __init__(self, layers: Iterable[Layer], *, name: str = "sequential", seed: int = 0,
                 input_range: Range | None = None) -> None:
        self.layers = list(layers)
        wrong = next((layer for layer in self.layers if not isinstance(layer, Layer)), None)
        if wrong is not None or len({id(layer) for layer in self.layers}) < len(self.layers) or not self.layers:
            raise OptionError(f"Sequential takes a list of layers, each once; got {wrong!r}" if wrong is not None
                              else "Sequential takes a list of one or more layers, each once", "nn.Model for a shared layer")
        if all(isinstance(layer, InputLayer) for layer in self.layers):
            raise OptionError("Sequential has an input but no layer after it", "a layer such as Flatten()")
        if self.layers[0].input_shape is None:
            raise ShapeError("the shape of the images is not known", "InputLayer((32, 32, 3)) as the first layer")
        self._name_layers()
        start = node = self._start()
        for layer in self.layers:
            node = node if layer is start.layer else connect(layer, node)
        super().__init__(start, node, name=name, seed=seed, input_range=input_range)

    def _start(self):
        """The node of the images: that of the InputLayer, or of one made here, which is not among `layers`."""
        first = self.layers[0]
        if isinstance(first, InputLayer):
            return input_node(first)
        taken, name = {layer.name for layer in self.layers}, "image"
        while name in taken:
            name += "_"
        return input_node(InputLayer(first.input_shape, name=name))

    def _ordered_layers(self):
        return self.layers

    def get_config(self) -> dict[str, Any]:
        """Return the architecture as plain data, from which nn.model_from_config builds it again."""
        return {"class_name": "Sequential", "name": self.name, "input_range": list(self.input_range),
                "input_shape": list(self.input_shape), "layers": [layer_config(layer) for layer in self.layers]}
