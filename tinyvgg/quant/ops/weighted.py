"""Common base of the ops with weights and a tail: Conv2D, DepthwiseConv2D and Dense. Each defines its own sums of products."""
import math
from dataclasses import dataclass, replace

import numpy as np

from tinyvgg.errors import QuantError
from tinyvgg.quant.ops.base import Op, integers, missing, need
from tinyvgg.quant.ops.float_tail import FloatTail, apply_float_tail, float_tail_backward
from tinyvgg.quant.ops.lite_tail import LiteTail, apply_lite_tail, check_lite_fields, check_lite_tail, dequantized_lite
from tinyvgg.quant.ops.requantise import dequantized, lower_tail
from tinyvgg.quant.ops.tail import ACTIVATIONS, Tail, accumulator_bounds, apply_tail, fits, tail_extremes
from tinyvgg.quant.ops.weights import CodedWeights, SharedWeights, weights_of

LARGEST = 2**24  # values of one tensor, weights of one layer
VARIANTS = ("direct", "direct_ram", *(f"{kernel}{where}" for kernel in ("direct16", "winograd2", "winograd4")
                                      for where in ("", "_ram", "_rows", "_held")))


@dataclass(frozen=True, eq=False, kw_only=True)
class Weighted(Op):
    """An op that sums products with weights, whose first axis is the output channel, and ends in a tail.

    The integer sums are computed by floating-point matrix products. They are exact: every partial sum is an integer of magnitude
    below 2^24 in float32, or below 2^53 in float64. The bound sum |w| max|x| decides which of the two is needed.
    """

    weights: np.ndarray | SharedWeights  # int8, or float32 in a float graph
    input_zero: int = integers(0)
    tail: Tail | LiteTail | FloatTail

    pool = None  # (height, width, row stride, column stride) of a fused max-pool without padding
    mixes_channels = True

    # --- sums of products: where Conv2D, DepthwiseConv2D and Dense differ -----------------------------------------------------

    def accumulate(self, x):
        """Yield (slice of the images, acc): the integer sums before the tail, (n, OH, OW, F) or (n, F), of any dtype."""
        raise missing(self, "accumulators", "accumulate")

    def products(self, x):
        """The float sums before the tail: (N, OH, OW, F), or (N, F) for a dense layer."""
        raise missing(self, "sums", "products")

    def pull(self, dacc, x, parameters):
        """Pull dacc back through products(x): return dx and the gradient with respect to the weights (None without
        `parameters`)."""
        raise missing(self, "gradient", "pull")

    def mean_input(self, v):
        """The argument of mean_sum, for one batch of the input v (N, ...): (N, C), or (N, I) for a dense layer."""
        raise missing(self, "mean input", "mean_input")

    def mean_sum(self, weights, mean):
        """The mean accumulator (F,) for weights (F, ...) and the mean of mean_input; borders are treated like the inside."""
        raise missing(self, "mean accumulator", "mean_sum")

    # --- common to all three --------------------------------------------------------------------------------------------------

    def simulate(self, x):
        out = np.empty((len(x), *self.shape), self.dtype)
        apply = apply_lite_tail if self.lite else apply_tail
        for part, acc in self.accumulate(x):
            out[part] = apply(acc, self).reshape(-1, *self.shape)
        return out

    @property
    def lite(self):
        """Whether the op ends in TensorFlow Lite's arithmetic."""
        return isinstance(self.tail, LiteTail)

    def forward(self, x):
        return apply_float_tail(self.products(x), self).reshape(len(x), *self.shape)

    def backward(self, dy, x, *, parameters=True, limits=None):
        dacc, gradients = float_tail_backward(dy, self.products(x), self, limits)
        dx, dweights = self.pull(dacc, x, parameters)
        return [dx.reshape(x.shape)], {**gradients, "weights": dweights} if parameters else {}

    def exact_dtype(self):
        """Return float32 if no partial integer sum can reach 2^24, else float64 (2^53 is far above any accumulator)."""
        weights = np.abs(weights_of(self).astype(np.int64))
        largest = weights.reshape(len(weights), -1).sum(axis=1).max() * max(self.input_zero, 255 - self.input_zero)
        return np.float32 if largest < 2**24 else np.float64

    def levels(self, work):
        """Return scale and zero point of the result, and other fields that lowering determines."""
        scale, zero = work.output(self)
        return {"scale": scale, "zero": zero}

    def lower(self, work, before):
        decided = self.levels(work)
        weights, tail = lower_tail(self, work, before[0], decided["scale"], decided["zero"],
                                   saturates=decided.get("output", "uint8") == "uint8")
        return replace(self, **decided, weights=weights, tail=tail, input_zero=before[0].zero)

    def dequantize(self, graph):
        scale = graph[self.inputs[0]].scale
        weights, tail = dequantized_lite(self, weights_of(self), scale) if self.lite else dequantized(self, scale)
        return replace(self, scale=None, zero=0, input_zero=0, variant="direct", weights=weights, tail=tail)

    def check(self):
        tail = self.tail
        if self.lite:
            check_lite_tail(self, *accumulator_bounds(weights_of(self), self.input_zero))
            return
        if (not 0 <= tail.shift <= 15 or tail.activation not in ACTIVATIONS or not 0 <= self.input_zero <= 255
            or not 0 <= tail.slope < 2**31):
            raise QuantError(
                f"{self.name!r} has shift {tail.shift}, activation {tail.activation}, input zero {self.input_zero}, slope "
                f"{tail.slope}; expected 0..15, one of {', '.join(ACTIVATIONS)}, 0..255, 0..2^31-1"
            )
        if tail.activation == "clamp" and (tail.high is None or (tail.high < 0).any()):
            raise QuantError(f"{self.name!r} clamps at a maximum that is missing or below 0")
        for low, high in tail_extremes(*accumulator_bounds(weights_of(self), self.input_zero), tail):
            if not fits(low, high).all():
                worst = int(np.argmax(np.maximum(high, -low)))
                raise QuantError(
                    f"channel {worst} of {self.name!r} can reach {max(high[worst], -low[worst]):,}; expected to fit 32 bits",
                    "lower the network again: lowering never makes such a graph",
                )

    def check_arrays(self, ndim, before):
        """Check plain or shared weights, the tail's arrays and the input's zero point; return the number of channels."""
        w, dtype = self.weights, np.int8 if self.integer else np.float32
        channels = w.shape[0] if w.shape else 0
        need(len(w.shape) == ndim and 0 < math.prod(w.shape) <= LARGEST, self, f"weights of shape {w.shape}")
        if isinstance(w, SharedWeights):
            need(w.bits in range(1, 9) and w.indices.dtype == np.uint8 and w.codebook.dtype == dtype, self, "a damaged codebook")
            shape = w.codebook.shape
            need(len(shape) in (1, 2) and 0 < shape[-1] <= 2**w.bits and (len(shape) == 1 or shape[0] == channels), self,
                 f"a codebook of shape {shape}")
            need(int(w.indices.max()) < shape[-1], self, "an index that is not in its codebook")
            need(not isinstance(w, CodedWeights) or len(shape) == 1 and bool((w.codebook == 0).any()), self, "coded weights without the value 0")
            w = w.codebook
        need(w.dtype == dtype or self.lite and w.dtype == np.int16 and np.abs(w).max() < 256, self, f"weights of dtype {w.dtype}")
        need(np.isfinite(w).all(), self, "weights that are not finite")
        self._check_tail(channels)
        need(not self.integer or self.input_zero == before.zero, self, "a zero point for its input that is not the input's")
        return channels

    def _check_tail(self, channels):
        tail, dtype = self.tail, np.int32 if self.integer else np.float32
        need(self.variant in VARIANTS, self, f"the variant {self.variant!r}")
        if self.lite:
            need(self.integer and self.dtype == "uint8" and tail.zero == self.zero, self,
                 "TensorFlow Lite's tail, but not its uint8 result or zero point")
            check_lite_fields(self, channels)
            return
        need(isinstance(tail, Tail if self.integer else FloatTail), self,
                 "a float tail where it needs an integer one, or the reverse")
        wanted = [getattr(tail, n) for n in (("bias", "offset", "multiplier") if self.integer else ("bias",))]
        arrays = wanted + [a for n in ("high", "gain", "shift") if isinstance(a := getattr(tail, n, None), np.ndarray)]
        sound = (isinstance(a, np.ndarray) and a.shape == (channels,) and a.dtype == dtype and np.isfinite(a).all() for a in arrays)
        need(all(sound), self, "a damaged tail")
        need(tail.activation in ACTIVATIONS, self, f"the activation {tail.activation!r}")
        need(self.integer or (tail.gain is None) == (tail.shift is None), self, "a gain without a shift")

    @property
    def macc(self):
        return self.results * math.prod(self.weights.shape[1:])

    @property
    def results(self):
        """Number of sums of products, before a pool."""
        return math.prod(self.shape)
