"""The operations that X-CUBE-AI makes of each layer: PARTS[class] = function(layer, input shape) -> list of parts.

A part is {"kind", "output_shape"} and, if there are any, "parameters" (those that inference needs, shapes by name) and
"settings": fields of an Operation. If a layer becomes several parts, each later one also has "macc" and "keras_parameters"; the
first gets the rest.
"""

import math

from tinyvgg.io.keras_h5 import lacking
from tinyvgg.nn import layers as L
from tinyvgg.nn.layers.one_row import OneRow, without_row


def parts_of(layer, input_shape):
    """Return the parts of a layer called on `input_shape`; none for a layer that does nothing at inference."""
    rule = next((PARTS[cls] for cls in type(layer).__mro__ if cls in PARTS), _other)
    parts = rule(layer, input_shape)
    if layer.activation.name != "linear" and rule not in (_activation_layer, _wrapped):
        parts = [*parts, _activation(layer.activation.name, parts[-1]["output_shape"])]
    return parts


def _activation(function, shape, **more):
    return {"kind": "activation", "output_shape": shape, "settings": {"function": function}, **more}


def _conv(layer, shape, kernel, bias, groups, *, window=None, strides=None, same=None):
    parameters = {"kernel": kernel} | ({"bias": bias} if bias else {})
    settings = {"kernel_size": window or layer.kernel_size, "strides": strides or layer.strides,
                "same": layer.padding == "same" if same is None else same, "groups": groups}
    return {"kind": "conv", "output_shape": shape, "parameters": parameters, "settings": settings}


def _convolution(layer, shape):
    arrays = layer.weight_shapes(shape)
    return [_conv(layer, layer.output_shape(shape), arrays["kernel"], arrays.get("bias"), layer.groups)]


def _depthwise(layer, shape):
    out, arrays = layer.output_shape(shape), layer.weight_shapes(shape)
    return [_conv(layer, out, (*layer.kernel_size, 1, out[-1]), arrays.get("bias"), shape[-1])]


def _separable(layer, shape):
    out, arrays = layer.output_shape(shape), layer.weight_shapes(shape)
    pointwise, bias = arrays["pointwise_kernel"], arrays.get("bias")
    channels = pointwise[2]
    first = _conv(layer, (*out[:-1], channels), (*layer.kernel_size, 1, channels), None, shape[-1])
    second = _conv(layer, out, pointwise, bias, 1, window=(1, 1), strides=(1, 1))
    counted = math.prod(pointwise) + math.prod(bias or (0,))
    return [first, {**second, "macc": math.prod(out) * channels, "keras_parameters": counted}]


def _batch_norm(layer, shape):
    return [{"kind": "batch_norm", "output_shape": shape, "parameters": {"scale": shape[-1:], "offset": shape[-1:]}}]


def _pool(function, window=None):
    def rule(layer, shape):
        size = window(shape) if window else layer.pool_size
        return [{"kind": "pool", "output_shape": layer.output_shape(shape),
                 "settings": {"pool_size": size, "strides": size if window else layer.strides, "function": function,
                              **({} if window else {"same": layer.padding == "same"})}}]
    return rule


def _activation_layer(layer, shape):
    return [_activation(layer.activation.name, shape)] if layer.activation.name != "linear" else []


def _relu(layer, shape):
    return [_activation("leaky_relu" if layer.negative_slope else "relu6" if layer.max_value == 6 else "relu", shape)]


def _function(name):
    return lambda layer, shape: [_activation(name, shape, parameters=layer.weight_shapes(shape))]


def _kind(kind, **settings):
    return lambda layer, shape: [{"kind": kind, "output_shape": layer.output_shape(shape), "settings": settings}]


def _with_arrays(kind):
    return lambda layer, shape: [{"kind": kind, "output_shape": layer.output_shape(shape), "parameters": layer.weight_shapes(shape)}]


def _nothing(layer, shape):
    return []


def _add(layer, shapes):
    return [{"kind": "add", "output_shape": layer.output_shape(shapes), "settings": {"terms": len(shapes)}}]


def _other(layer, shape):
    """Return the part of a layer without a known rule: its arrays unchanged."""
    return [{"kind": "other", "output_shape": layer.output_shape(shape), "parameters": layer.weight_shapes(shape),
             "settings": {"function": type(layer).__name__.lower()}}]


def _one_row(layer, shape):
    """Return the parts of a one-dimensional layer: those of the two-dimensional one, without the axis of one row."""
    planar = layer.in_plane()
    parts = PARTS[type(planar)](planar, (1, *shape))
    for part in parts:
        part["output_shape"] = without_row(part["output_shape"])
        for key in ("kernel_size", "strides", "pool_size"):
            if key in part.get("settings", {}):
                part["settings"][key] = part["settings"][key][1:]
        if "kernel" in part.get("parameters", {}):
            part["parameters"]["kernel"] = part["parameters"]["kernel"][1:]
    return parts


# --- layers that the engine lacks ---

def _recurrent(layer, shape):
    kind = {"LSTM": "lstm", "GRU": "gru", "SimpleRNN": "simple_rnn"}[layer.class_name or type(layer).__name__]
    return [{"kind": kind, "output_shape": layer.output_shape(shape), "parameters": layer.weight_shapes(shape),
             "settings": {"steps": shape[0], "units": layer.units}}]


def _bidirectional(layer, shape):
    """Both directions, and what joins them."""
    first, second = (_recurrent(direction, shape)[0] for direction in layer.directions)
    second |= {"macc": layer.directions[1].macc(shape), "keras_parameters": sum(map(math.prod, second["parameters"].values()))}
    joined = layer.output_shape(shape)
    join = "concatenate" if joined != second["output_shape"] else "add"
    return [first, second, {"kind": join, "output_shape": joined, "settings": {"terms": 2} if join == "add" else {}}]


def _wrapped(layer, shape):
    parts = parts_of(layer.layer, tuple(shape[1:]))
    for part in parts:
        part["output_shape"] = (shape[0], *part["output_shape"])
        if "steps" in part.get("settings", {}):
            part["settings"]["steps"] *= shape[0]
        if "macc" in part:
            part["macc"] *= shape[0]
    return parts


def _image(shape):
    return tuple(shape[:-1])


PARTS = {
    L.InputLayer: _kind("input"),
    L.Conv2D: _convolution,
    L.DepthwiseConv2D: _depthwise,
    L.SeparableConv2D: _separable,
    L.Dense: _with_arrays("dense"),
    L.BatchNormalization: _batch_norm,
    L.MaxPooling2D: _pool("max"),
    L.AveragePooling2D: _pool("average"),
    L.GlobalAveragePooling2D: _pool("average", _image),
    L.GlobalMaxPooling2D: _pool("max", _image),
    L.Activation: _activation_layer,
    L.ReLU: _relu,
    L.LeakyReLU: _function("leaky_relu"),
    L.PReLU: _function("prelu"),
    L.Softmax: _function("softmax"),
    L.ELU: _function("elu"),
    L.Add: _add,
    L.Concatenate: _kind("concatenate"),
    **dict.fromkeys((L.Flatten, L.Reshape, L.Permute), _kind("reshape")),
    L.ZeroPadding2D: _kind("pad"),
    L.Cropping2D: _kind("other", function="cropping"),
    OneRow: _one_row,
    **dict.fromkeys((L.Dropout, L.GaussianNoise, L.TrainingOnly, lacking.Nothing), _nothing),
    **dict.fromkeys((L.LSTM, L.GRU, L.SimpleRNN), _recurrent),
    L.Bidirectional: _bidirectional,
    lacking.TimeDistributed: _wrapped,
    lacking.Embedding: _with_arrays("embedding"),
    L.UpSampling2D: _kind("upsample", function="nearest"),
    lacking.Conv2DTranspose: _with_arrays("conv_transpose"),
    L.LayerNormalization: _with_arrays("layer_norm"),
}
