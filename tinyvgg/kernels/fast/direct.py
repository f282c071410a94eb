"""Convolutions of any kernel size and stride, straight from the image: where Winograd does not apply or does not pay.

A row of output pixels is one register-tile product whose rows are pixels: a kernel row meets KW * C neighbouring numbers, and the
tile's segments are the kernel rows. The input gradient goes the other way: P = dR @ W' for a row, then each tap is added to
its place.
"""
from numba import types

from tinyvgg.kernels.fast.elementwise import (
    AFFINE,
    AFFINE_LEAK,
    AFFINE_POOL,
    AFFINE_RELU,
    PLAIN,
    RELU,
    RELU_SUMS,
    SUMS,
    add_to_doubles,
    clear,
    increase,
    share,
    tail,
    wipe,
)
from tinyvgg.kernels.fast.program import step_at
from tinyvgg.kernels.fast.simd import WIDTH, Kernel, compiled, machine
from tinyvgg.kernels.fast.tile import blocked_product, panel_width, product, transposed_product


def make_finish(kind):
    """Return the tail for a row of pixels, from the product's buffer to y; see elementwise.tail."""
    @machine
    def finish_row(e, source, source_pixel, y, pixel, count, bias, mask, affine, sums, filters, leak: types.float32):
        shift = e.load(bias)
        factors, slope = e.load(mask) if kind in (SUMS, RELU_SUMS) else None, e.spread(leak)
        scale = [e.load(affine), e.load(affine + filters)] if kind >= AFFINE else None

        def body(i, totals):
            value = e.load(source + i * source_pixel)
            value = tail(e, value, kind, bias=shift, mask=factors, affine=scale, leak=slope)
            e.store(value, y + i * pixel)
            return [totals[0] + value, value.fma(value, totals[1])] if totals else []
        places = [sums, sums + filters] if kind in (SUMS, RELU_SUMS) else []
        for total, at in zip(e.loop(count, [e.load(at) for at in places], body), places, strict=True):
            e.store(total, at)
    return finish_row


finish_plain, finish_relu, finish_sums, finish_relu_sums = map(make_finish, (PLAIN, RELU, SUMS, RELU_SUMS))
finish_affine, finish_affine_relu, finish_affine_leak, finish_relu_affine = map(make_finish, range(AFFINE, AFFINE_POOL))


@Kernel
def forward(step, thread, threads):
    """Convolve; step.y is what the tail leaves, per-channel sums go to step.sums in float64."""
    step = step_at(step)
    x, y, filters = step.x, step.y, step.y.channels
    k = step.kernel_width * x.channels
    depth = step.kernel_height * k
    buffer, sums = step.scratch + thread * step.scratch_size, step.sums + thread * step.sums_size
    summed = step.tail == SUMS or step.tail == RELU_SUMS
    if summed:
        clear(sums, step.sums_size // WIDTH)
    first, last = share(step.images * y.height, thread, threads)
    for item in range(first, last):
        n, i = item // y.height, item % y.height
        source = x.at + n * x.image + i * step.stride_height * x.row
        target, mask = y.at + n * y.image + i * y.row, step.mask + n * step.mask_image
        j = 0
        while j < filters:
            width = panel_width(filters - j)
            blocked_product(source, step.stride_width * x.channels, x.row * step.dilation_height, step.packed + j * depth,
                            buffer, width, y.width, width, k, step.kernel_height)
            for lane in range(0, width, WIDTH):
                f = j + lane
                finish(step, buffer + lane, width, target + f, f, mask + f, sums + f)
            j += width
        if summed:
            add_to_doubles(sums, sums + 2 * filters, 2 * filters // WIDTH)


@compiled
def finish(step, source, source_pixel, y, f, mask, sums):
    """The tail for one row of pixels and one vector of filters, from `source` to y."""
    filters, tail = step.y.channels, step.tail
    common = (source, source_pixel, y, filters, step.y.width, step.bias + f, mask, step.affine + f, sums, filters, step.leak)
    if tail == PLAIN:
        finish_plain(*common)
    elif tail == RELU:
        finish_relu(*common)
    elif tail == SUMS:
        finish_sums(*common)
    elif tail == RELU_SUMS:
        finish_relu_sums(*common)
    elif tail == AFFINE:
        finish_affine(*common)
    elif tail == AFFINE_RELU:
        finish_affine_relu(*common)
    elif tail == AFFINE_LEAK:
        finish_affine_leak(*common)
    else:
        finish_relu_affine(*common)


@Kernel
def kernel_gradient(step, thread, threads):
    """The thread's part of dW (step.partial, (KH, KW, C, F)) from x and dR (step.g)."""
    step = step_at(step)
    x, g, filters = step.x, step.g, step.g.channels
    rows = step.kernel_width * x.channels
    partial = step.partial + thread * step.partial_size
    clear(partial, step.partial_size // WIDTH)
    first, last = share(step.images, thread, threads)
    for n in range(first, last):
        for p in range(step.kernel_height):
            transposed_product(x.at + n * x.image + p * step.dilation_height * x.row,
                               step.stride_width * x.channels, step.stride_height * x.row,
                               g.at + n * g.image, filters, g.row, partial + p * rows * filters, filters, rows, filters, g.width,
                               g.height)


@Kernel
def gather_gradient(step, thread, threads):
    """Sum the threads' dW into step.gradient."""
    step = step_at(step)
    size = step.depth * step.filters
    first, last = share(size // WIDTH, thread, threads)
    if last > first:
        _sum_copies(step.partial + first * WIDTH, threads, step.partial_size, step.gradient + first * WIDTH, last - first)


@machine
def _sum_copies(e, at, copies, stride, target, count):
    def body(i, _):
        spot = at + i * WIDTH
        total = e.loop(copies, [e.zero()], lambda t, sums: [sums[0] + e.load(spot + t * stride)])
        e.store(total[0], target + i * WIDTH)
        return []
    e.loop(count, [], body)


@Kernel
def input_gradient(step, thread, threads):
    """dX (step.dx) from dR (step.g) and the transposed kernel, for the images that this thread owns."""
    step = step_at(step)
    g, dx, filters = step.g, step.dx, step.g.channels
    k = step.kernel_width * dx.channels
    padded = (step.kernel_height * k + WIDTH - 1) // WIDTH * WIDTH
    buffer = step.scratch + thread * step.scratch_size
    first, last = share(step.images, thread, threads)
    for n in range(first, last):
        if step.fresh:
            wipe(step.fresh + n * dx.image, dx.image)
        for i in range(g.height):
            product(g.at + n * g.image + i * g.row, filters, step.packed, buffer, padded, g.width, padded, filters)
            for p in range(step.kernel_height):
                target = dx.at + n * dx.image + (i * step.stride_height + p * step.dilation_height) * dx.row
                _add_taps(buffer + p * k, padded, target, step.stride_width * dx.channels, k, g.width)


@compiled
def _add_taps(source, source_pixel, target, pixel, k, count):
    for j in range(count):
        increase(source + j * source_pixel, target + j * pixel, k)
