"""The .tvq file: one HDF5 file with a graph, its arrays, and everything needed to plan it and write its C again.

    /                  format "tinyvgg.tvq", version 1, kind "integer" or "float", sha256 of the graph, versions
    /graph/json        the ops and facts as UTF-8 JSON; an array stands there as {"array": index, "shape", "dtype"[, "bits"]}
    /graph/arrays/N    that array; indices of a codebook are packed `bits` each, the first in the highest bits,
                       or coded, one stream of bits (prefix.py)
    /float/...         the same for the float graph that an integer one was lowered from (optional, never emitted)

Files are not trusted: sizes are checked before anything is read, and the graph is validated before it is used.
"""

import dataclasses
import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinyvgg.errors import FormatError, TinyVGGError
from tinyvgg.quant.graph import Graph
from tinyvgg.quant.ops import OPS, CodedWeights, FloatTail, LiteTail, Op, SharedWeights, Tail
from tinyvgg.quant.ops.base import plain
from tinyvgg.quant.ops.weighted import LARGEST
from tinyvgg.quant.packing import pack_bits, packed_size, unpack_bits
from tinyvgg.quant.prefix import encode
from tinyvgg.quant.validate import validate
from tinyvgg.report.record import atomic_path, versions
from tinyvgg.report.untrusted import parse_json
from tinyvgg.types import PathLike

if TYPE_CHECKING:
    from tinyvgg.quant.compressed import CompressedModel
    from tinyvgg.quant.model import QuantizedModel

FORMAT, VERSION = "tinyvgg.tvq", 1
LARGEST_JSON = 2**22
LARGEST_TOTAL = 2**28  # bytes of all arrays of one graph
PARTS = {cls.__name__: cls for cls in (Tail, LiteTail, SharedWeights, CodedWeights, FloatTail)}
CLASSES = {**OPS, **{f"Float{name}": cls for name, cls in OPS.items()}}
DTYPES = ("int8", "uint8", "int16", "int32", "float32")


def save_tvq(model: "QuantizedModel | CompressedModel", path: PathLike) -> None:
    """Write a QuantizedModel or CompressedModel (anything with graph and float_graph) to `path`; an error leaves no half file."""
    import h5py

    with atomic_path(path) as temporary, h5py.File(temporary, "w") as f:
        f.attrs.update(
            {
                "format": FORMAT,
                "version": VERSION,
                "kind": kind_of(model.graph),
                "sha256": graph_sha256(model.graph),
                "versions": json.dumps(versions()),
            }
        )
        _write(f.create_group("graph"), model.graph)
        if model.float_graph is not None and model.float_graph is not model.graph:
            _write(f.create_group("float"), model.float_graph)


def load_tvq(path: PathLike) -> "QuantizedModel | CompressedModel":
    """Read a .tvq file: return a QuantizedModel (integer) or CompressedModel (float). Raise FormatError for anything damaged."""
    from tinyvgg.io import hdf5
    from tinyvgg.quant.compressed import CompressedModel
    from tinyvgg.quant.model import QuantizedModel

    path = Path(path)
    if not path.exists():
        raise FormatError(f"{path} is not there", "tinyvgg compress MODEL --scheme int8 --data DATA --out " + path.name)
    try:
        with hdf5.open_file(path) as (f, budget):
            if hdf5.text(f, "format") != FORMAT:
                raise FormatError("it is an HDF5 file, but not a .tvq", "tinyvgg compress MODEL --scheme int8 --data DATA --out NEW.tvq")
            version = np.asarray(f.attrs["version"])
            if version.shape != () or version.dtype.kind not in "iu" or version != VERSION:
                raise FormatError(f"it has version {version} of the .tvq format; this library reads {VERSION}", "a newer tinyvgg")
            kind = hdf5.text(f, "kind")
            graph = _read(f, "graph", kind, budget)
            float_graph = _read(f, "float", "float", budget) if "float" in f else None
            claimed = hdf5.text(f, "sha256")
    except TinyVGGError as error:
        raise FormatError(error.problem if str(path) in error.problem else f"{path}: {error.problem}", error.hint) from error
    except Exception as error:  # h5py raises nearly every class there is on damaged files
        raise FormatError(f"{path} is damaged or no .tvq file: {type(error).__name__} {str(error)[:200]}") from error
    if claimed != graph_sha256(graph):
        raise FormatError(f"{path} is damaged: its graph does not have the SHA-256 that the file states", "the original file")
    return QuantizedModel(graph, float_graph=float_graph) if kind == "integer" else CompressedModel(graph)


def kind_of(graph):
    """Return "integer" or "float"."""
    return "integer" if graph.integer else "float"


def graph_sha256(graph):
    """Return the SHA-256 over the graph's ops and arrays (without its name and facts), in hexadecimal."""
    arrays = []
    ops = [_encode(op, arrays) for op in graph.ops]
    digest = hashlib.sha256(json.dumps([ops, list(graph.input_range)], sort_keys=True).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


def stored_fields(name: str):
    """Return {name in a file: dataclass field} for an op's class name in a file, which begins with "Float" for float ops."""
    kind = "integer" if name in OPS else "float"
    return {f.metadata.get("file") or f.name: f for f in dataclasses.fields(CLASSES[name])
            if f.metadata.get("only", kind) == kind}


# --- writing ------------------------------------------------------------------------------------------------------------


def _write(group, graph):
    arrays = []
    description = {"name": graph.name, "input_range": list(graph.input_range), "facts": graph.facts,
                   "ops": [_encode(op, arrays) for op in graph.ops]}
    group.create_dataset("json", data=np.frombuffer(json.dumps(description).encode(), np.uint8))
    for i, array in enumerate(arrays):
        group.create_dataset(f"arrays/{i}", data=array)


def _encode(value, arrays):
    """Plain data for a field's value; arrays are appended to `arrays` and named by their index."""
    if isinstance(value, CodedWeights):
        shape, stream = list(value.indices.shape), encode(value.indices, value.lengths)
        return {"class": "CodedWeights", "shape": shape,
                **{name: _encode(array, arrays) for name, array in (("codebook", value.codebook), ("lengths", value.lengths), ("stream", stream))}}
    if isinstance(value, SharedWeights):
        codebook = _encode(value.codebook, arrays)
        arrays.append(pack_bits(value.indices, value.bits))
        indices = {"array": len(arrays) - 1, "shape": list(value.indices.shape), "dtype": "uint8", "bits": value.bits}
        return {"class": "SharedWeights", "codebook": codebook, "indices": indices, "bits": value.bits}
    if isinstance(value, Op):
        name = type(value).__name__ if value.integer else f"Float{type(value).__name__}"
        return {"class": name, **{k: _encode(getattr(value, f.name), arrays) for k, f in stored_fields(name).items()
                                  if "later" not in f.metadata or getattr(value, f.name) != f.default}}
    if dataclasses.is_dataclass(value):
        return {"class": type(value).__name__, **{k: _encode(v, arrays) for k, v in plain(value).items()}}
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": len(arrays) - 1, "shape": list(value.shape), "dtype": value.dtype.name}
    if isinstance(value, tuple):
        return [_encode(v, arrays) for v in value]
    return value.item() if isinstance(value, np.generic) else value


# --- reading ------------------------------------------------------------------------------------------------------------


def _read(file, name, kind, budget):
    """Return the Graph of one group, validated."""
    description = read_description(file, name, budget)
    reader = _Reader(file, name, budget)
    ops = tuple(reader.op(d) for d in description["ops"])
    low, high = (float(v) for v in description["input_range"])
    facts = description["facts"] if isinstance(description["facts"], dict) else {}
    graph = Graph(name=str(description["name"])[:200], ops=ops, input_range=(low, high), facts=facts)
    validate(graph, kind)
    return graph


def read_description(file, name: str, budget):
    """Return the plain data of one graph of an open file, its arrays by number."""
    from tinyvgg.io import hdf5

    text = hdf5.numbers(file, f"{name}/json", budget)
    if text.dtype != np.uint8 or text.ndim != 1 or text.size > LARGEST_JSON:
        raise FormatError("the description of the graph is not text of a sensible length")
    return parse_json(bytes(text[()]), "the description of the graph")


class _Reader:
    """Turns plain data back into dataclasses, by the types that their fields declare."""

    def __init__(self, file, name: str, budget) -> None:
        self.file, self.name, self.budget, self.total = file, name, budget, 0

    def op(self, data):
        """An op from {"class": ..., field: ...}."""
        return self.filled(_known(data, CLASSES), stored_fields(data["class"]), data)

    def part(self, data):
        """A tail or codebook from {"class": ..., field: ...}."""
        cls = _known(data, PARTS)
        if cls is CodedWeights:
            return self.coded(data)
        return self.filled(cls, {f.name: f for f in dataclasses.fields(cls)}, data)

    def coded(self, data):
        """CodedWeights from a codebook, the lengths of its codes, a stream and a shape."""
        if set(data) != {"class", "shape", "codebook", "lengths", "stream"}:
            raise FormatError("a CodedWeights has other fields than expected")
        codebook, lengths, stream = (self.array(data[name]) for name in ("codebook", "lengths", "stream"))
        shape = _shape(data["shape"])
        if codebook.dtype != np.int8 or lengths.dtype != np.uint8 or stream.dtype != np.uint8 or codebook.shape != lengths.shape:
            raise FormatError("coded weights have arrays of other types or shapes than expected")
        return CodedWeights.from_stream(codebook, lengths, stream, shape)

    def filled(self, cls, fields, data):
        """Return a dataclass from data, which must have exactly its fields; only fields of later versions may be missing."""
        fields = {name: f for name, f in fields.items() if name in data or "later" not in f.metadata}
        if set(data) - {"class"} != set(fields):
            raise FormatError(f"a {cls.__name__} has other fields than expected")
        types = {name: f.type.__name__ if isinstance(f.type, type) else str(f.type) for name, f in fields.items()}
        return cls(**{f.name: self.value(data[name], types[name], f"{cls.__name__}.{name}") for name, f in fields.items()})

    def value(self, data, kind, where):
        """One field: array, nested dataclass, tuple, number or string, as `kind`, the declared type, says."""
        if isinstance(data, dict):
            value = self.array(data) if "array" in data else self.part(data)
            known = {part.strip().split(".")[-1] for part in kind.split("|")}
            if not known & {cls.__name__ for cls in type(value).__mro__}:
                raise FormatError(f"{where} holds a {type(value).__name__}; expected {kind}")
            return value
        if data is None and "None" in kind:
            return None
        if kind.startswith("tuple") and isinstance(data, list):
            return _tuple(data, where, str if "str" in kind else int)
        expected = {"int": int, "float": (int, float), "str": str, "tuple[int, int, int, int] | None": list}.get(kind)
        if expected is None or not isinstance(data, expected) or isinstance(data, bool):
            raise FormatError(f"{where} is {str(data)[:40]!r}; expected {kind}")
        if (kind == "int" and abs(data) >= 2**31 or isinstance(data, float) and not math.isfinite(data) or kind == "str"
            and len(data) > 200):
            raise FormatError(f"{where} is out of range")
        return float(data) if kind == "float" else data

    def array(self, data):
        """An array, its size checked before it is read."""
        from tinyvgg.io import hdf5

        shape = _shape(data["shape"])
        count = math.prod(shape)
        if data["dtype"] not in DTYPES:
            raise FormatError(f"an array has dtype {str(data['dtype'])[:20]} and shape {shape}")
        stored = hdf5.numbers(self.file, f"{self.name}/arrays/{int(data['array'])}", self.budget)
        bits = data.get("bits")
        if bits is not None and (not isinstance(bits, int) or not 1 <= bits <= 8):
            raise FormatError(f"indices of {str(bits)[:20]} bits; expected 1..8")
        expected = ((packed_size(count, bits),), "uint8") if bits else (shape, data["dtype"])
        if (stored.shape, stored.dtype.name) != expected:
            raise FormatError(
                f"array {data['array']} is {stored.dtype.name} {stored.shape}; expected {expected[1]} {expected[0]}"
            )
        self.total += stored.size * stored.dtype.itemsize
        if self.total > LARGEST_TOTAL:
            raise FormatError(f"the arrays hold more than {LARGEST_TOTAL:,} bytes")
        values = stored[()]
        return unpack_bits(values, bits, count).reshape(shape) if bits else values.astype(data["dtype"], copy=False)


def _known(data, classes):
    """The class that data names."""
    if data["class"] not in classes:
        raise FormatError(f"the graph holds a {str(data['class'])[:40]!r}, which this library has not")
    return classes[data["class"]]


def _shape(data):
    """The shape of an array that is not too large."""
    shape = _tuple(data, "an array's shape", int)
    if any(not isinstance(n, int) or n < 1 for n in shape) or len(shape) > 4 or math.prod(shape) > LARGEST:
        raise FormatError(f"an array has shape {str(shape)[:60]}")
    return shape


def _tuple(data, where, of):
    """A tuple of numbers or strings, or of tuples of them."""
    if isinstance(data, list) and len(data) <= 64:
        if all(isinstance(v, of) and not isinstance(v, bool) for v in data) and (of is str or all(abs(v) < 2**31 for v in data)):
            return tuple(data)
        if data and all(isinstance(v, list) for v in data):
            return tuple(_tuple(v, where, of) for v in data)
    raise FormatError(f"{where} is {str(data)[:60]!r}; expected a list of {of.__name__}")
