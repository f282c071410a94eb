"""Elementwise rounding to integer levels, and its gradient, for fine-tuning: real = scale * (whole number).

A step's `leak` is the scale; `threshold` and `ceiling` are the first and the last whole number. In the backward pass, rounding
passes the gradient on, and a value more than half a level beyond either end passes none (Bengio et al., 2013, arXiv:1308.3432).
"""
from numba import types

from tinyvgg.kernels.fast.elementwise import share
from tinyvgg.kernels.fast.program import step_at
from tinyvgg.kernels.fast.simd import WIDTH, Kernel, machine

_ROUND = 1.5 * 2 ** 23                  # adding it rounds to whole numbers, ties to even


@machine
def round_row(e, x, y, count, scale: types.float32, inverse: types.float32, first: types.float32, last: types.float32):
    """y = x at the nearest level, count vectors; NaN stays."""
    size, inverse, low, high = (e.spread(number) for number in (scale, inverse, first, last))

    def body(i, _):
        q = (e.load(x + i * WIDTH) * inverse).maximum(low).minimum(high)
        e.store((q + _ROUND - _ROUND) * size, y + i * WIDTH)
        return []
    e.loop(count, [], body)


@machine
def inside_row(e, x, g, dx, count, lowest: types.float32, highest: types.float32):
    """dx = g where x lies from lowest to highest, else 0; count vectors."""
    low, high = e.spread(lowest), e.spread(highest)

    def body(i, _):
        value = e.load(x + i * WIDTH)
        kept = e.load(g + i * WIDTH).where(value.at_most(high), 0.0)
        e.store(kept.where(value.at_least(low), 0.0), dx + i * WIDTH)
        return []
    e.loop(count, [], body)


@Kernel
def forward(step, thread, threads):
    """y = x at the nearest level."""
    step = step_at(step)
    x, y = step.x, step.y
    start, end = share(step.images * y.height, thread, threads)
    for item in range(start, end):
        n, i = item // y.height, item % y.height
        round_row(x.at + n * x.image + i * x.row, y.at + n * y.image + i * y.row, y.width * y.channels // WIDTH, step.leak,
                  1 / step.leak, step.threshold, step.ceiling)


@Kernel
def backward(step, thread, threads):
    """dx = g where x is not saturated."""
    step = step_at(step)
    x, g, dx = step.x, step.g, step.dx
    lowest, highest = step.leak * (step.threshold - 0.5), step.leak * (step.ceiling + 0.5)
    start, end = share(step.images * x.height, thread, threads)
    for item in range(start, end):
        n, i = item // x.height, item % x.height
        inside_row(x.at + n * x.image + i * x.row, g.at + n * g.image + i * g.row, dx.at + n * dx.image + i * dx.row,
                   x.width * x.channels // WIDTH, lowest, highest)
