"""Plans on files: .h5, .tvq and .tflite are copied and patched; an error leaves no half file."""
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from tinyvgg.errors import FormatError, NotYet, OptionError
from tinyvgg.faults.open import open_store
from tinyvgg.faults.store import FileStore
from tinyvgg.quant.ops.weights import SharedWeights
from tinyvgg.quant.packing import pack_bits
from tinyvgg.report.record import atomic_path
from tinyvgg.types import PathLike


def patch_file(plan: Any, path: PathLike, out: PathLike):
    """Write `path` (.h5, .tvq or .tflite) with a FlipPlan applied to `out`; return the number of bits changed.

    The file is a copy except for the flipped numbers and the hash inside a .tvq, which an attacker would update. Raises
    FormatError for another model or form; then nothing is written.
    """
    from tinyvgg.io import load_model
    path, out = Path(path), Path(out)
    check_copy(path, out)
    store = open_store(load_model(path), "file")
    plan.apply(store)
    keys = {key for key, _, _ in plan.net()}
    write = _write_tflite if path.suffix == ".tflite" else _write_tvq if isinstance(store, FileStore) else _write_h5
    if write is _write_h5 and path.suffix not in (".h5", ".hdf5"):
        raise NotYet(f"{path.name} is not a file whose weights are patched; .h5, .tvq and .tflite are", f"tinyvgg convert {path.name} NEW.h5")
    with atomic_path(out) as temporary:
        shutil.copyfile(path, temporary)
        write(temporary, store, keys)
    return plan.hamming


def check_copy(path, out):
    """Raise OptionError if the patched copy `out` would overwrite the file `path`."""
    if out.exists() and out.samefile(path):
        raise OptionError(f"{out} is the file that is to be patched; expected another name for the patched copy",
                          f"--patch {path.with_name(path.stem + '_flipped' + path.suffix)}")


def _write_tvq(path, store, keys):
    from tinyvgg.io import hdf5
    from tinyvgg.quant.tvq import graph_sha256, read_description
    with hdf5.open_file(path, "r+") as (f, budget):
        places = _places(read_description(f, "graph", budget))
        for key in keys:
            op, name = key.rsplit("/", 1)
            array, place = store.arrays[key], places[op].get(name)
            if place is None:
                raise NotYet(f"{key} is in the text of a .tvq, not in an array", "flip it in the image")
            stored = pack_bits(array, store.bits(key)) if name == "indices" else array
            data = hdf5.numbers(f, f"graph/arrays/{place}", budget)
            data[...] = stored.reshape(data.shape)
        f.attrs["sha256"] = graph_sha256(_writable(store))


def _write_tflite(path, store, keys):
    from tinyvgg.io.tflite.places import places
    found = places(path)
    for key in keys:
        if key not in found:
            raise NotYet(f"{key} is not a separate array in a .tflite, which stores scales, tables and shared or float16 weights differently",
                         f"--tensors of {', '.join(list(found)[:4])}, or flip it in the image")
    with open(path, "r+b") as file:
        for key in keys:
            file.seek(found[key].offset)
            file.write(found[key].stored(store.arrays[key]))


def _writable(store):
    """The graph with its arrays as a .tvq keeps them: codebooks in their own length."""
    from dataclasses import replace
    graph, ops = store.graph, []
    for op in graph.ops:
        if isinstance(getattr(op, "weights", None), SharedWeights):
            weights = SharedWeights(store.arrays[f"{op.name}/codebook"], op.weights.indices, op.weights.bits)
            op = replace(op, weights=weights)
        ops.append(op)
    return replace(graph, ops=tuple(ops))


def _places(description):
    """{op: {array name: number of its dataset}} of a .tvq's description."""
    found = {}
    for op in description["ops"]:
        parts = {**op, **(op.get("tail") or {}), **(op["weights"] if isinstance(op.get("weights"), dict) else {})}
        if isinstance(op.get("weights"), dict) and "array" in op["weights"]:
            parts["weights"] = op["weights"]
        found[op["name"]] = {name: value["array"] for name, value in parts.items() if isinstance(value, dict) and "array" in value}
    return found


def _write_h5(path, store, keys):
    from tinyvgg.io import hdf5
    with hdf5.open_file(path, "r+") as (f, budget):
        group = hdf5.group_at(f, "model_weights") or f
        for layer in store.model.layers:
            mine = [f"{layer.name}/{name}" for name, _ in layer.weights]
            if not keys.intersection(mine):
                continue
            holder = hdf5.group_at(group, layer.name)
            names = [] if holder is None else hdf5.names(holder, "weight_names") or []
            if len(names) != len(mine):
                raise FormatError(f"{path} keeps {len(names)} arrays for {layer.name}; expected {len(mine)}")
            for key, name in zip(mine, names, strict=True):
                if key in keys:
                    _set(hdf5.numbers(holder, name, budget), store.arrays[key], key)


def _set(dataset, array, key):
    if dataset.shape != array.shape or dataset.dtype != np.dtype("<f4"):
        raise FormatError(f"{key} is {dataset.dtype} {dataset.shape} in the file; expected float32 {array.shape}")
    dataset[...] = array
