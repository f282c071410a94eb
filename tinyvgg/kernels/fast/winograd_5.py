"""5x5 convolutions of stride 1 by Winograd's F(2x2, 5x5): 36 multiplications instead of 100.

    V = B' d B for each 6x6 patch;  M[p] = V[p] @ U[p] for the 36 positions p;  Y = A' M A, + bias, then ReLU or not.

Patches have the size of those of F(4x4, 3x3) and are transformed in the same way; see winograd.py, also for the layout in memory. The
backward pass is that of direct.py.
"""
from tinyvgg.kernels.fast.elementwise import RELU, share
from tinyvgg.kernels.fast.matrices import A_T_5, G_5, OUTPUT_5, PATCH, POSITIONS, TAPS_5, sandwich
from tinyvgg.kernels.fast.program import step_at
from tinyvgg.kernels.fast.simd import WIDTH, Kernel, compiled, machine
from tinyvgg.kernels.fast.tile import product
from tinyvgg.kernels.fast.winograd import pack_by, transform_input


def fits(kernel_size, strides, size, channels, filters):
    """Whether this kernel can be used: 5x5, stride 1, results of even height and width, whole vectors of channels and filters."""
    return (tuple(kernel_size) == (TAPS_5, TAPS_5) and tuple(strides) == (1, 1) and not any(n % OUTPUT_5 for n in size)
            and channels % WIDTH == 0 and filters % WIDTH == 0)


@machine
def transform_kernel_5(e, kernel, tap, packed, position):
    """U = G g G' of WIDTH filters: taps of `kernel` are `tap` apart, positions of `packed` are `position` apart."""
    taps = [[e.load(kernel + tap * (TAPS_5 * i + j)) for j in range(TAPS_5)] for i in range(TAPS_5)]
    for i, row in enumerate(sandwich(G_5, taps)):
        for j, value in enumerate(row):
            e.store(value, packed + position * (PATCH * i + j))


def make_block(relu):
    """Return the transform of one 2x2 block Y = A' M A, + bias, then ReLU or not."""
    @machine
    def block(e, m, position, y, row, column, bias):
        shift = e.load(bias)
        grid = [[e.load(m + position * (PATCH * i + j)) for j in range(PATCH)] for i in range(PATCH)]
        for i, values in enumerate(sandwich(A_T_5, grid)):
            for j, value in enumerate(values):
                value = value + shift
                e.store(value.relu() if relu else value, y + row * i + column * j)
    return block


block_plain, block_relu = make_block(False), make_block(True)


@Kernel
def pack(step, thread, threads):
    """Transform the weights of a 5x5 convolution."""
    pack_by(transform_kernel_5, TAPS_5 ** 2, step, thread, threads)


@compiled
def _at(image, tile, across, each):
    """Return the address of a tile's first pixel: in the output, and in the patch that it is computed from."""
    n, place = tile // each, tile % each
    return image.at + n * image.image + (place // across * image.row + place % across * image.channels) * OUTPUT_5


@Kernel
def forward(step, thread, threads):
    """Convolve; step.y gets the tail's results. The tail is bias, then ReLU or not."""
    step = step_at(step)
    x, y, channels, filters = step.x, step.y, step.x.channels, step.y.channels
    across, each = y.width // OUTPUT_5, (y.width // OUTPUT_5) * (y.height // OUTPUT_5)
    v_stride, m_stride = step.block * channels + WIDTH, step.block * filters + WIDTH
    v = step.scratch + thread * step.scratch_size
    m = v + POSITIONS * v_stride
    first, last = share(step.images * each, thread, threads)
    while first < last:
        count = min(step.block, last - first)
        for t in range(count):
            at = _at(x, first + t, across, each)
            for c in range(0, channels, WIDTH):
                transform_input(at + c, x.row, channels, v + t * channels + c, v_stride)
        for p in range(POSITIONS):
            product(v + p * v_stride, channels, step.packed + p * filters * channels, m + p * m_stride, filters, count, filters, channels)
        for t in range(count):
            at = _at(y, first + t, across, each)
            for f in range(0, filters, WIDTH):
                if step.tail == RELU:
                    block_relu(m + t * filters + f, m_stride, at + f, y.row, filters, step.bias + f)
                else:
                    block_plain(m + t * filters + f, m_stride, at + f, y.row, filters, step.bias + f)
        first += count
