"""5x5 convolutions of stride 1 by Winograd's F(4, 5) or F(5, 5) down the columns: 8 products of rows for 4 rows of outputs, instead of 20,
or 9 for 5, instead of 25.

    V = B' d for 8 (9) rows of the image;  M[p] = V[p] * U[p] for the positions p, where * convolves along a row;  Y = A' M, and the tail.

U = G g for each column of the kernel. Five pixels that stand side by side are one list of numbers, so V[p] * U[p] is a product in register
tiles (see tile.py) that reads V where it is, for any number of channels. The tail is bias, then ReLU or not. The backward pass is that of
direct.py.
"""
from tinyvgg.kernels.fast.arena import whole_vectors
from tinyvgg.kernels.fast.elementwise import RELU, copy, share
from tinyvgg.kernels.fast.matrices import FIVE_TAPS, TAPS_5, apply
from tinyvgg.kernels.fast.program import step_at
from tinyvgg.kernels.fast.simd import WIDTH, Kernel, compiled, machine
from tinyvgg.kernels.fast.tile import product
from tinyvgg.kernels.fast.winograd import pack_by


def rows_together(kernel_size, strides, height):
    """Return how many rows of outputs are best computed together, 4 or 5, or 0 where this kernel cannot be used: it needs 5x5 taps, stride 1
    and a result of 4 rows. Five rows must save a tenth, because they round more.
    """
    if tuple(kernel_size) != (TAPS_5, TAPS_5) or tuple(strides) != (1, 1) or height < min(FIVE_TAPS):
        return 0
    products = {rows: -(-height // rows) * (rows + TAPS_5 - 1) for rows in FIVE_TAPS}
    return 5 if height >= 5 and products[5] < 0.9 * products[4] else 4


def packed_size(rows, channels, filters):
    """Return how many elements U has."""
    return (rows + TAPS_5 - 1) * TAPS_5 * channels * filters


def scratch_size(rows, width, channels, filters):
    """Return how many elements V, M and a group of rows take, for results of `width` pixels."""
    v, m = whole_vectors((width + TAPS_5 - 1) * channels), width * filters
    return (rows + TAPS_5 - 1) * (v + m + 2 * WIDTH) + rows * m


def make_transforms(rows):
    """Return the transforms of the kernel and of the image, and those of the products without and with ReLU, for groups of some rows."""
    patch = rows + TAPS_5 - 1

    @machine
    def kernel_columns(e, kernel, tap, packed, position):
        """U = G g of WIDTH filters: taps of `kernel` are `tap` apart, positions of `packed` are `position` apart."""
        for p, value in enumerate(apply(FIVE_TAPS[rows].kernel, [e.load(kernel + tap * i) for i in range(TAPS_5)])):
            e.store(value, packed + position * p)

    @machine
    def image_rows(e, x, row, v, position, count):
        """V = B' d, count vectors."""
        def body(i, _):
            at = i * WIDTH
            for p, value in enumerate(apply(FIVE_TAPS[rows].image, [e.load(x + row * r + at) for r in range(patch)])):
                e.store(value, v + position * p + at)
            return []
        e.loop(count, [], body)

    def make_outputs(relu):
        @machine
        def outputs(e, m, position, y, row, pixel, count, bias):
            """Y = A' M of count pixels, one vector of filters, and the tail."""
            shift = e.load(bias)

            def body(i, _):
                at = i * pixel
                values = apply(FIVE_TAPS[rows].result, [e.load(m + position * p + at) for p in range(patch)])
                for r, value in enumerate(values):
                    value = value + shift
                    e.store(value.relu() if relu else value, y + row * r + at)
                return []
            e.loop(count, [], body)
        return outputs
    return kernel_columns, image_rows, make_outputs(False), make_outputs(True)


def make_convolution(rows):
    """Return the kernels' bodies that pack and convolve in groups of some rows."""
    patch = rows + TAPS_5 - 1
    kernel_columns, image_rows, outputs_plain, outputs_relu = make_transforms(rows)

    @compiled
    def packing(step, thread, threads):
        pack_by(kernel_columns, TAPS_5, TAPS_5 * step_at(step).x.channels, step, thread, threads)

    @compiled
    def convolution(step, thread, threads):
        step = step_at(step)
        x, y, filters, depth = step.x, step.y, step.y.channels, TAPS_5 * step.x.channels
        vectors, m_row = ((y.width + TAPS_5 - 1) * x.channels + WIDTH - 1) // WIDTH, y.width * filters
        v_stride, m_stride = vectors * WIDTH + WIDTH, m_row + WIDTH
        v = step.scratch + thread * step.scratch_size
        m = v + patch * v_stride
        aside = m + patch * m_stride
        groups = (y.height + rows - 1) // rows
        first, last = share(step.images * groups, thread, threads)
        for item in range(first, last):
            n, wanted = item // groups, item % groups * rows
            i = min(wanted, y.height - rows)        # the last group begins among the rows before: it computes those too, and writes the others
            image_rows(x.at + n * x.image + i * x.row, x.row, v, v_stride, vectors)
            for p in range(patch):
                product(v + p * v_stride, x.channels, step.packed + p * depth * filters, m + p * m_stride, filters, y.width, filters, depth)
            top, row = y.at + n * y.image + i * y.row, y.row
            target, row = (top, row) if i == wanted else (aside, m_row)
            for f in range(0, filters, WIDTH):
                if step.tail == RELU:
                    outputs_relu(m + f, m_stride, target + f, row, filters, y.width, step.bias + f)
                else:
                    outputs_plain(m + f, m_stride, target + f, row, filters, y.width, step.bias + f)
            if i < wanted:
                for r in range(wanted - i, rows):
                    copy(aside + r * m_row, top + r * y.row, m_row // WIDTH)
    return packing, convolution


pack_4_rows, convolve_4_rows = make_convolution(4)
pack_5_rows, convolve_5_rows = make_convolution(5)


@Kernel
def pack_by_4(step, thread, threads):
    """Transform the weights of a 5x5 convolution, for groups of 4 rows."""
    pack_4_rows(step, thread, threads)


@Kernel
def pack_by_5(step, thread, threads):
    """Transform the weights of a 5x5 convolution, for groups of 5 rows."""
    pack_5_rows(step, thread, threads)


@Kernel
def forward_by_4(step, thread, threads):
    """Convolve in groups of 4 rows; step.y gets the tail's results."""
    convolve_4_rows(step, thread, threads)


@Kernel
def forward_by_5(step, thread, threads):
    """Convolve in groups of 5 rows; step.y gets the tail's results."""
    convolve_5_rows(step, thread, threads)


BY_ROWS = {4: (forward_by_4, pack_by_4), 5: (forward_by_5, pack_by_5)}
