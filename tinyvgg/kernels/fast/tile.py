"""Matrix products out of register tiles: the innermost loop of every convolution and dense layer here.

A tile keeps a block of sums (rows x columns vectors) in registers and adds one outer product to it per step:

    c[r, j] += sum_s sum_k a[s*a_segment + r*a_row + k*a_k] * b[s*b_segment + k*b_k + j]

With strides chosen freely the same tile is a matrix product (a_k = 1), a product with the transpose of a (a_row = 1), and a
convolution read straight from the image (a segment per kernel row). The shapes fill the register file, leaving
room for one row of b and one number of a: Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (2008).
"""
from tinyvgg.kernels.fast.simd import REGISTERS, WIDTH, compiled, machine

# columns (vectors) -> rows: as many sums as the registers hold.
ROWS = {4: 4, 2: 8, 1: 8} if REGISTERS == 32 else {2: 6, 1: 8}
WIDEST = max(ROWS)
WIDE, PAIR = WIDEST * WIDTH, 2 * WIDTH
ROWS_WIDE, ROWS_PAIR, ROWS_ONE = ROWS[WIDEST], ROWS[2], ROWS[1]


def make_tile(rows, columns, *, accumulate=False, blocked=False):
    """Return the tile of rows x (columns * WIDTH) sums; they start from c with `accumulate`, else from zero.

    `blocked` sums each segment by itself, which rounds less than one long sum: Higham, "Accuracy and stability of numerical
    algorithms" (2002), section 4.2.
    """
    @machine
    def tile(e, a, a_row, a_k, a_segment, b, b_k, b_segment, c, c_row, k, segments):
        spots = [c + c_row * r + j * WIDTH for r in range(rows) for j in range(columns)]
        start = [e.load(spot) if accumulate else e.zero() for spot in spots]

        def outer_product(pixel, row, sums):
            lanes = [e.load(row + j * WIDTH) for j in range(columns)]
            numbers = [e.broadcast(pixel + a_row * r) for r in range(rows)]
            return [numbers[i // columns].fma(lanes[i % columns], total) for i, total in enumerate(sums)]

        def segment(s, sums):
            a_s, b_s = a + s * a_segment, b + s * b_segment
            first = [e.zero()] * len(sums) if blocked else sums
            after = e.loop(k, first, lambda i, sums: outer_product(a_s + i * a_k, b_s + i * b_k, sums))
            return [total + part for total, part in zip(sums, after, strict=True)] if blocked else after

        for total, spot in zip(e.loop(segments, start, segment), spots, strict=True):
            e.store(total, spot)
    return tile


set_wide, set_wide_1 = make_tile(ROWS_WIDE, WIDEST), make_tile(1, WIDEST)
set_pair, set_pair_1, set_pair_4 = make_tile(ROWS_PAIR, 2), make_tile(1, 2), make_tile(4, 2)
set_one, set_one_1 = make_tile(ROWS_ONE, 1), make_tile(1, 1)
block_wide, block_wide_1 = make_tile(ROWS_WIDE, WIDEST, blocked=True), make_tile(1, WIDEST, blocked=True)
block_pair, block_pair_1 = make_tile(ROWS_PAIR, 2, blocked=True), make_tile(1, 2, blocked=True)
block_one, block_one_1 = make_tile(ROWS_ONE, 1, blocked=True), make_tile(1, 1, blocked=True)
add_wide, add_wide_1 = make_tile(ROWS_WIDE, WIDEST, accumulate=True), make_tile(1, WIDEST, accumulate=True)
add_pair, add_pair_1 = make_tile(ROWS_PAIR, 2, accumulate=True), make_tile(1, 2, accumulate=True)
add_one, add_one_1 = make_tile(ROWS_ONE, 1, accumulate=True), make_tile(1, 1, accumulate=True)


@compiled
def panel_width(columns_left):
    """Width of the next panel of b: the widest that fits, in elements. Packing and products agree on it."""
    if columns_left >= WIDE:
        return WIDE
    return PAIR if columns_left >= PAIR else WIDTH


@compiled
def panel_product(a, a_row, b, c, c_row, rows, width, k):
    """c[rows, width] = a[rows, k] @ b[k, width]; b holds one packed panel."""
    r = 0
    if width == WIDE:
        while r + ROWS_WIDE <= rows:
            set_wide(a + r * a_row, a_row, 1, 0, b, WIDE, 0, c + r * c_row, c_row, k, 1)
            r += ROWS_WIDE
        while r < rows:
            set_wide_1(a + r * a_row, a_row, 1, 0, b, WIDE, 0, c + r * c_row, c_row, k, 1)
            r += 1
    elif width == PAIR:
        while r + ROWS_PAIR <= rows:
            set_pair(a + r * a_row, a_row, 1, 0, b, PAIR, 0, c + r * c_row, c_row, k, 1)
            r += ROWS_PAIR
        while r + 4 <= rows:
            set_pair_4(a + r * a_row, a_row, 1, 0, b, PAIR, 0, c + r * c_row, c_row, k, 1)
            r += 4
        while r < rows:
            set_pair_1(a + r * a_row, a_row, 1, 0, b, PAIR, 0, c + r * c_row, c_row, k, 1)
            r += 1
    else:
        while r + ROWS_ONE <= rows:
            set_one(a + r * a_row, a_row, 1, 0, b, WIDTH, 0, c + r * c_row, c_row, k, 1)
            r += ROWS_ONE
        while r < rows:
            set_one_1(a + r * a_row, a_row, 1, 0, b, WIDTH, 0, c + r * c_row, c_row, k, 1)
            r += 1


@compiled
def blocked_product(a, a_row, a_segment, b, c, c_row, rows, width, k, segments):
    """c[rows, width] = the sum over segments of a[rows, k] @ b[k, width]; b holds one packed panel, segment after segment."""
    r = 0
    if width == WIDE:
        while r + ROWS_WIDE <= rows:
            block_wide(a + r * a_row, a_row, 1, a_segment, b, WIDE, k * WIDE, c + r * c_row, c_row, k, segments)
            r += ROWS_WIDE
        while r < rows:
            block_wide_1(a + r * a_row, a_row, 1, a_segment, b, WIDE, k * WIDE, c + r * c_row, c_row, k, segments)
            r += 1
    elif width == PAIR:
        while r + ROWS_PAIR <= rows:
            block_pair(a + r * a_row, a_row, 1, a_segment, b, PAIR, k * PAIR, c + r * c_row, c_row, k, segments)
            r += ROWS_PAIR
        while r < rows:
            block_pair_1(a + r * a_row, a_row, 1, a_segment, b, PAIR, k * PAIR, c + r * c_row, c_row, k, segments)
            r += 1
    else:
        while r + ROWS_ONE <= rows:
            block_one(a + r * a_row, a_row, 1, a_segment, b, WIDTH, k * WIDTH, c + r * c_row, c_row, k, segments)
            r += ROWS_ONE
        while r < rows:
            block_one_1(a + r * a_row, a_row, 1, a_segment, b, WIDTH, k * WIDTH, c + r * c_row, c_row, k, segments)
            r += 1


@compiled
def product(a, a_row, b, c, c_row, rows, columns, k):
    """c[rows, columns] = a[rows, k] @ b[k, columns], b packed in panels, columns a multiple of WIDTH."""
    j = 0
    while j < columns:
        width = panel_width(columns - j)
        panel_product(a, a_row, b + j * k, c + j, c_row, rows, width, k)
        j += width


@compiled
def transposed_product(a, a_k, a_segment, b, b_k, b_segment, c, c_row, rows, columns, k, segments):
    """c[rows, columns] += sum over segments of a[k, rows].T @ b[k, columns]; nothing is packed."""
    j = 0
    while j < columns:
        width = panel_width(columns - j)
        r = 0
        if width == WIDE:
            while r + ROWS_WIDE <= rows:
                add_wide(a + r, 1, a_k, a_segment, b + j, b_k, b_segment, c + r * c_row + j, c_row, k, segments)
                r += ROWS_WIDE
            while r < rows:
                add_wide_1(a + r, 1, a_k, a_segment, b + j, b_k, b_segment, c + r * c_row + j, c_row, k, segments)
                r += 1
        elif width == PAIR:
            while r + ROWS_PAIR <= rows:
                add_pair(a + r, 1, a_k, a_segment, b + j, b_k, b_segment, c + r * c_row + j, c_row, k, segments)
                r += ROWS_PAIR
            while r < rows:
                add_pair_1(a + r, 1, a_k, a_segment, b + j, b_k, b_segment, c + r * c_row + j, c_row, k, segments)
                r += 1
        else:
            while r + ROWS_ONE <= rows:
                add_one(a + r, 1, a_k, a_segment, b + j, b_k, b_segment, c + r * c_row + j, c_row, k, segments)
                r += ROWS_ONE
            while r < rows:
                add_one_1(a + r, 1, a_k, a_segment, b + j, b_k, b_segment, c + r * c_row + j, c_row, k, segments)
                r += 1
        j += width
