"""3x3 convolutions of stride 1 by Winograd's F(4x4, 3x3), which needs a quarter of the multiplications.

Forward, for blocks of tiles that stay in the second-level cache:
    V = B' d B for each 6x6 patch;  M[p] = V[p] @ U[p] for the 36 positions p;  Y = A' M A, and the tail (bias, ReLU, ...).
Backward, the adjoint of each step, sharing one transform between both gradients:
    Z = A dY A';  dU[p] += V[p]' @ Z[p] (weights: dW = G' dU G);  dV[p] = Z[p] @ U[p]' (input: dX += B dV B', patches overlap).

Memory: V[p] is (tiles, channels), with WIDTH floats between positions. Without this gap the 36 positions of one tile would map to
the same cache set. U[p] is packed in the panels of `tile.py`.
"""
from numba import types

from tinyvgg.kernels.fast.elementwise import (
    AFFINE,
    AFFINE_LEAK,
    AFFINE_LEAK_POOL,
    AFFINE_POOL,
    AFFINE_RELU,
    AFFINE_RELU_POOL,
    GATE_AFTER,
    GATE_BEFORE,
    NO_GATE,
    PLAIN,
    READY,
    RELU,
    RELU_AFFINE,
    RELU_AFFINE_POOL,
    RELU_SUMS,
    SUMS,
    add_to_doubles,
    clear,
    pooled,
    share,
    tail,
    through_tail,
    unpool,
)
from tinyvgg.kernels.fast.fingerprint import STAMP, unchanged
from tinyvgg.kernels.fast.matrices import A_T, B_T, OUTPUT, PATCH, POSITIONS, G, rows_of_sandwich, sandwich
from tinyvgg.kernels.fast.program import step_at
from tinyvgg.kernels.fast.simd import WIDTH, Kernel, compiled, machine
from tinyvgg.kernels.fast.tile import ROWS_WIDE, WIDE, panel_width, product, transposed_product

CACHE = 160_000         # float32 elements of a thread's second-level cache that a block of tiles may fill
MANY_WEIGHTS = 4096     # channels x filters from which a single tile reads them as they are: transformed they are four times as many
SIDE, INNER = range(PATCH), range(OUTPUT)


def fits(kernel_size, strides, channels, filters):
    """Whether F(4x4, 3x3) applies: 3x3, stride 1, whole vectors of channels and filters."""
    return tuple(kernel_size) == (3, 3) and tuple(strides) == (1, 1) and channels % WIDTH == 0 and filters % WIDTH == 0


def block_of_tiles(channels, filters):
    """Return the number of tiles in a block: as many as the second-level cache holds. With many channels it is larger, because
    every block reads all weights from memory, and these must not be most of what is read.
    """
    held, worth = CACHE // (POSITIONS * (channels + filters)), channels * filters // (2 * (channels + filters))
    return max(8, min(64, max(held, worth) // 8 * 8))


def in_tiles(size):
    """Return `size` rounded up to whole tiles."""
    return -(-size // OUTPUT) * OUTPUT


def _load(e, at, row, column, size):
    return [[e.load(at + row * i + column * j) for j in range(size)] for i in range(size)]


def _store(e, grid, at, row, column):
    for i, values in enumerate(grid):
        for j, value in enumerate(values):
            e.store(value, at + row * i + column * j)


def _store_positions(e, grid, at, stride):
    _store(e, grid, at, stride * PATCH, stride)


def _load_positions(e, at, stride):
    return _load(e, at, stride * PATCH, stride, PATCH)


@machine
def transform_kernel(e, kernel, tap, packed, position):
    """U = G g G' of WIDTH filters: taps of `kernel` are `tap` apart, positions of `packed` are `position` apart."""
    taps = [[e.load(kernel + tap * (3 * i + j)) for j in range(3)] for i in range(3)]
    _store_positions(e, sandwich(G, taps), packed, position)


@machine
def add_product(e, kernel, tap, v, position, m, m_position, count):
    """M[p] += V[p] @ U[p] for one tile, one channel and count vectors of filters, where U = G g G' is made on the way."""
    def body(i, _):
        taps = [[e.load(kernel + i * WIDTH + tap * (3 * a + b)) for b in range(3)] for a in range(3)]
        for p, values in enumerate(rows_of_sandwich(G, taps)):
            for q, value in enumerate(values):
                number, spot = v + position * (PATCH * p + q), m + m_position * (PATCH * p + q) + i * WIDTH
                e.store(e.broadcast(number).fma(value, e.load(spot)), spot)
        return []
    e.loop(count, [], body)


@machine
def transform_kernel_gradient(e, partial, position, copies, copy_stride, gradient, tap):
    """dW = G' dU G, where dU is the sum of the threads' copies."""
    def add_copy(i, sums):
        at = partial + i * copy_stride
        return [total + e.load(at + position * p) for p, total in enumerate(sums)]
    sums = e.loop(copies, [e.zero()] * POSITIONS, add_copy)
    grid = [sums[PATCH * i:PATCH * (i + 1)] for i in SIDE]
    _store(e, sandwich(G.T, grid), gradient, tap * 3, tap)


@machine
def transform_input(e, x, row, column, v, position):
    """V = B' d B of one patch, WIDTH channels."""
    _store_positions(e, sandwich(B_T, _load(e, x, row, column, PATCH)), v, position)


@machine
def transform_gradient(e, g, row, column, z, position):
    """Z = A dY A' of one 4x4 block."""
    _store_positions(e, sandwich(A_T.T, _load(e, g, row, column, OUTPUT)), z, position)


@machine
def add_input_gradient(e, v, position, x, row, column):
    """dX += B dV B'."""
    grid = sandwich(B_T.T, _load_positions(e, v, position))
    for i in SIDE:
        for j in SIDE:
            at = x + row * i + column * j
            e.store(e.load(at) + grid[i][j], at)


def make_output(kind):
    """Return the transform of one 4x4 block Y = A' M A with its tail; see elementwise.tail."""
    @machine
    def output(e, m, position, y, row, column, bias, mask, affine, sums, filters, leak: types.float32, ceiling: types.float32):
        factors = e.load(mask) if kind in (SUMS, RELU_SUMS) else None
        scale = [e.load(affine), e.load(affine + filters)] if kind >= AFFINE else None
        shift, limits = e.load(bias), (e.spread(leak), e.spread(ceiling))
        grid = sandwich(A_T, _load_positions(e, m, position))
        grid = [[tail(e, v, kind, bias=shift, mask=factors, affine=scale, limits=limits) for v in r] for r in grid]
        if kind in (SUMS, RELU_SUMS):
            total, squares = e.load(sums), e.load(sums + filters)
            for value in [v for r in grid for v in r]:
                total, squares = total + value, value.fma(value, squares)
            e.store(total, sums)
            e.store(squares, sums + filters)
        if kind >= AFFINE_POOL:
            grid = [[pooled([grid[i][j], grid[i][j + 1], grid[i + 1][j], grid[i + 1][j + 1]]) for j in (0, 2)] for i in (0, 2)]
        _store(e, grid, y, row, column)
    return output


output_plain, output_relu, output_sums, output_relu_sums = map(make_output, (PLAIN, RELU, SUMS, RELU_SUMS))
output_affine, output_affine_relu, output_affine_leak, output_relu_affine = map(make_output, range(AFFINE, AFFINE_POOL))
output_affine_pool, output_affine_relu_pool, output_affine_leak_pool, output_relu_affine_pool = map(
    make_output, range(AFFINE_POOL, RELU_AFFINE_POOL + 1))


def make_gated_gradient(gate, pool):
    """Return Z = A dR A' where dR comes from g through pooling, normalisation, dropout mask and ReLU, computed while loading.

    dR = [R > 0] * mask * (scale * g + slope0 + slope1 * R); with pooling, g goes to the first largest value of each 2x2 cell.
    """
    inner = NO_GATE if pool and gate == GATE_AFTER else gate

    @machine
    def gated(e, r, r_row, g, g_row, column, affine, slope, mask, filters, z, position, bias_sum):
        factors = e.load(mask)
        scale, offset = e.load(affine), e.load(affine + filters)
        pull = scale * factors
        slopes = e.load(slope) * factors, e.load(slope + filters) * factors
        values = _load(e, r, r_row, column, OUTPUT)
        if pool:
            spread = unpool(e, values, _load(e, g, g_row, column, OUTPUT // 2), scale, offset, gate)
        else:
            spread = _load(e, g, g_row, column, OUTPUT)
        total = e.load(bias_sum)
        grid = [[None] * OUTPUT for _ in INNER]
        for i in INNER:
            for j in INNER:
                grid[i][j] = through_tail(values[i][j], spread[i][j], pull, slopes, scale, offset, inner)
                total = total + grid[i][j]
        e.store(total, bias_sum)
        _store_positions(e, sandwich(A_T.T, grid), z, position)
    return gated


gated_before, gated_before_pool = make_gated_gradient(GATE_BEFORE, False), make_gated_gradient(GATE_BEFORE, True)
gated_after, gated_after_pool = make_gated_gradient(GATE_AFTER, False), make_gated_gradient(GATE_AFTER, True)
gated_none, gated_none_pool = make_gated_gradient(NO_GATE, False), make_gated_gradient(NO_GATE, True)


@compiled
def pack_by(transform, taps, channels, step, thread, threads):
    """Transform step.kernel (taps, C, F) into step.packed, U[position][panel][C][panel width]."""
    step = step_at(step)
    filters = step.y.channels
    first, last = share(channels, thread, threads)
    if unchanged(step.kernel + first * filters, (last - first) * filters, taps, channels * filters, step.stamp + thread * 2 * STAMP):
        return
    for c in range(first, last):
        j = 0
        while j < filters:
            width = panel_width(filters - j)
            for lane in range(0, width, WIDTH):
                transform(step.kernel + c * filters + j + lane, channels * filters,
                          step.packed + j * channels + c * width + lane, channels * filters)
            j += width


@Kernel
def pack(step, thread, threads):
    """Transform the weights of a 3x3 convolution."""
    pack_by(transform_kernel, 9, step_at(step).x.channels, step, thread, threads)


@compiled
def _reads_kernel(step):
    """Whether the products take step.kernel as it is, since there is one tile, which reads each weight once."""
    return (step.images == 1 and step.y.height <= OUTPUT and step.y.width <= OUTPUT
            and step.x.channels * step.y.channels >= MANY_WEIGHTS)


@Kernel
def pack_many(step, thread, threads):
    """As `pack`, but not if `forward_affine` reads the kernel itself."""
    if not _reads_kernel(step_at(step)):
        pack_by(transform_kernel, 9, step_at(step).x.channels, step, thread, threads)


@Kernel
def gather_gradient(step, thread, threads):
    """Sum the threads' dU and transform them into step.gradient (3, 3, C, F)."""
    step = step_at(step)
    channels, filters = step.x.channels, step.y.channels
    first, last = share(channels, thread, threads)
    for c in range(first, last):
        for f in range(0, filters, WIDTH):
            transform_kernel_gradient(step.partial + c * filters + f, channels * filters, threads, step.partial_size,
                                      step.gradient + c * filters + f, channels * filters)


@compiled
def _patches(step, first, count, v, v_stride):
    """Compute V for tiles first ... first + count."""
    across = (step.y.width + OUTPUT - 1) // OUTPUT
    each = across * ((step.y.height + OUTPUT - 1) // OUTPUT)
    for t in range(count):
        n, place = (first + t) // each, (first + t) % each
        x = step.x.at + n * step.x.image + (place // across) * OUTPUT * step.x.row + (place % across) * OUTPUT * step.x.channels
        for c in range(0, step.x.channels, WIDTH):
            transform_input(x + c, step.x.row, step.x.channels, v + t * step.x.channels + c, v_stride)


@compiled
def _outputs(step, first, count, left, right, m, m_stride, sums):
    """Compute Y and its tail for tiles first ... first + count and filters left ... right."""
    filters, row = step.y.channels, step.y.row
    across = (step.y.width + OUTPUT - 1) // OUTPUT
    each = across * ((step.y.height + OUTPUT - 1) // OUTPUT)
    for t in range(count):
        n, place = (first + t) // each, (first + t) % each
        y = step.y.at + n * step.y.image + ((place // across) * row + (place % across) * filters) * OUTPUT
        mask = step.mask + n * step.mask_image
        for f in range(left, right, WIDTH):
            at, bias = m + t * filters + f, step.bias + f
            if step.tail == PLAIN:
                output_plain(at, m_stride, y + f, row, filters, bias, 0, 0, 0, filters, 0.0, 0.0)
            elif step.tail == RELU:
                output_relu(at, m_stride, y + f, row, filters, bias, 0, 0, 0, filters, 0.0, 0.0)
            elif step.tail == SUMS:
                output_sums(at, m_stride, y + f, row, filters, bias, mask + f, 0, sums + f, filters, 0.0, 0.0)
            else:
                output_relu_sums(at, m_stride, y + f, row, filters, bias, mask + f, 0, sums + f, filters, 0.0, 0.0)


@compiled
def _outputs_affine(step, first, count, left, right, m, m_stride):
    """The same with scale and offset in the tail, for inference, where nothing is kept for a backward pass."""
    filters, row, tail = step.y.channels, step.y.row, step.tail
    leak, ceiling = step.leak, step.ceiling
    across = (step.y.width + OUTPUT - 1) // OUTPUT
    each = across * ((step.y.height + OUTPUT - 1) // OUTPUT)
    size = OUTPUT // 2 if tail >= AFFINE_POOL else OUTPUT
    for t in range(count):
        n, place = (first + t) // each, (first + t) % each
        y = step.y.at + n * step.y.image + ((place // across) * row + (place % across) * filters) * size
        for f in range(left, right, WIDTH):
            at, bias, affine = m + t * filters + f, step.bias + f, step.affine + f
            if tail == AFFINE:
                output_affine(at, m_stride, y + f, row, filters, bias, 0, affine, 0, filters, leak, ceiling)
            elif tail == AFFINE_RELU:
                output_affine_relu(at, m_stride, y + f, row, filters, bias, 0, affine, 0, filters, leak, ceiling)
            elif tail == AFFINE_LEAK:
                output_affine_leak(at, m_stride, y + f, row, filters, bias, 0, affine, 0, filters, leak, ceiling)
            elif tail == RELU_AFFINE:
                output_relu_affine(at, m_stride, y + f, row, filters, bias, 0, affine, 0, filters, leak, ceiling)
            elif tail == AFFINE_POOL:
                output_affine_pool(at, m_stride, y + f, row, filters, bias, 0, affine, 0, filters, leak, ceiling)
            elif tail == AFFINE_RELU_POOL:
                output_affine_relu_pool(at, m_stride, y + f, row, filters, bias, 0, affine, 0, filters, leak, ceiling)
            elif tail == AFFINE_LEAK_POOL:
                output_affine_leak_pool(at, m_stride, y + f, row, filters, bias, 0, affine, 0, filters, leak, ceiling)
            else:
                output_relu_affine_pool(at, m_stride, y + f, row, filters, bias, 0, affine, 0, filters, leak, ceiling)


@compiled
def _split(step, tiles, thread, threads):
    """Return this thread's tiles first ... last and filters left ... right. If there are few tiles, each thread takes all tiles
    and some panels of filters."""
    filters = step.y.channels
    if tiles >= ROWS_WIDE * threads:
        first, last = share(tiles, thread, threads)
        return first, last, 0, filters
    left, right = share((filters + WIDE - 1) // WIDE, thread, threads)
    return 0, tiles if left < right else 0, left * WIDE, min(right * WIDE, filters)


@compiled
def _begin(step, thread, threads):
    """Return first, last, left, right (see _split), and this thread's V, M, their strides, and sums."""
    channels, filters = step.x.channels, step.y.channels
    tiles = ((step.y.height + OUTPUT - 1) // OUTPUT) * ((step.y.width + OUTPUT - 1) // OUTPUT)
    first, last, left, right = _split(step, step.images * tiles, thread, threads)
    block = 1 if _reads_kernel(step) else step.block
    v_stride, m_stride = block * channels + WIDTH, block * filters + WIDTH
    v = step.scratch + thread * step.scratch_size
    return first, last, left, right, v, v + POSITIONS * v_stride, v_stride, m_stride, step.sums + thread * step.sums_size


@compiled
def _products(step, first, count, left, right, v, m, v_stride, m_stride):
    """Compute M for tiles first ... first + count and filters left ... right."""
    channels, filters = step.x.channels, step.y.channels
    _patches(step, first, count, v, v_stride)
    for p in range(POSITIONS):
        product(v + p * v_stride, channels, step.packed + (p * filters + left) * channels, m + p * m_stride + left, filters,
                count, right - left, channels)


@compiled
def _product_of_one(step, left, right, v, m, v_stride, m_stride):
    """Compute M for the only tile and filters left ... right, from the kernel as it is."""
    channels, filters = step.x.channels, step.y.channels
    _patches(step, 0, 1, v, v_stride)
    for p in range(POSITIONS):
        clear(m + p * m_stride + left, (right - left) // WIDTH)
    for c in range(channels):
        add_product(step.kernel + c * filters + left, channels * filters, v + c, v_stride, m + left, m_stride, (right - left) // WIDTH)


@Kernel
def forward(step, thread, threads):
    """Convolve; step.y gets the result of the tail. Per-channel sums go to step.sums in float64."""
    step = step_at(step)
    first, last, left, right, v, m, v_stride, m_stride, sums = _begin(step, thread, threads)
    summed, filters = step.tail == SUMS or step.tail == RELU_SUMS, step.y.channels
    if summed:
        clear(sums, step.sums_size // WIDTH)
    while first < last:
        count = min(step.block, last - first)
        _products(step, first, count, left, right, v, m, v_stride, m_stride)
        _outputs(step, first, count, left, right, m, m_stride, sums)
        if summed:
            add_to_doubles(sums, sums + 2 * filters, 2 * filters // WIDTH)
        first += count


@Kernel
def forward_affine(step, thread, threads):
    """Convolve with one of the tails that have scale and offset."""
    step = step_at(step)
    first, last, left, right, v, m, v_stride, m_stride, _ = _begin(step, thread, threads)
    while first < last:
        count = min(step.block, last - first)
        if _reads_kernel(step):
            _product_of_one(step, left, right, v, m, v_stride, m_stride)
        else:
            _products(step, first, count, left, right, v, m, v_stride, m_stride)
        _outputs_affine(step, first, count, left, right, m, m_stride)
        first += count


@compiled
def _gradients(step, first, count, z, z_stride, bias_sum):
    """Compute Z for tiles first ... first + count."""
    filters = step.y.channels
    across = (step.y.width + OUTPUT - 1) // OUTPUT
    each = across * ((step.y.height + OUTPUT - 1) // OUTPUT)
    size = OUTPUT // 2 if step.pool else OUTPUT
    r_row, g_row = step.y.row, step.g.row
    for t in range(count):
        n, place = (first + t) // each, (first + t) % each
        i, j = place // across, place % across
        r = step.y.at + n * step.y.image + (i * r_row + j * filters) * OUTPUT
        g = step.g.at + n * step.g.image + (i * g_row + j * filters) * size
        mask = step.mask + n * step.mask_image
        for f in range(0, filters, WIDTH):
            affine, slope, at, total = step.affine + f, step.slope + f, z + t * filters + f, bias_sum + f
            if step.gate == READY:
                transform_gradient(g + f, g_row, filters, at, z_stride)
            elif step.gate == GATE_BEFORE and step.pool:
                gated_before_pool(r + f, r_row, g + f, g_row, filters, affine, slope, mask + f, filters, at, z_stride, total)
            elif step.gate == GATE_BEFORE:
                gated_before(r + f, r_row, g + f, g_row, filters, affine, slope, mask + f, filters, at, z_stride, total)
            elif step.gate == GATE_AFTER and step.pool:
                gated_after_pool(r + f, r_row, g + f, g_row, filters, affine, slope, mask + f, filters, at, z_stride, total)
            elif step.pool:
                gated_none_pool(r + f, r_row, g + f, g_row, filters, affine, slope, mask + f, filters, at, z_stride, total)
            elif step.gate == GATE_AFTER:
                gated_after(r + f, r_row, g + f, g_row, filters, affine, slope, mask + f, filters, at, z_stride, total)
            else:
                gated_none(r + f, r_row, g + f, g_row, filters, affine, slope, mask + f, filters, at, z_stride, total)


@compiled
def _scatter(step, first, count, v, v_stride):
    """dX += B dV B' for tiles first ... first + count, in the images that this thread owns."""
    across = (step.y.width + OUTPUT - 1) // OUTPUT
    each = across * ((step.y.height + OUTPUT - 1) // OUTPUT)
    dx, channels = step.dx, step.dx.channels
    for t in range(count):
        n, place = (first + t) // each, (first + t) % each
        if place == 0 and step.fresh:
            clear(step.fresh + n * dx.image, dx.image // WIDTH)
        at = dx.at + n * dx.image + ((place // across) * dx.row + (place % across) * channels) * OUTPUT
        for c in range(0, channels, WIDTH):
            add_input_gradient(v + t * channels + c, v_stride, at + c, dx.row, channels)


@Kernel
def backward(step, thread, threads):
    """From step.g compute dX (step.dx) and, if wanted, the thread's dU (step.partial) and bias gradient (step.sums)."""
    step = step_at(step)
    channels, filters = step.x.channels, step.y.channels
    tiles = ((step.y.height + OUTPUT - 1) // OUTPUT) * ((step.y.width + OUTPUT - 1) // OUTPUT)
    first, last = share(step.images, thread, threads)
    first, last = first * tiles, last * tiles
    v_stride, z_stride = step.block * channels + WIDTH, step.block * filters + WIDTH
    v = step.scratch + thread * step.scratch_size
    z = v + POSITIONS * v_stride
    partial = step.partial + thread * step.partial_size
    sums = step.sums + thread * step.sums_size
    clear(sums, step.sums_size // WIDTH)
    if step.want_gradient:
        clear(partial, POSITIONS * channels * filters // WIDTH)
    while first < last:
        count = min(step.block, last - first)
        _gradients(step, first, count, z, z_stride, sums)
        add_to_doubles(sums, sums + 2 * filters, filters // WIDTH)
        if step.want_gradient:
            _patches(step, first, count, v, v_stride)
        for p in range(POSITIONS):
            if step.want_gradient:
                transposed_product(v + p * v_stride, channels, 0, z + p * z_stride, filters, 0, partial + p * channels * filters,
                                   filters,
                                   channels, filters, count, 1)
            product(z + p * z_stride, filters, step.packed + p * channels * filters, v + p * v_stride, channels, count, channels,
                    filters)
        _scatter(step, first, count, v, v_stride)
        first += count
