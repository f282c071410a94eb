"""A .tflite file as plain data: tensors, operators with their settings, inputs and outputs of its one graph.

It is read by the packages `tflite` (the schema) and `flatbuffers` (extra "tflite"), after verify.py has checked every offset.
"""
import math
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tinyvgg.errors import FormatError, MissingExtra, NotYet, TinyVGGError, require
from tinyvgg.io.tflite.verify import verify
from tinyvgg.report.untrusted import check_regular

LARGEST_FILE = 2**28        # bytes
LARGEST_TENSOR = 2**24      # values
MOST_OPERATORS = 10_000
DTYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8", 10: "float64"}
CONTROL = ("IF", "WHILE", "CALL", "CALL_ONCE")
# Settings of each operator that has some: the class of its options in the package, and the fields that are read.
OPTIONS = {
    "CONV_2D": ("Conv2DOptions", "Padding StrideW StrideH FusedActivationFunction DilationWFactor DilationHFactor"),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions",
                          "Padding StrideW StrideH DepthMultiplier FusedActivationFunction DilationWFactor DilationHFactor"),
    "FULLY_CONNECTED": ("FullyConnectedOptions", "FusedActivationFunction WeightsFormat KeepNumDims"),
    "AVERAGE_POOL_2D": ("Pool2DOptions", "Padding StrideW StrideH FilterWidth FilterHeight FusedActivationFunction"),
    "MAX_POOL_2D": ("Pool2DOptions", "Padding StrideW StrideH FilterWidth FilterHeight FusedActivationFunction"),
    "ADD": ("AddOptions", "FusedActivationFunction"),
    "SUB": ("SubOptions", "FusedActivationFunction"),
    "MUL": ("MulOptions", "FusedActivationFunction"),
    "CONCATENATION": ("ConcatenationOptions", "Axis FusedActivationFunction"),
    "SOFTMAX": ("SoftmaxOptions", "Beta"),
    "LEAKY_RELU": ("LeakyReluOptions", "Alpha"),
    "MEAN": ("ReducerOptions", "KeepDims"),
    "RESIZE_NEAREST_NEIGHBOR": ("ResizeNearestNeighborOptions", "AlignCorners HalfPixelCenters"),
}


@dataclass(frozen=True, eq=False)
class Tensor:
    """shape with the batch; data: its constant, or None; scales and zeros of a quantised one, along `axis` where several.

    offset: the file's byte at which a constant begins, 0 where it has none.
    """
    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    data: np.ndarray | None
    scales: np.ndarray
    zeros: np.ndarray
    axis: int
    offset: int = 0

    @property
    def scale(self):
        return float(self.scales[0])

    @property
    def zero(self):
        return int(self.zeros[0]) if len(self.zeros) else 0

    def __str__(self):
        return f"{self.name[:60]!r}"


@dataclass(frozen=True, eq=False)
class Operator:
    """kind: its name in TensorFlow Lite; inputs: Tensors, None where one is left out."""
    kind: str
    inputs: tuple
    outputs: tuple
    options: dict = field(default_factory=dict)

    @property
    def activation(self):
        return self.options.get("FusedActivationFunction", 0)

    @property
    def same(self):
        """Whether the padding is "same" rather than "valid"."""
        return self.options["Padding"] == 0


@dataclass(frozen=True, eq=False)
class Contents:
    """The one graph of a file."""
    name: str
    tensors: tuple
    operators: tuple
    inputs: tuple
    outputs: tuple


def read(path):
    """Return the Contents of a .tflite file; FormatError for a damaged one, NotYet for several subgraphs or control flow."""
    path = Path(path)
    check_regular(path)
    if path.stat().st_size > LARGEST_FILE:
        raise FormatError(f"{path} has {path.stat().st_size:,} bytes; expected up to {LARGEST_FILE:,}")
    schema = require("tflite", "tflite")
    require("flatbuffers", "tflite")
    if not hasattr(schema, "BuiltinOperator"):
        raise MissingExtra(f"{getattr(schema, '__file__', 'a folder')} is not the package tflite, which reads such files",
                           "another working folder, or another name for that file")
    data = path.read_bytes()
    try:
        verify(data)
        return _Reader(schema, data, path.stem).contents()
    except TinyVGGError as error:
        raise type(error)(error.problem if str(path) in error.problem else f"{path}: {error.problem}", error.hint) from error
    except Exception as error:  # what the package raises where a field is of another kind than the schema says
        raise FormatError(f"{path} is damaged: {type(error).__name__} {str(error)[:120]}", "the original file") from error


class _Reader:
    def __init__(self, schema, data, name):
        self.schema, self.data, self.name = schema, data, name
        self.model = schema.Model.GetRootAsModel(data, 0)
        self.kinds = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}

    def contents(self):
        count = self.model.SubgraphsLength()
        graph = self.model.Subgraphs(0) if count else None
        if count != 1:
            found = self.control(graph) if count else ""
            raise NotYet(f"it has {count} subgraphs{f' and control flow: {found}' if found else ''}; expected one graph",
                         "a network without control flow, exported by one signature")
        if graph.OperatorsLength() > MOST_OPERATORS or graph.TensorsLength() > 8 * MOST_OPERATORS:
            raise FormatError(f"it has {graph.OperatorsLength():,} operators; expected up to {MOST_OPERATORS:,}")
        names = self.names(graph)
        tensors = tuple(self.tensor(i, graph.Tensors(i), names[i]) for i in range(graph.TensorsLength()))
        operators = tuple(self.operator(graph.Operators(i), tensors) for i in range(graph.OperatorsLength()))
        inputs, outputs = (self.pick(tensors, v) for v in (graph.InputsAsNumpy(), graph.OutputsAsNumpy()))
        return Contents(self.name, tensors, operators, inputs, outputs)

    def control(self, graph):
        """The operators of control flow with the first tensor that each writes, as text."""
        names, operators = self.names(graph), (graph.Operators(i) for i in range(min(graph.OperatorsLength(), MOST_OPERATORS)))
        return ", ".join(f"{kind} ({names[out[0]]!r})" for kind, out in
                         ((self.kind(o), _array(o.OutputsAsNumpy()).tolist() or [-1]) for o in operators)
                         if kind in CONTROL and out[0] in names)

    def names(self, graph):
        """A name for each tensor, as a layer's; those that operators write choose first."""
        written = [i for k in range(graph.OperatorsLength()) for i in _array(graph.Operators(k).OutputsAsNumpy()).tolist()]
        order, taken = [*_array(graph.InputsAsNumpy()).tolist(), *written, *range(graph.TensorsLength())], set()
        return {i: _unique(_text(graph.Tensors(i).Name()) or f"tensor{i}", taken) for i in dict.fromkeys(order)
                if 0 <= i < graph.TensorsLength()}

    def tensor(self, index, t, name):
        dtype = DTYPES.get(t.Type())
        if dtype is None:
            raise NotYet(f"tensor {name[:60]!r} has type {t.Type()} of TensorFlow Lite; expected float32, int8 or uint8")
        shape, signature = (tuple(int(n) for n in _array(v)) for v in (t.ShapeAsNumpy(), t.ShapeSignatureAsNumpy()))
        if max(len(shape), len(signature)) > 8:
            raise FormatError(f"tensor {name[:60]!r} has {len(shape)} axes; expected up to 8")
        if math.prod(map(abs, shape)) > LARGEST_TENSOR:
            raise FormatError(f"tensor {name[:60]!r} has the shape {shape}; expected up to {LARGEST_TENSOR:,} values")
        if any(n < 1 for n in shape) and math.prod(shape) != 0 or any(n < 0 for n in shape):
            raise NotYet(f"tensor {name[:60]!r} has the dynamic shape {shape}", "a converter with a fixed input shape")
        if any(n < 0 for n in signature[1:]):
            raise NotYet(f"tensor {name[:60]!r} has the dynamic shape {signature}; only the batch, the first axis, may be open",
                         "a converter with a fixed input shape, as in tf.function(...).get_concrete_function([1, 32, 32, 3])")
        q = t.Quantization()
        scales = np.zeros(0, np.float32) if q is None else _array(q.ScaleAsNumpy(), np.float32)
        zeros = np.zeros(0, np.int64) if q is None else _array(q.ZeroPointAsNumpy(), np.int64)
        if not (np.isfinite(scales).all() and (scales >= 0).all()):
            raise FormatError(f"tensor {name[:60]!r} has scales that are not finite and positive")
        if t.Sparsity() is not None:
            raise NotYet(f"tensor {name[:60]!r} is sparse; expected dense weights")
        data, offset = self.constant(t, dtype, shape, name)
        return Tensor(index, name, shape, dtype, data, scales, zeros, 0 if q is None else q.QuantizedDimension(), offset)

    def constant(self, t, dtype, shape, name):
        """(values, the file's byte at which they begin) of a tensor; (None, 0) where it has none."""
        if not 0 <= t.Buffer() < max(self.model.BuffersLength(), 1):
            raise FormatError(f"tensor {name[:60]!r} has buffer {t.Buffer()} of {self.model.BuffersLength()}")
        if t.Buffer() == 0:
            return None, 0
        buffer = self.model.Buffers(t.Buffer())
        if hasattr(buffer, "Offset") and buffer.Offset() > 1:
            raise NotYet("its weights lie behind the graph, as in files over 2 GB")
        if buffer.DataLength() == 0:
            return None, 0
        held = buffer.DataAsNumpy()
        raw, size = held.tobytes(), math.prod(shape) * np.dtype(dtype).itemsize
        if len(raw) != size:
            raise FormatError(f"the constant {name[:60]!r} has {len(raw):,} bytes; {dtype} {shape} has {size:,}")
        offset = held.ctypes.data - np.frombuffer(self.data, np.uint8).ctypes.data
        return np.frombuffer(raw, np.dtype(dtype).newbyteorder("<")).astype(dtype).reshape(shape), offset

    def kind(self, o):
        """The name of an operator's kind."""
        if not 0 <= o.OpcodeIndex() < self.model.OperatorCodesLength():
            raise FormatError(f"an operator has the code {o.OpcodeIndex()} of {self.model.OperatorCodesLength()}")
        code = self.model.OperatorCodes(o.OpcodeIndex())
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        kind = self.kinds.get(number, f"operator {number}")
        if kind == "CUSTOM":
            kind = f"the custom operator {_text(code.CustomCode())[:40]!r}"
        return kind

    def operator(self, o, tensors):
        kind = self.kind(o)
        inputs, outputs = self.pick(tensors, o.InputsAsNumpy(), optional=True), self.pick(tensors, o.OutputsAsNumpy())
        if not outputs:
            raise FormatError(f"a {kind} writes no tensor")
        return Operator(kind, inputs, outputs, self.options(kind, o))

    def options(self, kind, o):
        if kind not in OPTIONS:
            return {}
        name, fields = OPTIONS[kind]
        holder, table = getattr(self.schema, name)(), o.BuiltinOptions()
        if table is None:
            raise FormatError(f"a {kind} has no settings")
        if o.BuiltinOptionsType() != getattr(self.schema.BuiltinOptions, name):
            raise FormatError(f"a {kind} has the settings of another operator")
        holder.Init(table.Bytes, table.Pos)
        return {f: getattr(holder, f)() for f in fields.split()}

    def pick(self, tensors, indices, optional=False):
        """The tensors of a list of numbers; -1 stands for none."""
        found = []
        for i in _array(indices).tolist():
            if not (optional and i == -1) and not 0 <= i < len(tensors):
                raise FormatError(f"an operator has tensor {i} of {len(tensors)}")
            found.append(None if i == -1 else tensors[i])
        return tuple(found)


def _array(values, dtype=np.int32):
    return np.array(values, dtype) if isinstance(values, np.ndarray) else np.zeros(0, dtype)


def _text(raw):
    return raw.decode("utf-8", "replace") if raw else ""


_TAILS = {"BiasAdd", "Relu", "Relu6", "Conv2D", "MatMul", "Softmax", "MaxPool", "AvgPool", "Reshape", "Mean", "add",
          "mul", "concat", "FusedBatchNormV3", "add_1", "mul_1", "Sigmoid", "Tanh", "LeakyRelu"}


def _unique(name, names):
    """A tensor's name as a layer's: the part that the user gave, made unique."""
    parts = [p for p in re.split(r"[/;:]", name.split(";")[0].split(":")[0]) if p]
    while len(parts) > 1 and parts[-1] in _TAILS:
        parts.pop()
    short = re.sub(r"[^A-Za-z0-9_.-]+", "_", "_".join(parts[1:] or parts))[:80] or "tensor"
    number, found = 1, short
    while found.lower() in names:
        number += 1
        found = f"{short}_{number}"
    names.add(found.lower())
    return found
