"""Read a Keras file: the network, or only its weights, its training state or the rows of a summary."""
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyvgg.classifier import MadeFor
from tinyvgg.errors import FormatError, NotYet, TinyVGGError
from tinyvgg.io import hdf5
from tinyvgg.io.keras_h5 import build, optimizer, weights
from tinyvgg.io.keras_h5.archive import open_archive
from tinyvgg.io.keras_h5.flatten import flatten, leaves_of
from tinyvgg.nn.config import model_from_config
from tinyvgg.nn.ranges import told_range
from tinyvgg.report.untrusted import parse_json

MAX_STATISTICS = 1 << 20        # values of a Normalization
LARGEST_JSON = 64 << 20         # bytes of a configuration


@dataclass
class Contents:
    """The content of a file, even if no network can be made of it. arrays: {leaf: [arrays]}."""
    kind: str
    keras_version: str
    description: Any
    arrays: dict[int, list[np.ndarray]]
    training: dict[str, Any] | None
    state: Any
    metadata: dict[str, Any]


def load_model(path, *, input_range=None, seed=0):
    """Return the network in a .h5 or .keras file of Keras 2 or 3, or of this library.

    input_range: (low, high) of the images, for files that do not state it. The default is the file's range, else see nn.Model; if
    neither the file nor its first layers tell a range, images of any range are accepted. Raises NotYet, which names the layer,
    for something that the engine lacks, and FormatError for a damaged file.
    """
    with open_archive(path) as archive:
        description = describe_archive(archive)
        build.refuse(description)
        found = _datasets(archive, description)
        settle(description, found)
        plan = build.Plan(description)
        build.warn_of_training(description)
        if origin(archive).startswith("2"):
            build.use_keras2_statistics(plan)
        plan.check(found)
        model = plan.model(input_range=input_range or _range(archive.metadata), seed=seed)
        _fill(model, plan, weights.read_arrays(found))
        _restore_settings(model, archive.metadata)
        model.made_for = MadeFor.read(archive.metadata.get("made_for"))
        if not (input_range or _range(archive.metadata) or len(model.nodes[0].shape) == 3 and told_range(model.nodes[-1])[1]):
            model.assumed_range = model.input_range
        _keep_nesting(model, plan)
    return model


def model_from_json(path, config=None, *, seed=0):
    """Return the untrained network of a configuration: a JSON file from Keras' model.to_json(), from a .keras file's config.json
    or from tinyvgg's get_config(); or a .h5 or .keras file, whose weights are not read. config: parsed JSON to use instead of the
    file. Raises NotYet, which names the layer, for something that the engine lacks, and FormatError for anything but a
    configuration.
    """
    if config is None:
        with open(path, "rb") as file:
            head = file.read(8)
            text = b"" if head == hdf5.SIGNATURE or head.startswith(b"PK\x03\x04") else head + file.read(LARGEST_JSON)
        if not text:
            with open_archive(path, weights=False) as archive:
                return _untrained(describe_archive(archive), seed)
        config = parse_json(text, str(path))
    if isinstance(config, dict) and "layers" in config:
        return model_from_config(config, seed=seed)
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise FormatError(f"{path} is JSON, but no configuration of a network", "what model.to_json() of Keras gives")
    return _untrained(flatten(config, str(config.get("keras_version") or ("3" if "module" in config else "2"))), seed)


def _untrained(description, seed):
    build.refuse(description)
    return build.Plan(description).model(seed=seed)


def _datasets(archive, description):
    """What find_weights finds; of a layer that cannot be computed, that is the reason why its arrays are not known."""
    try:
        return weights.find_weights(archive, description.tree, weights.expected(description))
    except TinyVGGError as error:
        try:
            build.Plan(description)
        except NotYet as reason:
            raise reason from error
        except TinyVGGError:
            pass
        raise


def load_weights(model, path):
    """Load the weights from a file of the same architecture (with or without description) into a network; return the network. As
    in Keras, layers are matched by their order, not by name; in .weights.h5 and .keras files by class and order.
    """
    with open_archive(path) as archive:
        tree, layers = _tree_of(model)
        places = {leaf: [((), (0, 0))] for leaf in leaves_of(tree)}             # a nested model's own inputs
        places |= {i: [((), (len(layer.parameters), len(layer.state)))] for i, layer in layers.items()}
        found = weights.find_weights(archive, tree, weights.Expected(places))
        for i, layer in layers.items():
            build.check_shapes(layer.name, {name: array.shape for name, array in layer.weights}, found[i])
        arrays = weights.read_arrays({i: found[i] for i in layers})
    for i, values in arrays.items():
        _set(layers[i], values)
    return model


def load_optimizer(path):
    """Return the training state in a file, or None: see optimizer.State."""
    return read(path).state


def read(path, *, check=build.refuse):
    """Return the Contents of a file that describes a model. check: called with its Description before arrays are read."""
    with open_archive(path) as archive:
        description = describe_archive(archive)
        check(description)
        found = weights.find_weights(archive, description.tree, weights.expected(description))
        arrays = weights.read_arrays(found)
        state = optimizer.read_state(archive, description, arrays)
        settle(description, arrays)
        return Contents(archive.kind, origin(archive), description, arrays, archive.training, state, archive.metadata)


def describe_archive(archive):
    """Return the Description of an open archive's model; FormatError for a file with only weights."""
    if archive.config is None:
        raise FormatError(f"{archive.path} holds weights without a description of the model",
                          'model = tinyvgg.models.light(); model.load_weights("...")')
    return flatten(archive.config, origin(archive))


def settle(description, arrays):
    """Move the statistics of Normalization from arrays (or datasets) to settings, which Keras 2 and 3 both read from an .h5."""
    for i, leaf in enumerate(description.leaves):
        if leaf.class_name == "Normalization" and len(arrays.get(i, ())) == 3:
            mean, variance = map(hdf5.read_array, arrays[i][:2])
            if mean.shape != variance.shape or mean.size > MAX_STATISTICS:
                raise FormatError(f"layer {leaf.name!r} (Normalization) has {mean.size} means and {variance.size} variances")
            leaf.config |= {"mean": mean.tolist(), "variance": variance.tolist()}
            arrays[i] = []
            description.changes["Normalization: mean and variance are written as settings; the count of values that they were "
                                "taken from is left out"] += 1


def origin(archive):
    """Return the Keras version whose arithmetic a file's batch-norms use in training; "" for networks of this library."""
    if archive.metadata:
        return str(archive.metadata.get("keras_version", ""))
    return archive.keras_version or "1"          # only files older than Keras 2.0 do not say


def _fill(model, plan, arrays):
    by_name = {layer.name: layer for layer in model.layers}
    for leaf, layer in plan.layers.items():
        _set(by_name[layer.name], arrays.get(leaf, []))


def _set(layer, values):
    for (name, _), value in zip(layer.weights, values, strict=True):
        layer.set_weight(name, value)


def _range(metadata):
    found = metadata.get("input_range")
    if found is None:
        return None
    if not isinstance(found, list | tuple) or len(found) != 2 or not all(isinstance(v, int | float) for v in found):
        raise FormatError(f"the file says that images are in {str(found)[:60]}; expected [low, high]")
    return tuple(found)


def _restore_settings(model, metadata):
    """Settings of layers that only this library has."""
    unbiased = metadata.get("unbiased_moving_variance", [])
    for layer in model.layers:
        if isinstance(unbiased, list) and layer.name in unbiased and hasattr(layer, "unbiased_moving_variance"):
            layer.unbiased_moving_variance = True


# --- a model's own tree, by which weight files order their arrays ---

def _keep_nesting(model, plan):
    """A network from a nested file remembers its tree and the names of its leaves' layers, for later load_weights."""
    if any(branch.leaf is None for branch in plan.description.tree):
        model.keras_tree = plan.description.tree, {leaf: layer.name for leaf, layer in plan.layers.items()}


def _tree_of(model):
    """(tree, {leaf: layer}) of a network."""
    kept = getattr(model, "keras_tree", None)
    if kept is None:
        return build.describe(model).tree, dict(enumerate(model.layers))
    layers = {layer.name: layer for layer in model.layers}
    return kept[0], {leaf: layers[name] for leaf, name in kept[1].items()}
