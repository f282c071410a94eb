"""A .tflite file from plain data: the same Contents that read.py gives."""
import numpy as np

from tinyvgg.errors import require
from tinyvgg.io.tflite.read import DTYPES, OPTIONS, Tensor
from tinyvgg.report.record import write_bytes

TYPES = {name: number for number, name in DTYPES.items()}
# Versions of the operators of int8 (and of floats, which take them too) that TensorFlow Lite registers; 1 for the others.
VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "AVERAGE_POOL_2D": 2, "MAX_POOL_2D": 2, "ADD": 2, "SUB": 2,
            "MUL": 2, "CONCATENATION": 2, "SOFTMAX": 2, "MEAN": 2, "PAD": 2, "QUANTIZE": 2, "RELU": 2, "RELU6": 2, "LEAKY_RELU": 2,
            "MAXIMUM": 2, "MINIMUM": 2, "LOGISTIC": 2, "TANH": 2, "RESIZE_NEAREST_NEIGHBOR": 2}
WIDE = {"CONV_2D": 4, "QUANTIZE": 2, "DEQUANTIZE": 3}       # of a file that has int16 values


def write(path, contents):
    """Write a Contents to `path`; an error leaves no half file."""
    write_bytes(path, encode(contents))


def encode(contents):
    """Return the bytes of a .tflite file."""
    schema = require("tflite", "tflite")
    flatbuffers = require("flatbuffers", "tflite")
    return _Writer(schema, flatbuffers.Builder(1 << 16), contents).bytes()


def tensor(index, name, shape, dtype, *, data=None, scale=(), zero=(), axis=0):
    """A Tensor for a file; scale and zero: numbers, or one for each of `axis`."""
    return Tensor(index, name, tuple(map(int, shape)), dtype, data, np.atleast_1d(np.asarray(scale, np.float32)),
                  np.atleast_1d(np.asarray(zero, np.int64)), axis)


class _Writer:
    def __init__(self, schema, builder, contents):
        self.schema, self.b, self.contents = schema, builder, contents
        self.kinds = list(dict.fromkeys(op.kind for op in contents.operators))

    def bytes(self):
        b, c = self.b, self.contents
        buffers = [self.table("Buffer", {})]
        places = {}
        for t in c.tensors:
            if t.data is not None:
                raw = np.ascontiguousarray(t.data).astype(np.dtype(t.dtype).newbyteorder("<")).tobytes()
                places[t.index] = len(buffers)
                buffers.append(self.table("Buffer", {"Data": self.aligned(raw)}))
        tensors = [self.tensor(t, places.get(t.index, 0)) for t in c.tensors]
        operators = [self.operator(op) for op in c.operators]
        graph = self.table("SubGraph", {
            "Tensors": self.offsets(tensors), "Inputs": self.numbers([t.index for t in c.inputs], np.int32),
            "Outputs": self.numbers([t.index for t in c.outputs], np.int32), "Operators": self.offsets(operators),
            "Name": b.CreateString("main")})
        codes = [self.code(kind) for kind in self.kinds]
        model = self.table("Model", {"Version": 3, "OperatorCodes": self.offsets(codes), "Subgraphs": self.offsets([graph]),
                                     "Description": b.CreateString("tinyvgg"), "Buffers": self.offsets(buffers)})
        b.Finish(model, b"TFL3")
        return bytes(b.Output())

    def table(self, name, fields):
        """A table of the schema whose fields are numbers or offsets, made before."""
        getattr(self.schema, f"{name}Start")(self.b)
        for field, value in fields.items():
            getattr(self.schema, f"{name}Add{field}")(self.b, value)
        return getattr(self.schema, f"{name}End")(self.b)

    def offsets(self, items):
        self.b.StartVector(4, len(items), 4)
        for item in reversed(items):
            self.b.PrependUOffsetTRelative(item)
        return self.b.EndVector()

    def numbers(self, values, dtype):
        return self.b.CreateNumpyVector(np.asarray(values, dtype))

    def aligned(self, raw):
        """A vector of bytes that begins at a multiple of 16, as TensorFlow Lite's kernels want constants."""
        self.b.StartVector(1, len(raw), 16)
        self.b.head = self.b.head - len(raw)
        self.b.Bytes[self.b.head : self.b.head + len(raw)] = raw
        return self.b.EndVector()

    def tensor(self, t, buffer):
        fields = {"Shape": self.numbers(t.shape, np.int32), "Type": TYPES[t.dtype], "Buffer": buffer,
                  "Name": self.b.CreateString(t.name)}
        if len(t.scales):
            scales, zeros = self.numbers(t.scales, np.float32), self.numbers(t.zeros, np.int64)
            fields["Quantization"] = self.table("QuantizationParameters", {"Scale": scales, "ZeroPoint": zeros,
                                                                           "QuantizedDimension": t.axis})
        return self.table("Tensor", fields)

    def operator(self, op):
        fields = {"OpcodeIndex": self.kinds.index(op.kind),
                  "Inputs": self.numbers([-1 if t is None else t.index for t in op.inputs], np.int32),
                  "Outputs": self.numbers([t.index for t in op.outputs], np.int32)}
        if op.kind in OPTIONS:
            name = OPTIONS[op.kind][0]
            fields |= {"BuiltinOptionsType": getattr(self.schema.BuiltinOptions, name),
                       "BuiltinOptions": self.table(name, op.options)}
        return self.table("Operator", fields)

    def code(self, kind):
        number, versions = getattr(self.schema.BuiltinOperator, kind), VERSIONS
        if any(t.dtype == "int16" for t in self.contents.tensors):
            versions = VERSIONS | WIDE
        return self.table("OperatorCode", {"DeprecatedBuiltinCode": min(number, 127), "BuiltinCode": number,
                                           "Version": versions.get(kind, 1)})
