"""Shapes and parameters of Keras' layers from their settings alone: handler(config, input shapes) -> list of operations' parts.

A part is {"kind", "output_shape", "parameters", "settings", "keras_parameters"}; `parameters` are those that inference needs.
"""

import math


class Unknown(Exception):
    """A setting whose effect on the cost is not known here."""


def _pair(value, rank):
    return (value,) * rank if isinstance(value, int) else tuple(value)


def _spatial(size, window, strides, padding, dilation):
    """Output sizes of a window that moves over `size`."""
    if padding == "same":
        return tuple(-(-n // s) for n, s in zip(size, strides, strict=True))
    if padding == "causal":
        return tuple(-(-n // s) for n, s in zip(size, strides, strict=True))
    return tuple((n - (k - 1) * d - 1) // s + 1 for n, k, s, d in zip(size, window, strides, dilation, strict=True))


def _with_activation(parts, config):
    """Append the activation that a layer carries."""
    name = config.get("activation")
    name = name.get("config", {}).get("name", name.get("class_name")) if isinstance(name, dict) else name
    if name not in (None, "linear"):
        parts.append(_activation_part(name, parts[-1]["output_shape"]))
    return parts


def _activation_part(function, shape, parameters=None):
    return {
        "kind": "activation",
        "output_shape": shape,
        "settings": {"function": function},
        "parameters": parameters or {},
        "keras_parameters": sum(math.prod(s) for s in (parameters or {}).values()),
    }


def _conv_part(kernel, shape, config, window, strides, groups=1):
    parameters = {"kernel": kernel}
    if config.get("use_bias", True):
        parameters["bias"] = (shape[-1],)
    return {
        "kind": "conv",
        "output_shape": shape,
        "parameters": parameters,
        "keras_parameters": sum(math.prod(s) for s in parameters.values()),
        "settings": {"kernel_size": window, "strides": strides, "same": config.get("padding") == "same", "groups": groups},
    }


def _convolution(rank):
    def handler(config, shapes):
        *size, channels = shapes[0]
        window, strides = _pair(config["kernel_size"], rank), _pair(config.get("strides", 1), rank)
        groups, filters = config.get("groups", 1) or 1, config["filters"]
        out = _spatial(size, window, strides, config.get("padding", "valid"), _pair(config.get("dilation_rate", 1), rank))
        part = _conv_part((*window, channels // groups, filters), (*out, filters), config, window, strides, groups)
        return _with_activation([part], config)

    return handler


def _depthwise(config, shapes):
    *size, channels = shapes[0]
    window, strides = _pair(config["kernel_size"], 2), _pair(config.get("strides", 1), 2)
    multiplier = config.get("depth_multiplier", 1)
    out = _spatial(size, window, strides, config.get("padding", "valid"), _pair(config.get("dilation_rate", 1), 2))
    part = _conv_part((*window, 1, channels * multiplier), (*out, channels * multiplier), config, window, strides, channels)
    return _with_activation([part], config)


def _separable(config, shapes):
    first = _depthwise({**config, "use_bias": False, "activation": None}, shapes)[0]
    *size, channels = first["output_shape"]
    second = _conv_part((1, 1, channels, config["filters"]), (*size, config["filters"]), config, (1, 1), (1, 1))
    return _with_activation([first, second], config)


def _dense(config, shapes):
    *front, inputs = shapes[0]
    units = config["units"]
    parameters = {"kernel": (inputs, units)} | ({"bias": (units,)} if config.get("use_bias", True) else {})
    return _with_activation(
        [
            {
                "kind": "dense",
                "output_shape": (*front, units),
                "parameters": parameters,
                "keras_parameters": sum(math.prod(s) for s in parameters.values()),
            }
        ],
        config,
    )


def _batch_norm(config, shapes):
    channels = shapes[0][-1]
    kept = 2 + bool(config.get("scale", True)) + bool(config.get("center", True))
    return [
        {
            "kind": "batch_norm",
            "output_shape": shapes[0],
            "parameters": {"scale": (channels,), "offset": (channels,)},
            "keras_parameters": kept * channels,
        }
    ]


def _pooling(rank, function):
    def handler(config, shapes):
        *size, channels = shapes[0]
        window = _pair(config.get("pool_size", 2), rank)
        strides = _pair(config.get("strides") or window, rank)
        out = _spatial(size, window, strides, config.get("padding", "valid"), (1,) * rank)
        return [
            {
                "kind": "pool",
                "output_shape": (*out, channels),
                "settings": {"pool_size": window, "strides": strides, "function": function},
            }
        ]

    return handler


def _global_pooling(function):
    def handler(config, shapes):
        *size, channels = shapes[0]
        out = (*(1 for _ in size), channels) if config.get("keepdims") else (channels,)
        return [
            {
                "kind": "pool",
                "output_shape": out,
                "settings": {"pool_size": tuple(size), "strides": tuple(size), "function": function},
            }
        ]

    return handler


def _activation_layer(function):
    def handler(config, shapes):
        name = config.get("activation", function) if function is None else function
        name = name.get("config", {}).get("name", name.get("class_name")) if isinstance(name, dict) else name
        return [_activation_part(name, shapes[0])] if name not in (None, "linear") else []

    return handler


def _relu(config, shapes):
    slope = config.get("negative_slope") or 0
    return [_activation_part("leaky_relu" if slope else "relu6" if config.get("max_value") == 6 else "relu", shapes[0])]


def _prelu(config, shapes):
    shared = config.get("shared_axes") or []
    alpha = tuple(1 if i + 1 in shared else n for i, n in enumerate(shapes[0]))
    return [_activation_part("prelu", shapes[0], {"alpha": alpha})]


def _add(config, shapes):
    return [{"kind": "add", "output_shape": shapes[0], "settings": {"terms": len(shapes)}}]


def _concatenate(config, shapes):
    axis = config.get("axis", -1)
    axis = axis - 1 if axis > 0 else axis
    shape = list(shapes[0])
    shape[axis] = sum(s[axis] for s in shapes)
    return [{"kind": "concatenate", "output_shape": tuple(shape)}]


def _flatten(config, shapes):
    return [{"kind": "reshape", "output_shape": (math.prod(shapes[0]),)}]


def _reshape(config, shapes):
    target, size = list(config["target_shape"]), math.prod(shapes[0])
    known = math.prod(n for n in target if n != -1)
    return [{"kind": "reshape", "output_shape": tuple(size // known if n == -1 else n for n in target)}]


def _zero_padding(rank):
    def handler(config, shapes):
        *size, channels = shapes[0]
        sides = [(p, p) if isinstance(p, int) else tuple(p) for p in _pair(config.get("padding", 1), rank)]
        if rank == 1 and not isinstance(config.get("padding", 1), int):
            sides = [tuple(config["padding"])]
        return [{"kind": "pad", "output_shape": (*(n + sum(s) for n, s in zip(size, sides, strict=True)), channels)}]

    return handler


def _lstm(config, shapes):
    """Keras' LSTM; X-CUBE-AI stores three peephole vectors beside it, which are zero."""
    steps, inputs = shapes[0]
    units = config["units"]
    if config.get("go_backwards"):
        raise Unknown("go_backwards")
    parameters = {"kernel": (inputs, 4 * units), "recurrent_kernel": (units, 4 * units), "bias": (4 * units,)}
    out = (steps, units) if config.get("return_sequences") else (units,)
    return [
        {
            "kind": "lstm",
            "output_shape": out,
            "parameters": parameters,
            "settings": {"steps": steps, "units": units},
            "keras_parameters": sum(math.prod(s) for s in parameters.values()),
        }
    ]


def _nothing(config, shapes):
    return []


def _rescaling(config, shapes):
    return [{"kind": "other", "output_shape": shapes[0], "settings": {"function": "rescaling"}}]


HANDLERS = {
    "Conv1D": _convolution(1),
    "Conv2D": _convolution(2),
    "Convolution1D": _convolution(1),
    "Convolution2D": _convolution(2),
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "Dense": _dense,
    "BatchNormalization": _batch_norm,
    "MaxPooling1D": _pooling(1, "max"),
    "MaxPooling2D": _pooling(2, "max"),
    "AveragePooling1D": _pooling(1, "average"),
    "AveragePooling2D": _pooling(2, "average"),
    "GlobalAveragePooling1D": _global_pooling("average"),
    "GlobalAveragePooling2D": _global_pooling("average"),
    "GlobalMaxPooling1D": _global_pooling("max"),
    "GlobalMaxPooling2D": _global_pooling("max"),
    "Activation": _activation_layer(None),
    "ReLU": _relu,
    "ReLU6": _activation_layer("relu6"),
    "LeakyReLU": _activation_layer("leaky_relu"),
    "PReLU": _prelu,
    "Softmax": _activation_layer("softmax"),
    "Sigmoid": _activation_layer("sigmoid"),
    "Tanh": _activation_layer("tanh"),
    "ELU": _activation_layer("elu"),
    "SiLU": _activation_layer("silu"),
    "Add": _add,
    "Concatenate": _concatenate,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "ZeroPadding1D": _zero_padding(1),
    "ZeroPadding2D": _zero_padding(2),
    "LSTM": _lstm,
    "Dropout": _nothing,
    "SpatialDropout1D": _nothing,
    "SpatialDropout2D": _nothing,
    "GaussianNoise": _nothing,
    "Rescaling": _rescaling,
}
