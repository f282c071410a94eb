"""Memory for a plan: one block, and images with a border of zeros for convolutions."""
import mmap
from dataclasses import dataclass, replace

import numpy as np

from tinyvgg.errors import DataError
from tinyvgg.kernels.fast.simd import WIDTH

LINE = 16       # float32 elements in a cache line
LARGE_PAGE = 1 << 21            # bytes


def whole_vectors(n):
    """Return n rounded up to a multiple of WIDTH."""
    return -(-n // WIDTH) * WIDTH


@dataclass(frozen=True)
class Tensor:
    """The place of images in memory; the fields of program.TENSOR. Addresses are in float32 elements."""
    at: int
    row: int
    image: int
    height: int
    width: int
    channels: int

    def as_record(self):
        return self.at, self.row, self.image, self.height, self.width, self.channels

    def shifted(self, top, left):
        """Return the same images, but starting `top` rows above and `left` columns before their first pixel."""
        return replace(self, at=self.at - top * self.row - left * self.channels)

    def flat(self):
        """Return the same images, which have no borders, as a matrix with one pixel in each row."""
        return Tensor(self.at, self.image, self.image, 1, 1, self.image)


def zeros(size, dtype=np.float32):
    """Return `size` zeros, as np.zeros. For many of them the system is asked for large pages: other memory may be in small ones since
    somebody else had it, and then a walk through many images waits for the translation of addresses.
    """
    length = size * np.dtype(dtype).itemsize
    if length < LARGE_PAGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.zeros(size, dtype)
    try:
        block = mmap.mmap(-1, length + LARGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)     # private: a child gets its own
        block.madvise(mmap.MADV_HUGEPAGE)
    except (OSError, OverflowError):    # no memory, which NumPy says best, or a system that was built without large pages
        return np.zeros(size, dtype)
    first = -np.frombuffer(block, np.uint8).ctypes.data % LARGE_PAGE
    return np.frombuffer(block, dtype, size, first)


class Arena:
    """One block of zeros, given out in order. `Arena(0)` only counts: build once with it, then again with the size that it
    found. `lasting` asks for large pages, which pays for what is used again and again."""

    def __init__(self, size, *, lasting=False):
        self._block = (zeros if lasting else np.zeros)(size + LINE if size else 0, np.float32)
        self._start = address(self._block)
        self._base = -(-self._start // LINE) * LINE if size else LINE
        self.used = 0

    def take(self, size):
        """Return the address of `size` zeros, at the beginning of a cache line."""
        at = self._base + self.used
        self.used += -(-size // LINE) * LINE
        return at

    def fill(self, at, size, value):
        """Set elements to a value."""
        if self._block.size:
            self.matrix(at, 1, size)[:] = value

    def put(self, at, values):
        """Write a row of numbers."""
        if self._block.size:
            self.matrix(at, 1, len(values))[:] = values

    def matrix(self, at, rows, columns):
        """Return the array (rows, columns) at an address; it shares the arena's memory."""
        start = at - self._start
        return self._block[start:start + rows * columns].reshape(rows, columns)

    def images(self, count, height, width, channels, border=(0, 0, 0, 0)):
        """Return the Tensor of `count` images with (top, bottom, left, right) zeros around each."""
        top, bottom, left, right = border
        row = (left + width + right) * channels
        size = (top + height + bottom) * row
        return Tensor(self.take(count * size + LINE) + top * row + left * channels, row, size, height, width, channels)

    def view(self, tensor, count):
        """Return the pixels of a Tensor as an array (count, H, W, C) that shares its memory."""
        item = self._block.itemsize
        return np.ndarray((count, tensor.height, tensor.width, tensor.channels), np.float32, self._block, (tensor.at - self._start) * item,
                          (tensor.image * item, tensor.row * item, tensor.channels * item, item))


def address(array):
    """The address of an array in elements of 4 bytes; the caller keeps the array alive. DataError where there is none."""
    at = array.__array_interface__["data"][0]
    if at % 4 or not array.flags.c_contiguous:
        raise DataError(f"an array of shape {array.shape} is not contiguous, or does not begin at a multiple of 4 bytes",
                        'np.require(array, requirements="CA"); for weights layer.set_weight(name, array)')
    return at // 4
