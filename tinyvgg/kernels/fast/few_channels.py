"""The gradient with respect to images with few channels (1 or 3, less than a vector), for the first convolution of a network.

P[k, j] = sum over f of W[k, f] dR[j, f] for the pixels j of a row and all taps k = (p, q, c). dX of channel c gets P[(p, q, c),
j] at row i + p and column j + q. Here a vector holds neighbouring pixels of one channel, and each channel has its own plane. So
no vector is masked, and no vector is loaded just after a part of it was stored. All sums have the same order as in direct.py, so
the results are equal bit by bit.
"""
from llvmlite import ir

from tinyvgg.kernels.fast.arena import whole_vectors
from tinyvgg.kernels.fast.elementwise import READY, clear, load_float, move, share, store_float
from tinyvgg.kernels.fast.normalize import gradient_of_row
from tinyvgg.kernels.fast.program import step_at
from tinyvgg.kernels.fast.simd import LANE, WIDTH, Kernel, Value, compiled, machine
from tinyvgg.kernels.fast.tile import panel_product, panel_width


def fits(strides, dilation):
    """Whether the kernel applies: neighbouring outputs read neighbouring pixels."""
    return tuple(strides) == tuple(dilation) == (1, 1)


def scratch_size(size, image, padding, filters, kernel_size):
    """Return the elements that a thread needs: dR of a row, the same transposed, P, and the planes.

    size: rows and columns of the result; image: (H, W, C); padding: (top, left).
    """
    (down, across), pixels = kernel_size, whole_vectors(size[1])
    height, width = (max(n + k - 1, m + before) for n, k, m, before in zip(size, kernel_size, image, padding, strict=False))
    columns = whole_vectors(width)
    return 2 * pixels * filters + image[2] * (down * across * (columns + whole_vectors(across - 1) + WIDTH) + height * columns)


@machine
def transpose(e, source, row, target, target_row):
    """Transpose WIDTH x WIDTH elements."""
    values = [e.load(source + row * i).value for i in range(WIDTH)]
    half = WIDTH // 2
    while half:
        first = [lane if not lane & half else WIDTH + lane - half for lane in range(WIDTH)]
        second = [lane + half if not lane & half else WIDTH + lane for lane in range(WIDTH)]
        for i in [i for i in range(WIDTH) if not i & half]:
            a, b = values[i], values[i + half]
            values[i], values[i + half] = (e.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(LANE, WIDTH), order))
                                           for order in (first, second))
        half //= 2
    for i, value in enumerate(values):
        e.store(Value(e, value), target + target_row * i)


@machine
def add_taps(e, product, apart, across, plane, vectors):
    """plane += rows of P, each shifted q to the right, the last tap first; apart: elements from one tap q to the next."""
    def vector(v, _):
        spot = plane + v * WIDTH
        first = product + (across - 1) * apart + v * WIDTH - (across - 1)
        total = e.loop(across, [e.load(spot)], lambda q, sums: [sums[0] + e.load(first - q * apart + q)])
        e.store(total[0], spot)
        return []
    e.loop(vectors, [], vector)


@Kernel
def image_gradient(step, thread, threads):
    """From step.g to dX (step.dx), by the weights (KH, KW, C, filters) at step.packed; step.top, step.left: the padding."""
    step = step_at(step)
    y, dx, filters = step.y, step.dx, step.y.channels
    across, pixels = step.kernel_width, (y.width + WIDTH - 1) // WIDTH * WIDTH
    columns = (max(y.width + across - 1, dx.width + step.left) + WIDTH - 1) // WIDTH * WIDTH    # a pool may not read all results
    before = (across - 1 + WIDTH - 1) // WIDTH * WIDTH
    row, taps = before + columns + WIDTH, step.kernel_height * across * dx.channels
    d = step.scratch + thread * step.scratch_size
    turned, product = d + pixels * filters, d + 2 * pixels * filters
    planes = product + taps * row
    height = max(y.height + step.kernel_height - 1, dx.height + step.top)
    clear(d, pixels * filters // WIDTH)
    clear(product, taps * row // WIDTH)
    first, last = share(step.images, thread, threads)
    for n in range(first, last):
        clear(planes, dx.channels * height * columns // WIDTH)
        for i in range(y.height):
            _row_of_gradient(step, n, i, d, step.sums + thread * step.sums_size)
            _products(d, turned, product + before, row, pixels, filters, step.packed, taps)
            for p in range(step.kernel_height):
                for c in range(dx.channels):
                    add_taps(product + before + (p * across * dx.channels + c) * row, dx.channels * row, across,
                             planes + (c * height + i + p) * columns, columns // WIDTH)
        for c in range(dx.channels):
            plane = planes + (c * height + step.top) * columns + step.left
            _interleave(plane, columns, dx.at + n * dx.image + c, dx.row, dx.channels, dx.height, dx.width)


@compiled
def _row_of_gradient(step, n, i, d, sums):
    """Compute dR of row i of image n."""
    y, g, filters = step.y, step.g, step.y.channels
    incoming = g.at + n * g.image + i * g.row
    if step.gate == READY:
        move(incoming, d, y.width * filters)
        return
    for f in range(0, filters, WIDTH):
        gradient_of_row(step, y.at + n * y.image + i * y.row, incoming, filters, d, f, step.mask + n * step.mask_image, sums, y.width,
                        filters)


@compiled
def _products(d, turned, product, row, pixels, filters, weights, taps):
    """Compute P for a row of pixels."""
    j = 0
    while j < pixels:
        width = panel_width(pixels - j)
        for k in range(0, width, WIDTH):
            for f in range(0, filters, WIDTH):
                transpose(d + (j + k) * filters + f, filters, turned + j * filters + f * width + k, width)
        panel_product(weights, filters, turned + j * filters, product + j, row, taps, width, filters)
        j += width


@compiled
def _interleave(plane, columns, target, row, channels, height, width):
    """Copy the plane of one channel into the pixels."""
    for i in range(height):
        for j in range(width):
            store_float(load_float(plane + i * columns + j), target + i * row + j * channels)
