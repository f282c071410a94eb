"""Reading HDF5 without trust: sizes are checked before anything is allocated, and no link leaves the file."""
import contextlib
import mmap
import struct
import zipfile
import zlib

import h5py
import numpy as np

from tinyvgg.errors import FormatError, TinyVGGError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_TEXT = 64 << 20         # bytes of one description
MAX_HEAPS = 2000            # of a few kilobytes each: texts of a file
MAX_NAMES = 100_000         # names in one attribute
MAX_MESSAGE = 600           # characters: a damaged file may have a setting of any length
UNPACKED = 64 << 20         # bytes that compressed data may always unpack to, however small the file
_DAMAGE = (ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError, OSError, RuntimeError,
           TypeError, ValueError, SystemError, struct.error, zipfile.BadZipFile, zlib.error)


@contextlib.contextmanager
def damage(path):
    """Turn whatever h5py, zipfile and json raise for a damaged file into a FormatError that names it."""
    try:
        yield
    except TinyVGGError as error:
        if len(error.problem) <= MAX_MESSAGE:
            raise
        raise type(error)(f"{error.problem[:MAX_MESSAGE]} ...", error.hint) from error
    except _DAMAGE as error:
        detail = " ".join(str(error).split())[:160]
        raise FormatError(f"{path} is damaged or not a Keras file: {type(error).__name__}: {detail}") from error


def check_structure(data):
    """Refuse a file (bytes or a memory map) on which the HDF5 library would not come back, or would ask for gigabytes.

    Text lies in global heaps: "GCOL", a header of 16 bytes, then objects of (index, references, reserved, size). The library
    walks a heap by those sizes, for ever where free space (index 0) has none. An attribute refers to its text by (length, address
    of the heap, index), and the library makes room for `length` before it looks whether the object is so long.
    """
    sizes = data[13:15] if data[8:9] < b"\x02" else data[9:11]
    if data[:8] != SIGNATURE or sizes != b"\x08\x08":
        raise FormatError("its first bytes are not those of an HDF5 file with addresses of 8 bytes")
    steps, room, at = max(len(data), 1 << 20) // 16, MAX_TEXT + 4 * len(data), data.find(b"GCOL")
    heaps = 0
    while at >= 0:
        if data[at + 4:at + 5] == b"\x01":
            indices, heaps = _heap_indices(data, at, steps), heaps + 1
            steps -= len(indices)
            room -= _referred(data, at, indices)
        if room < 0 or steps < 0 or heaps > MAX_HEAPS:
            raise FormatError("its attributes claim more text than the file has")
        at = data.find(b"GCOL", at + 4)


def check_file(path):
    """check_structure of the HDF5 file at `path`, without reading it into memory."""
    with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
        check_structure(data)


def _heap_indices(data, at, steps):
    """The indices of the objects in the heap at `at`."""
    end = min(at + int.from_bytes(data[at + 8:at + 16], "little"), len(data))
    place, found = at + 16, set()
    while place + 16 <= end:
        index, _, _, size = struct.unpack_from("<HHIQ", data, place)
        step = 16 + (size + 7) // 8 * 8 if index else size
        if step < 16 or len(found) > steps:
            raise FormatError("a heap of texts has objects without size")
        place += step
        found.add(index)
    return found - {0}


def _referred(data, at, indices):
    """Bytes of text that references to the heap at `at` claim."""
    total, address = 0, at.to_bytes(8, "little")
    place = data.find(address, 4)
    while place >= 0:
        if int.from_bytes(data[place + 8:place + 12], "little") in indices:
            total += int.from_bytes(data[place - 4:place], "little")
        place = data.find(address, place + 1)
    return total


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
    """Return the names in attribute `name`, which Keras splits into name0, name1, ... where they are long."""
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


def numbers(group, name, file_size):
    """Return the dataset of numbers at `name` below `group`, checked to hold no more than the file can; not read yet."""
    data = child(group, name)
    if not isinstance(data, h5py.Dataset):
        raise FormatError(f"there is no array {name}")
    properties = data.id.get_create_plist()
    if properties.get_layout() == h5py.h5d.VIRTUAL or properties.get_external_count():
        raise FormatError(f"array {name} lies in another file; expected it in this one")
    if data.dtype.kind not in "fiu" or data.shape is None:
        raise FormatError(f"array {name} has dtype {data.dtype}; expected numbers")
    check_size(name, data, file_size)
    return data


def check_size(name, data, file_size):
    """Raise FormatError if a dataset declares more than the file can hold; what is stored in chunks may be compressed."""
    size = int(np.prod(data.shape, dtype=object)) * data.dtype.itemsize
    limit = max(UNPACKED, file_size) if data.chunks else file_size
    if size > limit:
        raise FormatError(f"array {name} declares shape {data.shape}, {size} bytes, in a file of {file_size} bytes")


def read_array(data):
    """Return a checked dataset as a NumPy array."""
    return np.asarray(data[()])
