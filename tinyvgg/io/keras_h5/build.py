"""From a Description to a network of this library, and back."""
import warnings

import numpy as np

from tinyvgg.errors import FormatError, NotYet, TinyVGGError
from tinyvgg.io.keras_h5 import meaning
from tinyvgg.io.keras_h5.flatten import Branch, Description, Leaf
from tinyvgg.io.keras_h5.layers import PASSING, as_here, layer_settings, neutral, regularized
from tinyvgg.nn import Model, MultiModel, Sequential
from tinyvgg.nn.config import layer_from_config
from tinyvgg.nn.graph import as_calls, connect, input_node
from tinyvgg.nn.layers import BatchNormalization, InputLayer, TrainingOnly

FLOATS = {"float32": np.float32, "float64": np.float64}
# Activations that are written as layers: a version's hard sigmoid, and whether the value is multiplied by that.
_HARD = {"hard_sigmoid": ("3", False), "keras2_hard_sigmoid": ("2", False), "hard_silu": ("3", True)}
_OF_OURS = ("unbiased_moving_variance",)        # settings of layers here that Keras has not


class Connected:
    """The layers of a network, connected but without arrays. make: from a Leaf and the shape of its input to a layer."""

    def __init__(self, description, make):
        self.description, self.make = description, make
        self.layers, self.nodes = {}, []
        for leaf, sources in description.calls:
            self.nodes.append(self._connect(leaf, [self.nodes[i] for i in sources]))

    def _connect(self, index, sources):
        leaf = self.description.leaves[index]
        if index not in self.layers:
            self.layers[index] = self.make(leaf, sources[0].shape if len(sources) == 1 else None)
        layer = self.layers[index]
        if isinstance(layer, InputLayer):
            return input_node(layer)
        if not layer.joins and len(sources) != 1:
            raise NotYet(f"layer {leaf.name!r} ({leaf.class_name}) is called on {len(sources)} inputs; the engine takes one")
        if not sources:
            raise FormatError(f"layer {leaf.name!r} ({leaf.class_name}) is called without an input")
        return connect(layer, sources if layer.joins else sources[0])


class Plan(Connected):
    """A network that the engine can run. The shapes of its arrays are known before any array is created."""

    def __init__(self, description):
        self.dtype = _dtype(description)
        super().__init__(description, make_layer)
        self.shapes = {leaf: layer.weight_shapes(self._shape_into(leaf)) for leaf, layer in self.layers.items()}

    def check(self, found):
        """Compare shapes with those of the arrays found in a file."""
        for leaf, shapes in self.shapes.items():
            check_shapes(self.layers[leaf].name, shapes, found.get(leaf, []))

    def model(self, *, input_range=None, seed=0):
        """Make the network, with fresh weights."""
        settings = {"name": self.description.name, "input_range": input_range, "seed": seed}
        if self.description.chain:
            model = Sequential([self.layers[leaf] for leaf, _ in self.description.calls], **settings)
        else:
            inputs, outputs = ([self.nodes[i] for i in places] for places in (self.description.inputs, self.description.outputs))
            model = (Model if len(inputs) == len(outputs) == 1 else MultiModel)(inputs, outputs, **settings)
        return model if self.dtype == "float32" else model.astype(FLOATS[self.dtype])

    def _shape_into(self, index):
        return next(n for n, (leaf, _) in zip(self.nodes, self.description.calls, strict=True) if leaf == index).input_shape


def check_shapes(layer, shapes, datasets):
    """Raise FormatError unless a file's arrays of a layer have the shapes {weight: shape}, in order."""
    for (name, shape), data in zip(shapes.items(), datasets, strict=True):
        if tuple(data.shape) != shape:
            raise FormatError(f"weight {layer}/{name} has shape {tuple(data.shape)} in the file; the model has {shape}")


def refuse(description):
    """Raise the refusal of the first layer that is not understood."""
    for leaf in description.used():
        if leaf.refusal is not None:
            raise leaf.refusal


def warn_of_training(description):
    """Warn once about everything that training here ignores."""
    ignored = {leaf.name: found for leaf in description.used() if (found := regularized(leaf.config))}
    if ignored:
        kinds = sorted({kind for found in ignored.values() for kind in found})
        names = ", ".join(list(ignored)[:3]) + (f" and {len(ignored) - 3} more" if len(ignored) > 3 else "")
        warnings.warn(f"{', '.join(kinds)} of {names} will not be applied in training; answers do not depend on them", stacklevel=3)


def make_layer(leaf, shape=None):
    """Return this library's layer for a Leaf with inputs of `shape`, None where not known; NotYet or FormatError name the layer."""
    if leaf.refusal is not None:
        raise leaf.refusal
    class_name, config = as_here(leaf.class_name, leaf.config, shape)
    options = layer_settings(class_name, config)
    try:
        return layer_from_config({"class_name": "TrainingOnly" if class_name in PASSING else class_name, "config": options})
    except (TypeError, ValueError, ArithmeticError) as error:
        if isinstance(error, TinyVGGError):
            where = "" if repr(leaf.name) in error.problem else f"layer {leaf.name!r}: "
            raise type(error)(where + error.problem, error.hint) from error
        raise FormatError(f"layer {leaf.name!r} ({leaf.class_name}) has settings that do not fit: {error}") from error


def _dtype(description):
    """The one dtype of all layers."""
    by_dtype = {}
    for leaf, _ in description.calls:
        if description.leaves[leaf].refusal is not None:
            raise description.leaves[leaf].refusal
        config = description.leaves[leaf].config
        if description.leaves[leaf].class_name != "InputLayer" or len(description.leaves) == 1:
            by_dtype.setdefault(config.get("dtype") or "float32", config["name"])
    for dtype, name in by_dtype.items():
        if dtype not in FLOATS:
            raise NotYet(f"layer {name!r} computes in {str(dtype)[:40]}; the engine has float32 and float64",
                         "tinyvgg convert IN.h5 OUT.h5 --float32: answers then differ by the rounding of that dtype")
    if len(by_dtype) > 1:
        raise NotYet(f"layers {' and '.join(map(repr, by_dtype.values()))} compute in different dtypes; "
                     "the engine has one for a network")
    return next(iter(by_dtype), "float32")


def use_keras2_statistics(plan):
    """For image batch-norms, Keras 2 updates the moving variance with the unbiased variance (its fused kernel; float32 only)."""
    for leaf, layer in plan.layers.items():
        if isinstance(layer, BatchNormalization) and plan.dtype == "float32":
            layer.unbiased_moving_variance = len(plan._shape_into(leaf)) == 3


# --- the other way ---

def describe(model):
    """Return the Description of a network of this library."""
    found = Description(name=model.name, chain=isinstance(model, Sequential))
    number = {id(layer): i for i, layer in enumerate(model.layers)}
    for layer in model.layers:
        class_name = layer.kind if isinstance(layer, TrainingOnly) else layer.class_name or type(layer).__name__
        found.leaves.append(Leaf(layer.name, class_name, exported(layer, class_name, str(model.dtype))))
        found.tree.append(Branch(layer.name, class_name, layer.trainable, [(len(found.leaves) - 1, ())]))
    if found.chain:
        found.calls = [(i, (i - 1,) if i else ()) for i in range(len(model.layers))]
    else:
        found.calls = [(number[id(layer)], places) for layer, places, _ in as_calls(model.nodes)]
    last = _spell_out(found, model)
    if found.chain and not isinstance(model.layers[0], InputLayer):
        _prepend_input(found, model)
    found.chain = found.chain and all(len(sources) < 2 for _, sources in found.calls)
    found.inputs, found.outputs = [i for i, (_, s) in enumerate(found.calls) if not s], [len(found.calls) - 1]
    if isinstance(model, MultiModel):
        place = {node: last[i] for i, node in enumerate(model.nodes)}
        found.inputs, found.outputs = [place[n] for n in model.inputs], [place[n] for n in model.outputs]
    return found


def _spell_out(found, model):
    """Activations that the two versions of Keras do not compute alike, as layers of their own; return {call: where it is now}."""
    steps = {i: _written_apart(layer, found.leaves[i].config) for i, layer in enumerate(model.layers)}
    added = {}
    for i, parts in steps.items():
        for class_name, settings in parts:
            found.leaves.append(Leaf(settings["name"], class_name, settings))
            added.setdefault(i, []).append(len(found.leaves) - 1)
    calls, last = [], {}
    for place, (leaf, sources) in enumerate(found.calls):
        calls.append((leaf, tuple(last[s] for s in sources)))
        own = len(calls) - 1
        for extra in added.get(leaf, ()):
            calls.append((extra, (own, len(calls) - 1) if found.leaves[extra].class_name == "Multiply" else (len(calls) - 1,)))
        last[place] = len(calls) - 1
    found.calls = calls
    return last


def _written_apart(layer, settings):
    """[(class_name, settings)] that follow a layer in a file instead of its activation."""
    if layer.activation.name not in _HARD:
        return []
    version, times = _HARD[layer.activation.name]
    return [(class_name, {**own, "name": f"{layer.name}_{class_name.lower()}", "dtype": settings["dtype"], "trainable": layer.trainable})
            for class_name, own in [*meaning.hard_sigmoid(version), *([("Multiply", {})] if times else [])]]


def _prepend_input(found, model):
    """Keras 3 needs an InputLayer, where a chain here may do with the first layer's input_shape."""
    name = f"{model.layers[0].name}_input"
    settings = {"name": name, "dtype": str(model.dtype), "batch_input_shape": [None, *model.input_shape]}
    found.leaves.append(Leaf(name, "InputLayer", settings))
    found.calls = [(len(found.leaves) - 1, ()), *((leaf, tuple(s + 1 for s in sources) or (0,)) for leaf, sources in found.calls)]


def exported(layer, class_name, dtype):
    """Return the neutral settings of a layer of this library."""
    settings = {k: v for k, v in layer.get_config().items() if k not in _OF_OURS}
    settings["dtype"] = dtype
    if isinstance(layer, TrainingOnly):
        settings = {**layer.settings, **{k: v for k, v in settings.items() if k not in ("kind", "settings")}}
    if class_name == "InputLayer":
        settings["batch_input_shape"] = [None, *settings.pop("shape")]
    if layer.activation.name in _HARD:
        settings["activation"] = "linear"           # see _spell_out
    if class_name == "LeakyReLU":
        settings["alpha"] = settings.pop("negative_slope")
    return neutral(class_name, settings)[1]
