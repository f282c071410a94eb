"""Steps of integer kernels: records of the same size as those of the float kernels, so that the same threads can run them."""
import numpy as np
from numba import carray

from tinyvgg.kernels.fast.arena import address
from tinyvgg.kernels.fast.program import STEP as FLOAT_STEP
from tinyvgg.kernels.fast.simd import as_pointer, compiled

_NAMES = (
    "function", "images", "wait",                           # as in program.STEP
    # uint8 images (or int16 logits) in memory, by byte addresses and distances: input and result
    "x_at", "x_row", "x_image", "x_pixel", "x_height", "x_width",
    "y_at", "y_row", "y_image", "y_pixel", "y_height", "y_width",
    "channels",                                             # of the result, in whole vectors
    "zero",                                                 # the input's zero point
    "weights", "constants", "shift", "leaky", "wide",       # packed; see vectors.BIAS; the tail's settings
    "segments", "segment", "depth",                         # runs of numbers of 32 bits, bytes from one to the next, length
    "window_height", "window_width", "stride_height", "stride_width", "tap_row", "tap_column", "top", "left",
    "pool_height", "pool_width", "pool_stride_height", "pool_stride_width",
    "conv_width",                                           # pixels of a row before the pool
    "rows_few", "rows_many",                                # rows of the result that a thread does at a time
    "across", "down", "tile_rows",                          # of tiles: see winograd.py
    "gate_at", "gate_row", "gate_image", "gate_pixel",      # codes for the way back: see vectors.CLOSED; gate_at 0: none
    "source_channels",                                      # of the caller's images
    "table", "inputs",                                      # of a sum: see windows.add; or of 256 levels
    "each", "x_channel", "y_channels", "join",              # of what moves: see moves.py
    "scratch", "scratch_size", "sums",                      # each thread's, and where the sums are in it
)
STEP = np.dtype([(name, np.int64) for name in _NAMES] + [("rest", np.int64, FLOAT_STEP.itemsize // 8 - len(_NAMES))])
_OF_ITSELF = {"function", "images", "wait"}


@compiled
def step_at(address):
    """Return the step at an address (in elements of four bytes, as in programs), as a record."""
    return carray(as_pointer(address), (1,), STEP)[0]


class Program:
    """Steps in order, and Python functions of the number of images between them."""

    def __init__(self):
        self._rows, self._calls, self._marks, self._steps = [], [], {}, None

    def add(self, kernel, **fields):
        """Add a step. Raises TypeError if the kernel reads a field that is not given."""
        missing = (kernel.fields & set(_NAMES)) - fields.keys() - _OF_ITSELF
        if missing:
            raise TypeError(f"{kernel.function.__name__} reads {', '.join(sorted(missing))} of its step, which is not given")
        self._rows.append((kernel, fields))

    def mark(self, name):
        """Let `run_from` start at the next step under this name; an op may have several steps."""
        self._marks[name] = len(self._rows)

    def call(self, function):
        """Call function(images) after the steps that were added so far."""
        self._calls.append((len(self._rows), function))

    def run_from(self, pool, images, name):
        """Run the steps from the mark `name` on, with the present results of the steps before; no functions run between them."""
        self._prepare(images)
        first = self._marks[name]
        pool.run_at(self._job + first * (STEP.itemsize // 4), len(self._steps) - first)

    def _prepare(self, images):
        if self._steps is None:
            self._finish()
        self._steps["images"] = images

    def run(self, pool, images, source):
        """Run all steps on `images` images at the byte address `source`."""
        self._prepare(images)
        self._steps["x_at"][0] = source
        for first, length, function in self._parts:
            if length:
                pool.run_at(self._job + first * (STEP.itemsize // 4), length)
            if function is not None:
                function(images)

    def _finish(self):
        steps = np.zeros(len(self._rows), STEP)
        for i, (kernel, fields) in enumerate(self._rows):
            for name, value in {**fields, "function": kernel.address, "wait": 1}.items():
                steps[name][i] = value
        self._parts, done = [], 0
        for position, function in [*self._calls, (len(steps), None)]:
            self._parts.append((done, position - done, function))
            done = position
        self._job, self._steps = address(steps), steps
