"""Register tiles of a direct convolution: a row of output pixels by a panel of filters. The tail is applied while the sums are in registers.

    y[r, f] = tail(sum over segments s of  sum over k of a[r*a_row + s*a_segment + k] * b[s*k + k, f])

A segment is a row of the kernel, summed by itself as in tile.py. Tails of one kind share code: a ReLU is a floor of 0, no ReLU is a floor
of minus infinity, which lets every number and NaN through.
"""
from numba import types

from tinyvgg.kernels.fast.elementwise import (
    AFFINE,
    AFFINE_LEAK,
    AFFINE_RELU,
    PLAIN,
    RELU,
    RELU_AFFINE,
    RELU_SUMS,
    SUMS,
)
from tinyvgg.kernels.fast.simd import WIDTH, compiled, machine
from tinyvgg.kernels.fast.tile import REST, ROWS, WIDEST

KIND = {PLAIN: PLAIN, RELU: PLAIN, SUMS: SUMS, RELU_SUMS: SUMS, AFFINE: AFFINE, AFFINE_RELU: AFFINE, RELU_AFFINE: AFFINE,
        AFFINE_LEAK: AFFINE_LEAK}
"""Tail -> the kind of tile that does it."""
NO_FLOOR = float("-inf")


def at_least(value, floor):
    """The value, or the floor where it is smaller; NaN stays."""
    return floor.where(value.below(floor), value)


def make_tail(e, kind, columns, bias, mask, affine, filters, limits):
    """Return tail(value, j): what follows the sum of one output of column j. limits: leak, ceiling, and the floors before and after
    the normalisation.
    """
    leak, ceiling, before, after = map(e.spread, limits)
    shifts = [e.load(bias + j * WIDTH) for j in range(columns)]
    factors = [e.load(mask + j * WIDTH) for j in range(columns)] if kind == SUMS else None
    scales = [e.load(affine + j * WIDTH) for j in range(columns)] if kind >= AFFINE else None
    offsets = [e.load(affine + filters + j * WIDTH) for j in range(columns)] if kind >= AFFINE else None

    def tail(value, j):
        value = value + shifts[j]
        if kind == AFFINE_LEAK:
            return value.fma(scales[j], offsets[j]).leaky(leak, ceiling)
        value = at_least(value, before)
        if kind == SUMS:
            return value * factors[j]
        return at_least(value.fma(scales[j], offsets[j]), after) if kind == AFFINE else value
    return tail


def make_row_tile(rows, columns, kind):
    """Return the tile of rows pixels x columns vectors of filters. SUMS: adds the results and their squares to `sums`, in the order of
    the pixels.
    """
    @machine
    def tile(e, a, a_row, a_segment, b, k, segments, y, pixel, bias, mask, affine, sums, filters, leak: types.float32,
             ceiling: types.float32, before: types.float32, after: types.float32):
        wide, places = columns * WIDTH, [(r, j) for r in range(rows) for j in range(columns)]

        def outer_product(pixels, row, sums):
            lanes = [e.load(row + j * WIDTH) for j in range(columns)]
            numbers = [e.broadcast(pixels + a_row * r) for r in range(rows)]
            return [numbers[r].fma(lanes[j], total) for (r, j), total in zip(places, sums, strict=True)]

        def segment(s, totals):
            a_s, b_s = a + s * a_segment, b + s * k * wide
            parts = e.loop(k, [e.zero()] * len(places), lambda i, sums: outer_product(a_s + i, b_s + i * wide, sums))
            return [total + part for total, part in zip(totals, parts, strict=True)]

        values = e.loop(segments, [e.zero()] * len(places), segment)
        tail = make_tail(e, kind, columns, bias, mask, affine, filters, (leak, ceiling, before, after))
        spots = [sums + j * WIDTH for j in range(columns)] if kind == SUMS else []
        added = [[e.load(spot), e.load(spot + filters)] for spot in spots]
        for (r, j), value in zip(places, values, strict=True):
            value = tail(value, j)
            e.store(value, y + pixel * r + j * WIDTH)
            if spots:
                added[j] = [added[j][0] + value, value.fma(value, added[j][1])]
        for spot, (total, squares) in zip(spots, added, strict=True):
            e.store(total, spot)
            e.store(squares, spot + filters)
    return tile


def make_panel(columns, kind):
    """Return the function that computes `count` pixels of a row by a panel of `columns` vectors."""
    rows = ROWS[columns]
    full, four, two, one = (make_row_tile(size, columns, kind) for size in (rows, *REST))

    @compiled
    def panel(a, a_row, a_segment, b, k, segments, y, pixel, count, bias, mask, affine, sums, filters, leak, ceiling, before, after):
        r = 0
        while r + rows <= count and (rows != 6 or (segments == 1 and count - r != 8)):      # of 6 rows, not two sums of each fit
            full(a + r * a_row, a_row, a_segment, b, k, segments, y + r * pixel, pixel, bias, mask, affine, sums, filters, leak, ceiling,
                 before, after)
            r += rows
        while r + 4 <= count:
            four(a + r * a_row, a_row, a_segment, b, k, segments, y + r * pixel, pixel, bias, mask, affine, sums, filters, leak, ceiling,
                 before, after)
            r += 4
        while r + 2 <= count:
            two(a + r * a_row, a_row, a_segment, b, k, segments, y + r * pixel, pixel, bias, mask, affine, sums, filters, leak, ceiling,
                before, after)
            r += 2
        while r < count:
            one(a + r * a_row, a_row, a_segment, b, k, segments, y + r * pixel, pixel, bias, mask, affine, sums, filters, leak, ceiling,
                before, after)
            r += 1
    return panel


def make_panels(kind):
    """Return the panels of WIDEST, two and one vectors. If WIDEST is two, the first two are the same."""
    widest, one = make_panel(WIDEST, kind), make_panel(1, kind)
    return widest, widest if WIDEST == 2 else make_panel(2, kind), one
