"""The float graph: a network with its batch-norms and pools fused as the integer graph has them, in float32. Data only.

fuse.py makes it from an nn.Model; lower.py makes the integer graph from it; the float schemes (none, low, medium, high) emit it.
Weights have the output channel first, as in graph.py; they are float32, or SharedWeights with a float32 codebook.
"""

from dataclasses import dataclass

import numpy as np

from tinyvgg.quant.graph import Node, SharedWeights


@dataclass(frozen=True, eq=False, kw_only=True)
class FloatImage(Node):
    """The image, float32: y = scale * x + shift (a Rescaling layer at the start; else 1 and 0)."""

    scale: float = 1.0
    shift: float = 0.0


@dataclass(frozen=True, eq=False, kw_only=True)
class FloatTail:
    """y = pool(gain * activation(acc + bias) + shift), channel by channel; gain and shift (F,), or None where there are none.

    activation: none | relu | leaky (slope * v below 0) | clamp (0..high).
    """

    bias: np.ndarray
    activation: str = "none"
    slope: float = 0.0
    high: float = 0.0
    gain: np.ndarray | None = None
    shift: np.ndarray | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class FloatConv2D(Node):
    """As graph.Conv2D, with weights (F, KH, KW, C); `pool` is (height, width, row stride, column stride) or None."""

    weights: np.ndarray | SharedWeights
    tail: FloatTail
    strides: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    dilation: tuple[int, int] = (1, 1)
    pool: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class FloatDepthwiseConv2D(Node):
    """As graph.DepthwiseConv2D, with weights (F, KH, KW)."""

    weights: np.ndarray | SharedWeights
    tail: FloatTail
    strides: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    dilation: tuple[int, int] = (1, 1)
    pool: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class FloatDense(Node):
    """As graph.Dense, with weights (O, I)."""

    weights: np.ndarray | SharedWeights
    tail: FloatTail


@dataclass(frozen=True, eq=False, kw_only=True)
class FloatAdd(Node):
    """activation(sum of the inputs), as in FloatTail."""

    activation: str = "none"
    slope: float = 0.0
    high: float = 0.0


@dataclass(frozen=True, eq=False, kw_only=True)
class FloatAveragePool2D(Node):
    """The mean of each window, without padding; a global pool has the window of the whole map."""

    pool_size: tuple[int, int]
    strides: tuple[int, int]


@dataclass(frozen=True, eq=False, kw_only=True)
class FloatMaxPool2D(Node):
    """The largest of each window; padded pixels lose against every other."""

    pool_size: tuple[int, int]
    strides: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))


@dataclass(frozen=True, eq=False, kw_only=True)
class FloatSoftmax(Node):
    """exp(x - max x) / sum."""


FLOAT_OPS = {cls.__name__: cls
             for cls in (FloatImage, FloatConv2D, FloatDepthwiseConv2D, FloatDense, FloatAdd, FloatAveragePool2D, FloatMaxPool2D,
                         FloatSoftmax)}
WEIGHTED = (FloatConv2D, FloatDepthwiseConv2D, FloatDense)
