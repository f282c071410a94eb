"""Read untrusted HDF5, for all kinds of files: .h5, .keras, .weights.h5 and .tvq. `open_file` and `open_image` check the whole
structure before the HDF5 library reads it (hdf5_structure.py), give each file a Budget of time and bytes, and refuse data in
other files. `child` and `numbers` check each link and dataset again when it is read.
"""
import contextlib
import mmap
import os
import struct
import zipfile
import zlib

import h5py
import numpy as np

from tinyvgg.errors import FormatError, TinyVGGError
from tinyvgg.io import hdf5_structure, hdf5_trial
from tinyvgg.io.hdf5_structure import FILTERS, SIGNATURE
from tinyvgg.report.untrusted import MAX_TEXT, UNPACKED, Budget, check_regular

__all__ = ["SIGNATURE", "Budget", "check_dataset", "child", "damage", "group_at", "names", "numbers", "open_file", "open_image", "read_array",
           "strings", "text"]

MAX_NAMES = 100_000         # names in one attribute
MAX_MESSAGE = 600           # characters: a damaged file may have a setting of any length
_DAMAGE = (ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError, OSError, RuntimeError,
           TypeError, ValueError, SystemError, struct.error, zipfile.BadZipFile, zlib.error)


@contextlib.contextmanager
def damage(path):
    """Turn all errors of h5py, zipfile and json for a damaged file into a FormatError that names the file."""
    try:
        yield
    except TinyVGGError as error:
        if len(error.problem) <= MAX_MESSAGE and str(path) in error.problem:
            raise
        said = error.problem if len(error.problem) <= MAX_MESSAGE else f"{error.problem[:MAX_MESSAGE]} ..."
        raise type(error)(said if str(path) in said else f"{path}: {said}", error.hint) from error
    except _DAMAGE as error:
        detail = " ".join(str(error).split())[:160]
        raise FormatError(f"{path} is damaged or not a Keras file: {type(error).__name__}: {detail}") from error


@contextlib.contextmanager
def open_file(path, mode="r"):
    """Open an untrusted HDF5 file as (h5py.File, Budget), in a with block. mode: "r" or "r+"."""
    check_regular(path)
    budget = Budget(os.path.getsize(path))
    if not budget.size:
        raise FormatError(f"{path} is empty")
    with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
        known = hdf5_structure.check(data, budget)
        key = None if known else hdf5_trial.key_of(data)
    if not known:
        hdf5_trial.try_file(path, key)
    with h5py.File(path, mode) as file:
        yield file, budget


@contextlib.contextmanager
def open_image(image):
    """Open untrusted bytes as an HDF5 file (h5py.File, Budget), in a with block."""
    budget = Budget(len(image))
    if not hdf5_structure.check(image, budget):
        hdf5_trial.try_image(image)
    with h5py.File(h5py.h5f.open_file_image(image)) as file:
        yield file, budget


def child(group, name):
    """Return the group or dataset at `name` below `group` ("a/b"), or None; a soft or external link is refused."""
    for part in name.split("/"):
        if not isinstance(group, h5py.Group) or not part or part == ".":
            return None
        key = part.encode()
        if not group.id.links.exists(key):
            return None
        if group.id.links.get_info(key).type != h5py.h5l.TYPE_HARD:
            raise FormatError(f"{name} is a link out of its place; expected data in the file itself")
        group = group[part]
    return group


def group_at(group, name):
    """Return the group at `name`, or None."""
    found = child(group, name)
    return found if isinstance(found, h5py.Group) else None


def text(item, name):
    """Return the string in attribute `name`, or None if there is none."""
    found = strings(item, name, limit=1)
    return found[0] if found else None


def strings(item, name, *, limit=MAX_NAMES):
    """Return the strings in attribute `name` as a list: scalar or array, bytes or str; None if there is no such attribute."""
    key = name.encode()
    if not h5py.h5a.exists(item.id, key):
        return None
    attribute = h5py.h5a.open(item.id, key)
    count = int(np.prod(attribute.shape, dtype=object)) if attribute.shape else 1
    if count == 0:
        return []
    if count > limit or count * attribute.get_type().get_size() > MAX_TEXT:
        raise FormatError(f"attribute {name} has {count} entries of {attribute.get_type().get_size()} bytes; expected fewer")
    if attribute.get_type().get_class() != h5py.h5t.STRING:
        raise FormatError(f"attribute {name} does not hold text")
    values = np.ravel(np.asarray(item.attrs[name], dtype=object))
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values]


def names(item, name):
    """Return the names in attribute `name`, which Keras splits into name0, name1, ... if they are long."""
    found = strings(item, name)
    if found is not None:
        return _distinct(found, name)
    found, part = [], 0
    while (more := strings(item, f"{name}{part}")) is not None:
        found, part = found + more, part + 1
        if len(found) > MAX_NAMES:
            raise FormatError(f"attribute {name} has over {MAX_NAMES} entries")
    return _distinct(found, name) if part else None


def _distinct(found, name):
    if len(set(found)) < len(found):
        raise FormatError(f"attribute {name} has an entry twice")
    return found


def numbers(group, name, budget):
    """Return the dataset of numbers at `name` below `group`, after a check that it is not larger than the file allows; it is not
    read yet."""
    data = child(group, name)
    if not isinstance(data, h5py.Dataset):
        raise FormatError(f"there is no array {name}")
    check_dataset(name, data, budget)
    return data


def check_dataset(name, data, budget):
    """Raise FormatError for a dataset that is in another file, is compressed in an unknown way, or is larger than the file
    allows; subtract its bytes from the budget."""
    properties = data.id.get_create_plist()
    if properties.get_layout() == h5py.h5d.VIRTUAL or properties.get_external_count():
        raise FormatError(f"array {name} lies in another file; expected it in this one")
    if data.dtype.kind not in "fiu" or data.shape is None:
        raise FormatError(f"array {name} has dtype {data.dtype}; expected numbers")
    filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    unknown = [number for number in filters if number not in FILTERS]
    if unknown:
        raise FormatError(f"array {name} is packed by filter {unknown[0]}; expected one of {', '.join(FILTERS.values())}")
    size = int(np.prod(data.shape, dtype=object)) * data.dtype.itemsize
    limit = max(UNPACKED, budget.size) if data.chunks else budget.size
    chunk = int(np.prod(data.chunks, dtype=object)) * data.dtype.itemsize if data.chunks else 0
    if size > limit or chunk > max(UNPACKED, budget.size):
        raise FormatError(f"array {name} declares shape {data.shape}, {max(size, chunk)} bytes, in a file of {budget.size} bytes")
    budget.take(size)


def read_array(data):
    """Return a checked dataset as a NumPy array."""
    return np.asarray(data[()])
