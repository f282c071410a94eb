"""One mutator of files for every reader that takes files of unknown origin: bytes of any format, and inside HDF5, ZIP, JSON and .npy.

    kind, damaged = mutated(data, ".keras", rng.generator(0, "mutation", "model.keras", 17))

The same generator gives the same damage. A format with an inside of its own is a function `in_...` and a row of INSIDE.
"""
import copy
import io
import json
import re
import zipfile

import h5py
import numpy as np

JUNK = [None, -1, 0, 1e308, 10 ** 18, 10 ** 400, "", "x" * 100_000, [], {}, [[]], True, float("nan"), float("inf"), {"class_name": "Dense"},
        ["a", 0, 0], "9" * 5000]
LARGEST_JSON = 5 << 20      # characters: more than any reader takes, and little beside the memory that one may use


def mutated(data, ending, random):
    """Return (kind, damaged bytes) of a file's bytes. ending: ".h5" and so on, of INSIDE, or any. random: a numpy Generator."""
    kinds = [flip, flip, flip, overwrite, overwrite, truncate, repeat, splice]
    kinds += [INSIDE[ending]] * 8 if ending in INSIDE else []
    kind = kinds[random.integers(len(kinds))]
    try:
        result = kind(data, random)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, RecursionError, IndexError, zipfile.BadZipFile):
        kind, result = flip, flip(data, random)             # that damage cannot be done to this file: another kind
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


def splice(data, random):
    """A piece of the file over another of its places."""
    size = int(random.integers(1, min(4096, len(data)) + 1))
    source, target = random.integers(len(data) - size + 1, size=2)
    return data[:target] + data[source:source + size] + data[target + size:]


def _place(data, random):
    """Half of the damage goes to the first two kilobytes, where the structure is."""
    return int(random.integers(min(2048, len(data)) if random.random() < 0.5 else len(data)))


# --- of HDF5's contents ---

def in_hdf5(data, random):
    image = io.BytesIO(data)
    kinds = [swap_attributes, shuffle_names, lying_shape, links, huge_dataset, wrong_type, drop]
    kinds += [json_of_hdf5] * 7 if b"model_config" in data else []
    kinds += [json_of_tvq] * 7 if b"tinyvgg.tvq" in data else []
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


def json_of_tvq(file, groups, datasets, random):
    data = _pick([d for d in datasets if d.name.endswith("/json")], random)
    name, text = data.name, damaged_json(bytes(data[()]).decode(), random)
    del file[name]
    file[name] = np.frombuffer(text.encode(), np.uint8)


def damaged_json(text, random):
    """A parsed description with some of its values replaced, removed, doubled, or nested without end."""
    value = json.loads(text)
    if random.random() < 0.1:
        return text[:50] + _pick(["[", '{"a":'], random) * 100_000
    for _ in range(random.integers(1, 4)):
        places, room = list(_places(value)), max(0, LARGEST_JSON - len(json.dumps(value)))
        holder, key = _pick(places, random)
        action = random.integers(4)
        if action == 0:
            del holder[key]
        elif action == 1:
            holder[key] = _pick(JUNK, random)
        elif action == 2:
            other, k = _pick(places, random)
            try:
                copied = json.dumps(other[k])
                holder[key] = json.loads(copied) if len(copied) <= room else None
            except (KeyError, IndexError, ValueError):
                continue
        elif isinstance(holder, list):
            count = min(int(_pick([1, 50, 3000], random)), room // (len(json.dumps(holder[key])) + 2))
            holder.extend(copy.deepcopy(holder[key]) for _ in range(count))         # one value in many places would grow in all of them
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
    """One member damaged by its own kind, unpacking to far too much, missing, doubled, encrypted, or packed in another way."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {i.filename: archive.read(i) for i in archive.infolist()}
    kind = _pick(["member"] * 6 + ["bomb", "missing", "doubled", "encrypted", "lzma", "bzip2", "junk"], random)
    name, compression = _pick(list(members), random), zipfile.ZIP_STORED
    if kind == "member":
        inside, members[name] = mutated(members[name], name[name.rfind("."):], random)
        kind = f"{name[name.rfind('.'):]} {inside}"
    elif kind == "bomb":
        compression, members[name] = zipfile.ZIP_DEFLATED, bytes(int(_pick([200, 700], random)) << 20)
    elif kind == "missing":
        del members[name]
    elif kind in ("lzma", "bzip2"):
        compression = zipfile.ZIP_LZMA if kind == "lzma" else zipfile.ZIP_BZIP2
    elif kind == "junk":
        members[name] = _pick([b"[" * 100_000, b"[]", b"{}", b"\xff", b'{"keras_version": [1]}', b"9" * 5000], random)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression, compresslevel=1) as archive:
        for key, member in members.items():
            archive.writestr(key, member)
        if kind == "doubled":
            archive.writestr(name, b"")
    image = bytearray(out.getvalue())
    if kind == "encrypted":
        for mark, flags in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
            for found in re.finditer(mark, image):
                image[found.start() + flags] |= 1
    return f"zip {kind}", bytes(image)


# --- of JSON, of lines of it, and of arrays ---

def in_json(data, random):
    return damaged_json(data.decode(), random).encode()


def in_lines(data, random):
    """A line damaged as JSON, cut, doubled, left out, or two exchanged."""
    lines = data.decode().splitlines(keepends=True)
    at, other = random.integers(len(lines), size=2)
    kind = _pick(["json"] * 5 + ["cut", "double", "drop", "exchange"], random)
    if kind == "json":
        lines[at] = damaged_json(lines[at], random) + "\n"
    elif kind == "cut":
        lines[at] = lines[at][:random.integers(len(lines[at]))]
    elif kind == "double":
        lines.insert(at, lines[other])
    elif kind == "drop":
        del lines[at]
    else:
        lines[at], lines[other] = lines[other], lines[at]
    return f"lines {kind}", "".join(lines).encode()


def in_npy(data, random):
    """Another header, by its text; or the header of another shape and dtype in the same room."""
    size = 10 + int.from_bytes(data[8:10], "little")
    header = data[10:size].decode("latin-1")
    swaps = [("'<f4'", "'|O'"), ("False", "True"), ("(", "(9" * 200), ("(", "(99999999999, "), ("'shape'", "'shapes'"), ("{", "{" * 5000), ("4", "0"),
             ("'<f4'", "'<f8'"), ("'<f4'", "'<U9'"), ("(", "(-")]
    old, new = _pick(swaps, random)
    header = header.replace(old, new, 1).encode("latin-1")
    return data[:8] + len(header).to_bytes(2, "little")[:2] + header + data[size:]


INSIDE = {".h5": in_hdf5, ".weights.h5": in_hdf5, ".tvq": in_hdf5, ".keras": in_zip, ".npz": in_zip, ".json": in_json, ".jsonl": in_lines,
          ".npy": in_npy}
