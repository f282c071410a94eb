"""Integer ops that move values or look them up in a table of 256 levels; products, and means whose divisor depends on the place.

A step treats x and y as the same pixels: y_height x y_width pixels of source_channels values, x_channel bytes apart in x.
"""
from tinyvgg.kernels.fast.elementwise import share
from tinyvgg.kernels.fast.simd import Kernel, compiled
from tinyvgg.quant.fast.steps import step_at
from tinyvgg.quant.fast.vectors import (
    LANES,
    LITE_SINGLE,
    byte_at,
    copy_byte,
    copy_vectors,
    finish_lite,
    finish_lite_single,
    long_at,
    number_at,
    put_byte,
    put_number,
)

INPUT = 6 * 8                   # bytes of an input's entry in the table of a product: see multiply


@Kernel
def move(step, thread, threads):
    """y = x, or y = table[x]; `each`: bytes from one channel's table to the next. With `join`, y becomes the larger of this value
    and the one already there.
    """
    step = step_at(step)
    first, last = share(step.images * step.y_height, thread, threads)
    vectors = step.source_channels // LANES if step.x_channel == 1 and not step.table else 0
    for item in range(first, last):
        n, i = item // step.y_height, item % step.y_height
        for j in range(step.y_width):
            source = step.x_at + n * step.x_image + i * step.x_row + j * step.x_pixel
            target = step.y_at + n * step.y_image + i * step.y_row + j * step.y_pixel
            if vectors:
                copy_vectors(source, target, vectors)
            for c in range(vectors * LANES, step.source_channels):
                value = source + c * step.x_channel
                if step.table:
                    value = step.table + c * step.each + byte_at(value)
                if not step.join or byte_at(value) > byte_at(target + c):
                    copy_byte(value, target + c)


@Kernel
def reshape(step, thread, threads):
    """Copy the values of each image in order, to pixels of another size: source_channels values a pixel in x, y_channels in y."""
    step = step_at(step)
    first, last = share(step.images, thread, threads)
    for n in range(first, last):
        source, target = step.x_at + n * step.x_image, step.y_at + n * step.y_image
        left = step.y_height * step.y_width * step.y_channels
        i = j = c = p = q = k = 0
        while left:
            count = min(step.source_channels - c, step.y_channels - k)
            _copy(step.table, source + i * step.x_row + j * step.x_pixel + c, target + p * step.y_row + q * step.y_pixel + k, count)
            left, c, k = left - count, c + count, k + count
            if c == step.source_channels:
                c, j = 0, j + 1
                if j == step.x_width:
                    i, j = i + 1, 0
            if k == step.y_channels:
                k, q = 0, q + 1
                if q == step.y_width:
                    p, q = p + 1, 0


@compiled
def _copy(table, source, target, count):
    """Copy count bytes, through a table if there is one."""
    vectors = 0 if table else count // LANES
    if vectors:
        copy_vectors(source, target, vectors)
    for c in range(vectors * LANES, count):
        copy_byte(table + byte_at(source + c) if table else source + c, target + c)


@compiled
def smmulr(a, b):
    """(a * b + 2^31) >> 32."""
    return (a * b + (1 << 31)) >> 32


@compiled
def _saturated(v):
    return min(max(v, 0), 255)


@compiled
def _operand(table, n, i, j, c):
    """Return one value of a product's input, minus the zero point."""
    place = (long_at(table) + n * long_at(table + 8) + i * long_at(table + 16) + j * long_at(table + 24) + c * long_at(table + 32))
    return byte_at(place) - long_at(table + 40)


@Kernel
def multiply(step, thread, threads):
    """The product of two tensors. `table` has for each: its address, the bytes from one image, row, pixel and channel to the next
    (0 along an axis that is broadcast), and its zero point. Then follow offset and multiplier.
    """
    step = step_at(step)
    first, last = share(step.images * step.y_height, thread, threads)
    offset, multiplier = long_at(step.table + 2 * INPUT), long_at(step.table + 2 * INPUT + 8)
    for item in range(first, last):
        n, i = item // step.y_height, item % step.y_height
        for j in range(step.y_width):
            target = step.y_at + n * step.y_image + i * step.y_row + j * step.y_pixel
            for c in range(step.source_channels):
                product = _operand(step.table, n, i, j, c) * _operand(step.table + INPUT, n, i, j, c)
                put_byte(_saturated(smmulr((product << step.shift) + offset, multiplier)), target + c)


@compiled
def _sum(step, source, rows, columns, zero):
    """The sum of a window's values, each minus the zero point."""
    total = -rows * columns * zero
    for p in range(rows):
        for q in range(columns):
            total += byte_at(source + p * step.x_row + q * step.x_pixel)
    return total


@compiled
def _there(place, stride, before, size, window):
    """Return the first position of a window that lies on the map, and how many do, along one axis."""
    first = place * stride - before
    last = min(first + window, size)
    first = max(first, 0)
    return first, last - first


@Kernel
def padded_mean(step, thread, threads):
    """The mean of the values of each window that lie on the map. `table`: offset and multiplier, 32 bits each, for each number of
    values."""
    step = step_at(step)
    first, last = share(step.images * step.y_height, thread, threads)
    for item in range(first, last):
        n, i = item // step.y_height, item % step.y_height
        up, rows = _there(i, step.stride_height, step.top, step.x_height, step.window_height)
        for j in range(step.y_width):
            left, columns = _there(j, step.stride_width, step.left, step.x_width, step.window_width)
            source = step.x_at + n * step.x_image + up * step.x_row + left * step.x_pixel
            target = step.y_at + n * step.y_image + i * step.y_row + j * step.y_pixel
            entry = step.table + 8 * (rows * columns - 1)
            for c in range(step.source_channels):
                v = (_sum(step, source + c, rows, columns, 0) << step.shift) + number_at(entry)
                put_byte(_saturated(smmulr(v, number_at(entry + 4))), target + c)


@Kernel
def lite_mean(step, thread, threads):
    """The same mean in TensorFlow Lite's arithmetic: the sum of x - zero divided by the number of values, ties away from 0.
    `table`: two limits of 32 bits."""
    step = step_at(step)
    first, last = share(step.images * step.y_height, thread, threads)
    low, high = number_at(step.table), number_at(step.table + 4)
    for item in range(first, last):
        n, i = item // step.y_height, item % step.y_height
        up, rows = _there(i, step.stride_height, step.top, step.x_height, step.window_height)
        for j in range(step.y_width):
            left, columns = _there(j, step.stride_width, step.left, step.x_width, step.window_width)
            source = step.x_at + n * step.x_image + up * step.x_row + left * step.x_pixel
            target = step.y_at + n * step.y_image + i * step.y_row + j * step.y_pixel
            for c in range(step.source_channels):
                total, count = _sum(step, source + c, rows, columns, step.zero), rows * columns
                mean = (abs(total) + count // 2) // count
                put_byte(min(max((mean if total >= 0 else -mean) + step.zero, low), high), target + c)


@Kernel
def lite_add(step, thread, threads):
    """The sum of two tensors in TensorFlow Lite's arithmetic. `table` has for each: its address, the bytes from one image and row
    to the next, and the 32-bit summand for each of its levels. The sums of a row go to step.sums, in the scratch; then the tail
    is applied to them.
    """
    step = step_at(step)
    first, last = share(step.images * step.y_height, thread, threads)
    count, entry = step.y_width * step.channels, 24 + 4 * 256
    sums = step.scratch + thread * step.scratch_size
    for item in range(first, last):
        n, i = item // step.y_height, item % step.y_height
        a = long_at(step.table) + n * long_at(step.table + 8) + i * long_at(step.table + 16)
        b = long_at(step.table + entry) + n * long_at(step.table + entry + 8) + i * long_at(step.table + entry + 16)
        levels, others = step.table + 24, step.table + entry + 24
        for k in range(count):
            put_number(number_at(levels + 4 * byte_at(a + k)) + number_at(others + 4 * byte_at(b + k)), sums + 4 * k)
        _finish_row(step, sums, step.y_at + n * step.y_image + i * step.y_row, count)


@compiled
def _finish_row(step, sums, y, count):
    if step.leaky == LITE_SINGLE:
        finish_lite_single(sums, 4 * LANES, y, LANES, count // LANES, step.constants, step.shift)
    else:
        finish_lite(sums, 4 * LANES, y, LANES, count // LANES, step.constants, step.shift)
