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
    READY,
    RELU,
    RELU_SUMS,
    SUMS,
    add_to_doubles,
    clear,
    copy,
    increase,
    share,
    tail,
    wipe,
)
from tinyvgg.kernels.fast.normalize import gradient_of_row
from tinyvgg.kernels.fast.program import step_at
from tinyvgg.kernels.fast.simd import WIDTH, Kernel, compiled, machine
from tinyvgg.kernels.fast.tile import blocked_product, panel_width, product, transposed_product

TOGETHER = 8                    # rows of pixels that take a panel of weights one after the other, if a cache holds
HELD = 32_000                   # ... this many elements of them
GAP = 16                        # elements between the pixels of a block, where they would fall into the same few sets of the cache
NOTHING, ADDED, OVER = range(3)  # want_input: whether dX is wanted, and whether it is the whole of the gradient there


def make_finish(kind):
    """Return the tail for a row of pixels, from the product's buffer to y; see elementwise.tail."""
    @machine
    def finish_row(e, source, source_pixel, y, pixel, count, bias, mask, affine, sums, filters, leak: types.float32,
                   ceiling: types.float32):
        shift = e.load(bias)
        factors, limits = e.load(mask) if kind in (SUMS, RELU_SUMS) else None, (e.spread(leak), e.spread(ceiling))
        scale = [e.load(affine), e.load(affine + filters)] if kind >= AFFINE else None

        def body(i, totals):
            value = e.load(source + i * source_pixel)
            value = tail(e, value, kind, bias=shift, mask=factors, affine=scale, limits=limits)
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
    """Convolve; step.y is what the tail leaves, per-channel sums go to step.sums in float64. A panel of weights serves some rows
    of pixels before the next one comes.
    """
    step = step_at(step)
    sums = step.sums + thread * step.sums_size
    if step.tail == SUMS or step.tail == RELU_SUMS:
        clear(sums, step.sums_size // WIDTH)
    first, last = share(step.images * step.y.height, thread, threads)
    together = max(1, min(TOGETHER, HELD // (step.stride_height * step.x.row + step.y.row)))
    while first < last:
        until = min(last, first + together)
        j = 0
        while j < step.y.channels:
            width = panel_width(step.y.channels - j)
            for item in range(first, until):
                _row(step, item, j, width, step.scratch + thread * step.scratch_size, sums)
            j += width
        first = until


@compiled
def _row(step, item, j, width, buffer, sums):
    """One row of pixels and one panel of filters, from j on."""
    x, y, filters = step.x, step.y, step.y.channels
    n, i = item // y.height, item % y.height
    k = step.kernel_width * x.channels
    target, mask = y.at + n * y.image + i * y.row, step.mask + n * step.mask_image
    blocked_product(x.at + n * x.image + i * step.stride_height * x.row, step.stride_width * x.channels,
                    x.row * step.dilation_height, step.packed + j * step.kernel_height * k, buffer, width, y.width, width, k,
                    step.kernel_height)
    for lane in range(0, width, WIDTH):
        f = j + lane
        finish(step, buffer + lane, width, target + f, f, mask + f, sums + f)
    if step.tail == SUMS or step.tail == RELU_SUMS:
        add_to_doubles(sums + j, sums + 2 * (filters + j), width // WIDTH)
        add_to_doubles(sums + filters + j, sums + 2 * (2 * filters + j), width // WIDTH)


@compiled
def finish(step, source, source_pixel, y, f, mask, sums):
    """The tail for one row of pixels and one vector of filters, from `source` to y."""
    filters, tail = step.y.channels, step.tail
    common = (source, source_pixel, y, filters, step.y.width, step.bias + f, mask, step.affine + f, sums, filters, step.leak,
              step.ceiling)
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
def backward(step, thread, threads):
    """From step.g to dX (step.dx) and, where wanted, the thread's part of dW (step.partial, (KH, KW, C, F)) and of the bias'.

    step.block rows of pixels at a time: dR is computed into a buffer, which both products read while it is in the cache.
    """
    step = step_at(step)
    y, filters = step.y, step.y.channels
    partial, sums = step.partial + thread * step.partial_size, step.sums + thread * step.sums_size
    if step.want_gradient:
        clear(partial, step.partial_size // WIDTH)
    if step.gate != READY:
        clear(sums, step.sums_size // WIDTH)
    first, last = share(step.images, thread, threads)
    for n in range(first, last):
        if step.fresh:
            wipe(step.fresh + n * step.dx.image, step.dx.image)
        for i in range(0, y.height, step.block):
            rows = min(step.block, y.height - i)
            d, pitch, products = _through_tail(step, n, i, rows, step.scratch + thread * step.scratch_size, sums)
            if step.want_gradient:
                _add_kernel_gradient(step, n, i, rows, d, pitch, products, partial)
            if step.want_input == OVER:
                product(d, pitch, step.packed, step.dx.at + n * step.dx.image + i * step.dx.row, step.dx.channels,
                        rows * y.width, step.dx.channels, filters)
            elif step.want_input:
                _add_input_gradient(step, n, i, rows, d, pitch, products)
        if step.gate != READY:
            add_to_doubles(sums, sums + 2 * filters, filters // WIDTH)


@compiled
def spaced(channels):
    """Elements from pixel to pixel in a block."""
    return channels + GAP if channels % 128 == 0 else channels


@compiled
def _through_tail(step, n, i, rows, buffer, sums):
    """Return the place of dR for some rows of image n, elements from pixel to pixel there, and the place behind the buffer."""
    y, g, filters = step.y, step.g, step.y.channels
    pitch = spaced(filters)
    products = buffer + step.block * y.width * pitch
    if step.gate == READY:
        return g.at + n * g.image + i * g.row, filters, products
    mask = step.mask + n * step.mask_image
    for r in range(i, i + rows):
        target = buffer + (r - i) * y.width * pitch
        for f in range(0, filters, WIDTH):
            gradient_of_row(step, y.at + n * y.image + r * y.row, g.at + n * g.image + r * g.row, filters, target, f, mask, sums,
                            y.width, pitch)
    return buffer, pitch, products


@compiled
def _add_kernel_gradient(step, n, i, rows, d, pitch, copies, partial):
    x, filters, width = step.x, step.y.channels, step.y.width
    k, pixel = step.kernel_width * x.channels, step.stride_width * x.channels
    for p in range(step.kernel_height):
        source = x.at + n * x.image + (i * step.stride_height + p * step.dilation_height) * x.row
        if step.kernel_height == 1 and step.kernel_width == 1 and spaced(k) != k:
            _space(source, step.stride_height * x.row, pixel, copies, rows, width, k)
            transposed_product(copies, spaced(k), 0, d, pitch, 0, partial, filters, k, filters, rows * width, 1)
        else:
            transposed_product(source, pixel, step.stride_height * x.row, d, pitch, width * pitch, partial + p * k * filters, filters, k,
                               filters, width, rows)


@compiled
def _space(source, row, pixel, target, rows, width, k):
    """Copy rows of pixels to where they are `spaced`."""
    for r in range(rows):
        for j in range(width):
            copy(source + r * row + j * pixel, target + (r * width + j) * spaced(k), k // WIDTH)


@compiled
def _add_input_gradient(step, n, i, rows, d, pitch, products):
    dx, width = step.dx, step.y.width
    k = step.kernel_width * dx.channels
    padded = (step.kernel_height * k + WIDTH - 1) // WIDTH * WIDTH
    product(d, pitch, step.packed, products, padded, rows * width, padded, step.y.channels)
    for r in range(rows):
        for p in range(step.kernel_height):
            target = dx.at + n * dx.image + ((i + r) * step.stride_height + p * step.dilation_height) * dx.row
            _add_taps(products + r * width * padded + p * k, padded, target, step.stride_width * dx.channels, k, width)


def make_add_pixels(whole, rest):
    """Return target += source for a row of count pixels: `vectors` whole vectors and `rest` lanes of one more."""
    @machine
    def add_pixels(e, source, source_pixel, target, pixel, vectors, lanes, count):
        some = e.first_lanes(lanes) if rest else None

        def add_vector(at, to, wanted=None):
            value = e.load(at)
            e.store(e.load(to) + (value if wanted is None else value.where(wanted, 0.0)), to)
            return []

        def one(i, _):
            at, to = source + i * source_pixel, target + i * pixel
            if whole:
                e.loop(vectors, [], lambda k, _: add_vector(at + k * WIDTH, to + k * WIDTH))
            if rest:
                add_vector(at + vectors * WIDTH, to + vectors * WIDTH, some)
            return []
        e.loop(count, [], one)
    return add_pixels


add_whole, add_rest, add_both = make_add_pixels(True, False), make_add_pixels(False, True), make_add_pixels(True, True)


@compiled
def _add_taps(source, source_pixel, target, pixel, k, count):
    """Add k elements for each of count pixels. A vector that is not whole reaches beyond its pixel, with zeros to add; it must
    not where another thread's image may begin.
    """
    vectors, lanes = k // WIDTH, k % WIDTH
    many = count if lanes == 0 else max(0, count - (WIDTH + pixel - 1) // pixel)
    if many and lanes == 0:
        add_whole(source, source_pixel, target, pixel, vectors, lanes, many)
    elif many and vectors == 0:
        add_rest(source, source_pixel, target, pixel, vectors, lanes, many)
    elif many:
        add_both(source, source_pixel, target, pixel, vectors, lanes, many)
    for j in range(many, count):
        increase(source + j * source_pixel, target + j * pixel, k)
