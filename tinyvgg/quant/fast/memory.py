"""Tensors of a plan in memory, and weights and tails in the order in which the kernels read them."""
from dataclasses import dataclass

import numpy as np

from tinyvgg.quant.fast.vectors import CONSTANTS, LANES, LEAKY, LITE, LITE_SINGLE, PANEL, PLAIN
from tinyvgg.quant.fixedpoint import INT32_MAX, INT32_MIN
from tinyvgg.quant.ops import LiteTail, Tail
from tinyvgg.quant.rounding import shifts

SLACK = 64                      # bytes after a buffer that whole vectors may read


def whole(n, size=LANES):
    """n rounded up to a multiple of size."""
    return -(-n // size) * size


class Tensor:
    """One op's result for a batch: uint8 (int16 for logits), (H, W, C) with a border of the zero point; channels fill whole
    vectors."""

    def __init__(self, op, together=LANES, dtype=None):
        """together: a pixel's channels are padded to a multiple of it. dtype: of the values; None: the op's dtype."""
        self.shape, self.zero = op.shape, op.zero
        self.height, self.width, self.channels = (*(1,) * (3 - len(op.shape)), *op.shape)
        self.dtype = np.dtype(dtype or op.dtype)
        self.pixel = whole(self.channels, together) * self.dtype.itemsize
        self.border = [0, 0, 0, 0]              # rows above and below, columns to the left and right
        self.buffer = None

    def widen(self, top, bottom, left, right):
        """Make the border at least this wide."""
        self.border = [max(pair) for pair in zip(self.border, (top, bottom, left, right), strict=True)]

    @property
    def row(self):
        """Bytes from one row to the next."""
        return (self.border[2] + self.width + self.border[3]) * self.pixel

    @property
    def image(self):
        """Bytes from one image to the next."""
        return (self.border[0] + self.height + self.border[1]) * self.row

    def allocate(self, count):
        """Allocate memory for `count` images."""
        size = count * self.image
        # A convolution that begins inside the border reads whole rows, the last one too: up to a row beyond the end.
        self.buffer = np.full(size + self.row + 2 * SLACK, self.zero if self.dtype == np.uint8 else 0, np.uint8)
        start = -self.buffer.__array_interface__["data"][0] % SLACK
        self._pixels = np.lib.stride_tricks.as_strided(
            self.buffer[start + self.border[0] * self.row + self.border[2] * self.pixel:].view(self.dtype),
            (count, self.height, self.width, self.channels), (self.image, self.row, self.pixel, self.dtype.itemsize))
        self._flat = self.buffer[start:start + size].view(self.dtype).reshape(count, -1)

    @property
    def at(self):
        """Address of the first pixel."""
        return self._pixels.__array_interface__["data"][0]

    def read(self, count):
        """Return a copy of the first `count` images, (count, *shape)."""
        return np.array(self._pixels[:count]).reshape(count, *self.shape)

    def write(self, values):
        """Store images (N, *shape)."""
        self._pixels[:len(values)] = values.reshape(len(values), self.height, self.width, self.channels)

    def fields(self, prefix):
        """Return the step's fields x_... or y_..."""
        numbers = {"at": self.at, "row": self.row, "image": self.image, "pixel": self.pixel, "height": self.height,
                   "width": self.width}
        return {f"{prefix}_{name}": value for name, value in numbers.items()}


def pack(weights, together):
    """weights (F, segments, run), integers -> [panel][segments][run / together][PANEL][together], int16 for pairs, int8 for quads."""
    f, segments, run = weights.shape
    padded = np.zeros((whole(f, PANEL), segments, whole(run, together)), np.int16 if together == 2 else np.int8)
    padded[:f, :, :run] = weights
    blocks = padded.reshape(-1, PANEL, segments, padded.shape[2] // together, together)
    return np.ascontiguousarray(blocks.transpose(0, 2, 3, 1, 4))


@dataclass(frozen=True)
class Ends:
    """The tail of F channels."""
    tail: Tail

    def constants(self, minus=0):
        """Return int32 (vectors, CONSTANTS, LANES) in the order of vectors.BIAS ...; minus (F,) is subtracted from the bias,
        modulo 2^32."""
        tail, zero = self.tail, np.zeros(len(self.tail.multiplier), np.int64)
        clipped = tail.activation in ("relu", "clamp")
        low = zero if clipped else zero + INT32_MIN
        high = tail.high if tail.activation == "clamp" else zero + INT32_MAX
        return _in_vectors([np.asarray(tail.bias, np.int64) - minus, tail.offset, tail.multiplier, low, high, zero + tail.slope,
                            -(np.asarray(tail.multiplier) < 0).astype(np.int64)])

    def fields(self, wide=False):
        """Return the step's fields."""
        return {"shift": self.tail.shift, "leaky": LEAKY if self.tail.activation == "leaky" else PLAIN, "wide": wide}


@dataclass(frozen=True)
class LiteEnds:
    """The tail in TensorFlow Lite's arithmetic, a LiteTail."""
    tail: LiteTail

    def constants(self, minus=0):
        """Return the constants in the order that vectors.finish_lite reads: left and right shift replace offset and slope."""
        tail, single = self.tail, self.tail.rounding == "single"
        exponent, zero = np.asarray(tail.exponent, np.int64), np.zeros(len(tail.multiplier), np.int64)
        left, right = shifts(exponent, single)
        return _in_vectors([np.asarray(tail.bias, np.int64) - minus, left, tail.multiplier, zero + tail.low,
                            zero + tail.high, right, zero], fill="edge")       # a shift by 0 would be one too few for "single"

    def fields(self, wide=False):
        """Return the step's fields."""
        return {"shift": self.tail.zero, "leaky": LITE_SINGLE if self.tail.rounding == "single" else LITE, "wide": wide}


def ends_of(tail):
    """Return the Ends or LiteEnds of a Tail or a LiteTail."""
    return LiteEnds(tail) if isinstance(tail, LiteTail) else Ends(tail)


def _in_vectors(rows, fill="constant"):
    """Return rows (F,) of whole numbers, one for each of vectors.BIAS ..., as int32 (vectors, CONSTANTS, LANES), modulo 2^32."""
    f = len(rows[0])
    padded = np.pad(np.array(rows, np.int64), ((0, 0), (0, whole(f) - f)), fill)
    wrapped = (padded & 0xFFFFFFFF).astype(np.uint32).view(np.int32)
    return np.ascontiguousarray(wrapped.reshape(CONSTANTS, -1, LANES).transpose(1, 0, 2))
