"""The integer graph: frozen dataclasses, data only. What an op computes is in simulate.py; C code has an emitter for each.

Tensors. Between ops there are uint8 tensors, (H, W, C) or (n,), each with one scale and zero point: real = scale * (q - zero).
A border of "same" padding holds the zero point, so it is real 0.

The tail. Conv2D, DepthwiseConv2D and Dense add up acc = sum (x - input_zero) * w in 32 bits and end alike, channel by channel:

    v = (acc + bias) << shift                     bias int32, in the accumulator's unit
    v = activation(v)                             none: v     relu: max(v, 0)     clamp: min(max(v, 0), high)
                                                  leaky: v if v >= 0 else smmulr(v << 1, slope)
    q = saturate(smmulr(v + offset, multiplier))  smmulr(a, b) = (a*b + 2^31) >> 32: the one rounding
    y = the largest q of each pool window         where there is a fused max-pool

`multiplier` is int32 of either sign. `offset` (int32, in units of v) holds all that is added after the activation: the shift of a
batch-norm that comes after it, and the zero point of the output. So a channel costs three numbers: bias, offset, multiplier; on
a Cortex-M4 an ADD (with LSL #shift), SMMULR and USAT, and one BIC (v & ~(v >> 31)) where there is a ReLU. A plain ReLU needs
none: its output has zero point 0, so the saturation is the ReLU and `activation` is "none"; without an activation the bias is in
`offset` and `bias` is 0.

Pooling first. Every step is monotonic in acc: rising where multiplier >= 0, falling where it is < 0. A kernel may
therefore pool the accumulators (largest, or smallest where multiplier < 0) and run the tail once a window: the same bytes.

Zero points. sum (x - z) w = sum x w - z sum w, also at a border, which holds z: a kernel may leave x as it is and start from
bias - z * sum(w), modulo 2^32.

Variants. A convolution's `variant` names the kernel that C and firmware use for it. All variants compute these integers, Winograd's too
(codegen/kernels/tv_winograd4.h says why); code generation refuses one that cannot, because a sum could leave its range.

Overflow. `check_graph` proves for every channel, from the weights and x in 0..255, that acc + bias and each partial sum, (acc +
bias) << shift (leaky: one bit more) and activation(v) + offset stay within int32; lowering never makes a graph that fails it.
"""

from dataclasses import dataclass, field, fields

import numpy as np

VARIANTS = ("direct", "direct_ram", "direct16", "direct16_ram", "winograd2", "winograd2_ram", "winograd4", "winograd4_ram")
ACTIVATIONS = ("none", "relu", "leaky", "clamp")


@dataclass(frozen=True, eq=False)
class SharedWeights:
    """Weights as indices into a codebook: w[f, ...] = codebook[indices[f, ...]], or codebook[f, indices[f, ...]] by channel.

    codebook: int8 (float32 in a float graph), (K,) for the whole layer or (F, K), sorted ascending, K = 2^bits at most;
    indices: uint8, of the weights' shape. A file packs the indices `bits` each, first in the high bits.
    """

    codebook: np.ndarray
    indices: np.ndarray
    bits: int

    @property
    def shape(self):
        """Shape of the weights."""
        return self.indices.shape

    def expand(self):
        """Return the weights, of the codebook's dtype."""
        if self.codebook.ndim == 1:
            return self.codebook[self.indices]
        flat = np.take_along_axis(self.codebook, self.indices.reshape(len(self.indices), -1).astype(np.intp), axis=1)
        return flat.reshape(self.indices.shape)


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """A step of a graph, of integers here or of floats (float_graph.py): `inputs` are names of earlier ones, `shape` is that of
    the result for one image."""

    name: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Op(Node):
    """A step whose result is integer: real = scale * (q - zero)."""

    scale: float = 1.0
    zero: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Image(Op):
    """The uint8 image as it is. real = scale * (q - zero) + residue, where the residue (a zero point between two integers, as for
    images in -1..1) has already been put into the biases of the ops that read it."""

    residue: float = 0.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Tail:
    """What follows the accumulators: see the top of this file. Arrays are int32 (F,)."""

    bias: np.ndarray
    offset: np.ndarray
    multiplier: np.ndarray
    shift: int  # 0..15
    activation: str = "none"  # one of ACTIVATIONS
    slope: int = 0  # leaky: the negative side's slope, times 2^31
    high: np.ndarray | None = None  # clamp: in units of v


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv2D(Op):
    """acc[i,j,f] = sum_{p,q,c} (x[i*sh + p*dh - top, j*sw + q*dw - left, c] - input_zero) * w[f,p,q,c], then the tail.

    weights (F, KH, KW, C) int8 or SharedWeights. padding ((top, bottom), (left, right)) of pixels that hold input_zero.
    pool: (height, width, row stride, column stride) of a fused max-pool without padding, or None; `shape` is that after it.
    """

    weights: np.ndarray | SharedWeights
    input_zero: int
    tail: Tail
    strides: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    dilation: tuple[int, int] = (1, 1)
    pool: tuple[int, int, int, int] | None = None
    variant: str = "direct"  # one of VARIANTS


@dataclass(frozen=True, eq=False, kw_only=True)
class DepthwiseConv2D(Op):
    """acc[i,j,f] = sum_{p,q} (x[i*sh + p*dh - top, j*sw + q*dw - left, f // M] - input_zero) * w[f,p,q], then the tail; F = C*M.

    weights (F, KH, KW) int8 or SharedWeights; the other fields as Conv2D's. A batch-norm or activation that no op before it can
    take is one with a 1x1 kernel of 1.
    """

    weights: np.ndarray | SharedWeights
    input_zero: int
    tail: Tail
    strides: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    dilation: tuple[int, int] = (1, 1)
    pool: tuple[int, int, int, int] | None = None
    variant: str = "direct"


@dataclass(frozen=True, eq=False, kw_only=True)
class Dense(Op):
    """acc[o] = sum_i (x[i] - input_zero) * w[o,i] over the flattened input (channels fastest), then the tail.

    weights (O, I) int8 or SharedWeights. output "uint8", or "int16" for logits: saturated to -32768..32767, zero = 0.
    """

    weights: np.ndarray | SharedWeights
    input_zero: int
    tail: Tail
    output: str = "uint8"
    variant: str = "direct"


@dataclass(frozen=True, eq=False, kw_only=True)
class Add(Op):
    """q = saturate(smmulr(sum_k x_k * multipliers[k] + offset, 2^(32 - shift))): the sum of two or more tensors, with a ReLU or
    clamp at 0 in the saturation where zero = 0. shift 2..24; the last step is the same as (v + 2^(shift-1)) >> shift, and all of
    it fits int32.
    """

    multipliers: tuple[int, ...]
    offset: int
    shift: int


@dataclass(frozen=True, eq=False, kw_only=True)
class AveragePool2D(Op):
    """q = saturate(smmulr((sum of the window << shift) + offset, multiplier)); x is taken as it is, windows are not padded.

    A global pool has the window of the whole map; `shape` may then be (C,).
    """

    pool_size: tuple[int, int]
    strides: tuple[int, int]
    shift: int
    offset: int
    multiplier: int


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool2D(Op):
    """The largest of each window, in the input's scale and zero point; padded pixels lose against every other."""

    pool_size: tuple[int, int]
    strides: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))


@dataclass(frozen=True, eq=False, kw_only=True)
class Softmax(Op):
    """Probabilities of logits (n,), uint8 in units of 1/255 (kind "integer"), or float32 (kind "float").

    integer:  u = smmulr((max x - x) << shift, multiplier), in 1/256 octave
              e = TABLE[u & 255] >> (u >> 8), 0 from 16 octaves on;   TABLE[j] = round(2^15 * 2^(-j / 256)), uint16
              q = (e * 255 + S // 2) // S, S = sum e
    float:    exp(input_scale * (x - max x)) / sum
    """

    kind: str = "integer"
    input_scale: float = 1.0
    shift: int = 0
    multiplier: int = 0


OPS = {cls.__name__: cls for cls in (Image, Conv2D, DepthwiseConv2D, Dense, Add, AveragePool2D, MaxPool2D, Softmax)}


@dataclass(frozen=True, eq=False, kw_only=True)
class Graph:
    """Ops in an order in which each comes after its inputs: first the Image, last the logits or a Softmax of them."""

    name: str
    ops: tuple[Node, ...]
    input_range: tuple[float, float] = (0.0, 1.0)
    facts: dict = field(default_factory=dict)  # plain data: scheme, calibration record, hashes

    def __getitem__(self, name):
        """Return the op called `name`."""
        return next(op for op in self.ops if op.name == name)

    @property
    def logits(self):
        """The op before a final softmax."""
        return self[self.ops[-1].inputs[0]] if type(self.ops[-1]).__name__.endswith("Softmax") else self.ops[-1]

    @property
    def input_shape(self):
        """Shape of one image."""
        return self.ops[0].shape


def weights_of(op):
    """Return the weights of an op as a plain array, codebooks looked up."""
    return op.weights.expand() if isinstance(op.weights, SharedWeights) else op.weights


def plain(op):
    """Return the fields of a dataclass as a dict, one level deep."""
    return {f.name: getattr(op, f.name) for f in fields(op)}
