"""Keras' layers that the engine cannot run, but whose cost is known: shapes, arrays, multiplications with weights.

`make(leaf)` returns the engine's layer where there is one. To add a layer: a class here that defines `output_shape`, `build` and
`macc`, a row in LACKING, and in analyze/operations.py what X-CUBE-AI makes of it.
"""
from dataclasses import replace

from tinyvgg.errors import FormatError, NotYet, TinyVGGError
from tinyvgg.io.keras_h5.build import make_layer
from tinyvgg.io.keras_h5.flatten import Leaf
from tinyvgg.io.keras_h5.layers import neutral
from tinyvgg.nn import activations
from tinyvgg.nn.layers import LAYERS, Layer
from tinyvgg.nn.layers.base import positive
from tinyvgg.nn.layers.bidirectional import KINDS, MODES

# Keras' activations beside the engine's; a layer as the activation counts as what it computes.
ACTIVATIONS = {name: name for name in ("celu", "hard_silu", "hard_swish", "log_softmax")}
ACTIVATIONS |= {"LeakyReLU": "leaky_relu", "ReLU": "relu", "Softmax": "softmax", "ELU": "elu"}


def make(leaf, shape=None):
    """Return the engine's layer for a Leaf (see make_layer), or one that only knows its cost; NotYet names a layer whose cost is unknown."""
    if leaf.refusal is not None:
        raise leaf.refusal
    name = leaf.config.get("activation")
    if leaf.class_name in LAYERS and isinstance(name, str) and name in ACTIVATIONS and name not in activations.ACTIVATIONS:
        layer = make_layer(replace(leaf, config={**leaf.config, "activation": "linear"}), shape)
        layer.activation = activations.Activation(ACTIVATIONS[name], ACTIVATIONS[name])
        return layer
    kind = _kind(leaf)
    if kind is None:
        return make_layer(leaf, shape)
    where = f"layer {leaf.name!r} ({leaf.class_name})"
    try:
        return kind(leaf)
    except TinyVGGError as error:
        raise type(error)(error.problem if repr(leaf.name) in error.problem else f"{where}: {error.problem}", error.hint) from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise FormatError(f"the settings of {where} do not fit: {type(error).__name__} {error}") from error


def _kind(leaf):
    """What makes the layer of a leaf, or None where the engine's own is right."""
    if leaf.class_name == "Bidirectional":
        return _bidirectional           # with inner activations that the engine lacks, too
    return None if leaf.class_name in LAYERS else LACKING.get(leaf.class_name)


class Cost(Layer):
    """A layer of Keras that is never run, from its settings."""

    def __init__(self, leaf):
        super().__init__(name=leaf.name, trainable=leaf.config.get("trainable") is not False)
        self.class_name, self.config = leaf.class_name, leaf.config
        if leaf.config.get("data_format") not in (None, "channels_last"):
            raise NotYet(f"data_format is {leaf.config['data_format']!r}; expected channels last")


class Nothing(Cost):
    """A layer that does nothing at inference."""


def _recurrent(leaf):
    """The engine's LSTM, GRU or SimpleRNN with the settings that decide its cost; what it computes does not."""
    config, more = leaf.config, {}
    if config.get("return_state") or config.get("time_major"):
        raise NotYet("return_state and time_major are not known here")
    if leaf.class_name == "GRU":
        more["reset_after"] = config.get("reset_after", False)          # as before there was one
    return LAYERS[leaf.class_name](positive(config["units"], "units"), use_bias=config.get("use_bias", True), name=leaf.name,
                                   return_sequences=config.get("return_sequences"), go_backwards=config.get("go_backwards"), **more)


def _bidirectional(leaf):
    """The engine's Bidirectional of two such layers."""
    first, mode = _inner(leaf), leaf.config.get("merge_mode", "concat")
    second = _inner(leaf, "backward_layer") if leaf.config.get("backward_layer") else None
    if any(type(layer) not in KINDS.values() for layer in (first, second or first)) or mode not in MODES:
        raise NotYet(f"merge_mode {mode!r} of {type(first).__name__} is not known here")
    return LAYERS["Bidirectional"](first, mode, second, name=leaf.name, trainable=leaf.config.get("trainable") is not False)


class TimeDistributed(Cost):
    """A layer at every step of (steps, ...), with the same weights."""

    def __init__(self, leaf):
        super().__init__(leaf)
        self.layer = _inner(leaf)

    def output_shape(self, input_shape):
        return (input_shape[0], *self.layer.output_shape(tuple(input_shape[1:])))

    def build(self, input_shape, rng):
        for name, shape in self.layer.weight_shapes(tuple(input_shape[1:])).items():
            self.add_parameter(name, shape, "zeros", rng)

    def macc(self, input_shape):
        return input_shape[0] * self.layer.macc(tuple(input_shape[1:]))


class Embedding(Cost):
    """Rows of a table (input_dim, output_dim), looked up: no multiplication."""

    def output_shape(self, input_shape):
        return (*input_shape, positive(self.config["output_dim"], "output_dim"))

    def build(self, input_shape, rng):
        self.add_parameter("embeddings", (positive(self.config["input_dim"], "input_dim"), self.config["output_dim"]), "zeros", rng)


class Conv2DTranspose(Cost):
    """A convolution whose steps are between the outputs: every input pixel is multiplied with the whole kernel."""

    def __init__(self, leaf):
        super().__init__(leaf)
        self.kernel_size, self.strides = (_pair(leaf.config.get(name, 1)) for name in ("kernel_size", "strides"))
        self.padding, self.filters = leaf.config.get("padding", "valid"), positive(leaf.config["filters"], "filters")
        name = leaf.config.get("activation")
        if isinstance(name, str) and name != "linear":
            self.activation = activations.Activation(ACTIVATIONS.get(name, name), name)
        if leaf.config.get("output_padding") not in (None, [None, None]) or _pair(leaf.config.get("dilation_rate", 1)) != (1, 1):
            raise NotYet("output_padding and dilation_rate of a transposed convolution are not known here")

    def output_shape(self, input_shape):
        more = [0 if self.padding == "same" else max(k - s, 0) for k, s in zip(self.kernel_size, self.strides, strict=True)]
        size = (n * s + m for n, s, m in zip(input_shape, self.strides, more, strict=False))
        return (*size, self.filters)

    def build(self, input_shape, rng):
        self.add_parameter("kernel", (*self.kernel_size, self.filters, input_shape[-1]), "zeros", rng)
        if self.config.get("use_bias", True):
            self.add_parameter("bias", (self.filters,), "zeros", rng)

    def macc(self, input_shape):
        kernel = self.kernel_size[0] * self.kernel_size[1] * self.filters * input_shape[-1]
        return input_shape[0] * input_shape[1] * kernel


def _pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


LACKING = {"TimeDistributed": TimeDistributed, "Embedding": Embedding, "Conv2DTranspose": Conv2DTranspose,
           "SpatialDropout3D": Nothing}


def _inner(leaf, key="layer"):
    """The layer within a wrapper."""
    entry = leaf.config[key]
    class_name = entry["class_name"]
    name = entry["config"].get("name", leaf.name)
    inner = Leaf(str(name), *neutral(class_name, entry["config"]))
    return _recurrent(inner) if class_name in KINDS else make(inner)
