"""A plain chain of layers."""
from tinyvgg import rng
from tinyvgg.errors import OptionError, ShapeError
from tinyvgg.nn.layers import InputLayer, Layer
from tinyvgg.nn.model import Model, layer_config, softmax_kind


class Sequential(Model):
    """Layers one after another; the first is an InputLayer or has input_shape=.

        model = Sequential([InputLayer((32, 32, 3)), Flatten(), Dense(10, activation="softmax")])
    """

    def __init__(self, layers, *, name="sequential", seed=0, input_range=(0.0, 1.0)):
        super(Model, self).__init__()
        self.name, self.seed, self.input_range = name, seed, tuple(float(v) for v in input_range)
        self.layers = list(layers)
        wrong = next((layer for layer in self.layers if not isinstance(layer, Layer)), None)
        if wrong is not None or len({id(layer) for layer in self.layers}) < len(self.layers) or not self.layers:
            raise OptionError(f"Sequential takes a list of layers, each once; got {wrong!r}" if wrong is not None
                              else "Sequential takes a list of one or more layers, each once", "nn.Model for a shared layer")
        if all(isinstance(layer, InputLayer) for layer in self.layers):
            raise OptionError("Sequential has an input and nothing that follows it", "a layer such as Flatten()")
        if self.layers[0].input_shape is None:
            raise ShapeError("the shape of the images is not known", "InputLayer((32, 32, 3)) as the first layer")
        self._name_layers()
        self._shapes = [self.layers[0].input_shape]
        for index, layer in enumerate(self.layers):
            layer.ensure_built(self._shapes[-1], rng.generator(seed, "init", index))
            self._shapes.append(tuple(layer.output_shape(self._shapes[-1])))

    @property
    def input_shape(self):
        """Shape of one image."""
        return self._shapes[0]

    @property
    def output_shape(self):
        """Shape of the result for one image."""
        return self._shapes[-1]

    def _forward(self, x, training):
        self.saved = layers = self._logit_layers()
        for layer in layers:
            x = layer.forward(x, training=training)
        return x

    def _backward(self, dy, parameters):
        for layer in reversed(self.saved):
            dy = layer.backward(dy, parameters=parameters)
        return dy

    def _logit_layers(self):
        """The layers without an input layer and without a final softmax."""
        *body, last = (layer for layer in self.layers if not isinstance(layer, InputLayer))
        if softmax_kind(last) == "layer":
            return body
        return [*body, last.without_activation() if softmax_kind(last) else last]

    def get_config(self):
        """Return the architecture as plain data, from which nn.model_from_config builds it again."""
        return {"class_name": "Sequential", "name": self.name, "input_range": list(self.input_range),
                "input_shape": list(self.input_shape), "layers": [layer_config(layer) for layer in self.layers]}
