"""Pooling with windows of any size: the largest value, the mean of the pixels inside the image, the largest value of a whole image.

A window that reaches beyond the image is cut to `rows` x `columns` pixels inside it. x is the input, y the output.
"""
import numpy as np
from llvmlite import ir
from numba import types

from tinyvgg.kernels.fast.elementwise import share, wipe
from tinyvgg.kernels.fast.program import step_at
from tinyvgg.kernels.fast.simd import DOUBLE, VECTOR, WIDTH, Kernel, Value, compiled, machine


def over(e, rows, columns, row, pixel, carried, body):
    """Emit carried = body(offset, carried) for each pixel of a window. Loops over sizes that are known when compiling are unrolled."""
    if isinstance(rows, int):
        for i in range(rows):
            for j in range(columns):
                carried = body(row * i + pixel * j, carried)
        return carried
    return e.loop(rows, carried, lambda i, outer: e.loop(
        columns, outer, lambda j, inner: body(i * row + j * pixel, inner)))


def make_largest(side=None):
    """Return y = the largest of each of count windows, one vector of channels; windows of side x side unroll."""
    @machine
    def largest_row(e, x, row, pixel, rows, columns, y, y_pixel, count, step):
        def window(i, _):
            at = x + i * step
            size = (side, side) if side else (rows, columns)
            top = over(e, *size, row, pixel, [e.load(at)], lambda place, best: [best[0].maximum(e.load(at + place))])
            e.store(top[0], y + i * y_pixel)
            return []
        e.loop(count, [], window)
    return largest_row


def make_mean(side=None):
    """Return y = factor * the sum of each of count windows; the factor is a power of two, which rounds nothing."""
    @machine
    def mean_row(e, x, row, pixel, rows, columns, y, y_pixel, count, step, factor: types.float32):
        each = e.spread(factor)

        def window(i, _):
            at = x + i * step
            size = (side, side) if side else (rows, columns)
            total = over(e, *size, row, pixel, [e.zero()], lambda place, sums: [sums[0] + e.load(at + place)])
            e.store(total[0] * each, y + i * y_pixel)
            return []
        e.loop(count, [], window)
    return mean_row


@machine
def exact_mean(e, x, row, pixel, rows, columns, y, pixels: types.float32):
    """y = the mean of rows x columns pixels, one vector of channels, summed in float64, so that the mean of equal values is that value."""
    builder, kind = e.builder, ir.VectorType(DOUBLE, WIDTH)

    def wide(value):
        return Value(e, builder.fpext(value.value, kind))
    total = over(e, rows, columns, row, pixel, [wide(e.zero())], lambda place, sums: [sums[0] + wide(e.load(x + place))])
    mean = builder.fdiv(total[0].value, wide(e.spread(pixels)).value)
    e.store(Value(e, builder.fptrunc(mean, VECTOR)), y)


@compiled
def even(count):
    """Whether a division by the count rounds nothing."""
    return count & (count - 1) == 0


def make_to_largest(side=None):
    """Return dx += g at the first largest value of each of count windows; in a window of NaN the last pixel gets g."""
    @machine
    def to_largest_row(e, x, row, pixel, rows, columns, y, g, y_pixel, count, step, dx):
        def window(i, _):
            at, to, top = x + i * step, dx + i * step, e.load(y + i * y_pixel)
            size = (side, side) if side else (rows, columns)

            def give(place, left):
                wins = e.load(at + place).equals(top)
                e.store(e.load(to + place) + left[0].where(wins, 0.0), to + place)
                return [e.zero().where(wins, left[0])]
            left = over(e, *size, row, pixel, [e.load(g + i * y_pixel)], give)
            last = to + row * (size[0] - 1) + pixel * (size[1] - 1)
            e.store(e.load(last) + left[0], last)
            return []
        e.loop(count, [], window)
    return to_largest_row


def make_spread(side=None):
    """Return dx += factor * g for every pixel of each of count windows."""
    @machine
    def spread_row(e, row, pixel, rows, columns, g, y_pixel, count, step, dx, factor: types.float32):
        share_of = e.spread(factor)

        def window(i, _):
            to, value = dx + i * step, e.load(g + i * y_pixel) * share_of
            size = (side, side) if side else (rows, columns)

            def give(place, _):
                e.store(e.load(to + place) + value, to + place)
                return []
            over(e, *size, row, pixel, [], give)
            return []
        e.loop(count, [], window)
    return spread_row


largest_row, largest_row_2, largest_row_3 = make_largest(), make_largest(2), make_largest(3)
mean_row, mean_row_2 = make_mean(), make_mean(2)
to_largest_row, to_largest_row_2, to_largest_row_3 = make_to_largest(), make_to_largest(2), make_to_largest(3)
spread_row, spread_row_2, spread_row_3 = make_spread(), make_spread(2), make_spread(3)


@compiled
def _cut(place, stride, before, size, kernel):
    """Return the first pixel of a window that is inside the image, and the number of these pixels."""
    first = place * stride - before
    last = min(first + kernel, size)
    first = max(first, 0)
    return first, last - first


@compiled
def _alike(step, j, width, across):
    """Return how many windows from window j of a row on are complete; 1 if window j itself is cut."""
    left = j * step.stride_width - step.left
    if left < 0 or left + step.kernel_width > width:
        return 1
    return min((width - step.kernel_width - left) // step.stride_width + 1, across - j)


@Kernel
def largest(step, thread, threads):
    """y = the largest value of each window."""
    step = step_at(step)
    x, y, c = step.x, step.y, step.x.channels
    first, last = share(step.images * y.height, thread, threads)
    for item in range(first, last):
        n, i = item // y.height, item % y.height
        up, rows = _cut(i, step.stride_height, step.top, x.height, step.kernel_height)
        j = 0
        while j < y.width:
            count = _alike(step, j, x.width, y.width)
            left, columns = _cut(j, step.stride_width, step.left, x.width, step.kernel_width)
            source, target = x.at + n * x.image + up * x.row + left * c, y.at + n * y.image + i * y.row + j * c
            for k in range(0, c, WIDTH):
                common = (source + k, x.row, c, rows, columns, target + k, c, count, step.stride_width * c)
                if rows == 2 and columns == 2:
                    largest_row_2(*common)
                elif rows == 3 and columns == 3:
                    largest_row_3(*common)
                else:
                    largest_row(*common)
            j += count


@Kernel
def mean(step, thread, threads):
    """y = the mean of each window's pixels."""
    step = step_at(step)
    x, y, c = step.x, step.y, step.x.channels
    first, last = share(step.images * y.height, thread, threads)
    for item in range(first, last):
        n, i = item // y.height, item % y.height
        up, rows = _cut(i, step.stride_height, step.top, x.height, step.kernel_height)
        j = 0
        while j < y.width:
            count = _alike(step, j, x.width, y.width)
            left, columns = _cut(j, step.stride_width, step.left, x.width, step.kernel_width)
            source, target = x.at + n * x.image + up * x.row + left * c, y.at + n * y.image + i * y.row + j * c
            pixels = np.float32(rows * columns)
            for k in range(0, c, WIDTH):
                common = (source + k, x.row, c, rows, columns, target + k, c, count, step.stride_width * c, 1 / pixels)
                if rows == 2 and columns == 2:
                    mean_row_2(*common)
                elif even(rows * columns):
                    mean_row(*common)
                else:
                    for w in range(count):
                        exact_mean(source + k + w * step.stride_width * c, x.row, c, rows, columns, target + k + w * c, pixels)
            j += count


@compiled
def _begin(step, n):
    """Clear image n of dx if nothing has been added to it yet."""
    dx = step.dx
    if step.fresh:
        for i in range(dx.height):
            wipe(dx.at + n * dx.image + i * dx.row, dx.width * dx.channels)


@Kernel
def largest_gradient(step, thread, threads):
    """dx gets g at the first largest value of each window. x and dx have equal borders, y and g too. Adds to dx, unless it is fresh."""
    step = step_at(step)
    x, y, dx, c = step.x, step.y, step.dx, step.x.channels
    first, last = share(step.images, thread, threads)
    for n in range(first, last):
        _begin(step, n)
        for i in range(y.height):
            up, rows = _cut(i, step.stride_height, step.top, x.height, step.kernel_height)
            j = 0
            while j < y.width:
                count = _alike(step, j, x.width, y.width)
                left, columns = _cut(j, step.stride_width, step.left, x.width, step.kernel_width)
                place, result = n * x.image + up * x.row + left * c, n * y.image + i * y.row + j * c
                for k in range(0, c, WIDTH):
                    common = (x.at + place + k, x.row, c, rows, columns, y.at + result + k, step.g.at + result + k, c, count,
                              step.stride_width * c, dx.at + place + k)
                    if rows == 2 and columns == 2:
                        to_largest_row_2(*common)
                    elif rows == 3 and columns == 3:
                        to_largest_row_3(*common)
                    else:
                        to_largest_row(*common)
                j += count


@Kernel
def mean_gradient(step, thread, threads):
    """dx gets its share of g for every pixel of each window. Adds to dx, unless it is fresh."""
    step = step_at(step)
    g, dx, c = step.g, step.dx, step.dx.channels
    first, last = share(step.images, thread, threads)
    for n in range(first, last):
        _begin(step, n)
        for i in range(g.height):
            up, rows = _cut(i, step.stride_height, step.top, dx.height, step.kernel_height)
            j = 0
            while j < g.width:
                count = _alike(step, j, dx.width, g.width)
                left, columns = _cut(j, step.stride_width, step.left, dx.width, step.kernel_width)
                place, result = n * dx.image + up * dx.row + left * c, n * g.image + i * g.row + j * c
                factor = np.float32(1 / (rows * columns))
                for k in range(0, c, WIDTH):
                    common = (dx.row, c, rows, columns, g.at + result + k, c, count, step.stride_width * c, dx.at + place + k,
                              factor)
                    if rows == 2 and columns == 2:
                        spread_row_2(*common)
                    elif rows == 3 and columns == 3:
                        spread_row_3(*common)
                    else:
                        spread_row(*common)
                j += count


@machine
def share_largest(e, x, row, pixel, rows, columns, y, g, dx):
    """dx += g, in equal shares, at every pixel that has the largest value; one vector of channels."""
    top, one = e.load(y), e.constant(1.0)
    count = over(e, rows, columns, row, pixel, [e.zero()],
                 lambda place, sums: [sums[0] + one.where(e.load(x + place).equals(top), 0.0)])
    value = e.load(g) / count[0]

    def give(place, _):
        e.store(e.load(dx + place) + value.where(e.load(x + place).equals(top), 0.0), dx + place)
        return []
    over(e, rows, columns, row, pixel, [], give)


@Kernel
def whole_largest_gradient(step, thread, threads):
    """dx gets g in equal shares at every pixel where x is the largest of its whole image."""
    step = step_at(step)
    x, y, g, dx = step.x, step.y, step.g, step.dx
    first, last = share(step.images, thread, threads)
    for n in range(first, last):
        _begin(step, n)
        for k in range(0, x.channels, WIDTH):
            place = n * x.image + k
            share_largest(x.at + place, x.row, x.channels, x.height, x.width, y.at + n * y.image + k, g.at + n * g.image + k,
                          dx.at + place)
