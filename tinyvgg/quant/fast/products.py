"""Integer convolutions and dense layers: products in register tiles, read directly from the images, then the tail.

A thread takes a block of rows of one image. For pairs, the rows that the block reads are first expanded into the thread's
scratch; quads are read in place. For each panel of channels, all rows of the block are summed, pooled and finished while they are
in the cache. The sums are exact modulo 2^32 in any order.
"""
from tinyvgg.kernels.fast.elementwise import share
from tinyvgg.kernels.fast.simd import Kernel, compiled
from tinyvgg.quant.fast.steps import step_at
from tinyvgg.quant.fast.vectors import (
    CONSTANTS_BYTES,
    LANES,
    LITE,
    LITE_SINGLE,
    PANEL,
    STEP_BYTES,
    expand,
    finish_byte,
    finish_leaky_byte,
    finish_leaky_wide,
    finish_lite,
    finish_lite_single,
    finish_wide,
    gate,
    make_tile,
    pairs_avx2,
    pairs_plain,
    pool_codes,
    pool_sums,
    pool_sums_2x2,
    quads_plain,
    quads_vnni,
)

PIXEL = 4 * PANEL               # bytes of a pixel's sums
IMAGES = 12                     # images that a dense layer takes at a time


def make_product(kind, dot):
    """Return the function that computes c[rows][PANEL] = a[rows][segments * k] @ b for one packed panel b."""
    six, four, two, one = (make_tile(rows, dot) for rows in (6, 4, 2, 1))

    @compiled
    def product(a, a_row, a_segment, b, c, rows, k, segments):
        r = 0
        while r + 6 <= rows and rows - r != 8:
            six(a + r * a_row, a_row, a_segment, b, c + r * PIXEL, PIXEL, k, segments)
            r += 6
        while r + 4 <= rows:
            four(a + r * a_row, a_row, a_segment, b, c + r * PIXEL, PIXEL, k, segments)
            r += 4
        while r + 2 <= rows:
            two(a + r * a_row, a_row, a_segment, b, c + r * PIXEL, PIXEL, k, segments)
            r += 2
        if r < rows:
            one(a + r * a_row, a_row, a_segment, b, c + r * PIXEL, PIXEL, k, segments)
    return product


@compiled
def finish_row(step, c, channel, y, y_pixel, count):
    """Apply the tail of LANES channels, from `channel` on, to `count` pixels at c."""
    constants = step.constants + channel // LANES * CONSTANTS_BYTES
    if step.wide:
        y += 2 * channel
        if step.leaky:
            finish_leaky_wide(c, PIXEL, y, y_pixel, count, constants, step.shift)
        else:
            finish_wide(c, PIXEL, y, y_pixel, count, constants, step.shift)
    elif step.leaky == LITE:
        finish_lite(c, PIXEL, y + channel, y_pixel, count, constants, step.shift)
    elif step.leaky == LITE_SINGLE:
        finish_lite_single(c, PIXEL, y + channel, y_pixel, count, constants, step.shift)
    elif step.leaky:
        finish_leaky_byte(c, PIXEL, y + channel, y_pixel, count, constants, step.shift)
    else:
        finish_byte(c, PIXEL, y + channel, y_pixel, count, constants, step.shift)


@compiled
def finish_block(step, image, top, rows, channel, c):
    """Pool a panel's sums c and apply the tail, for `rows` rows of the result from `top` on."""
    c_row = step.conv_width * PIXEL
    for lane in range(0, min(PANEL, step.channels - channel), LANES):
        f = channel + lane
        constants = step.constants + f // LANES * CONSTANTS_BYTES
        for r in range(rows):
            at = c + r * step.pool_stride_height * c_row + 4 * lane
            pooled = step.pool_height > 1 or step.pool_width > 1 or step.pool_stride_width > 1
            codes = step.gate_at + image * step.gate_image + (top + r) * step.gate_row + f
            if step.gate_at and pooled:
                pool_codes(at, PIXEL, c_row, step.pool_height, step.pool_width, step.pool_stride_width, step.y_width, constants,
                           codes, step.gate_pixel)
            if step.pool_height == 2 and step.pool_width == 2 and step.pool_stride_width == 2:
                pool_sums_2x2(at, PIXEL, c_row, at, step.y_width, constants)
            elif pooled:
                pool_sums(at, PIXEL, c_row, step.pool_height, step.pool_width, step.pool_stride_width, at, step.y_width, constants)
            if step.gate_at:
                gate(at, PIXEL, codes, step.gate_pixel, step.y_width, constants, step.shift, step.leaky, step.wide, pooled)
            finish_row(step, at, f, step.y_at + image * step.y_image + (top + r) * step.y_row, step.y_pixel, step.y_width)


def make_convolve(kind, product, pairs):
    """Return the convolution with a product of pairs or of quads."""
    @compiled
    def convolve(step, thread, threads):
        step = step_at(step)
        rows = step.rows_many if step.images >= 2 * threads else step.rows_few
        blocks = (step.y_height + rows - 1) // rows
        first, last = share(step.images * blocks, thread, threads)
        scratch = step.scratch + thread * step.scratch_size
        sums, wide = scratch + step.sums, 2 if pairs else 1
        for item in range(first, last):
            image, top = item // blocks, item % blocks * rows
            count = min(rows, step.y_height - top)
            lines = (count - 1) * step.pool_stride_height + step.pool_height
            source = step.x_at + image * step.x_image + top * step.pool_stride_height * step.stride_height * step.x_row
            if pairs:
                read = (lines - 1) * step.stride_height * step.x_row + (step.segments - 1) * step.segment + step.x_row
                expand(source, scratch, (read + 15) // 16, step.zero)
                source = scratch
            for channel in range(0, step.channels, PANEL):
                weights = step.weights + channel // PANEL * (step.segments * step.depth * STEP_BYTES)
                for r in range(lines):
                    product(source + r * step.stride_height * step.x_row * wide, step.stride_width * step.x_pixel * wide,
                            step.segment * wide, weights, sums + r * step.conv_width * PIXEL, step.conv_width, step.depth,
                            step.segments)
                finish_block(step, image, top, count, channel, sums)
    return convolve


def make_connect(kind, product, pairs):
    """Return the dense layer, also for convolutions whose result is one pixel: the rows of the product are images."""
    @compiled
    def connect(step, thread, threads):
        step = step_at(step)
        panels = (step.channels + PANEL - 1) // PANEL
        blocks = (step.images + IMAGES - 1) // IMAGES
        first, last = share(blocks * panels, thread, threads)
        scratch = step.scratch + thread * step.scratch_size
        sums, length = scratch + step.sums, 4 * step.depth * step.segments
        for item in range(first, last):
            begin, channel = item // panels * IMAGES, item % panels * PANEL
            count = min(IMAGES, step.images - begin)
            source = step.x_at + begin * step.x_image
            weights = step.weights + channel * (step.segments * step.depth * STEP_BYTES // PANEL)
            if pairs:
                if item == first or channel == 0:
                    for i in range(count):
                        for s in range(step.segments):
                            expand(source + i * step.x_image + s * step.segment,
                                   scratch + i * length + s * 4 * step.depth, (2 * step.depth + 15) // 16, step.zero)
                product(scratch, length, 0, weights, sums, count, step.depth * step.segments, 1)
            else:
                product(source, step.x_image, step.segment, weights, sums, count, step.depth, step.segments)
            for lane in range(0, min(PANEL, step.channels - channel), LANES):
                f = channel + lane
                if step.gate_at:
                    gate(sums + 4 * lane, PIXEL, step.gate_at + begin * step.gate_image + f, step.gate_image, count,
                         step.constants + f // LANES * CONSTANTS_BYTES, step.shift, step.leaky, step.wide, 0)
                finish_row(step, sums + 4 * lane, f, step.y_at + begin * step.y_image, step.y_image, count)
    return connect


_KINDS = ("avx2", "generic", "vnni", "quads")
product_avx2, product_generic, _vnni, _quads = map(make_product, _KINDS, (pairs_avx2, pairs_plain, quads_vnni, quads_plain))
_OF_KINDS = _KINDS, (product_avx2, product_generic, _vnni, _quads), (True, True, False, False)
_convolve_avx2, _convolve_generic, _convolve_vnni, _convolve_quads = map(make_convolve, *_OF_KINDS)
_connect_avx2, _connect_generic, _connect_vnni, _connect_quads = map(make_connect, *_OF_KINDS)


@Kernel
def convolve_avx2(step, thread, threads):
    """Pairs by VPMADDWD."""
    _convolve_avx2(step, thread, threads)


@Kernel
def convolve_generic(step, thread, threads):
    """Pairs in plain arithmetic."""
    _convolve_generic(step, thread, threads)


@Kernel
def convolve_vnni(step, thread, threads):
    """Quads by VPDPBUSD."""
    _convolve_vnni(step, thread, threads)


@Kernel
def convolve_quads(step, thread, threads):
    """Quads in plain arithmetic: convolve_vnni without its one special instruction, for tests on any machine."""
    _convolve_quads(step, thread, threads)


@Kernel
def connect_avx2(step, thread, threads):
    """Pairs by VPMADDWD."""
    _connect_avx2(step, thread, threads)


@Kernel
def connect_generic(step, thread, threads):
    """Pairs in plain arithmetic."""
    _connect_generic(step, thread, threads)


@Kernel
def connect_vnni(step, thread, threads):
    """Quads by VPDPBUSD."""
    _connect_vnni(step, thread, threads)


@Kernel
def connect_quads(step, thread, threads):
    """Quads in plain arithmetic."""
    _connect_quads(step, thread, threads)


# path -> (convolution, dense layer, inputs in a 32-bit number); "quads" is only for tests of the order that "vnni" uses.
KERNELS = {"avx2": (convolve_avx2, connect_avx2, 2), "generic": (convolve_generic, connect_generic, 2),
           "vnni": (convolve_vnni, connect_vnni, 4), "quads": (convolve_quads, connect_quads, 4)}
