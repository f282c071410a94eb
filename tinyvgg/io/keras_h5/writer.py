"""Write Keras files: .h5 for both Keras 2.15 and Keras 3, .weights.h5, .keras. Writing a model twice gives the same bytes.
Experiments showed what both versions accept (docs/keras-files.md): settings as in Keras 2, always an InputLayer, no nesting,
arrays in the layers layout. tinyvgg's own facts are in one extra attribute, which Keras ignores.
"""
import io
import json
import zipfile
from pathlib import Path

import h5py
import numpy as np

from tinyvgg._version import __version__
from tinyvgg.errors import NotYet, OptionError
from tinyvgg.io.keras_h5 import build, optimizer, verify
from tinyvgg.io.keras_h5.archive import METADATA
from tinyvgg.io.keras_h5.describe import known_nodes
from tinyvgg.io.keras_h5.layers import object_keys, weight_names
from tinyvgg.io.keras_h5.weights import placed
from tinyvgg.report.record import atomic_path

ATTRIBUTE_LIMIT = 64512         # bytes of names in one attribute, as Keras counts them
KERAS_VERSION = "2.15.0"        # the oldest that the file is for; Keras 3 reads it too
TEXT = h5py.string_dtype()
ENDINGS = (".weights.h5", ".h5", ".hdf5", ".keras")


def save_model(model, path, *, optimizer=None, loss=None, card=None):
    """Write a network to `path`. The ending gives the format: .h5 (Keras 2.15 and 3), .keras (the same), .weights.h5 (no
    description). optimizer: a tinyvgg optimizer whose settings and slots are saved too (Keras 2 can continue training from them).
    loss: Keras' name of a loss, by default categorical cross-entropy. card: plain data about the model, saved in the file.
    """
    description = build.describe(model)
    description = renamed(description)
    arrays = {i: [a for _, a in layer.weights] for i, layer in enumerate(model.layers)}
    metadata = {"version": __version__}
    if model.input_range is not model.assumed_range:
        metadata["input_range"] = list(model.input_range)
    unbiased = [leaf.name for leaf, layer in zip(description.leaves, model.layers, strict=False)
                if getattr(layer, "unbiased_moving_variance", False)]
    if unbiased:
        metadata["unbiased_moving_variance"] = unbiased
    if model.made_for is not None:
        metadata["made_for"] = model.made_for.plain()
    if card is not None:
        metadata["card"] = card
    state = _state(model, description, optimizer)
    write(path, description, arrays, state=state, loss=loss or (state and _loss(model)), metadata=metadata)


def write(path, description, arrays, *, state=None, loss=None, metadata=None, check=False):
    """Write a Description with its arrays {leaf: [arrays]} to `path`, by its ending. state: an optimizer.State or None.

    check=True: before the file replaces an older one, it is opened and compared (see verify.py).
    """
    name = str(path).lower()
    if not name.endswith(ENDINGS):
        raise OptionError(f"{path} does not say which format to write; expected a name that ends in {', '.join(ENDINGS)}",
                          "model.h5")
    if not name.endswith(".weights.h5"):
        _shape_statistics(description)
    layers = description.ordered()
    with atomic_path(path) as temporary:
        if name.endswith(".keras"):
            Path(temporary).write_bytes(keras_archive(description, layers, arrays, state, loss, metadata))
        else:
            with h5py.File(temporary, "w", libver=("earliest", "v110")) as file:
                if name.endswith(".weights.h5"):
                    write_objects(file, description, layers, arrays, state, metadata)
                else:
                    write_layers(file, description, layers, arrays, state, loss, metadata)
        if check:
            verify.same(temporary, description, layers, arrays)


def _shape_statistics(description):
    """Give the statistics of every Normalization the one shape that both versions take; NotYet where there is none."""
    many = [i for i, leaf in enumerate(description.leaves) if leaf.class_name == "Normalization" and np.size(leaf.config.get("mean")) > 1]
    nodes = known_nodes(description) if many else ()
    for (i, _), node in zip(description.calls, nodes, strict=False):
        leaf = description.leaves[i]
        axis = leaf.config.get("axis", -1)
        axes = sorted(axis) if isinstance(axis, list | tuple) else [axis]
        if i not in many or axes == [-1]:
            continue
        places = sorted(a if a < 0 else a - len(node.shape) - 1 for a in axes) if node is not None else []
        if places != list(range(-len(axes), 0)):
            raise NotYet(f"layer {leaf.name!r} (Normalization) has statistics along axis {axis}, which Keras 2 and Keras 3 take in different "
                         "shapes, unless it is the last", "model.save('FILE.npz'), or the file as it is in its own version of Keras")
        for key in ("mean", "variance"):
            if np.size(leaf.config[key]) > 1:
                leaf.config[key] = np.reshape(leaf.config[key], [node.shape[p] for p in places]).tolist()


def renamed(description):
    """Keras 3 takes no '/' in names: write '_' (and a number where that is taken)."""
    taken = {leaf.name for leaf in description.leaves}
    for leaf in description.leaves:
        if "/" in leaf.name:
            base, number = leaf.name.replace("/", "_"), 1
            leaf.name = base
            while leaf.name in taken:
                leaf.name, number = f"{base}_{number}", number + 1
            taken.add(leaf.name)
            leaf.config["name"] = leaf.name
    return description


# --- the description as JSON ---

def model_config(description, layers):
    """Return the model_config that both versions read."""
    entries = [{"class_name": description.leaves[i].class_name, "config": description.leaves[i].config} for i in layers]
    if description.chain:
        return {"class_name": "Sequential", "config": {"name": description.name, "layers": entries}}
    place = [[name, use, 0] for name, use in description.numbered()]
    for entry, leaf in zip(entries, layers, strict=True):
        entry["name"] = description.leaves[leaf].name
        entry["inbound_nodes"] = [[[*place[s], {}] for s in sources]
                                  for used, sources in description.calls if used == leaf and sources]
    return {"class_name": "Functional", "config": {
        "name": description.name, "trainable": True, "layers": entries, "input_layers": [place[i] for i in description.inputs],
        "output_layers": [place[i] for i in description.outputs]}}


def _text(value):
    return json.dumps(value, separators=(", ", ": "), allow_nan=False)


# --- .h5 ---

def write_layers(file, description, layers, arrays, state, loss, metadata):
    """Fill an open .h5: attributes, model_weights and optimizer_weights."""
    file.attrs["keras_version"], file.attrs["backend"] = KERAS_VERSION, "tensorflow"
    file.attrs["model_config"] = _text(model_config(description, layers))
    if state is not None:
        file.attrs["training_config"] = _text(optimizer.training_config(state, loss))
    if metadata:
        file.attrs[METADATA] = _text(metadata)
    group = file.create_group("model_weights")
    group.attrs["backend"], group.attrs["keras_version"] = "tensorflow", KERAS_VERSION
    shown = [i for i in layers if not (description.chain and description.leaves[i].class_name == "InputLayer")]
    _write_names(group, "layer_names", [description.leaves[i].name for i in shown])
    for i in shown:
        leaf = description.leaves[i]
        names = [f"{leaf.name}/{n}:0" for n in array_names(leaf, len(arrays.get(i, ())))]
        _write_arrays(group.create_group(leaf.name), names, arrays.get(i, ()))
    _write_names(group.create_group("top_level_model_weights"), "weight_names", [])
    if state is not None:
        _write_arrays(file.create_group("optimizer_weights"), *optimizer.layers_arrays(state, description, layers, arrays))


def array_names(leaf, count):
    """Return names for the arrays of a leaf; they are free in Keras, only their order counts."""
    known = weight_names(leaf.class_name, leaf.config)
    names = [n for part in known for n in part] if known is not None else []
    return names if len(names) == count else [f"w{i}" for i in range(count)]


def _write_arrays(group, names, arrays):
    _write_names(group, "weight_names", names)
    _write_datasets(group, names, arrays)


def _write_datasets(group, names, arrays):
    for name, array in zip(names, arrays, strict=True):
        group.create_dataset(name, data=np.asarray(array), track_times=False)


def _write_names(group, attribute, names):
    """Names in one attribute, or split as Keras splits them where they are too long for one."""
    if not names:
        group.attrs[attribute] = np.zeros(0)
        return
    data = np.array([n.encode() for n in names])
    parts, chunks = 1, [data]
    while any(chunk.nbytes > ATTRIBUTE_LIMIT for chunk in chunks):
        parts += 1
        chunks = np.array_split(data, parts)
    if parts == 1:
        group.attrs.create(attribute, names, dtype=TEXT)
    else:
        for i, chunk in enumerate(chunks):
            group.attrs[f"{attribute}{i}"] = chunk


# --- .weights.h5 and .keras ---

def write_objects(file, description, layers, arrays, state, metadata):
    """Fill an open .weights.h5: layers/<class>/vars/<i>, and the optimizer's variables."""
    if metadata:
        file.attrs[METADATA] = _text(metadata)
    for i, key in zip(layers, object_keys([description.leaves[i].class_name for i in layers]), strict=True):
        if description.chain and description.leaves[i].class_name == "InputLayer":
            continue
        for below, values in placed(description.leaves[i], arrays.get(i, ())):
            variables = file.create_group("/".join(("layers", key, *below, "vars")))
            variables.attrs["name"] = description.leaves[i].name
            _write_datasets(variables, map(str, range(len(values))), values)
    file.create_group("vars")
    if state is not None:
        values = optimizer.object_arrays(state, description, layers, arrays)
        _write_datasets(file.create_group("optimizer/vars"), map(str, range(len(values))), values)


def keras_archive(description, layers, arrays, state, loss, metadata):
    """Return the bytes of a .keras file: an uncompressed ZIP of config.json, metadata.json and model.weights.h5."""
    config = model_config(description, layers)
    if not description.chain:
        config["class_name"] = "Model"          # the one public name of both versions for a functional model
    config |= {"module": "keras", "registered_name": None}
    if state is not None:
        config["compile_config"] = optimizer.compile_config(state, loss)
    image = io.BytesIO()
    with h5py.File(image, "w", libver=("earliest", "v110")) as file:
        write_objects(file, description, layers, arrays, state, metadata)
    about = {"keras_version": "3.0.0", "date_saved": "1980-01-01@00:00:00"}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        members = {"metadata.json": _text(about), "config.json": _text(config), "model.weights.h5": image.getvalue()}
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return out.getvalue()


# --- what a network here says about its training ---

def _loss(model):
    if model.ends_in_softmax:
        return "categorical_crossentropy"
    return {"class_name": "CategoricalCrossentropy", "config": {"from_logits": True, "reduction": "sum_over_batch_size",
                                                                "name": "categorical_crossentropy"}}


def _state(model, description, trainer):
    if trainer is None:
        return None
    names = {layer.name: leaf.name for leaf, layer in zip(description.leaves, model.layers, strict=False)}
    return optimizer.state_of(trainer, names)
