"""The settings of each layer class: those that the constructors of Keras 2.15 and of Keras 3 both take.

To make a layer readable: one row in `CLASSES` (and, where its arrays are not all trained, its count in `weight_counts`), unless it
has no arrays and takes the settings that Keras does.
"""
from collections import Counter

from tinyvgg.errors import FormatError, NotYet
from tinyvgg.nn.initializers import INITIALIZERS
from tinyvgg.nn.layers import LAYERS, Layer
from tinyvgg.nn.model import snake_case

_KERNEL = ("kernel_initializer", "kernel_regularizer", "kernel_constraint")
_BIAS = ("activation", "use_bias", "bias_initializer", "bias_regularizer", "bias_constraint", "activity_regularizer")
_WINDOW = ("kernel_size", "strides", "padding", "data_format", "dilation_rate")
_DEPTHWISE = ("depth_multiplier", "depthwise_initializer", "depthwise_regularizer", "depthwise_constraint")
_POINTWISE = ("pointwise_initializer", "pointwise_regularizer", "pointwise_constraint")
_POOL = ("pool_size", "strides", "padding", "data_format")

CLASSES = {
    "Activation": ("activation",), "Add": (), "AveragePooling2D": _POOL,
    "BatchNormalization": ("axis", "momentum", "epsilon", "center", "scale",
                           *(f"{p}_initializer" for p in ("beta", "gamma", "moving_mean", "moving_variance")),
                           *(f"{p}_{what}" for what in ("regularizer", "constraint") for p in ("beta", "gamma"))),
    "Concatenate": ("axis",), "Conv2D": ("filters", *_WINDOW, "groups", *_BIAS, *_KERNEL), "Dense": ("units", *_BIAS, *_KERNEL),
    "DepthwiseConv2D": (*_WINDOW, *_DEPTHWISE, *_BIAS), "Dropout": ("rate", "noise_shape", "seed"), "ELU": ("alpha",),
    "Flatten": ("data_format",), "GlobalAveragePooling2D": ("data_format", "keepdims"),
    "GlobalMaxPooling2D": ("data_format", "keepdims"), "InputLayer": ("batch_input_shape", "sparse", "ragged"),
    "LeakyReLU": ("alpha",), "MaxPooling2D": _POOL,
    "PReLU": ("alpha_initializer", "alpha_regularizer", "alpha_constraint", "shared_axes"),
    "ReLU": ("max_value", "negative_slope", "threshold"), "Rescaling": ("scale", "offset"), "Reshape": ("target_shape",),
    "SeparableConv2D": ("filters", *_WINDOW, *_DEPTHWISE, *_POINTWISE, *_BIAS), "Softmax": ("axis",),
    # Keras 3's takes neither trainable nor noise_shape, and its data_format is no setting of Keras 2's file.
    "SpatialDropout2D": ("rate",), "ZeroPadding2D": ("padding", "data_format"),
}
# A layer without arrays whose settings are Keras' own needs no row.
CLASSES |= {name: (*layer.options, "data_format") for name, layer in LAYERS.items()
            if name not in CLASSES and layer.__bases__ == (Layer,) and layer.build is Layer.build}
# Settings that change results if they are anything else, and that only one version knows.
_MUST_BE = {"renorm": (False, None), "quantization_config": (None,), "channel_axis": (-1, None)}
_NEVER_SAID = {"name", "trainable", "dtype", "batch_input_shape", "batch_shape", "build_input_shape", "synchronized",
               "renorm_clipping", "renorm_momentum",
               "optional", "noise_shape", "data_format", "registered_name", "fused", "virtual_batch_size",
               "adjustment", "autocast", "quantization_config", "renorm", "negative_slope", "seed", "groups"}


def neutral(class_name, raw, changes=None):
    """Return the settings of a layer as Keras 2.15 and Keras 3 both take them. Counts in `changes` what was changed."""
    changes = Counter() if changes is None else changes
    if not isinstance(raw, dict) or not isinstance(class_name, str):
        raise FormatError(f"a layer's description is {str(raw)[:60]!r}; expected class_name and config")
    where = f"layer {raw.get('name')!r} ({class_name})"
    config = {k: _value(k, v, class_name, changes) for k, v in raw.items()}
    if class_name == "InputLayer" and "batch_shape" in config:
        config["batch_input_shape"] = config.pop("batch_shape")
        changes["InputLayer: batch_shape is written as batch_input_shape (Keras 2 knows no other)"] += 1
    if class_name == "LeakyReLU" and "negative_slope" in config:
        config["alpha"] = config.pop("negative_slope")
        changes["LeakyReLU: negative_slope is written as alpha (Keras 2 knows no other)"] += 1
    for key, allowed in _MUST_BE.items():
        if config.get(key) not in allowed:
            raise NotYet(f"{where} has {key}={str(config[key])[:40]}, which is not supported")
    if class_name in ("DepthwiseConv2D", "SeparableConv2D") and config.get("groups", 1) != 1:
        raise NotYet(f"{where} has groups={config['groups']}; expected 1")
    if class_name not in CLASSES:
        return {k: v for k, v in config.items() if not (k in _NEVER_SAID - {"name", "trainable", "dtype"} and v in (None, False))}
    if class_name in ("Dropout", "SpatialDropout2D") and config.get("noise_shape") is not None:
        raise NotYet(f"{where} has noise_shape={str(config['noise_shape'])[:40]}; expected null")
    return _kept(class_name, config, where, changes)


def _kept(class_name, config, where, changes):
    """Leave out what one of the versions refuses, saying so, and refuse what is unknown and would matter."""
    allowed = {"name", "dtype", *CLASSES[class_name]}
    if class_name not in ("SpatialDropout2D", "InputLayer"):
        allowed.add("trainable")
    dropped = [k for k in config if k not in allowed]
    for key in dropped:
        other_kernel = class_name == "SeparableConv2D" and key.startswith("kernel_")
        if key not in _NEVER_SAID and not other_kernel and config[key] not in (None, False):
            raise NotYet(f"{where} has the setting {key}={str(config[key])[:40]}, which is not supported")
    if dropped and (said := [k for k in dropped if k not in ("batch_input_shape",)]):
        changes[f"{class_name}: left out {', '.join(sorted(said))} (not taken by both versions)"] += 1
    return {k: v for k, v in config.items() if k in allowed}


def _value(key, value, class_name, changes):
    if key == "dtype":
        return _dtype(value, changes)
    if key == "axis" and class_name == "BatchNormalization" and isinstance(value, list):
        changes["BatchNormalization: axis is written as a number (Keras 3 takes no list in nested models)"] += 1
        return value[0] if len(value) == 1 else value
    if key.endswith("_initializer") and isinstance(value, dict):
        settings = {k: v for k, v in dict(value.get("config") or {}).items() if k not in ("input_axes", "output_axes")}
        return {"class_name": value.get("class_name"), "config": settings}
    if key == "activation" and isinstance(value, dict):
        return value.get("config") if isinstance(value.get("config"), str) else value.get("class_name")
    return value


def _dtype(value, changes):
    """A policy by its name."""
    if isinstance(value, dict):
        changes["dtype policies are written by name (Keras 2 knows no DTypePolicy, Keras 3 no Policy)"] += 1
        name = (value.get("config") or {}).get("name")
        if not isinstance(name, str):
            raise FormatError(f"a dtype policy is {str(value)[:80]}; expected one with a name")
        return name
    return value


def weight_names(class_name, config):
    """Return the names of (trained, other) arrays of a layer from its settings, or None for a class that is not known."""
    bias = ("bias",) if config.get("use_bias", True) else ()
    if class_name == "BatchNormalization":
        trained = [n for n, setting in (("gamma", "scale"), ("beta", "center")) if config.get(setting, True)]
        return tuple(trained), ("moving_mean", "moving_variance")
    trained = {"Conv2D": ("kernel", *bias), "Dense": ("kernel", *bias), "DepthwiseConv2D": ("depthwise_kernel", *bias),
               "SeparableConv2D": ("depthwise_kernel", "pointwise_kernel", *bias), "PReLU": ("alpha",)}.get(class_name, ())
    return (trained, ()) if class_name in CLASSES else None


def weight_counts(class_name, config):
    """Return how many (trained, other) arrays a layer has, or None for a class that is not known."""
    names = weight_names(class_name, config)
    return None if names is None else (len(names[0]), len(names[1]))


def layer_settings(class_name, config):
    """Return the options of this library's layer of that class for neutral settings; NotYet names what it lacks."""
    where = f"layer {config.get('name')!r} ({class_name})"
    if class_name not in LAYERS:
        raise NotYet(f"{where}: the engine has no {class_name}",
                     "add one in tinyvgg/nn/layers/ and a row in io/keras_h5/layers.py")
    if config.get("data_format") not in (None, "channels_last"):
        raise NotYet(f"{where} has data_format {config['data_format']!r}; the engine has images with channels last only")
    if config.get("sparse") or config.get("ragged"):
        raise NotYet(f"{where}: the engine has no sparse or ragged inputs")
    options = {k: v for k, v in config.items() if k in (*LAYERS[class_name].options, "name", "trainable")}
    options.update({k: initializer_name(v) for k, v in options.items() if k.endswith("_initializer")})
    if class_name == "LeakyReLU":
        options = {"name": options.get("name"), "negative_slope": config.get("alpha", 0.3)}
    if class_name == "InputLayer":
        options = {"name": options.get("name"), "shape": _image_shape(config.get("batch_input_shape"), where)}
    if class_name == "Rescaling" and not all(isinstance(options.get(k, 0), int | float) for k in ("scale", "offset")):
        raise NotYet(f"{where} rescales by more than one number, which the engine has not")
    return options


def _image_shape(batch_shape, where):
    if not isinstance(batch_shape, list) or not batch_shape:
        raise FormatError(f"{where} has the shape {str(batch_shape)[:60]}; expected [null, height, width, channels]")
    if None in batch_shape[1:]:
        raise NotYet(f"{where} leaves a size open ({batch_shape}); the engine needs every size of an image")
    return tuple(batch_shape[1:])


def initializer_name(value):
    """Return the engine's name of an initializer; for one that it has not (of no matter, weights are read) glorot_uniform."""
    name = value.get("class_name") if isinstance(value, dict) else value
    known = snake_case(name) if isinstance(name, str) else None
    return known if known in INITIALIZERS else "glorot_uniform"


def regularized(config):
    """Return the names of settings that only training would use and that the engine does not have."""
    return [k for k, v in config.items() if (k.endswith("_regularizer") or k.endswith("_constraint")) and v is not None]
