"""Depthwise convolutions: every channel has a filter of its own, so a vector of channels is a vector of filters.

Forward, a few neighbouring outputs at a time stay in registers while the taps pass by; the weights are (taps, channels), filled
up to whole vectors. Backward, dX gathers from dR with the taps turned round where the stride is 1, and else each dR is added
to the pixels that it came from; dW keeps one kernel row's sums in registers while a row of the image passes by.
"""

from tinyvgg.kernels.fast.direct import finish
from tinyvgg.kernels.fast.elementwise import RELU_SUMS, SUMS, add_to_doubles, clear, share, wipe
from tinyvgg.kernels.fast.program import step_at
from tinyvgg.kernels.fast.simd import REGISTERS, WIDTH, Kernel, compiled, machine

TOGETHER = 8 if REGISTERS == 32 else 6          # outputs that stay in registers


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


row_many, row_one = make_row(TOGETHER), make_row(1)
row_many_3, row_one_3 = make_row(TOGETHER, 3), make_row(1, 3)


@compiled
def _row(step, x, x_row, channels, stride, w, y, y_pixel, count):
    """`count` outputs of one row, one vector of channels."""
    tap, rows, columns = step.dilation_width * channels, step.kernel_height, step.kernel_width
    small = rows == 3 and columns == 3
    x_row = x_row * step.dilation_height
    j = 0
    while j + TOGETHER <= count:
        common = (x + j * stride * channels, x_row, tap, stride * channels, w, channels, rows, columns, y + j * y_pixel, y_pixel)
        if small:
            row_many_3(*common)
        else:
            row_many(*common)
        j += TOGETHER
    while j < count:
        common = (x + j * stride * channels, x_row, tap, stride * channels, w, channels, rows, columns, y + j * y_pixel, y_pixel)
        if small:
            row_one_3(*common)
        else:
            row_one(*common)
        j += 1


@Kernel
def forward(step, thread, threads):
    """Convolve; step.y is what the tail leaves, per-channel sums go to step.sums in float64."""
    step = step_at(step)
    x, y, c = step.x, step.y, step.y.channels
    buffer, sums = step.scratch + thread * step.scratch_size, step.sums + thread * step.sums_size
    summed = step.tail == SUMS or step.tail == RELU_SUMS
    if summed:
        clear(sums, step.sums_size // WIDTH)
    first, last = share(step.images * y.height, thread, threads)
    for item in range(first, last):
        n, i = item // y.height, item % y.height
        source = x.at + n * x.image + i * step.stride_height * x.row
        target, mask = y.at + n * y.image + i * y.row, step.mask + n * step.mask_image
        for f in range(0, c, WIDTH):
            _row(step, source + f, x.row, c, step.stride_width, step.packed + f, buffer, WIDTH, y.width)
            finish(step, buffer, WIDTH, target + f, f, mask + f, sums + f)
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
        for f in range(0, c, WIDTH):
            _row(step, g.at + n * g.image + i * g.row + f, g.row, c, 1, step.packed + f, dx.at + n * dx.image + i * dx.row + f, c,
                 dx.width)


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


def make_taps(taps):
    """Return w += the sum over a row of dR * x for `taps` neighbouring taps."""
    @machine
    def taps_row(e, x, tap, step, g, pixel, w, count):
        def body(i, sums):
            value = e.load(g + i * pixel)
            return [e.load(x + i * step + tap * q).fma(value, total) for q, total in enumerate(sums)]
        spots = [w + pixel * q for q in range(taps)]
        for total, spot in zip(e.loop(count, [e.load(spot) for spot in spots], body), spots, strict=True):
            e.store(total, spot)
    return taps_row


taps_row_3, taps_row_1 = make_taps(3), make_taps(1)


@Kernel
def kernel_gradient(step, thread, threads):
    """The thread's part of dW (step.partial, (taps, channels)) from x and dR (step.g)."""
    step = step_at(step)
    x, g, c, across = step.x, step.g, step.g.channels, step.kernel_width
    partial = step.partial + thread * step.partial_size
    clear(partial, step.partial_size // WIDTH)
    tap = step.dilation_width * c
    first, last = share(step.images, thread, threads)
    for n in range(first, last):
        for i in range(g.height):
            for p in range(step.kernel_height):
                source = x.at + n * x.image + (i * step.stride_height + p * step.dilation_height) * x.row
                for f in range(0, c, WIDTH):
                    q, incoming = 0, g.at + n * g.image + i * g.row + f
                    w = partial + p * across * c + f
                    while q + 3 <= across:
                        taps_row_3(source + q * tap + f, tap, step.stride_width * c, incoming, c, w + q * c, g.width)
                        q += 3
                    while q < across:
                        taps_row_1(source + q * tap + f, tap, step.stride_width * c, incoming, c, w + q * c, g.width)
                        q += 1


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
