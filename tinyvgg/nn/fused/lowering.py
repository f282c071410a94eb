"""Turns each layer into one or a few primitive calls, from which stages are built.

A layer that is not in LOWER, or has options that no stage supports, becomes a call of kind "layer": it runs unchanged, between
the steps. To give a layer a fast stage, add a line to LOWER, a stage, and the stage's line in STAGES (matching.py).
"""
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from tinyvgg.kernels.fast import activations
from tinyvgg.nn import layers
from tinyvgg.nn.fused.convolution import Geometry
from tinyvgg.nn.layers.one_row import OneRow


@dataclass(frozen=True)
class Link:
    """One call of a layer: the calls that it reads (-1: the images), and its input and output shapes for one image."""
    layer: Any
    inputs: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Function:
    """An activation: its code and numbers (see kernels.fast.activations), and a readable name."""
    code: int
    name: str
    leak: float = 0.0
    threshold: float = 0.0
    ceiling: float = inf


@dataclass(frozen=True)
class Call:
    """A primitive call: its kind, its layer or settings, and the rest as in Link. why: for the kind "layer", what no stage
    supports."""
    kind: str
    layer: Any
    inputs: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    shape: tuple[int, ...]
    about: Any = None
    why: str = ""


BESIDE: tuple[int, ...] = (-2, -1)     # `inputs` of a call that reads what the call two before it reads, and the last call's result


def links(model):
    """Return the calls up to the logits, each one after the calls that it reads."""
    place, found = {model.input: -1}, []
    for node, layer in model._logit_nodes():
        found.append(Link(layer, tuple(place[n] for n in node.inputs), tuple(tuple(n.shape) for n in node.inputs),
                          tuple(node.shape)))
        place[node] = len(found) - 1
    return found


def lower(found):
    """Return the primitive calls of a list of links."""
    calls, place = [], {-1: -1}
    for index, link in enumerate(found):
        inputs = tuple(place[i] for i in link.inputs)
        for call in _parts(link):
            if call.inputs is BESIDE:
                inputs = (*calls[-2].inputs, len(calls) - 1)
            elif call.inputs is not link.inputs:
                inputs = (len(calls) - 1,)
            calls.append(replace(call, inputs=inputs))
        place[index] = len(calls) - 1
    return calls


def _parts(link):
    """Return the primitive calls of one link; only the first has the link's own object as `inputs`, and one that joins has BESIDE."""
    known = _along_one_axis if isinstance(link.layer, OneRow) else LOWER.get(type(link.layer))
    parts = known(link) if known else None
    if parts is None or isinstance(parts, str):
        return [Call("layer", link.layer, link.inputs, link.shapes, link.shape, why=parts or "no fast stage")]
    return parts


def _along_one_axis(link):
    """Return the calls of the two-dimensional layer, for images of one row; it shares this layer's arrays, whose memory layout is
    the same."""
    planar = link.layer.in_plane()
    shapes = tuple((1, *shape) for shape in link.shapes)
    known = LOWER.get(type(planar))
    parts = known(replace(link, layer=planar, shapes=shapes, shape=tuple(planar.output_shape(shapes[0])))) if known else None
    if parts is None or isinstance(parts, str):
        return parts
    return [replace(call, layer=link.layer, about=replace(call.about, layer=link.layer)) if isinstance(call.about, Geometry) else call
            for call in parts]


def _one(link, kind, about=None, **changes):
    return Call(kind, link.layer, link.inputs, link.shapes, link.shape, about, **changes)


def _with_activation(link, *parts):
    """`parts`, then the layer's own activation."""
    after = _activated(link.layer, (), parts[-1].shape)
    return after if isinstance(after, str) else [*parts, *after]


def _activated(layer, inputs, shape):
    """Return the calls of a layer's activation, none for the identity, or the reason why they are not supported, as text."""
    if layer.activation.kernel in ("hard_sigmoid", "hard_silu"):    # as Keras' files have it: see io.keras_h5.meaning.hard_sigmoid
        slope = dict(layer.activation.settings).get("slope", 1 / 6)
        parts = [Call("rescale", layers.Rescaling(slope, 0.5, name=layer.name), inputs, (shape,), shape),
                 Call("activation", layer, (), (shape,), shape, relu_with(max_value=1.0))]
        if layer.activation.kernel == "hard_silu":
            parts.append(Call("layer", layers.Multiply(name=layer.name), BESIDE, (shape, shape), shape, why="no fast stage"))
        return parts
    function = function_of(layer.activation)
    if isinstance(function, str) or function is None:
        return function or []
    return [Call("activation", layer, inputs, (shape,), shape, function)]


def function_of(activation):
    """Return the Function of an activation, None for the identity, or the reason why there is none, as text."""
    settings = dict(activation.settings)
    if activation.kernel is None:
        return None
    if activation.kernel == "relu":
        return relu_with(**settings)
    codes = {"elu": activations.ELU, "sigmoid": activations.SIGMOID, "tanh": activations.TANH, "silu": activations.SILU}
    if activation.kernel not in codes:
        return f"no fast stage for {activation.name}"
    return Function(codes[activation.kernel], activation.name, settings.get("alpha", 1.0))


def relu_with(negative_slope=0.0, max_value=None, threshold=0.0):
    """Return the Function of a ReLU with these settings."""
    if threshold == 0 and max_value is None:
        return (Function(activations.LEAKY, "leaky ReLU", negative_slope) if negative_slope
                else Function(activations.RELU, "ReLU"))
    return Function(activations.CLIPPED, "ReLU with limits", negative_slope, threshold, inf if max_value is None else max_value)


def _activation(link):
    found = _activated(link.layer, link.inputs, link.shape)
    return found if isinstance(found, str) or found else [_one(link, "view")]


def _relu_layer(link):
    return [_one(link, "activation", relu_with(**link.layer._settings()))]


def _convolution(link):
    layer = link.layer
    window = layer.geometry(link.shapes[0][:2])
    about = Geometry(layer, "kernel", "bias" if layer.use_bias else None, layer.kernel_size, layer.strides, window["padding"],
                     layer.dilation_rate, layer.groups, layer.filters)
    return _with_activation(link, _one(link, "convolution", about))


def _depthwise(link):
    layer = link.layer
    channels = link.shapes[0][2]
    window = layer.geometry(link.shapes[0][:2])
    about = Geometry(layer, "depthwise_kernel", "bias" if layer.use_bias else None, layer.kernel_size, layer.strides,
                     window["padding"], layer.dilation_rate, channels, channels * layer.depth_multiplier)
    return _with_activation(link, _one(link, "convolution", about))


def _separable(link):
    layer = link.layer
    channels, window = link.shapes[0][2], layer.geometry(link.shapes[0][:2])
    spread = channels * layer.depth_multiplier
    middle = (*link.shape[:2], spread)
    first = Geometry(layer, "depthwise_kernel", None, layer.kernel_size, layer.strides, window["padding"], layer.dilation_rate,
                     channels, spread)
    return _with_activation(link, replace(_one(link, "convolution", first), shape=middle),
                            Call("convolution", layer, (), (middle,), link.shape, _pointwise(layer, "pointwise_kernel",
                                                                                           layer.filters)))


def _pointwise(layer, kernel, filters):
    return Geometry(layer, kernel, "bias" if layer.use_bias else None, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1, filters)


def _dense(link):
    if len(link.shapes[0]) == 1:
        return _with_activation(link, _one(link, "dense"))
    return _with_activation(link, _one(link, "convolution", _pointwise(link.layer, "kernel", link.layer.units)))


def _pool(kind):
    def pool(link):
        layer = link.layer
        if kind == "average pool" and layer.pool_size == tuple(link.shapes[0][:2]) and layer.padding == "valid":
            return [_one(link, "mean")]
        return [_one(link, kind, layer.geometry(link.shapes[0][:2]))]
    return pool


def _up_sampling(link):
    return [_one(link, "repeat")] if link.layer.interpolation == "nearest" else "no fast stage for bilinear"


def _sum(link):
    return [_one(link, "add")] if all(s == link.shape for s in link.shapes) else "no fast stage for inputs of different shapes"


def _side_by_side(link):
    rank = len(link.shape)
    return [_one(link, "concatenate")] if link.layer.along(rank) == rank - 1 else "no fast stage for this axis"


def _plain(kind):
    return lambda link: [_one(link, kind)]


LOWER = {
    layers.Conv2D: _convolution, layers.DepthwiseConv2D: _depthwise, layers.SeparableConv2D: _separable, layers.Dense: _dense,
    layers.Activation: _activation, layers.Sigmoid: _activation, layers.Tanh: _activation, layers.SiLU: _activation,
    layers.ReLU: _relu_layer, layers.ReLU6: _relu_layer,
    layers.LeakyReLU: lambda link: [_one(link, "activation", relu_with(link.layer.negative_slope))],
    layers.ELU: lambda link: [_one(link, "activation", Function(activations.ELU, "ELU", link.layer.alpha))],
    layers.BatchNormalization: _plain("norm"), layers.Dropout: _plain("dropout"),
    layers.SpatialDropout2D: _plain("channel dropout"),
    layers.SpatialDropout1D: lambda link: [replace(_one(link, "channel dropout"), shape=(1, *link.shape))],
    layers.MaxPooling2D: _pool("max pool"), layers.AveragePooling2D: _pool("average pool"),
    layers.GlobalAveragePooling2D: _plain("mean"), layers.GlobalMaxPooling2D: _plain("largest"),
    layers.Add: _sum, layers.Concatenate: _side_by_side,
    layers.Flatten: _plain("view"), layers.Reshape: _plain("view"), layers.InputLayer: _plain("view"),
    layers.TrainingOnly: _plain("view"), layers.ZeroPadding2D: _plain("pad"), layers.UpSampling2D: _up_sampling,
    layers.Rescaling: _plain("rescale"),
}
# The options of a layer that may change and that a plan depends on
WATCHED = {layers.BatchNormalization: ("trainable",), layers.Dropout: ("rate",), layers.SpatialDropout1D: ("rate",),
           layers.SpatialDropout2D: ("rate",), layers.LeakyReLU: ("negative_slope",), layers.ELU: ("alpha",),
           layers.Rescaling: ("scale", "offset"), layers.ReLU: ("max_value", "negative_slope", "threshold"),
           layers.ReLU6: ("max_value", "negative_slope", "threshold")}
