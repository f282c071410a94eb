"""Depthwise convolutions: every channel has a filter of its own, so a vector of channels is a vector of filters.

A tap is one weight of a filter. Forward, the taps of a 3x3 window stay in registers while the kernel walks along a row of pixels. For
other windows, a few neighbouring outputs stay in registers while the kernel walks through the taps. The weights are (taps, channels),
padded to whole vectors. Backward, for a stride of 1, dX is gathered: it is dR convolved with the taps in reverse order. For other
strides dX is scattered: each value of dR is added to the pixels that it came from. dW keeps the sums of one kernel row in registers
while the kernel walks along a row of the image. Both go through dR row by row; dR is computed into an image that the thread keeps in
its cache.
"""
from numba import types

from tinyvgg.kernels.fast.arena import LINE
from tinyvgg.kernels.fast.direct import NOTHING, OVER
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
    ask,
    clear,
    following,
    share,
    tail,
    wipe,
)
from tinyvgg.kernels.fast.normalize import gradient_of_row
from tinyvgg.kernels.fast.program import step_at
from tinyvgg.kernels.fast.simd import WIDTH, Kernel, compiled, machine

TOGETHER = 8                    # outputs that stay in registers
AT_ONCE = 16                    # outputs of one vector of channels, before the next vector: their pixels stay in the first-level cache


def make_row(count):
    """Return y = the sum over taps of x * w for `count` neighbouring outputs."""
    @machine
    def row(e, x, x_row, tap, step, w, w_tap, rows, columns, y, y_pixel):
        def outputs(place, weight, sums):
            return [e.load(x + place + step * i).fma(weight, total) for i, total in enumerate(sums)]
        sums = e.loop(rows, [e.zero()] * count, lambda p, outer: e.loop(columns, outer, lambda q, inner: outputs(
            p * x_row + q * tap, e.load(w + (p * columns + q) * w_tap), inner)))
        for i, total in enumerate(sums):
            e.store(total, y + y_pixel * i)
    return row


row_many, row_4, row_one = make_row(TOGETHER), make_row(4), make_row(1)


def make_row_3(neighbours):
    """Return the same for a row of outputs of 3x3 taps. `neighbours`: an output shares two columns with the output before it (stride 1).
    A column is then loaded once, and added to the three outputs that it belongs to.
    """
    @machine
    def row(e, x, x_row, tap, step, w, w_tap, y, y_pixel, count):
        weights = [[e.load(w + w_tap * (3 * p + q)) for p in range(3)] for q in range(3)]

        def column(at):
            return [e.load(at + x_row * p) for p in range(3)]

        def part(values, q):
            return values[2].fma(weights[q][2], values[1].fma(weights[q][1], values[0] * weights[q][0]))

        def following(i, begun):
            values = column(x + (i + 2) * step)
            e.store(begun[0] + part(values, 2), y + i * y_pixel)
            return [begun[1] + part(values, 1), part(values, 0)]

        def alone(i, _):
            parts = [part(column(x + i * step + tap * q), q) for q in range(3)]
            e.store(parts[0] + parts[1] + parts[2], y + i * y_pixel)
            return []
        if neighbours:
            first, second = column(x), column(x + step)
            e.loop(count, [part(first, 0) + part(second, 1), part(second, 0)], following)
        else:
            e.loop(count, [], alone)
    return row


row_3, row_3_apart = make_row_3(True), make_row_3(False)


def make_finish(kind):
    """Return the tail (what follows the sums) for a row of pixels, from the product's buffer to y; see elementwise.tail."""
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


@compiled
def finish(step, source, source_pixel, y, f, mask, sums):
    """Apply the tail to one row of pixels and one vector of filters, from `source` to y."""
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


@compiled
def _row(step, x, x_row, c, stride, y, count, ahead):
    """Compute `count` outputs of one row, a few pixels with all their channels at a time. ahead: number of image rows that the next output
    row reads and this one does not; they are prefetched.
    """
    following = x + ((step.kernel_height - 1) * step.dilation_height + 1) * x_row
    pixel, j = stride * c, 0
    while j < count:
        some = min(AT_ONCE, count - j)
        for r in range(ahead):
            ask(following + r * x_row + j * pixel, max(1, some * pixel // LINE))
        for f in range(0, c, WIDTH):
            at = x + j * pixel + f, x_row * step.dilation_height, step.dilation_width * c, pixel, step.packed + f, c
            if step.kernel_height == 3 and step.kernel_width == 3 and stride == step.dilation_width:
                row_3(*at, y + j * c + f, c, some)
            elif step.kernel_height == 3 and step.kernel_width == 3:
                row_3_apart(*at, y + j * c + f, c, some)
            else:
                _any(step, at, y + j * c + f, c, some)
        j += some


@compiled
def _any(step, at, y, c, count):
    """Compute outputs for a window of any size."""
    x, x_row, tap, pixel, w, w_tap = at
    j = 0
    while j + TOGETHER <= count:
        row_many(x + j * pixel, x_row, tap, pixel, w, w_tap, step.kernel_height, step.kernel_width, y + j * c, c)
        j += TOGETHER
    while j + 4 <= count:
        row_4(x + j * pixel, x_row, tap, pixel, w, w_tap, step.kernel_height, step.kernel_width, y + j * c, c)
        j += 4
    while j < count:
        row_one(x + j * pixel, x_row, tap, pixel, w, w_tap, step.kernel_height, step.kernel_width, y + j * c, c)
        j += 1


@Kernel
def forward(step, thread, threads):
    """Convolve; the tail's results go to step.y, per-channel sums to step.sums in float64."""
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
        _row(step, source, x.row, c, step.stride_width, target, y.width, step.stride_height)
        for f in range(0, c, WIDTH):
            finish(step, target + f, c, target + f, f, mask + f, sums + f)
        if summed:
            add_to_doubles(sums, sums + 2 * c, 2 * c // WIDTH)


@Kernel
def gather_input_gradient(step, thread, threads):
    """dX = dR convolved with the taps in reverse order (step.packed), for a stride of 1; dR (step.g) has a border of zeros."""
    step = step_at(step)
    g, dx, c = step.g, step.dx, step.dx.channels
    first, last = share(step.images * dx.height, thread, threads)
    for item in range(first, last):
        n, i = item // dx.height, item % dx.height
        _row(step, g.at + n * g.image + i * g.row, g.row, c, 1, dx.at + n * dx.image + i * dx.row, dx.width, 1)


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
    """dX += dR * w, tap by tap, in the images that this thread owns; step.dx is the address of the pixel under the first tap."""
    step = step_at(step)
    g, dx = step.g, step.dx
    first, last = share(step.images, thread, threads)
    for n in range(first, last):
        if step.fresh:
            wipe(step.fresh + n * dx.image, dx.image)
        for i in range(g.height):
            _scatter_row(step, g.at + n * g.image + i * g.row, dx.at + n * dx.image + i * step.stride_height * dx.row, g.width)


@compiled
def _scatter_row(step, g, dx, count):
    """Multiply a row of dR by each tap and add it to the pixels under that tap, from dx on."""
    c = step.dx.channels
    for p in range(step.kernel_height):
        for q in range(step.kernel_width):
            place = dx + p * step.dilation_height * step.dx.row + q * step.dilation_width * c
            for f in range(0, c, WIDTH):
                add_row(g + f, c, step.packed + (p * step.kernel_width + q) * c + f, place + f, step.stride_width * c, count)


def make_taps(rows, taps):
    """Return the function that adds sum(dR * x) over a row to w, for rows x taps neighbouring taps."""
    @machine
    def taps_row(e, x, x_row, tap, step, g, pixel, w, across, count, f, stride):
        places = [(p, q) for p in range(rows) for q in range(taps)]

        def body(i, sums):
            value = e.load(g + i * pixel)
            e.prefetch(g + following(f, i, count, pixel))
            e.prefetch(x + x_row * rows + following(f, i, count * stride, 0, stride))
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
            _taps(step, source + f, incoming + f, partial + f, f)


@compiled
def _taps(step, source, g, w, f):
    """Add dW of one row of pixels and one vector of channels."""
    c, across, count = step.g.channels, step.kernel_width, step.g.width
    x_row, tap, pixel = step.dilation_height * step.x.row, step.dilation_width * c, step.stride_width * c
    p = 0
    while p < step.kernel_height:
        q, together = 0, 1
        if across == 3 and p + 3 <= step.kernel_height:
            taps_row_9(source + p * x_row, x_row, tap, pixel, g, c, w + p * across * c, across, count, f,
                       step.stride_width)
            q, together = 3, 3
        while q + 3 <= across:
            taps_row_3(source + p * x_row + q * tap, x_row, tap, pixel, g, c, w + (p * across + q) * c, across, count, f,
                       step.stride_width)
            q += 3
        while q < across:
            taps_row_1(source + p * x_row + q * tap, x_row, tap, pixel, g, c, w + (p * across + q) * c, across, count, f,
                       step.stride_width)
            q += 1
        p += together


@Kernel
def backward(step, thread, threads):
    """Compute from step.g: dX (step.dx) and, where wanted, the thread's part of dW (step.partial) and of the bias' gradient.

    step.own has an image for each thread, with zeros around it. want_input: NOTHING for no dX; OVER to gather it (step.top, step.left:
    offset of the first reversed tap from a pixel); else to scatter it.
    """
    step = step_at(step)
    y, dx, c = step.y, step.dx, step.y.channels
    partial, sums = step.partial + thread * step.partial_size, step.sums + thread * step.sums_size
    if step.want_gradient:
        clear(partial, step.partial_size // WIDTH)
    clear(sums, step.sums_size // WIDTH)
    own, reach = step.own.at + thread * step.own.image, step.dilation_height * (step.kernel_height - 1)
    first, last = share(step.images, thread, threads)
    for n in range(first, last):
        if step.want_input != NOTHING and step.fresh:
            wipe(step.fresh + n * dx.image, dx.image)
        done = 0
        for i in range(y.height):
            row = own + i * step.own.row
            _through_tail(step, n, i, row, sums)
            if step.want_gradient:
                source = step.x.at + n * step.x.image + i * step.stride_height * step.x.row
                for f in range(0, c, WIDTH):
                    _taps(step, source + f, row + f, partial + f, f)
            if step.want_input == OVER:
                until = dx.height if i + 1 == y.height else min(dx.height, i + 1 + step.top - reach)
                while done < until:
                    _gather_row(step, n, done, own)
                    done += 1
            elif step.want_input != NOTHING:
                _scatter_row(step, row, dx.at + n * dx.image + i * step.stride_height * dx.row, y.width)
        add_to_doubles(sums, sums + 2 * c, c // WIDTH)


@compiled
def _through_tail(step, n, i, target, sums):
    """Compute dR of row i of image n."""
    y, g, mask = step.y, step.g, step.mask + n * step.mask_image
    for f in range(0, y.channels, WIDTH):
        gradient_of_row(step, y.at + n * y.image + i * y.row, g.at + n * g.image + i * g.row, y.channels, target, f, mask, sums, y.width,
                        y.channels)


@compiled
def _gather_row(step, n, j, own):
    """Compute row j of dX of image n."""
    dx, c = step.dx, step.dx.channels
    _row(step, own + (j - step.top) * step.own.row - step.left * c, step.own.row, c, 1, dx.at + n * dx.image + j * dx.row, dx.width, 0)


@Kernel
def turn(step, thread, threads):
    """step.packed = step.kernel with its taps in reverse order; both are (taps, padded filters)."""
    step = step_at(step)
    size = step.padded_filters
    first, last = share(step.taps, thread, threads)
    for t in range(first, last):
        for f in range(0, size, WIDTH):
            _copy_vector(step.kernel + (step.taps - 1 - t) * size + f, step.packed + t * size + f)


@machine
def _copy_vector(e, source, target):
    e.store(e.load(source), target)
