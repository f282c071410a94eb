"""Weights in the order in which the register tiles read them."""
from tinyvgg.kernels.fast.elementwise import copy, load_float, move, share, store_float
from tinyvgg.kernels.fast.fingerprint import STAMP, unchanged
from tinyvgg.kernels.fast.program import step_at
from tinyvgg.kernels.fast.simd import WIDTH, Kernel, compiled
from tinyvgg.kernels.fast.tile import panel_width


@Kernel
def pack(step, thread, threads):
    """Copy step.kernel (K, F) into panels, step.packed[panel][padded K][panel width]; columns beyond F are zero."""
    pack_panels(step_at(step), thread, threads)


@compiled
def pack_panels(step, thread, threads):
    k, filters = step.depth, step.filters
    padded = (filters + WIDTH - 1) // WIDTH * WIDTH
    first, last = share(k, thread, threads)
    if unchanged(step.kernel + first * filters, (last - first) * filters, 1, 0, step.stamp + thread * 2 * STAMP):
        return
    for i in range(first, last):
        j = 0
        while j < padded:
            width = panel_width(padded - j)
            source, target = step.kernel + i * filters + j, step.packed + j * step.padded_depth + i * width
            if j + width <= filters:
                copy(source, target, width // WIDTH)
            else:
                for lane in range(width):
                    store_float(load_float(source + lane) if j + lane < filters else 0.0, target + lane)
            j += width


@Kernel
def pack_transposed(step, thread, threads):
    """Copy the transpose of step.kernel (K, F) into panels of F rows and K columns; columns beyond K and rows beyond F are
    zero.
    """
    step = step_at(step)
    k, filters = step.depth, step.filters
    rows = (filters + WIDTH - 1) // WIDTH * WIDTH
    padded = (k + WIDTH - 1) // WIDTH * WIDTH
    first, last = share(padded // WIDTH, thread, threads)
    first, last = first * WIDTH, last * WIDTH
    if unchanged(step.kernel, k * filters, 1, 0, step.stamp + thread * 2 * STAMP):
        return
    j = 0
    while j < padded:
        width = panel_width(padded - j)
        for i in range(max(j, first), min(j + width, last)):
            for f in range(rows):
                value = load_float(step.kernel + i * filters + f) if i < k and f < filters else 0.0
                store_float(value, step.packed + j * rows + f * width + i - j)
        j += width


@Kernel
def transpose(step, thread, threads):
    """step.packed (taps, F, C) from step.kernel (taps, C, F)."""
    step = step_at(step)
    rows, columns = step.depth, step.filters
    taps = step.kernel_height * step.kernel_width
    if unchanged(step.kernel, taps * rows * columns, 1, 0, step.stamp + thread * 2 * STAMP):
        return
    first, last = share(columns, thread, threads)
    for t in range(taps):
        at = t * rows * columns
        for f in range(first, last):
            for c in range(rows):
                store_float(load_float(step.kernel + at + c * columns + f), step.packed + at + f * rows + c)


@Kernel
def copy_row(step, thread, threads):
    """step.packed = step.kernel, a row of step.filters elements."""
    step = step_at(step)
    first, last = share(step.filters, thread, threads)
    for i in range(first, last):
        store_float(load_float(step.kernel + i), step.packed + i)


@Kernel
def expand(step, thread, threads):
    """step.packed (taps, padded channels, padded filters) from step.kernel (taps, channels / groups, filters).

    The padding of vectors is zero, and so are the channels of other groups. With a dilated width, the taps of a kernel row are
    that far apart, with zeros between.
    """
    step = step_at(step)
    channels, filters, row = step.real_channels // step.groups, step.filters, step.kernel_width
    size = step.padded_channels * step.padded_filters
    if unchanged(step.kernel, step.taps * channels * filters, 1, 0, step.stamp + thread * 2 * STAMP):
        return
    each = filters // step.groups
    first, last = share(step.taps * channels, thread, threads)
    for item in range(first, last):
        tap, c = item // channels, item % channels
        place = tap // row * ((row - 1) * step.dilation_width + 1) + tap % row * step.dilation_width
        for group in range(step.groups):
            move(step.kernel + item * filters + group * each,
                 step.packed + place * size + (group * channels + c) * step.padded_filters + group * each, each)


@Kernel
def collect(step, thread, threads):
    """The backward pass of `expand`: step.gradient, in the layer's shape, from step.partial (taps, padded channels, padded
    filters)."""
    step = step_at(step)
    channels, filters, row = step.real_channels // step.groups, step.filters, step.kernel_width
    size = step.padded_channels * step.padded_filters
    each = filters // step.groups
    first, last = share(step.taps * channels, thread, threads)
    for item in range(first, last):
        tap, c = item // channels, item % channels
        place = tap // row * ((row - 1) * step.dilation_width + 1) + tap % row * step.dilation_width
        for group in range(step.groups):
            move(step.partial + place * size + (group * channels + c) * step.padded_filters + group * each,
                 step.gradient + item * filters + group * each, each)
