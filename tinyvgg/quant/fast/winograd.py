"""Integer 3x3 convolutions by Winograd's F(4x4, 3x3): a quarter of the products, and exact.

codegen/kernels/tv_winograd4.h has the matrices and the proof. The fractions in G are cleared, so the result is 576 times the sum,
modulo 2^32. 9 has an inverse modulo 2^32, which gives 64 times the sum. This determines the sum if it fits 26 bits, which `fits`
checks. Values B' x B lie within 100 * 255 and weights H w H' within 49 * 128, so both are pairs of int16.

The kernel works on a block of rows of tiles at a time. It computes the values of all patches of the block. Then, for each panel
of channels, it computes the products at the 36 positions, the sums of each row of tiles, and their tail. All of this stays in the
second-level cache.
"""
import numpy as np
from llvmlite import ir

from tinyvgg.kernels.fast.elementwise import share
from tinyvgg.kernels.fast.simd import Kernel, compiled, machine
from tinyvgg.quant.fast.products import PIXEL, finish_block, product_avx2, product_generic
from tinyvgg.quant.fast.steps import step_at
from tinyvgg.quant.fast.vectors import BYTE, LANES, PANEL, SHORT, STEP_BYTES, SUMS, load, put, same, spread

OUTPUT, PATCH = 4, 6
POSITIONS = PATCH * PATCH
GAP = 64                        # bytes between positions: without it they would map to the same cache set
CHANNELS = 16                   # channels in one vector of values
CACHE = 192 * 1024              # bytes of a thread's second-level cache that values and products of a block may fill
FEW = 6                         # with fewer tiles for each thread, threads share the channels instead of the tiles
NINTH = 0x38E38E39              # 9 * this = 1 modulo 2^32
H = np.array([[1, 0, 0], [1, 1, 1], [1, -1, 1], [1, 2, 4], [1, -2, 4], [0, 0, 1]], np.float32)


def weights_of_positions(w):
    """w (F, 3, 3, C) int8 -> H w H' (F, 36, C), int16; computed in float32, where every step is exact."""
    rows = np.matmul(H, w.astype(np.float32).reshape(len(w), 3, -1)).reshape(len(w), PATCH, 3, -1)
    return np.matmul(H, rows).astype(np.int16).reshape(len(w), POSITIONS, -1)


def fits(kernel, strides, dilation, pool, size, channels, low, high):
    """Whether Winograd's algorithm applies, is faster, and is exact. low, high: bounds of the sums, before the bias."""
    ph, pw, sh, sw = pool
    down, across = (-(-n // OUTPUT) for n in size)
    return (tuple(kernel) == (3, 3) and tuple(strides) == tuple(dilation) == (1, 1) and channels % CHANNELS == 0
            and ph <= sh and OUTPUT % sh == 0 and 4 * POSITIONS * down * across < 3 * 9 * size[0] * size[1]
            and max(-int(low.min()), int(high.max())) < 2**25)


def block_of_rows(channels, across):
    """Return the number of rows of tiles in a block."""
    return max(1, CACHE // (POSITIONS * (2 * channels + PIXEL)) // across)


def _values_of(e, d):
    """B' of six vectors of int16."""
    builder, kind = e.builder, d[0].type

    def add(a, b):
        return builder.add(a, b)

    def sub(a, b):
        return builder.sub(a, b)

    def times(a, bits):
        return builder.shl(a, same(kind, bits))
    p, q = sub(times(d[2], 2), d[4]), sub(times(d[1], 2), d[3])
    r, s = sub(d[4], d[2]), sub(d[3], d[1])
    twice = times(s, 1)
    return [add(r, times(sub(d[0], d[2]), 2)), add(p, q), sub(p, q), add(r, twice), sub(r, twice),
            sub(sub(d[5], d[3]), times(s, 2))]


def _sums_of(e, m):
    """A' E of six vectors of int32."""
    builder = e.builder

    def times(a, bits):
        return builder.shl(a, same(SUMS, bits))

    def three(a):
        return builder.add(a, times(a, 1))
    t1, t2 = builder.add(m[1], m[2]), times(builder.sub(m[1], m[2]), 2)
    t3, t4 = builder.add(m[3], m[4]), builder.sub(m[3], m[4])
    return [builder.add(builder.add(times(three(m[0]), 1), times(t1, 2)), t3), builder.add(t2, times(t4, 1)),
            times(builder.add(t1, t3), 2), builder.add(t2, times(builder.add(t4, three(m[5])), 3))]


def _both_ways(e, one_way, grid):
    """one_way along the columns of a grid (a list of rows), then along its rows."""
    columns = [one_way(e, [row[j] for row in grid]) for j in range(PATCH)]
    return [one_way(e, [column[i] for column in columns]) for i in range(len(columns[0]))]


@machine
def transform_patch(e, x, row, pixel, v, position, zero):
    """B' x B of the patch at x, CHANNELS channels."""
    wide, builder = ir.VectorType(SHORT, CHANNELS), e.builder
    minus = spread(e, builder.trunc(zero.value, SHORT), wide)
    grid = [[builder.sub(builder.zext(load(e, x + row * i + pixel * j, ir.VectorType(BYTE, CHANNELS)), wide), minus)
             for j in range(PATCH)] for i in range(PATCH)]
    for i, values in enumerate(_both_ways(e, _values_of, grid)):
        for j, value in enumerate(values):
            put(e, value, v + position * (PATCH * i + j))


@machine
def transform_sums(e, m, position, c, c_row):
    """The sums of a tile of 4x4 pixels, LANES channels, from the products of its positions."""
    grid = [[load(e, m + position * (PATCH * i + j), SUMS) for j in range(PATCH)] for i in range(PATCH)]
    ninth = ir.Constant(SUMS, [NINTH] * LANES)
    for i, values in enumerate(_both_ways(e, _sums_of, grid)):
        for j, value in enumerate(values):
            put(e, e.builder.ashr(e.builder.mul(value, ninth), same(SUMS, 6)),
                c + c_row * i + PIXEL * j)


@compiled
def _patches(step, first, count, v, v_stride):
    """Compute the values of `count` tiles, starting at row of tiles `first`."""
    for t in range(count):
        item, j = first + t // step.across, t % step.across
        x = (step.x_at + item // step.down * step.x_image + item % step.down * (OUTPUT * step.x_row) + j * (OUTPUT * step.x_pixel))
        for c in range(0, step.x_pixel, CHANNELS):
            transform_patch(x + c, step.x_row, step.x_pixel, v + 2 * (t * step.x_pixel + c), v_stride, step.zero)


@compiled
def _finish(step, item, channel, m, m_stride, sums):
    """Compute the sums of a row of tiles for a panel of channels, and apply the tail."""
    c_row = step.conv_width * PIXEL
    for lane in range(0, min(PANEL, step.channels - channel), LANES):
        for j in range(step.across):
            transform_sums(m + j * PIXEL + 4 * lane, m_stride, sums + j * (OUTPUT * PIXEL) + 4 * lane, c_row)
    top = item % step.down * step.tile_rows
    finish_block(step, item // step.down, top, min(step.tile_rows, step.y_height - top), channel, sums)


def make_winograd(kind, product):
    """Return the convolution with a product of pairs."""
    @compiled
    def winograd(step, thread, threads):
        step = step_at(step)
        panels, total = (step.channels + PANEL - 1) // PANEL, step.images * step.down
        (first, last), begin, end = share(total, thread, threads), 0, panels
        if total * step.across < FEW * threads:
            first, last = 0, total
            begin, end = share(panels, thread, threads)
        v = step.scratch + thread * step.scratch_size
        v_stride = 2 * step.rows_many * step.across * step.x_pixel + GAP
        m, m_stride = v + POSITIONS * v_stride, step.rows_many * step.across * PIXEL + GAP
        sums = m + POSITIONS * m_stride
        while first < last and begin < end:
            lines = min(step.rows_many, last - first)
            count = lines * step.across
            _patches(step, first, count, v, v_stride)
            for panel in range(begin, end):
                weights = step.weights + panel * (POSITIONS * step.depth * STEP_BYTES)
                for p in range(POSITIONS):
                    product(v + p * v_stride, 2 * step.x_pixel, 0, weights + p * (step.depth * STEP_BYTES), m + p * m_stride, count,
                            step.depth, 1)
                for r in range(lines):
                    _finish(step, first + r, panel * PANEL, m + r * step.across * PIXEL, m_stride, sums)
            first += lines
    return winograd


_winograd_avx2, _winograd_generic = map(make_winograd, ("avx2", "generic"), (product_avx2, product_generic))


@Kernel
def winograd_avx2(step, thread, threads):
    """Pairs by VPMADDWD."""
    _winograd_avx2(step, thread, threads)


@Kernel
def winograd_generic(step, thread, threads):
    """Pairs in plain arithmetic."""
    _winograd_generic(step, thread, threads)


KERNELS = {"avx2": winograd_avx2, "generic": winograd_generic}
