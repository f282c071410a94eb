"""The layers of a Keras .h5 from its configuration alone, for networks that this library can cost but not run."""

import json

from tinyvgg.analyze.description import Record, describe_records
from tinyvgg.errors import DataError, FormatError

LARGEST_CONFIG = 16 << 20


def describe_h5(path):
    """Describe the network in a Keras .h5 (Keras 1 to 3) -> list of Operation; weights are not read."""
    return describe_config(read_config(path))


def read_config(path):
    """Return the model_config of a Keras .h5 as plain data."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
    except FileNotFoundError as error:
        raise DataError(f"there is no {path}") from error
    except OSError as error:
        raise FormatError(
            f"{path} is not an HDF5 file: {error}", "a whole model saved by Keras: model.save('model.h5')"
        ) from error
    if text is None:
        raise FormatError(f"{path} holds no model_config: weights only, or not from Keras", "model.save('model.h5')")
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    if len(text) > LARGEST_CONFIG:
        raise FormatError(f"the model_config of {path} has {len(text):,} characters")
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise FormatError(f"the model_config of {path} is not JSON: {error}") from error


def describe_config(config):
    """Describe the plain data of a model_config -> list of Operation."""
    try:
        inner = config["config"]
        layers = inner["layers"] if isinstance(inner, dict) else inner
        if config.get("class_name") == "Sequential":
            return describe_records(_chain(layers))
        return describe_records(_graph(layers))
    except (KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise FormatError(f"the model_config is not one that is known here: {type(error).__name__} {error}") from error


def _chain(layers):
    records, previous = [], None
    for layer in _flat(layers):
        settings = layer["config"]
        name = settings.get("name", f"layer_{len(records)}")
        records.append(Record(name, layer["class_name"], settings, (previous,) if previous else ()))
        previous = name
    return records


def _flat(layers):
    """A Sequential inside a Sequential is its layers."""
    for layer in layers:
        if layer["class_name"] in ("Sequential",):
            inner = layer["config"]
            yield from _flat(inner["layers"] if isinstance(inner, dict) else inner)
        else:
            yield layer


def _graph(layers):
    """Keras 2 lists [[name, node, tensor, {}], ...] in inbound_nodes, Keras 3 arguments with their keras_history."""
    records = []
    for layer in layers:
        nodes = layer.get("inbound_nodes") or []
        sources = tuple(_sources(nodes[0])) if nodes else ()
        records.append(Record(layer.get("name") or layer["config"]["name"], layer["class_name"], layer["config"], sources))
    return records


def _sources(node):
    if isinstance(node, dict):
        if node.get("class_name") == "__keras_tensor__":
            yield node["config"]["keras_history"][0]
        else:
            for value in node.values():
                yield from _sources(value)
    elif isinstance(node, list):
        if len(node) >= 3 and isinstance(node[0], str) and isinstance(node[1], int):
            yield node[0]
        else:
            for value in node:
                yield from _sources(value)
