"""Depthwise convolutions: every channel has a filter of its own, so a vector of channels is a vector of filters.

Forward, a few neighbouring outputs at a time stay in registers while the taps pass by; the weights are (taps, channels), filled
up to whole vectors. Backward, dX gathers from dR with the taps turned round where the stride is 1, and else each dR is added
to the pixels that it came from; dW keeps one kernel row's sums in registers while a row of the image passes by.
"""

from tinyvgg.kernels.fast.direct import finish
from tinyvgg.kernels.fast.elementwise import RELU_SUMS, SUMS, add_to_doubles, clear, share, wipe
from tinyvgg.kernels.fast.program import step_at
from tinyvgg.kernels.fast.simd import WIDTH, Kernel, compiled, machine

TOGETHER = 8                    # outputs that stay in registers


def make_row(count, side=None):
    """Return y = the sum over taps of x * w for `count` neighbouring outputs; kernels of side x side unroll."""
    @machine
    def row(e, x, x_row, tap, step, w, w_tap, rows, columns, y, y_pixel):
        def outputs(place, weight, sums):
            return [e.load(x + place + step * i).fma(weight, total) for i, total in enumerate(sums)]
        sums = [e.zero()] * count
        if side:
            for p in range(side):
                for q in range(side):
                    sums = outputs(x_row * p + tap * q, e.load(w + w_tap * (p * side + q)), sums)
        else:
            sums = e.loop(rows, sums, lambda p, outer: e.loop(columns, outer, lambda q, inner: outputs(
                p * x_row + q * tap, e.load(w + (p * columns + q) * w_tap), inner)))
        for i, total in enumerate(sums):
            e.store(total, y + y_pixel * i)
    return row


row_many, row_4, row_one = make_row(TOGETHER), make_row(4), make_row(1)
row_many_3, row_4_3, row_one_3 = make_row(TOGETHER, 3), make_row(4, 3), make_row(1, 3)


@compiled
def _row(step, x, x_row, c, stride, y, count):
    """`count` outputs of one row, a few pixels with all their channels at a time."""
    x_row, tap = x_row * step.dilation_height, step.dilation_width * c
    j = 0
    while j + TOGETHER <= count:
        for f in range(0, c, WIDTH):
            _many(step, x + j * stride * c + f, x_row, tap, stride * c, step.packed + f, c, y + j * c + f)
        j += TOGETHER
    while j + 4 <= count:
        for f in range(0, c, WIDTH):
            _four(step, x + j * stride * c + f, x_row, tap, stride * c, step.packed + f, c, y + j * c + f)
        j += 4
    while j < count:
        for f in range(0, c, WIDTH):
            _one(step, x + j * stride * c + f, x_row, tap, stride * c, step.packed + f, c, y + j * c + f)
        j += 1


@compiled
def _many(step, x, x_row, tap, pixel, w, c, y):
    if step.kernel_height == 3 and step.kernel_width == 3:
        row_many_3(x, x_row, tap, pixel, w, c, 3, 3, y, c)
    else:
        row_many(x, x_row, tap, pixel, w, c, step.kernel_height, step.kernel_width, y, c)


@compiled
def _four(step, x, x_row, tap, pixel, w, c, y):
    if step.kernel_height == 3 and step.kernel_width == 3:
        row_4_3(x, x_row, tap, pixel, w, c, 3, 3, y, c)
    else:
        row_4(x, x_row, tap, pixel, w, c, step.kernel_height, step.kernel_width, y, c)


@compiled
def _one(step, x, x_row, tap, pixel, w, c, y):
    if step.kernel_height == 3 and step.kernel_width == 3:
        row_one_3(x, x_row, tap, pixel, w, c, 3, 3, y, c)
    else:
        row_one(x, x_row, tap, pixel, w, c, step.kernel_height, step.kernel_width, y, c)


@Kernel
def forward(step, thread, threads):
    """Convolve; step.y is what the tail leaves, per-channel sums go to step.sums in float64."""
    step = step_at(step)
    x, y, c = step.x, step.y, step.y.channels
    sums = step.sums + thread * step.sums_size
    summed = step.tail == SUMS or step.tail == RELU_SUMS
    if summed:
        clear(sums, step.sums_size // WIDTH)
    first, last = share(step.images * y.height, thread, threads)
    for item in range(first, last):
        n, i = item // y.height, item % y.height
        source = x.at + n * x.image + i * step.stride_height * x.row
        target, mask = y.at + n * y.image + i * y.row, step.mask + n * step.mask_image
        _row(step, source, x.row, c, step.stride_width, target, y.width)
        for f in range(0, c, WIDTH):
            finish(step, target + f, c, target + f, f, mask + f, sums + f)
        if summed:
            add_to_doubles(sums, sums + 2 * c, 2 * c // WIDTH)


@Kernel
def gather_input_gradient(step, thread, threads):
    """dX = dR convolved with the taps turned round (step.packed), for a stride of 1; dR (step.g) has a border of zeros."""
    step = step_at(step)
    g, dx, c = step.g, step.dx, step.dx.channels
    first, last = share(step.images * dx.height, thread, threads)
    for item in range(first, last):
        n, i = item // dx.height, item % dx.height
        _row(step, g.at + n * g.image + i * g.row, g.row, c, 1, dx.at + n * dx.image + i * dx.row, dx.width)


@machine
def add_row(e, g, g_pixel, w, dx, step, count):
    """dX += dR * w for a row of count outputs and one tap."""
    weight = e.load(w)

    def body(i, _):
        spot = dx + i * step
        e.store(e.load(g + i * g_pixel).fma(weight, e.load(spot)), spot)
        return []
    e.loop(count, [], body)


@Kernel
def scatter_input_gradient(step, thread, threads):
    """dX += dR * w, tap by tap, in the images that this thread owns; dX (step.dx) is seen from the first tap."""
    step = step_at(step)
    g, dx, c = step.g, step.dx, step.g.channels
    first, last = share(step.images, thread, threads)
    for n in range(first, last):
        if step.fresh:
            wipe(step.fresh + n * dx.image, dx.image)
        for i in range(g.height):
            for p in range(step.kernel_height):
                target = dx.at + n * dx.image + (i * step.stride_height + p * step.dilation_height) * dx.row
                for q in range(step.kernel_width):
                    place = target + q * step.dilation_width * c
                    for f in range(0, c, WIDTH):
                        add_row(g.at + n * g.image + i * g.row + f, c, step.packed + (p * step.kernel_width + q) * c + f,
                                place + f, step.stride_width * c, g.width)


def make_taps(rows, taps):
    """Return w += the sum over a row of dR * x for rows x taps neighbouring taps."""
    @machine
    def taps_row(e, x, x_row, tap, step, g, pixel, w, across, count):
        places = [(p, q) for p in range(rows) for q in range(taps)]

        def body(i, sums):
            value = e.load(g + i * pixel)
            e.prefetch(g + (i + count) * pixel)
            e.prefetch(x + i * step + x_row * rows)
            return [e.load(x + i * step + x_row * p + tap * q).fma(value, total)
                    for (p, q), total in zip(places, sums, strict=True)]
        spots = [w + (across * p + q) * pixel for p, q in places]
        for total, spot in zip(e.loop(count, [e.load(spot) for spot in spots], body), spots, strict=True):
            e.store(total, spot)
    return taps_row


taps_row_9, taps_row_3, taps_row_1 = make_taps(3, 3), make_taps(1, 3), make_taps(1, 1)


@Kernel
def kernel_gradient(step, thread, threads):
    """The thread's part of dW (step.partial, (taps, channels)) from x and dR (step.g)."""
    step = step_at(step)
    x, g, c = step.x, step.g, step.g.channels
    partial = step.partial + thread * step.partial_size
    clear(partial, step.partial_size // WIDTH)
    first, last = share(step.images * g.height, thread, threads)
    for item in range(first, last):
        n, i = item // g.height, item % g.height
        source, incoming = x.at + n * x.image + i * step.stride_height * x.row, g.at + n * g.image + i * g.row
        for f in range(0, c, WIDTH):
            _taps(step, source + f, incoming + f, partial + f)


@compiled
def _taps(step, source, g, w):
    """dW of one row of pixels and one vector of channels."""
    c, across, count = step.g.channels, step.kernel_width, step.g.width
    x_row, tap, pixel = step.dilation_height * step.x.row, step.dilation_width * c, step.stride_width * c
    p = 0
    while p < step.kernel_height:
        q, together = 0, 1
        if across == 3 and p + 3 <= step.kernel_height:
            taps_row_9(source + p * x_row, x_row, tap, pixel, g, c, w + p * across * c, across, count)
            q, together = 3, 3
        while q + 3 <= across:
            taps_row_3(source + p * x_row + q * tap, x_row, tap, pixel, g, c, w + (p * across + q) * c, across, count)
            q += 3
        while q < across:
            taps_row_1(source + p * x_row + q * tap, x_row, tap, pixel, g, c, w + (p * across + q) * c, across, count)
            q += 1
        p += together


@Kernel
def turn(step, thread, threads):
    """step.packed = step.kernel with the order of its taps, (taps, padded filters) each, turned round."""
    step = step_at(step)
    size = step.padded_filters
    first, last = share(step.taps, thread, threads)
    for t in range(first, last):
        for f in range(0, size, WIDTH):
            _copy_vector(step.kernel + (step.taps - 1 - t) * size + f, step.packed + t * size + f)


@machine
def _copy_vector(e, source, target):
    e.store(e.load(source), target)
