"""Settings of layers in a form that Keras 2.15 and Keras 3 both accept, and in the form of the layers here. To support another
layer, add its settings to classes.py and the names of its arrays to `weight_names` (not needed if it has no arrays and the same
settings as in Keras).
"""
from collections import Counter

from tinyvgg.errors import FormatError, NotYet
from tinyvgg.io.keras_h5 import meaning
from tinyvgg.io.keras_h5.classes import (
    ANY,
    BOTH,
    CONSTRAINTS,
    HARMLESS,
    INITIALIZERS,
    NOT_TRAINABLE,
    OLD_NAMES,
    RANDOM_IMAGES,
    RANDOM_IN_ONE,
    REGULARIZERS,
    UNSAID,
)
from tinyvgg.nn import initializers
from tinyvgg.nn.activations import ACTIVATIONS
from tinyvgg.nn.layers import LAYERS, Layer
from tinyvgg.nn.model import snake_case

# A layer without arrays whose settings are Keras' own needs no row.
BOTH |= {name: (*layer.options, "data_format") for name, layer in LAYERS.items()
         if name not in (*BOTH, "TrainingOnly") and layer.__bases__ == (Layer,) and layer.build is Layer.build}
RECURRENT = ("LSTM", "GRU", "SimpleRNN", "LSTMCell", "GRUCell", "SimpleRNNCell")
PASSING = (*RANDOM_IMAGES, *RANDOM_IN_ONE, "ActivityRegularization")        # TrainingOnly here
RESIZED = ("CenterCrop", "RandomCrop", "Resizing")           # nothing where images have that size already
MERGED = "the network built without enable_lora; load_weights of the .keras file gives it the merged kernels; then save it"
ALIKE = ("Activation", "Dense", "Dropout", "ELU", "LeakyReLU", "ReLU")      # compute each step of a series by itself


def neutral(class_name, raw, changes=None, version=""):
    """Return (class name, settings) of a layer in a form that Keras 2.15 and Keras 3 both accept; count the changes in `changes`.
    An activation whose name the two do not compute alike is replaced by "linear"; meaning.activation returns it. Raises NotYet
    for settings that are not understood.
    """
    changes = Counter() if changes is None else changes
    if not isinstance(raw, dict) or not isinstance(class_name, str):
        raise FormatError(f"a layer's description is {str(raw)[:60]!r}; expected class_name and config")
    where = f"layer {raw.get('name')!r} ({class_name})"
    config = {k: v for k, v in raw.items() if k != "activation"}
    if class_name == "ThresholdedReLU":
        changes["ThresholdedReLU is written as ReLU with that threshold (Keras 3 has only this)"] += 1
        config["threshold"] = config.pop("theta", 1.0)
    class_name = OLD_NAMES.get(class_name, class_name)
    if "activation" in raw:
        config["activation"] = _name_of(raw["activation"], version, where, class_name)
    _renamed(class_name, config, changes)
    config = {k: _value(k, v, class_name, changes, where, version) for k, v in config.items()}
    config = {k: v for k, v in config.items() if v is not None or not k.endswith("_initializer")}
    if class_name == "Bidirectional":
        _both_directions(config)
    if class_name in BOTH:
        return class_name, _kept(class_name, config, where, changes)
    return class_name, config


def _name_of(value, version, where, class_name):
    if not version and class_name in RECURRENT and value in ("hard_sigmoid", "keras2_hard_sigmoid"):
        raise NotYet(f"{where} has a hard sigmoid within its steps, which is another function in Keras 2 than in Keras 3; a file for both "
                     "cannot say which", "model.save('FILE.npz')")
    found = meaning.activation(value, version, where)
    if isinstance(found, str):
        return found
    if value == "hard_sigmoid" and class_name in RECURRENT:         # which is computed here, but by no name in both versions
        return "hard_sigmoid" if version.startswith("3") else "keras2_hard_sigmoid"
    if class_name in RECURRENT or class_name.startswith("ConvLSTM"):
        raise NotYet(f"{where} has the activation {_shown(value)} within its steps, which the two versions of Keras do not "
                     "compute alike")
    return "linear"


def _shown(value):
    return repr(value if isinstance(value, str) else value.get("class_name") if isinstance(value, dict) else str(value))[:60]


def _renamed(class_name, config, changes):
    """Names of settings that changed from Keras 2 to Keras 3."""
    if class_name == "InputLayer" and "batch_shape" in config:
        config["batch_input_shape"] = config.pop("batch_shape")
        changes["InputLayer: batch_shape is written as batch_input_shape (Keras 2 knows no other)"] += 1
    if class_name == "LeakyReLU" and "negative_slope" in config:
        config["alpha"] = config.pop("negative_slope")
        changes["LeakyReLU: negative_slope is written as alpha (Keras 2 knows no other)"] += 1


def _kept(class_name, config, where, changes):
    """Drop settings that only one Keras accepts, recording each; refuse unknown ones that change results."""
    allowed = {"name", "dtype", *BOTH[class_name]} | (set() if class_name in NOT_TRAINABLE else {"trainable"})
    dropped = [k for k in config if k not in allowed]
    for key in dropped:
        harmless = HARMLESS.get(key, (None, False))
        if harmless is not ANY and config[key] is not None and config[key] not in harmless:
            raise NotYet(f"{where} has the setting {key}={str(config[key])[:40]}, which is not understood", MERGED if key == "lora_rank" else "")
    if class_name == "Dropout" and not isinstance(config.get("noise_shape"), list | None):
        changes[f"Dropout: left out noise_shape={str(config.pop('noise_shape'))[:20]} (Keras 3.15 takes a list)"] += 1
    if said := [k for k in dropped if k not in UNSAID and config[k] not in (None, False)]:
        changes[f"{class_name}: left out {', '.join(sorted(said))} (not taken by both versions)"] += 1
    return {k: v for k, v in config.items() if k in allowed}


def _value(key, value, class_name, changes, where, version):
    if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__") and isinstance(value.get("config"), dict):
        value = value["config"].get("value")            # as Keras 3 writes arrays among settings
    if key == "dtype":
        return _dtype(value, changes, where)
    if key == "axis" and isinstance(value, list) and len(value) == 1:
        if class_name == "BatchNormalization":
            changes["BatchNormalization: axis is written as a number (Keras 3 takes no list in nested models)"] += 1
        return value[0]
    if key == "recurrent_activation":
        return _name_of(value, version, where, "LSTM")
    if key.endswith("_initializer"):
        return _initializer(value, changes)
    if key.endswith(("_regularizer", "_constraint")):
        if class_name not in BOTH:
            return value
        return _training_object(value, key, where, REGULARIZERS if key.endswith("_regularizer") else CONSTRAINTS)
    if key in ("layer", "backward_layer", "cell") and isinstance(value, dict):
        return _inner(value, changes, where, version)
    if key == "cells" and isinstance(value, list):
        return [_inner(v, changes, where, version) for v in value]
    return value


def _inner(entry, changes, where, version):
    """The description of a layer within a layer, with the module that either version looks it up by."""
    class_name, config = entry.get("class_name"), entry.get("config")
    if not isinstance(config, dict) or class_name not in BOTH:
        raise NotYet(f"{where} holds a {str(class_name)[:40]!r}, which is not understood within another layer")
    meaning.check_owner(entry, f"the layer within {where}")
    if not isinstance(meaning.activation(config.get("activation"), version, where), str):
        raise NotYet(f"the {class_name} within {where} has the activation {_shown(config['activation'])}, which is not understood "
                     "there")
    if where.endswith("(Bidirectional)"):           # which sets it again, in either version
        config = {k: v for k, v in config.items() if k != "zero_output_for_mask"}
    class_name, config = neutral(class_name, config, changes, version)
    return {"module": "keras.layers", "class_name": class_name, "config": config, "registered_name": None}


def _both_directions(config):
    """Say which way the second layer goes where the first goes backwards: Keras 3 takes for granted that it goes forwards."""
    first = config.get("layer")
    if config.get("backward_layer") is None and isinstance(first, dict) and (first.get("config") or {}).get("go_backwards"):
        config["backward_layer"] = {**first, "config": {**first["config"], "go_backwards": False}}


def _initializer(value, changes):
    """An initializer that both versions know; for any other, of no matter where weights are read, the layer's default."""
    if not isinstance(value, dict):
        return value
    class_name, settings = value.get("class_name"), value.get("config")
    if class_name not in INITIALIZERS or not isinstance(settings, dict):
        changes[f"the initializer {str(class_name)[:40]!r} is left out (weights do not depend on it)"] += 1
        return None
    return {"class_name": class_name, "config": {k: v for k, v in settings.items() if k in INITIALIZERS[class_name]}}


def _training_object(value, key, where, known):
    """A regularizer or a constraint that both versions know."""
    if not isinstance(value, dict):
        return value
    class_name, settings = value.get("class_name"), value.get("config")
    if class_name not in known or not isinstance(settings, dict):
        raise NotYet(f"{where} has the {key} {str(class_name)[:40]!r}, which is not Keras' own", meaning.ALONE)
    meaning.check_owner(value, f"the {key} of {where}")
    return {"class_name": class_name, "config": settings}


def _dtype(value, changes, where):
    """A policy by its name."""
    if isinstance(value, dict):
        name = (value.get("config") or {}).get("name")
        if value.get("class_name") == "QuantizedDTypePolicy" or "Quantized" in str(value.get("class_name")):
            policy = value.get("config") or {}
            raise NotYet(f"{where} was quantised by Keras ({str(policy.get('mode') or name)[:20]}): its products of rounded weights "
                         "and rounded inputs are not computed here", "the file from before model.quantize(...), then "
                         "tinyvgg compress MODEL --scheme int8 --data DATA --out model.tvq")
        if not isinstance(name, str):
            raise FormatError(f"a dtype policy is {str(value)[:80]}; expected one with a name")
        changes["dtype policies are written by name (Keras 2 knows no DTypePolicy, Keras 3 no Policy)"] += 1
        return name
    return value


# --- arrays ---

def weight_names(class_name, config):
    """Return the names of (trained, other) arrays of a layer from its settings, or None for a class that is not known."""
    bias = ("bias",) if config.get("use_bias", True) else ()
    if class_name in ("BatchNormalization", "LayerNormalization", "GroupNormalization"):
        trained = [n for n, setting in (("gamma", "scale"), ("beta", "center")) if config.get(setting, True)]
        return tuple(trained), ("moving_mean", "moving_variance") if class_name == "BatchNormalization" else ()
    if class_name in RECURRENT or class_name.startswith("ConvLSTM"):
        return ("kernel", "recurrent_kernel", *bias), ()
    if class_name == "Normalization":
        return (), ("mean", "variance", "count") if config.get("mean") is None else ()
    if class_name.startswith(("Conv1D", "Conv2D", "Conv3D")) or class_name == "Dense":
        return ("kernel", *bias), ()
    if class_name.startswith("DepthwiseConv"):
        return ("depthwise_kernel", *bias), ()
    if class_name.startswith("SeparableConv"):
        return ("depthwise_kernel", "pointwise_kernel", *bias), ()
    trained = {"PReLU": ("alpha",), "Embedding": ("embeddings",)}.get(class_name)
    if trained is None and class_name in ("Bidirectional", "RNN", "StackedRNNCells", "TimeDistributed"):
        return None
    known = trained is not None or class_name in BOTH or class_name in (*PASSING, *RESIZED)
    return (trained or (), ()) if known else None


def weight_counts(class_name, config):
    """Return (number of trained arrays, of others), or None for a class that is not known."""
    names = weight_names(class_name, config)
    return names and (len(names[0]), len(names[1]))


def places(class_name, config):
    """[(groups below a layer's own in the objects layout, (trained, others) or None where not known)] of a layer's arrays."""
    if class_name in RECURRENT[:3] or class_name.startswith("ConvLSTM"):
        return [(("cell",), weight_counts(class_name, config))]
    if class_name == "Bidirectional":
        backward = config.get("backward_layer") or config.get("layer")
        return _below("forward_layer", config.get("layer")) + _below("backward_layer", backward)
    if class_name in ("TimeDistributed", "RNN"):
        key = "layer" if class_name == "TimeDistributed" else "cell"
        return _below(key, config.get(key))
    if class_name == "StackedRNNCells":
        cells = [c for c in config.get("cells") or [] if isinstance(c, dict)]
        keys = object_keys([str(c.get("class_name")) for c in cells])
        return [(("cells", *path), n) for c, key in zip(cells, keys, strict=True) for path, n in _below(key, c)]
    return [((), weight_counts(class_name, config))]


def _below(key, entry):
    if not isinstance(entry, dict) or not isinstance(entry.get("config"), dict):
        return [((key,), None)]
    return [((key, *path), n) for path, n in places(str(entry.get("class_name")), entry["config"])]


def object_keys(class_names):
    """Return the key of each layer in the objects layout: its class in snake case, counted from the second of a class."""
    seen, keys = Counter(), []
    for class_name in class_names:
        name = snake_case(class_name)
        keys.append(f"{name}_{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return keys


# --- layers here ---

def as_here(class_name, config, shape):
    """Return (class name, settings) of a layer here that computes the same on inputs of `shape`, where it has another name."""
    common = {k: v for k, v in config.items() if k in ("name", "trainable", "dtype")}
    entry = config.get("layer")
    if class_name == "TimeDistributed" and isinstance(entry, dict) and entry.get("class_name") in ALIKE and len(shape or ()) == 2:
        return entry["class_name"], {**entry["config"], **common}
    cell = config.get("cell")
    if class_name == "RNN" and isinstance(cell, dict) and cell.get("class_name") in RECURRENT[3:]:
        return cell["class_name"].removesuffix("Cell"), {**cell["config"], **{k: v for k, v in config.items() if k != "cell"}}
    if class_name == "Identity":
        return "Activation", {**common, "activation": "linear"}
    if class_name in RESIZED and len(shape or ()) == 3:
        more = [n - config[side] if type(config.get(side)) is int else -1 for n, side in zip(shape, ("height", "width"), strict=False)]
        if more == [0, 0]:
            return "Activation", {**common, "activation": "linear"}
        if class_name == "CenterCrop" and min(more) >= 0 and all(config[side] > 0 for side in ("height", "width")):
            return "Cropping2D", {**common, "cropping": [[n // 2, n - n // 2] for n in more]}
    return class_name, config


def layer_settings(class_name, config):
    """Return the arguments of this library's layer of that class; raise NotYet, naming the layer, where it lacks something."""
    where = f"layer {config.get('name')!r} ({class_name})"
    if class_name in RESIZED and class_name not in LAYERS:
        raise NotYet(f"{where} makes images of another size, which is not computed here",
                     f"a network without it (the layers after it, with their weights), and images that are {_size(config)} already")
    if class_name not in LAYERS and class_name not in PASSING:
        raise NotYet(f"{where} cannot be computed here; there are {', '.join(sorted(LAYERS))}",
                     "tinyvgg convert and tinyvgg summary take the file all the same")
    if config.get("data_format") not in (None, "channels_last"):
        raise NotYet(f"{where} has data_format {config['data_format']!r}; expected channels_last",
                     "the same layers with data_format='channels_last': kernels are stored alike in both, only the rows of a "
                     "Dense after Flatten change places")
    if config.get("sparse") or config.get("ragged"):
        raise NotYet(f"{where} has sparse or ragged inputs; expected dense ones", "the same layers and weights on tf.sparse.to_dense(x)")
    if config.get("activation") is not None and config["activation"] not in ACTIVATIONS:
        raise NotYet(f"{where} has the activation {config['activation']!r}; computed here are {', '.join(ACTIVATIONS)}",
                     "tinyvgg convert and tinyvgg summary take the file all the same")
    if class_name in PASSING:
        return {"name": config.get("name"), "trainable": config.get("trainable", True), "kind": class_name,
                "settings": {k: v for k, v in config.items() if k not in ("name", "trainable", "dtype", "batch_input_shape")}}
    options = {k: v for k, v in config.items() if k in (*LAYERS[class_name].options, "name", "trainable")}
    options.update({k: initializer_name(v) for k, v in options.items() if k.endswith("_initializer")})
    if class_name == "LeakyReLU":
        options = {"name": options.get("name"), "negative_slope": config.get("alpha", 0.3)}
    if class_name == "Bidirectional":
        options |= {key: _within(config[key], where) for key in ("layer", "backward_layer") if config.get(key) is not None}
    if class_name == "InputLayer":
        options = {"name": options.get("name"), "shape": _image_shape(config.get("batch_input_shape"), where)}
    return options


def _within(entry, where):
    """The layer within a layer, as the constructor here takes it."""
    class_name, config = entry["class_name"], entry["config"]
    if class_name not in LAYERS:
        raise NotYet(f"{where} holds a {class_name}, which cannot be computed here", "tinyvgg convert and tinyvgg summary take the file all the same")
    return {"class_name": class_name, "config": {"name": None, **layer_settings(class_name, config)}}


def _size(config):
    return f"{config.get('height')}x{config.get('width')}" if config.get("height") else "of that size"


def _image_shape(batch_shape, where):
    if not isinstance(batch_shape, list) or not batch_shape:
        raise FormatError(f"{where} has the shape {str(batch_shape)[:60]}; expected [null, height, width, channels]")
    if None in batch_shape[1:]:
        raise NotYet(f"{where} leaves a size open ({batch_shape}); expected every size of an image",
                     "the same layers and weights behind an Input of one size, as in Input((224, 224, 3))")
    return tuple(batch_shape[1:])


def initializer_name(value):
    """Return the engine's name of an initializer; glorot_uniform for an unknown one (weights are read from the file anyway)."""
    name = value.get("class_name") if isinstance(value, dict) else value
    known = snake_case(name) if isinstance(name, str) else None
    return known if known in initializers.INITIALIZERS else "glorot_uniform"


def regularized(config):
    """Return the names of settings that only training would use and that the engine does not have."""
    return [k for k, v in config.items() if (k.endswith(("_regularizer", "_constraint")) or k == "noise_shape") and v is not None
            or k in ("dropout", "recurrent_dropout") and v]
