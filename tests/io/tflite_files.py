"""Small .tflite files of float32 and int8, built from plain data: no TensorFlow is needed to write one."""
import numpy as np

from tinyvgg.errors import require
from tinyvgg.io.tflite.read import Contents, Operator
from tinyvgg.io.tflite.write import _Writer, encode, tensor

CONV = {"Padding": 0, "StrideW": 1, "StrideH": 1, "FusedActivationFunction": 1, "DilationWFactor": 1, "DilationHFactor": 1}
DENSE = {"FusedActivationFunction": 0, "WeightsFormat": 0, "KeepNumDims": 0}
ADD = {"FusedActivationFunction": 0}
POOL = {"Padding": 1, "StrideW": 2, "StrideH": 2, "FilterWidth": 2, "FilterHeight": 2, "FusedActivationFunction": 0}


class Sketch:
    """Tensors and operators as they are added."""

    def __init__(self):
        self.tensors, self.operators = [], []

    def tensor(self, name, shape, dtype="float32", **settings):
        self.tensors.append(tensor(len(self.tensors), name, shape, dtype, **settings))
        return self.tensors[-1]

    def constant(self, name, data, **settings):
        return self.tensor(name, data.shape, data.dtype.name, data=data, **settings)

    def add(self, kind, inputs, output, **options):
        self.operators.append(Operator(kind, tuple(inputs), (output,), options))
        return output

    def bytes(self, given, result):
        return encode(Contents("sketch", tuple(self.tensors), tuple(self.operators), (given,), (result,)))


class Strange(_Writer):
    """What the writer has no way to say: kinds that begin with "Custom", and the graph `graphs` times."""

    def __init__(self, contents, graphs=1):
        super().__init__(require("tflite", "tflite"), require("flatbuffers", "tflite").Builder(1 << 10), contents)
        self.graphs, self.graph = graphs, None

    def table(self, name, fields):
        if name == "Model":
            fields["Subgraphs"] = self.offsets([self.graph] * self.graphs)
        made = super().table(name, fields)
        self.graph = made if name == "SubGraph" else self.graph
        return made

    def code(self, kind):
        if not kind.startswith("Custom"):
            return super().code(kind)
        name = self.b.CreateString(kind)
        return self.table("OperatorCode", {"DeprecatedBuiltinCode": 32, "BuiltinCode": 32, "Version": 1, "CustomCode": name})


def strange(sketch, given, result, graphs=1):
    """The bytes of a sketch, written by Strange."""
    return Strange(Contents("strange", tuple(sketch.tensors), tuple(sketch.operators), (given,), (result,)), graphs).bytes()


def float_network(seed=0):
    """(bytes, arrays) of conv 3x3 + ReLU, max-pool, reshape, dense, softmax on 8x8x3."""
    r, s = np.random.default_rng(seed), Sketch()
    arrays = {"kernel": r.normal(0, 0.3, (4, 3, 3, 3)), "bias": r.normal(0, 0.1, 4), "dense": r.normal(0, 0.2, (5, 64)),
              "dense_bias": r.normal(0, 0.1, 5)}
    arrays = {k: v.astype(np.float32) for k, v in arrays.items()}
    x = s.tensor("serving_default_x:0", (1, 8, 8, 3))
    y = s.add("CONV_2D", [x, s.constant("w", arrays["kernel"]), s.constant("b", arrays["bias"])],
              s.tensor("model/conv/Relu;model/conv/BiasAdd", (1, 8, 8, 4)), **CONV)
    y = s.add("MAX_POOL_2D", [y], s.tensor("model/pool/MaxPool", (1, 4, 4, 4)), **POOL)
    y = s.add("RESHAPE", [y, s.constant("shape", np.array([-1, 64], np.int32))], s.tensor("model/flatten/Reshape", (1, 64)))
    y = s.add("FULLY_CONNECTED", [y, s.constant("dw", arrays["dense"]), s.constant("db", arrays["dense_bias"])],
              s.tensor("model/dense/MatMul", (1, 5)), **DENSE)
    y = s.add("SOFTMAX", [y], s.tensor("Identity", (1, 5)), Beta=1.0)
    return s.bytes(x, y), arrays
