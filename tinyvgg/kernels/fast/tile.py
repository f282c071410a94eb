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
ROW_WIDE = 8 * WIDTH                # columns of one row: their weights are read once, so long pieces of memory count more than sums
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


REST = (4, 2, 1)                # sizes of the tiles for rows that are left over


def make_tiles(columns, **kind):
    """Return the tiles of `columns` vectors: the full one, and those of REST rows."""
    return [make_tile(rows, columns, **kind) for rows in (ROWS[columns], *REST)]


set_wide, set_wide_4, set_wide_2, set_wide_1 = make_tiles(WIDEST)
set_pair, set_pair_4, set_pair_2, set_pair_1 = make_tiles(2)
set_one, set_one_4, set_one_2, set_one_1 = make_tiles(1)
block_wide, block_wide_4, block_wide_2, block_wide_1 = make_tiles(WIDEST, blocked=True)
block_pair, block_pair_4, block_pair_2, block_pair_1 = make_tiles(2, blocked=True)
block_one, block_one_4, block_one_2, block_one_1 = make_tiles(1, blocked=True)
block_row, block_row_4 = make_tile(1, ROW_WIDE // WIDTH, blocked=True), make_tile(1, 4, blocked=True)
add_wide, add_wide_4, add_wide_2, add_wide_1 = make_tiles(WIDEST, accumulate=True)
add_pair, add_pair_4, add_pair_2, add_pair_1 = make_tiles(2, accumulate=True)
add_one, add_one_4, add_one_2, add_one_1 = make_tiles(1, accumulate=True)


PANELS_OF_ROW = 8 // WIDEST         # a multiply-add waits for the sum of the last one: eight sums side by side hide that


@machine
def set_row(e, a, b, b_panel, c, k):
    """c[WIDE * PANELS_OF_ROW] = a[k] @ b of one row; b holds packed panels of WIDE columns, b_panel apart."""
    spots = [(b_panel * p + j * WIDTH, WIDE * p + j * WIDTH) for p in range(PANELS_OF_ROW) for j in range(WIDEST)]

    def outer_product(i, sums):
        number, row = e.broadcast(a + i), b + i * WIDE
        return [number.fma(e.load(row + at), total) for (at, _), total in zip(spots, sums, strict=True)]

    for (_, at), total in zip(spots, e.loop(k, [e.zero()] * len(spots), outer_product), strict=True):
        e.store(total, c + at)


@compiled
def panel_width(columns_left):
    """Width of the next panel of b: the widest that fits, in elements. Packing and products agree on it."""
    if columns_left >= WIDE:
        return WIDE
    return PAIR if columns_left >= PAIR else WIDTH


@compiled
def whole_tile(rows_left):
    """Whether a full wide tile comes next. A tile of 6 rows would leave 2 of 8, a tile with too few sums to keep the processor busy; two
    tiles of 4 rows are used there.
    """
    return rows_left >= ROWS_WIDE and (ROWS_WIDE != 6 or rows_left != 8)


@compiled
def panel_product(a, a_row, b, c, c_row, rows, width, k):
    """c[rows, width] = a[rows, k] @ b[k, width]; b holds one packed panel."""
    r = 0
    if width == WIDE:
        while whole_tile(rows - r):
            set_wide(a + r * a_row, a_row, 1, 0, b, WIDE, 0, c + r * c_row, c_row, k, 1)
            r += ROWS_WIDE
        while r + 4 <= rows:
            set_wide_4(a + r * a_row, a_row, 1, 0, b, WIDE, 0, c + r * c_row, c_row, k, 1)
            r += 4
        while r + 2 <= rows:
            set_wide_2(a + r * a_row, a_row, 1, 0, b, WIDE, 0, c + r * c_row, c_row, k, 1)
            r += 2
        while r + 1 <= rows:
            set_wide_1(a + r * a_row, a_row, 1, 0, b, WIDE, 0, c + r * c_row, c_row, k, 1)
            r += 1
    elif width == PAIR:
        while r + ROWS_PAIR <= rows:
            set_pair(a + r * a_row, a_row, 1, 0, b, PAIR, 0, c + r * c_row, c_row, k, 1)
            r += ROWS_PAIR
        while r + 4 <= rows:
            set_pair_4(a + r * a_row, a_row, 1, 0, b, PAIR, 0, c + r * c_row, c_row, k, 1)
            r += 4
        while r + 2 <= rows:
            set_pair_2(a + r * a_row, a_row, 1, 0, b, PAIR, 0, c + r * c_row, c_row, k, 1)
            r += 2
        while r + 1 <= rows:
            set_pair_1(a + r * a_row, a_row, 1, 0, b, PAIR, 0, c + r * c_row, c_row, k, 1)
            r += 1
    else:
        while r + ROWS_ONE <= rows:
            set_one(a + r * a_row, a_row, 1, 0, b, WIDTH, 0, c + r * c_row, c_row, k, 1)
            r += ROWS_ONE
        while r + 4 <= rows:
            set_one_4(a + r * a_row, a_row, 1, 0, b, WIDTH, 0, c + r * c_row, c_row, k, 1)
            r += 4
        while r + 2 <= rows:
            set_one_2(a + r * a_row, a_row, 1, 0, b, WIDTH, 0, c + r * c_row, c_row, k, 1)
            r += 2
        while r + 1 <= rows:
            set_one_1(a + r * a_row, a_row, 1, 0, b, WIDTH, 0, c + r * c_row, c_row, k, 1)
            r += 1


@compiled
def blocked_product(a, a_row, a_segment, b, c, c_row, rows, width, k, segments):
    """c[rows, width] = the sum over segments of a[rows, k] @ b[k, width]; b holds one packed panel, segment after segment."""
    r = 0
    if width == WIDE:
        while whole_tile(rows - r):
            block_wide(a + r * a_row, a_row, 1, a_segment, b, WIDE, k * WIDE, c + r * c_row, c_row, k, segments)
            r += ROWS_WIDE
        while r + 4 <= rows:
            block_wide_4(a + r * a_row, a_row, 1, a_segment, b, WIDE, k * WIDE, c + r * c_row, c_row, k, segments)
            r += 4
        while r + 2 <= rows:
            block_wide_2(a + r * a_row, a_row, 1, a_segment, b, WIDE, k * WIDE, c + r * c_row, c_row, k, segments)
            r += 2
        while r + 1 <= rows:
            block_wide_1(a + r * a_row, a_row, 1, a_segment, b, WIDE, k * WIDE, c + r * c_row, c_row, k, segments)
            r += 1
    elif width == PAIR:
        while r + ROWS_PAIR <= rows:
            block_pair(a + r * a_row, a_row, 1, a_segment, b, PAIR, k * PAIR, c + r * c_row, c_row, k, segments)
            r += ROWS_PAIR
        while r + 4 <= rows:
            block_pair_4(a + r * a_row, a_row, 1, a_segment, b, PAIR, k * PAIR, c + r * c_row, c_row, k, segments)
            r += 4
        while r + 2 <= rows:
            block_pair_2(a + r * a_row, a_row, 1, a_segment, b, PAIR, k * PAIR, c + r * c_row, c_row, k, segments)
            r += 2
        while r + 1 <= rows:
            block_pair_1(a + r * a_row, a_row, 1, a_segment, b, PAIR, k * PAIR, c + r * c_row, c_row, k, segments)
            r += 1
    else:
        while r + ROWS_ONE <= rows:
            block_one(a + r * a_row, a_row, 1, a_segment, b, WIDTH, k * WIDTH, c + r * c_row, c_row, k, segments)
            r += ROWS_ONE
        while r + 4 <= rows:
            block_one_4(a + r * a_row, a_row, 1, a_segment, b, WIDTH, k * WIDTH, c + r * c_row, c_row, k, segments)
            r += 4
        while r + 2 <= rows:
            block_one_2(a + r * a_row, a_row, 1, a_segment, b, WIDTH, k * WIDTH, c + r * c_row, c_row, k, segments)
            r += 2
        while r + 1 <= rows:
            block_one_1(a + r * a_row, a_row, 1, a_segment, b, WIDTH, k * WIDTH, c + r * c_row, c_row, k, segments)
            r += 1


@compiled
def blocked_row(a, a_segment, b, b_k, c, columns, k, segments):
    """As blocked_product for one row, but b is not packed: its rows are b_k apart. Columns are a multiple of WIDTH."""
    j = 0
    while j + ROW_WIDE <= columns:
        block_row(a, 0, 1, a_segment, b + j, b_k, k * b_k, c + j, 0, k, segments)
        j += ROW_WIDE
    while j + 4 * WIDTH <= columns:
        block_row_4(a, 0, 1, a_segment, b + j, b_k, k * b_k, c + j, 0, k, segments)
        j += 4 * WIDTH
    while j < columns:
        block_one_1(a, 0, 1, a_segment, b + j, b_k, k * b_k, c + j, 0, k, segments)
        j += WIDTH


@compiled
def product(a, a_row, b, c, c_row, rows, columns, k):
    """c[rows, columns] = a[rows, k] @ b[k, columns], b packed in panels, columns a multiple of WIDTH."""
    j = 0
    while rows == 1 and j + PANELS_OF_ROW * WIDE <= columns:
        set_row(a, b + j * k, k * WIDE, c + j, k)
        j += PANELS_OF_ROW * WIDE
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
        _transposed_panel(a, a_k, a_segment, b + j, b_k, b_segment, c + j, c_row, rows, width, k, segments)
        j += width


@compiled
def _transposed_panel(a, a_k, a_segment, b, b_k, b_segment, c, c_row, rows, width, k, segments):
    r = 0
    if width == WIDE:
        while whole_tile(rows - r):
            add_wide(a + r, 1, a_k, a_segment, b, b_k, b_segment, c + r * c_row, c_row, k, segments)
            r += ROWS_WIDE
        while r + 4 <= rows:
            add_wide_4(a + r, 1, a_k, a_segment, b, b_k, b_segment, c + r * c_row, c_row, k, segments)
            r += 4
        while r + 2 <= rows:
            add_wide_2(a + r, 1, a_k, a_segment, b, b_k, b_segment, c + r * c_row, c_row, k, segments)
            r += 2
        while r + 1 <= rows:
            add_wide_1(a + r, 1, a_k, a_segment, b, b_k, b_segment, c + r * c_row, c_row, k, segments)
            r += 1
    elif width == PAIR:
        while r + ROWS_PAIR <= rows:
            add_pair(a + r, 1, a_k, a_segment, b, b_k, b_segment, c + r * c_row, c_row, k, segments)
            r += ROWS_PAIR
        while r + 4 <= rows:
            add_pair_4(a + r, 1, a_k, a_segment, b, b_k, b_segment, c + r * c_row, c_row, k, segments)
            r += 4
        while r + 2 <= rows:
            add_pair_2(a + r, 1, a_k, a_segment, b, b_k, b_segment, c + r * c_row, c_row, k, segments)
            r += 2
        while r + 1 <= rows:
            add_pair_1(a + r, 1, a_k, a_segment, b, b_k, b_segment, c + r * c_row, c_row, k, segments)
            r += 1
    else:
        while r + ROWS_ONE <= rows:
            add_one(a + r, 1, a_k, a_segment, b, b_k, b_segment, c + r * c_row, c_row, k, segments)
            r += ROWS_ONE
        while r + 4 <= rows:
            add_one_4(a + r, 1, a_k, a_segment, b, b_k, b_segment, c + r * c_row, c_row, k, segments)
            r += 4
        while r + 2 <= rows:
            add_one_2(a + r, 1, a_k, a_segment, b, b_k, b_segment, c + r * c_row, c_row, k, segments)
            r += 2
        while r + 1 <= rows:
            add_one_1(a + r, 1, a_k, a_segment, b, b_k, b_segment, c + r * c_row, c_row, k, segments)
            r += 1
