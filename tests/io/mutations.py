"""Damage to model files, by kind, from a generator; and the worker that opens each (run as a program, see test_keras_fuzz.py)."""
import io
import json
import resource
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np

JUNK = [None, -1, 0, 1e308, 10 ** 18, 10 ** 400, "", "x" * 100_000, [], {}, [[]], True, float("nan"), {"class_name": "Dense"},
        ["a", 0, 0]]


def mutated(data, ending, random):
    """Return (kind, damaged bytes) of a file's bytes. random: a numpy Generator."""
    kinds = [flip, flip, flip, overwrite, overwrite, truncate, repeat]
    kinds += [in_zip] * 7 if ending == ".keras" else [in_hdf5] * 7
    kind = kinds[random.integers(len(kinds))]
    try:
        result = kind(data, random)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError):      # the damage itself cannot be done: another kind
        kind = flip
        result = flip(data, random)
    return result if isinstance(result, tuple) else (kind.__name__, result)


# --- of bytes ---

def flip(data, random):
    changed = bytearray(data)
    for _ in range(random.integers(1, 9)):
        changed[_place(data, random)] ^= 1 << random.integers(8)
    return bytes(changed)


def overwrite(data, random):
    """Sizes and addresses of 1 to 8 bytes become nothing, everything, or huge."""
    changed, at, size = bytearray(data), _place(data, random), int(random.choice([1, 2, 4, 8]))
    value = [b"\0" * 8, b"\xff" * 8, b"\xff" * 7 + b"\x7f", (1 << 40).to_bytes(8, "little"), random.bytes(8)][random.integers(5)]
    changed[at:at + size] = value[:size]
    return bytes(changed[:len(data)])


def truncate(data, random):
    return data[:random.integers(len(data))]


def repeat(data, random):
    at, size = random.integers(len(data)), int(random.integers(1, 4096))
    return data[:at] + data[at:at + size] + data[at:]


def _place(data, random):
    """Half of the damage goes to the first two kilobytes, where the structure is."""
    return int(random.integers(min(2048, len(data)) if random.random() < 0.5 else len(data)))


# --- of HDF5's contents ---

def in_hdf5(data, random):
    image = io.BytesIO(data)
    kinds = [swap_attributes, shuffle_names, lying_shape, links, huge_dataset, wrong_type, drop]
    kinds += [json_of_hdf5] * 7 if b"model_config" in data else []
    kind = kinds[random.integers(len(kinds))]
    with h5py.File(image, "r+") as file:
        groups, datasets = [file], []
        file.visititems(lambda _, o: (groups if isinstance(o, h5py.Group) else datasets).append(o))
        kind(file, groups, datasets, random)
    return kind.__name__, image.getvalue()


def _pick(values, random):
    return values[random.integers(len(values))]


def swap_attributes(file, groups, datasets, random):
    one, two = _pick([g for g in groups if g.attrs], random), _pick([g for g in groups if g.attrs], random)
    a, b = _pick(list(one.attrs), random), _pick(list(two.attrs), random)
    one.attrs[a], two.attrs[b] = two.attrs[b], one.attrs[a]


def shuffle_names(file, groups, datasets, random):
    group = _pick([g for g in groups if g.attrs], random)
    names = [n for g in groups for v in g.attrs.values() if np.ndim(v) for n in np.ravel(v)] or ["x"]
    key = _pick(["weight_names", "layer_names", *group.attrs], random)
    count = int(_pick([1, 3, 30, 3000], random))
    group.attrs[key] = [str(names[random.integers(len(names))]) for _ in range(count)]


def lying_shape(file, groups, datasets, random):
    data = _pick(datasets, random)
    name, parent, shape = data.name, data.parent, data.shape
    del parent[name]
    shape = _pick([shape[::-1], (*shape, 1), shape[:-1], (), (0,), tuple(n + 1 for n in shape)], random)
    parent.create_dataset(name, data=np.zeros(shape, _pick(["f4", "f8", "i8", "u1", "c8", "f2", "S3"], random)))


def huge_dataset(file, groups, datasets, random):
    data = _pick(datasets, random)
    name, parent, shape = data.name, data.parent, data.shape
    del parent[name]
    huge = _pick([(1 << 40,), (1 << 20, 1 << 20), (100_000, 10_000), (*shape, 1 << 34)], random)
    filters = {"chunks": tuple(min(n, 64) for n in huge),
               "compression": _pick([None, "gzip"], random)} if random.random() < 0.7 else {}
    parent.create_dataset(name, shape=huge, dtype="f4", **filters)


def links(file, groups, datasets, random):
    """Cycles, soft and external links, datasets that lie in other files."""
    target = _pick(datasets + groups[1:], random)
    name, parent, kind = target.name, target.parent, random.integers(5)
    if kind == 4 and isinstance(target, h5py.Dataset):
        shape = target.shape or (1,)
        del parent[name]
        parent.create_dataset(name, shape, "f4", external=[("/dev/zero", 0, h5py.h5f.UNLIMITED)])
        return
    del parent[name]
    parent[name] = [file, h5py.SoftLink(name), h5py.SoftLink("/"), h5py.ExternalLink("/etc/passwd", "/"), parent][kind]


def wrong_type(file, groups, datasets, random):
    group = _pick(groups, random)
    key = _pick([*group.attrs, "model_config", "weight_names", "layer_names", "tinyvgg", "keras_version"], random)
    group.attrs[key] = _pick([3.5, np.arange(5), np.zeros((0,)), b"\xff\xfe", "[" * 100_000, "9" * 10_000,
                              np.zeros((1000, 100), "S9"), "{}", "null"],
                             random)


def drop(file, groups, datasets, random):
    target = _pick(datasets + groups[1:], random)
    if random.random() < 0.5 or not target.attrs:
        del target.parent[target.name]
    else:
        del target.attrs[_pick(list(target.attrs), random)]


def json_of_hdf5(file, groups, datasets, random):
    key = _pick([k for k in ("model_config", "model_config", "training_config", "tinyvgg") if k in file.attrs], random)
    file.attrs[key] = damaged_json(file.attrs[key], random)


def damaged_json(text, random):
    """A parsed description with some of its values replaced, removed, doubled, or nested without end."""
    value = json.loads(text)
    if random.random() < 0.1:
        return text[:50] + _pick(["[", '{"a":'], random) * 100_000
    for _ in range(random.integers(1, 4)):
        places = list(_places(value))
        holder, key = _pick(places, random)
        action = random.integers(4)
        if action == 0:
            del holder[key]
        elif action == 1:
            holder[key] = _pick(JUNK, random)
        elif action == 2:
            other, k = _pick(places, random)
            try:
                holder[key] = json.loads(json.dumps(other[k]))
            except (KeyError, IndexError):
                continue
        elif isinstance(holder, list):
            holder.extend([holder[key]] * int(_pick([1, 50, 3000], random)))
        else:
            holder[key] = [holder[key]]
    return json.dumps(value)


def _places(value):
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


# --- of ZIP archives ---

def in_zip(data, random):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {i.filename: archive.read(i) for i in archive.infolist()}
    kind = _pick(["json", "json", "json", "weights", "weights", "bomb", "missing", "metadata"], random)
    compression = zipfile.ZIP_STORED
    if kind == "json":
        members["config.json"] = damaged_json(members["config.json"], random).encode()
    elif kind == "weights":
        members["model.weights.h5"] = _pick([flip, overwrite, truncate], random)(members["model.weights.h5"], random)
    elif kind == "bomb":
        compression = zipfile.ZIP_DEFLATED
        members[_pick(list(members), random)] = bytes(200 << 20)
    elif kind == "missing":
        del members[_pick(list(members), random)]
    else:
        members["metadata.json"] = _pick([b"[" * 100_000, b"[]", b"{}", b"\xff", b'{"keras_version": [1]}'], random)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression, compresslevel=1) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return f"zip {kind}", out.getvalue()


# --- the worker ---

def main():
    """Open mutations START..STOP of FILE and print a JSON line for each; a line without "outcome" says what is being opened."""
    source, model_path, start, stop = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    import warnings
    warnings.simplefilter("ignore")
    import tinyvgg
    from tinyvgg import rng
    data, ending = source.read_bytes(), source.name[source.name.index("."):]
    model = tinyvgg.load_model(model_path)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / f"m{ending}"
        for i in range(start, stop):
            kind, changed = mutated(data, ending, rng.generator(0, "mutation", source.name, i))
            target.write_bytes(changed)
            del changed
            print(json.dumps({"i": i, "kind": kind}), flush=True)
            begin = time.process_time()             # of this process alone: the machine may be busy
            outcome = opened(target, ending, model)
            print(json.dumps({"i": i, "kind": kind, "outcome": outcome, "seconds": time.process_time() - begin,
                              "megabytes": peak_megabytes()}), flush=True)


def peak_megabytes():
    """The most memory that this process held. getrusage would count that of the process which started it, too."""
    for line in Path("/proc/self/status").read_text().splitlines() if Path("/proc/self/status").exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def opened(path, ending, model):
    """Open a file in every way there is; return "model", the name of our error, or "FAULT" and what else was raised."""
    import tinyvgg
    from tinyvgg.errors import TinyVGGError
    from tinyvgg.io import keras_h5
    outcome = "model"
    ways = [lambda: keras_h5.summary(path), lambda: keras_h5.read(path),
            lambda: model.load_weights(path) if "weights" in ending else valid(tinyvgg.load_model(path))]
    for way in ways:
        try:
            way()
            outcome = "model"
        except TinyVGGError as error:
            outcome = type(error).__name__
            if not error.problem or "\n" in error.problem or len(error.problem) > 2000:
                return f"FAULT the message {error.problem[:200]!r}"
        except Exception as error:
            return f"FAULT {type(error).__name__}: {str(error)[:200]}"
    return outcome


def valid(model):
    """A model that loads must be whole: its summary can be made and every array has its shape."""
    from tinyvgg import nn
    assert sum(row["parameters"] for row in nn.summary_rows(model)) == model.count_params()
    assert model.summary() and model.get_config()


if __name__ == "__main__":
    main()
