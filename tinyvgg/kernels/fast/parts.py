"""Run steps on a few images at a time (a part). Each worker takes the next part when it is free; nobody waits until all parts are done.

Each worker has a table of steps of its own, whose buffers only it writes, and takes the next part from a common counter. The results do
not depend on which worker takes a part, only the buffers in between do; so no step may mix images.
"""
import numpy as np
from numba import carray

from tinyvgg.kernels.fast.atomics import SPACING, atomic_add
from tinyvgg.kernels.fast.elementwise import share
from tinyvgg.kernels.fast.program import STEP, STEP_SIZE, step_at
from tinyvgg.kernels.fast.simd import Kernel, as_pointer, call_kernel, compiled

PARTS = np.dtype([
    ("next", np.int64, SPACING // 2),                           # the counter, alone in its cache line
    ("count", np.int64), ("images", np.int64),                  # parts, and images in all of them
    ("tables", np.int64), ("workers", np.int64), ("steps", np.int64),       # the first table, number of tables, steps in each
    ("moves", np.int64), ("moved", np.int64),                   # rows of MOVE, and their number
])
MOVE = np.dtype([("place", np.int64), ("base", np.int64), ("stride", np.int64)])    # place: int64s from the table's start; set to base + stride * n
WORDS, IMAGES = STEP.itemsize // 8, STEP.fields["images"][1] // 8


@Kernel
def in_parts(step, thread, threads):
    """Take parts from the record PARTS at step.packed until none is left, and run the steps for each."""
    at = step_at(step).packed
    parts = carray(as_pointer(at), (1,), PARTS)[0]
    if thread >= parts.workers:
        return
    table = parts.tables + thread * parts.steps * STEP_SIZE
    part = atomic_add(at, 1)
    while part < parts.count:
        first, last = share(parts.images, part, parts.count)
        _move(parts, table, first, last - first)
        for i in range(parts.steps):
            call_kernel(step_at(table + i * STEP_SIZE).function, table + i * STEP_SIZE, 0, 1)
        part = atomic_add(at, 1)


@compiled
def _move(parts, table, first, count):
    """Set a table's steps to `count` images from `first` on."""
    words = carray(as_pointer(table), (parts.steps * WORDS,), np.int64)
    for move in carray(as_pointer(parts.moves), (parts.moved,), MOVE):
        words[move.place] = move.base + first * move.stride
    for i in range(parts.steps):
        words[i * WORDS + IMAGES] = count
