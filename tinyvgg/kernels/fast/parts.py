"""Steps that some images at a time go through, each part by whoever is free: nobody waits for anybody until all are done.

Each worker has a table of steps of its own, whose buffers only it writes, and takes the next part from a common counter. Which worker
does a part decides which buffers hold it meanwhile, and nothing else: no step may mix images.
"""
import numpy as np
from numba import carray

from tinyvgg.kernels.fast.atomics import SPACING, atomic_add
from tinyvgg.kernels.fast.elementwise import share
from tinyvgg.kernels.fast.program import STEP, STEP_SIZE, step_at
from tinyvgg.kernels.fast.simd import Kernel, as_pointer, call_kernel, compiled

PARTS = np.dtype([
    ("next", np.int64, SPACING // 2),                           # the counter, alone in its cache lines
    ("count", np.int64), ("images", np.int64),                  # parts, and images in all of them
    ("tables", np.int64), ("workers", np.int64), ("steps", np.int64),       # the first table, how many there are, steps in each
    ("moves", np.int64), ("moved", np.int64),                   # rows of MOVE, and how many
])
MOVE = np.dtype([("place", np.int64), ("base", np.int64), ("stride", np.int64)])    # in int64s from the table's begin; base + stride * image
WORDS, IMAGES = STEP.itemsize // 8, STEP.fields["images"][1] // 8


@Kernel
def in_parts(step, thread, threads):
    """Run the steps of the record PARTS at step.packed for every part that is left."""
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
    """Have a table's steps do `count` images from `first` on."""
    words = carray(as_pointer(table), (parts.steps * WORDS,), np.int64)
    for move in carray(as_pointer(parts.moves), (parts.moved,), MOVE):
        words[move.place] = move.base + first * move.stride
    for i in range(parts.steps):
        words[i * WORDS + IMAGES] = count
