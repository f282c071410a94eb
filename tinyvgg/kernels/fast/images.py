"""Operations on whole images: copied, added, averaged, masked, repeated. Borders may differ, and are not changed.

Pixels are whole vectors of channels, except in `place` and `place_gradient`.
"""
import numpy as np
from numba import types

from tinyvgg.kernels.fast.elementwise import add, clear, copy, increase, move, multiply, share, wipe
from tinyvgg.kernels.fast.pooling import even, exact_mean
from tinyvgg.kernels.fast.program import step_at
from tinyvgg.kernels.fast.simd import WIDTH, Kernel, entry_point, machine


@entry_point
def address_within(x, most):
    """Return the address, in elements, of x (K,) float32 if all lie from 0 to the number whose bits are `most`; else 0. NaN does not."""
    bits, greatest = x.view(np.uint32), np.uint32(0)
    for i in range(len(bits)):
        greatest = max(greatest, bits[i])
    return x.ctypes.data // 4 if greatest <= most else 0


@Kernel
def place(step, thread, threads):
    """Copy step.real_channels channels of each pixel from step.x to step.y; borders and the padding of pixels may differ."""
    step = step_at(step)
    x, y = step.x, step.y
    whole = step.real_channels == x.channels and step.real_channels == y.channels
    first, last = share(step.images * x.height, thread, threads)
    for item in range(first, last):
        n, i = item // x.height, item % x.height
        source, target = x.at + n * x.image + i * x.row, y.at + n * y.image + i * y.row
        if whole:
            move(source, target, x.width * x.channels)
        else:
            for j in range(x.width):
                move(source + j * x.channels, target + j * y.channels, step.real_channels)


@Kernel
def place_gradient(step, thread, threads):
    """The backward pass of `place`: step.dx = step.g, step.real_channels channels of each pixel; dx += g unless fresh."""
    step = step_at(step)
    g, dx = step.g, step.dx
    first, last = share(step.images * dx.height, thread, threads)
    for item in range(first, last):
        n, i = item // dx.height, item % dx.height
        source, target = g.at + n * g.image + i * g.row, dx.at + n * dx.image + i * dx.row
        for j in range(dx.width):
            if step.fresh:
                move(source + j * g.channels, target + j * dx.channels, step.real_channels)
            else:
                increase(source + j * g.channels, target + j * dx.channels, step.real_channels)


@Kernel
def repeat(step, thread, threads):
    """y = x with each pixel repeated stride_height times down and stride_width times across."""
    step = step_at(step)
    x, y = step.x, step.y
    first, last = share(step.images * y.height, thread, threads)
    for item in range(first, last):
        n, i = item // y.height, item % y.height
        source, target = x.at + n * x.image + i // step.stride_height * x.row, y.at + n * y.image + i * y.row
        for j in range(y.width):
            copy(source + j // step.stride_width * x.channels, target + j * y.channels, x.channels // WIDTH)


@Kernel
def repeat_gradient(step, thread, threads):
    """dx = the sum of g over each pixel's repetitions."""
    step = step_at(step)
    g, dx = step.g, step.dx
    first, last = share(step.images * dx.height, thread, threads)
    for item in range(first, last):
        n, i = item // dx.height, item % dx.height
        target = dx.at + n * dx.image + i * dx.row
        wipe(target, dx.width * dx.channels)
        for p in range(step.stride_height):
            source = g.at + n * g.image + (i * step.stride_height + p) * g.row
            for j in range(g.width):
                add(target + j // step.stride_width * dx.channels, source + j * g.channels, dx.channels // WIDTH)


def make_sum(relu):
    """Return y = a + b (then ReLU), count vectors."""
    @machine
    def sum_row(e, a, b, y, count):
        def body(i, _):
            value = e.load(a + i * WIDTH) + e.load(b + i * WIDTH)
            e.store(value.relu() if relu else value, y + i * WIDTH)
            return []
        e.loop(count, [], body)
    return sum_row


sum_row, sum_row_relu = make_sum(False), make_sum(True)


@Kernel
def sum_images(step, thread, threads):
    """y = x + g, for images of the same size with any borders, then ReLU if gate."""
    step = step_at(step)
    x, g, y = step.x, step.g, step.y
    first, last = share(step.images * y.height, thread, threads)
    for item in range(first, last):
        n, i = item // y.height, item % y.height
        a, b, c = x.at + n * x.image + i * x.row, g.at + n * g.image + i * g.row, y.at + n * y.image + i * y.row
        if step.gate:
            sum_row_relu(a, b, c, y.width * y.channels // WIDTH)
        else:
            sum_row(a, b, c, y.width * y.channels // WIDTH)


def make_pass(relu, fresh):
    """Return dx = g, or dx += g without `fresh`, where y > 0 with `relu`; count vectors."""
    @machine
    def pass_row(e, g, y, dx, count):
        def body(i, _):
            value = e.load(g + i * WIDTH)
            value = value.where(e.load(y + i * WIDTH).positive(), 0.0) if relu else value
            e.store(value if fresh else value + e.load(dx + i * WIDTH), dx + i * WIDTH)
            return []
        e.loop(count, [], body)
    return pass_row


pass_row, pass_row_add, pass_row_relu, pass_row_relu_add = (make_pass(*kind) for kind in ((0, 1), (0, 0), (1, 1), (1, 0)))


@Kernel
def pass_gradient(step, thread, threads):
    """dx = g where y > 0 (gate) or everywhere; dx += g unless fresh."""
    step = step_at(step)
    g, y, dx = step.g, step.y, step.dx
    count = y.width * y.channels // WIDTH
    first, last = share(step.images * y.height, thread, threads)
    for item in range(first, last):
        n, i = item // y.height, item % y.height
        a, b, c = g.at + n * g.image + i * g.row, y.at + n * y.image + i * y.row, dx.at + n * dx.image + i * dx.row
        if step.gate and step.fresh:
            pass_row_relu(a, b, c, count)
        elif step.gate:
            pass_row_relu_add(a, b, c, count)
        elif step.fresh:
            pass_row(a, b, c, count)
        else:
            pass_row_add(a, b, c, count)


@machine
def add_pixels(e, x, pixel, y, count):
    """y += the sum of count pixels, one vector of channels."""
    total = e.loop(count, [e.zero()], lambda i, sums: [sums[0] + e.load(x + i * pixel)])[0]
    e.store(e.load(y) + total, y)


@machine
def divide(e, y, count, number: types.float32):
    """y /= number, count vectors."""
    def body(i, _):
        e.store(e.load(y + i * WIDTH) / e.spread(number), y + i * WIDTH)
        return []
    e.loop(count, [], body)


@Kernel
def mean_images(step, thread, threads):
    """y (N, C) = the mean over each image x."""
    step = step_at(step)
    x, y = step.x, step.y
    first, last = share(step.images, thread, threads)
    pixels = np.float32(x.height * x.width)
    for n in range(first, last):
        source, target = x.at + n * x.image, y.at + n * y.image
        if not even(x.height * x.width):
            for c in range(0, x.channels, WIDTH):
                exact_mean(source + c, x.row, x.channels, x.height, x.width, target + c, pixels)
            continue
        clear(target, x.channels // WIDTH)
        for i in range(x.height):
            for c in range(0, x.channels, WIDTH):
                add_pixels(source + i * x.row + c, x.channels, target + c, x.width)
        divide(target, x.channels // WIDTH, pixels)


@machine
def spread_row(e, g, dx, pixel, count, factor: types.float32):
    """dx += factor * g for count pixels, one vector of channels."""
    value = e.load(g) * e.spread(factor)

    def body(i, _):
        at = dx + i * pixel
        e.store(e.load(at) + value, at)
        return []
    e.loop(count, [], body)


@Kernel
def spread_gradient(step, thread, threads):
    """dx = g (N, C) / pixels at every pixel; added to dx unless fresh."""
    step = step_at(step)
    g, dx = step.g, step.dx
    first, last = share(step.images, thread, threads)
    for n in range(first, last):
        for i in range(dx.height):
            row = dx.at + n * dx.image + i * dx.row
            if step.fresh:
                wipe(row, dx.width * dx.channels)
            for c in range(0, dx.channels, WIDTH):
                spread_row(g.at + n * g.image + c, row + c, dx.channels, dx.width, 1 / (dx.height * dx.width))


@Kernel
def mask_images(step, thread, threads):
    """y *= x, for images of the same size with any borders."""
    step = step_at(step)
    x, y = step.x, step.y
    first, last = share(step.images * y.height, thread, threads)
    for item in range(first, last):
        n, i = item // y.height, item % y.height
        multiply(y.at + n * y.image + i * y.row, x.at + n * x.image + i * x.row, y.width * y.channels // WIDTH)
