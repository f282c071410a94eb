"""Read a pickled CIFAR-10 batch without running any code in it.

A pickle is a small program whose GLOBAL instruction imports any function by its name. Here only the names that a plain uint8
array needs are accepted, and even these are replaced by harmless functions, so that NumPy's constructors never see a hostile
shape. The unpickler written in Python is used: its memo is a dictionary, while the C version allocates a table as large as any
index.
"""
import io
import pickle
import struct

import numpy as np

from tinyvgg.errors import FormatError


class _Dtype:
    """Stand-in for numpy.dtype: only remembers its code."""

    def __init__(self, code, *_):
        self.code = code.decode("ascii") if isinstance(code, bytes) else code

    def __setstate__(self, state):
        pass


class _Array:
    """Stand-in for numpy.ndarray: takes (version, shape, dtype, fortran, bytes) where it all fits together."""

    def __init__(self, *_):
        self.value = None

    def __setstate__(self, state):
        _, shape, dtype, fortran, data = state
        self.value = _bytes_array(data, dtype, shape, "F" if fortran else "C")


def _bytes_array(data, dtype, shape, order):
    data = data.encode("latin-1") if isinstance(data, str) else bytes(data)
    if dtype.code not in ("u1", "|u1"):
        raise ValueError(f"an array of type {dtype.code!r}")
    return np.frombuffer(data, np.uint8).reshape(shape, order=order)


def _from_buffer(data, dtype, shape, order, *_):
    array = _Array()
    array.value = _bytes_array(data, dtype, shape, order)
    return array


def _encode(text, codec="latin1"):
    """Python 3 writes bytes so in protocols 0 to 2."""
    if codec not in ("latin1", "latin-1"):
        raise ValueError(f"codec {codec!r}")
    return text.encode("latin-1")


ALLOWED = {("numpy", "ndarray"): _Array, ("numpy", "dtype"): _Dtype, ("_codecs", "encode"): _encode}
for _module in ("numpy.core", "numpy._core"):
    ALLOWED[f"{_module}.multiarray", "_reconstruct"] = _Array
    ALLOWED[f"{_module}.numeric", "_frombuffer"] = _from_buffer


class _Unpickler(pickle._Unpickler):
    def find_class(self, module, name):
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise FormatError(f"the pickle asks for {module}.{name}, which no CIFAR-10 batch needs; it was not run") from None

    def _load_bytearray8(self):
        """The library's own allocates the announced length before it looks at what is there."""
        size, = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(size)))

    dispatch = {**pickle._Unpickler.dispatch, pickle.BYTEARRAY8[0]: _load_bytearray8}  # type: ignore[dict-item]


def read_batch(data, source, key="labels"):
    """Return rows (n, 3072) uint8 and labels (n,) int64 of a pickled batch (bytes); raise FormatError for anything else.

    key: of the labels: "labels" in CIFAR-10, "fine_labels" or "coarse_labels" in CIFAR-100.
    """
    try:
        batch = _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except FormatError as error:
        raise FormatError(f"{source}: {error.problem}", "an official copy: tinyvgg data download") from error
    except Exception as error:              # a damaged pickle can raise anything
        raise FormatError(f"{source} is not a whole pickled batch ({type(error).__name__}: {error})",
                          "a fresh copy: the file is cut, or is not CIFAR-10") from error
    if not isinstance(batch, dict):
        raise FormatError(f"{source} holds a {type(batch).__name__}; expected a dict with b'data' and b'{key}'")
    batch = {k.decode("latin-1") if isinstance(k, bytes) else k: v for k, v in batch.items()}
    if key == "labels" and "fine_labels" in batch:
        raise FormatError(f"{source} is CIFAR-100 (it has fine_labels); expected CIFAR-10")
    rows, labels = getattr(batch.get("data"), "value", None), batch.get(key)
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != 3072 or len(rows) == 0:
        found = f"shape {rows.shape}" if isinstance(rows, np.ndarray) else type(batch.get("data")).__name__
        raise FormatError(f"{source}: b'data' is {found}; expected uint8 (n, 3072) with n > 0")
    if not isinstance(labels, list) or not all(type(label) is int and abs(label) < 1 << 31 for label in labels):
        raise FormatError(f"{source}: b'{key}' is not a list of whole numbers")
    if len(labels) != len(rows):
        raise FormatError(f"{source} has {len(rows)} images and {len(labels)} labels; expected one label an image")
    return rows, np.array(labels, np.int64)
