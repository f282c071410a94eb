"""Find the kind of a Keras file and its parts."""
import contextlib
from dataclasses import dataclass, field
from typing import Any

import h5py

from tinyvgg.errors import FormatError
from tinyvgg.io import hdf5
from tinyvgg.report.untrusted import Budget, check_regular, member, open_zip, parse_json

METADATA = "tinyvgg"        # our own root attribute; Keras looks only for names that it knows


@dataclass
class Archive:
    """An open file. `config` is None in files with only weights; `weights` is their group.

    layout: "layers" for groups by layer name with weight_names (.h5 of both versions), "objects" for layers/<class>/vars/<i>
    (.weights.h5, .keras). metadata: what this library added (input_range, ...), {} in Keras' own files.
    """
    path: str
    kind: str
    layout: str
    config: Any
    keras_version: str
    weights: h5py.Group
    budget: Budget
    training: dict[str, Any] | None = None
    optimizer: h5py.Group | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def open_archive(path, weights=True):
    """Open a Keras file of any kind in a with block; errors in the block become a FormatError that names the file. weights:
    whether a file that describes a model must also contain its weights.
    """
    check_regular(path)
    with hdf5.damage(path), contextlib.ExitStack() as stack:
        with open(path, "rb") as f:
            head = f.read(8)
        if head == hdf5.SIGNATURE:
            yield _open_h5(path, *stack.enter_context(hdf5.open_file(path)), weights)
        elif head.startswith(b"PK\x03\x04"):
            yield _open_zip(path, stack)
        else:
            raise FormatError(f"{path} is neither HDF5 nor a .keras archive")


def _open_h5(path, file, budget, needs_weights=True):
    common = {"path": str(path), "keras_version": hdf5.text(file, "keras_version") or "", "budget": budget,
              "metadata": _metadata(file)}
    description = hdf5.text(file, "model_config")
    weights = hdf5.group_at(file, "model_weights")
    if description is not None:
        if weights is None and needs_weights:
            raise FormatError(f"{path} describes a model but has no model_weights")
        training = hdf5.text(file, "training_config")
        return Archive(kind="model", layout="layers", config=parse_json(description, "model_config"), weights=weights,
                       training=training and parse_json(training, "training_config"),
                       optimizer=hdf5.group_at(file, "optimizer_weights"), **common)
    if hdf5.names(file, "layer_names") is not None:
        return Archive(kind="weights", layout="layers", config=None, weights=file, **common)
    if hdf5.group_at(file, "layers") is not None or hdf5.group_at(file, "vars") is not None:
        return Archive(kind="weights", layout="objects", config=None, weights=file,
                       optimizer=hdf5.group_at(file, "optimizer/vars"), **common)
    raise FormatError(f"{path} is an HDF5 file without model_config, layer_names or layers: not one that Keras wrote")


def _open_zip(path, stack):
    with open_zip(path, ".keras file") as (archive, budget):
        found = {i.filename: i for i in archive.infolist()}
        missing = [n for n in ("config.json", "metadata.json", "model.weights.h5") if n not in found]
        if missing:
            raise FormatError(f"{path} is a ZIP archive without {missing[0]}: not one that Keras wrote")
        config = parse_json(member(archive, found["config.json"], budget), "config.json")
        about = parse_json(member(archive, found["metadata.json"], budget), "metadata.json")
        image = member(archive, found["model.weights.h5"], budget)
    file, budget = stack.enter_context(hdf5.open_image(bytes(image)))
    training = config.get("compile_config") if isinstance(config, dict) else None
    if not isinstance(training, dict) or training.get("optimizer") is None:         # a model that was never compiled
        training = None
    else:
        training = {**training, "optimizer_config": training.get("optimizer")}
    return Archive(path=str(path), kind="model", layout="objects", config=config, weights=file, budget=budget,
                   training=training, keras_version=str(about.get("keras_version", "")),
                   optimizer=hdf5.group_at(file, "optimizer/vars"),
                   metadata=_metadata(file))


def _metadata(file):
    found = hdf5.text(file, METADATA)
    value = parse_json(found, f"attribute {METADATA}") if found else {}
    if not isinstance(value, dict):
        raise FormatError(f"attribute {METADATA} is not a JSON object")
    return value
