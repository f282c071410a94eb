"""The ops of a graph, one file each. A file has everything about its op except the C code, which is in tinyvgg/codegen/ops.

An op is a frozen dataclass. `output_shape` computes the shape of the result and checks the fields. `forward` and `backward`
compute in floats, and `lower` turns a float op into an integer op. `simulate` computes in integers, bit by bit; it is the
definition that the C code reproduces. `check` proves that no value leaves 32 bits, `dequantize` gives the float op back, and
`counts` gives the numbers from which the cost is computed. Float graphs and integer graphs have the same ops; an integer op has a
`scale`. To add an op: a file here, an import and a name below. A method that is missing is named by an error when it is needed.

Tensors. Integer ops read and write uint8 tensors, (H, W, C) or (n,), each with one scale and zero point: real = scale *
(q - zero). A border of "same" padding holds the zero point, so it is real 0.

Zero points. sum (x - z) w = sum x w - z sum w. This also holds at a border, which is filled with z. So a kernel may use x without
subtracting z and start from bias - z * sum(w), modulo 2^32.

Variants. A convolution's `variant` names the kernel that C and firmware use for it. All variants, Winograd's too, compute the
same integers (codegen/kernels/tv_winograd4.h says why). Code generation refuses a variant with which a sum could leave its range.

Overflow. `check` proves, for every channel, from the weights and x in 0..255, that all of these stay within int32: acc + bias and
each partial sum, (acc + bias) << shift (leaky: one bit more) and activation(v) + offset. Lowering never makes a graph that fails.
"""
from tinyvgg.quant.ops.activation import Activation
from tinyvgg.quant.ops.add import Add, Average, Subtract
from tinyvgg.quant.ops.average_pool2d import AveragePool2D
from tinyvgg.quant.ops.base import Op
from tinyvgg.quant.ops.channel_softmax import ChannelSoftmax
from tinyvgg.quant.ops.conv2d import Conv2D
from tinyvgg.quant.ops.convolution import Convolution
from tinyvgg.quant.ops.dense import Dense
from tinyvgg.quant.ops.depthwise_conv2d import DepthwiseConv2D
from tinyvgg.quant.ops.float_tail import FloatTail
from tinyvgg.quant.ops.image import Image
from tinyvgg.quant.ops.layer_norm import LayerNorm
from tinyvgg.quant.ops.level_table import LevelTable
from tinyvgg.quant.ops.lite_add import LiteAdd
from tinyvgg.quant.ops.lite_average_pool2d import LiteAveragePool2D
from tinyvgg.quant.ops.lite_concatenate import LiteConcatenate
from tinyvgg.quant.ops.lite_softmax import LiteSoftmax
from tinyvgg.quant.ops.lite_tail import LiteTail
from tinyvgg.quant.ops.max_pool2d import MaxPool2D
from tinyvgg.quant.ops.moving import Crop2D, Pad2D, Permute, Reshape
from tinyvgg.quant.ops.multiply import Multiply
from tinyvgg.quant.ops.padded_average_pool2d import PaddedAveragePool2D
from tinyvgg.quant.ops.pool import Mean, Pool
from tinyvgg.quant.ops.prelu import PRelu
from tinyvgg.quant.ops.rescaled import Concatenate, Maximum
from tinyvgg.quant.ops.sigmoid import Sigmoid
from tinyvgg.quant.ops.softmax import Softmax
from tinyvgg.quant.ops.tail import Tail
from tinyvgg.quant.ops.up_sample2d import UpSample2D
from tinyvgg.quant.ops.weighted import Weighted
from tinyvgg.quant.ops.weights import CodedWeights, SharedWeights, along, weights_of

__all__ = [
    "OPS", "Activation", "Add", "Average", "AveragePool2D", "ChannelSoftmax", "CodedWeights", "Concatenate", "Conv2D", "Convolution", "Crop2D",
    "Dense", "DepthwiseConv2D", "FloatTail", "Image", "LayerNorm", "LevelTable", "LiteAdd", "LiteAveragePool2D", "LiteConcatenate",
    "LiteSoftmax", "LiteTail", "MaxPool2D", "Maximum", "Mean", "Multiply", "Op", "PRelu", "Pad2D", "PaddedAveragePool2D", "Permute", "Pool",
    "Reshape", "SharedWeights", "Sigmoid", "Softmax", "Subtract", "Tail", "UpSample2D", "Weighted", "along", "weights_of"]
OPS = {cls.__name__: cls for cls in vars().copy().values() if isinstance(cls, type) and issubclass(cls, Op) and not cls.__subclasses__()}
