"""The places of a model's numbers in its .tflite file, for bit flips in the file."""
from dataclasses import dataclass

import numpy as np

from tinyvgg.io.tflite.dilated import joined
from tinyvgg.io.tflite.read import read

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
PLAIN = {"float32": 0, "int32": 0, "int8": 0, "uint8": 128}     # zero points with which a flipped bit here is the same bit there


@dataclass(frozen=True, eq=False)
class Place:
    """An array of a model in the file: the first byte of its tensor, the dtype there, and which number of the tensor each one is."""
    offset: int
    dtype: np.dtype
    index: np.ndarray

    def byte(self, index: int, bit: int) -> int:
        """The file's byte that holds a bit of the array's number `index`, counted flat."""
        return self.offset + int(self.index.reshape(-1)[index]) * self.dtype.itemsize + bit // 8

    def stored(self, array: np.ndarray) -> bytes:
        """The tensor's bytes that hold `array`, of the model's dtype: weights of uint8 there are int8 here, 128 less."""
        flat = np.empty(array.size, self.dtype)
        numbers = array.view(np.uint8) ^ 128 if self.dtype == np.uint8 else array
        flat[self.index.reshape(-1)] = numbers.reshape(-1)
        return flat.tobytes()


def places(path):
    """Return {"op/array": Place} of the weights and biases of a .tflite file, with the model's names. Numbers that the file
    stores differently from the model are left out: float16, other zero points, constants that several operators read. FormatError
    or NotYet for a file that cannot be loaded.
    """
    contents = read(path)
    readers = {}
    for op in contents.operators:
        for tensor in op.inputs:
            if tensor is not None and tensor.data is not None:
                readers[tensor.offset] = readers.get(tensor.offset, 0) + 1
    found = {}
    for op in joined(list(contents.operators)):
        for name, tensor, index in _arrays(op) if op.kind in WEIGHTED else ():
            if tensor.data is not None and tensor.zero == PLAIN.get(tensor.dtype) and readers[tensor.offset] == 1:
                dtype = np.dtype(tensor.dtype).newbyteorder("<")
                found[f"{op.outputs[0].name}/{name}"] = Place(tensor.offset, dtype, index)
    return found


def _arrays(op):
    """(name in the model, tensor, index) of the weights and the bias of an operator."""
    _, weights, bias = (*op.inputs, None)[:3]
    index, whole = np.arange(int(np.prod(weights.shape))).reshape(weights.shape), weights.dtype != "float32"
    if op.kind == "CONV_2D":
        yield ("weights", weights, index) if whole else ("kernel", weights, index.transpose(1, 2, 3, 0))
    elif op.kind == "DEPTHWISE_CONV_2D":
        yield ("weights", weights, index[0].transpose(2, 0, 1)) if whole else ("depthwise_kernel", weights, index)
    else:
        yield ("weights", weights, index) if whole else ("kernel", weights, index.T)
    if bias is not None:
        yield "bias", bias, np.arange(int(np.prod(bias.shape)))
