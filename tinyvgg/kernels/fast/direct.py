"""Convolutions of any kernel size and stride, straight from the image: where Winograd does not apply or does not pay.

A row of output pixels is one product in register tiles (see tile.py). The tile's rows are pixels, and its segments are the kernel's
rows: a row of the kernel covers KW * C neighbouring numbers of the image. The input gradient is the reverse: P = dR @ W' for a row,
then the part of each tap is added to the pixels under it.
"""
from tinyvgg.kernels.fast.arena import LINE
from tinyvgg.kernels.fast.elementwise import (
    AFFINE,
    AFFINE_LEAK,
    AFFINE_RELU,
    PLAIN,
    READY,
    RELU,
    RELU_AFFINE,
    RELU_SUMS,
    SUMS,
    add_to_doubles,
    ask,
    clear,
    copy,
    increase,
    share,
    wipe,
)
from tinyvgg.kernels.fast.normalize import gradient_of_row
from tinyvgg.kernels.fast.program import step_at
from tinyvgg.kernels.fast.row_tiles import KIND, NO_FLOOR, make_panels
from tinyvgg.kernels.fast.simd import WIDTH, Kernel, compiled, machine
from tinyvgg.kernels.fast.tile import PAIR, WIDE, panel_width, product, transposed_product

TOGETHER = 8                    # rows of pixels that use a panel of weights one after the other, if a cache holds
HELD = 32_000                   # ... this many elements of them
GAP = 16                        # extra elements between the pixels of a block, where these would share a few sets of the cache
NOTHING, ADDED, OVER = range(3)  # want_input: no dX; added to what is there; written over it


def make_forward(kind):
    """Return the convolution with the panels of one kind. A panel of weights is used for some rows of pixels before the next panel."""
    wide, pair, one = make_panels(kind)

    @compiled
    def rows_of_pixels(step, thread, threads):
        x, y, filters, tail = step.x, step.y, step.y.channels, step.tail
        k, segments = step.kernel_width * x.channels, step.kernel_height
        sums, summed = step.sums + thread * step.sums_size, tail == SUMS or tail == RELU_SUMS
        before = 0.0 if tail == RELU or tail == RELU_SUMS or tail == RELU_AFFINE else NO_FLOOR
        after = 0.0 if tail == AFFINE_RELU else NO_FLOOR
        together = max(1, min(TOGETHER, HELD // (step.stride_height * x.row + y.row)))
        first, last = share(step.images * y.height, thread, threads)
        while first < last:
            until = min(last, first + together)
            j = 0
            while j < filters:
                width = panel_width(filters - j)
                for item in range(first, until):
                    n, i = item // y.height, item % y.height
                    common = (x.at + n * x.image + i * step.stride_height * x.row, step.stride_width * x.channels,
                              x.row * step.dilation_height, step.packed + j * segments * k, k, segments,
                              y.at + n * y.image + i * y.row + j, filters, y.width, step.bias + j, step.mask + n * step.mask_image + j,
                              step.affine + j, sums + j, filters, step.leak, step.ceiling, before, after)
                    if width == WIDE:
                        wide(*common)
                    elif width == PAIR:
                        pair(*common)
                    else:
                        one(*common)
                    if summed:
                        add_to_doubles(sums + j, sums + 2 * (filters + j), width // WIDTH)
                        add_to_doubles(sums + filters + j, sums + 2 * (2 * filters + j), width // WIDTH)
                j += width
            first = until
    return rows_of_pixels


plain_rows, summed_rows, affine_rows, leaky_rows = map(make_forward, (PLAIN, SUMS, AFFINE, AFFINE_LEAK))


@Kernel
def forward(step, thread, threads):
    """Convolve; step.y gets the tail's results. The tail is bias, then ReLU or not."""
    plain_rows(step_at(step), thread, threads)


@Kernel
def forward_summed(step, thread, threads):
    """The same with the dropout's mask; per-channel sums go to step.sums in float64."""
    step = step_at(step)
    clear(step.sums + thread * step.sums_size, step.sums_size // WIDTH)
    summed_rows(step, thread, threads)


@Kernel
def forward_affine(step, thread, threads):
    """The same with scale and offset, and a ReLU before or after them, for inference."""
    affine_rows(step_at(step), thread, threads)


@Kernel
def forward_leaky(step, thread, threads):
    """The same with scale and offset, then a ReLU with a slope for negative values and a ceiling."""
    leaky_rows(step_at(step), thread, threads)


FORWARD = {PLAIN: forward, SUMS: forward_summed, AFFINE: forward_affine, AFFINE_LEAK: forward_leaky}


def forward_with(tail):
    """Return the kernel for a tail."""
    return FORWARD[KIND[tail]]


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
    """Compute from step.g: dX (step.dx) and, where wanted, the thread's part of dW (step.partial, (KH, KW, C, F)) and of the bias' gradient.

    Works on step.block rows of pixels at a time: dR is computed into a buffer, which both products read while it is in the cache.
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
            _ask_for(step, n, i, rows)
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
def _ask_for(step, n, i, rows):
    """Prefetch the pixels that the products of some rows will read and write, while dR is computed."""
    x, dx, many = step.x, step.dx, rows * step.stride_height
    if step.want_gradient:
        ask(x.at + n * x.image + i * step.stride_height * x.row, max(1, many * x.row // LINE))
    if step.want_input != NOTHING:
        ask(dx.at + n * dx.image + i * step.stride_height * dx.row, max(1, many * dx.row // LINE))


@compiled
def spaced(channels):
    """Return the number of elements from pixel to pixel in a block."""
    return channels + GAP if channels % 128 == 0 else channels


@compiled
def _through_tail(step, n, i, rows, buffer, sums):
    """Return the address of dR for some rows of image n, the elements from pixel to pixel there, and the address after the buffer."""
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
    """Copy rows of pixels to a block in which pixels are `spaced`."""
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
    """Return target += source for a row of count pixels: whole vectors, and `rest` lanes of one more."""
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
    """Add k elements for each of count pixels. An incomplete vector reaches beyond its pixel and adds zeros there; this is not allowed
    where another thread's image may begin.
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
