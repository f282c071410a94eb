"""Integer ops that do not mix channels: copies of input images, windows of one channel, sums of tensors, repeated pixels."""
from tinyvgg.kernels.fast.elementwise import share
from tinyvgg.kernels.fast.simd import Kernel
from tinyvgg.quant.fast.products import PIXEL, finish_block
from tinyvgg.quant.fast.steps import step_at
from tinyvgg.quant.fast.vectors import (
    LANES,
    PANEL,
    copy_byte,
    copy_number,
    copy_vectors,
    largest_byte,
    sum_window,
    weighted_sum,
)


@Kernel
def place(step, thread, threads):
    """Copy the caller's images, which have no border, into a Tensor. The padding after a pixel's channels is not cleared, because
    its weights are 0."""
    step = step_at(step)
    first, last = share(step.images * step.y_height, thread, threads)
    channels, pixels = step.source_channels, step.y_width
    for item in range(first, last):
        n, i = item // step.y_height, item % step.y_height
        source = step.x_at + item * pixels * channels
        target = step.y_at + n * step.y_image + i * step.y_row
        if channels <= 4 and item + 1 < step.images * step.y_height and pixels > 3:
            for j in range(pixels):                         # reads up to three bytes beyond the pixel, which exist
                copy_number(source + j * channels, target + j * step.y_pixel)
        else:
            for j in range(pixels):
                for c in range(channels):
                    copy_byte(source + j * channels + c, target + j * step.y_pixel + c)


@Kernel
def windows(step, thread, threads):
    """Depthwise convolutions, and means as convolutions with weights of 1; with the tail and a pool, as in products."""
    step = step_at(step)
    rows = step.rows_many if step.images >= 2 * threads else step.rows_few
    blocks = (step.y_height + rows - 1) // rows
    first, last = share(step.images * blocks, thread, threads)
    sums = step.scratch + thread * step.scratch_size + step.sums
    for item in range(first, last):
        image, top = item // blocks, item % blocks * rows
        count = min(rows, step.y_height - top)
        lines = (count - 1) * step.pool_stride_height + step.pool_height
        source = step.x_at + image * step.x_image + top * step.pool_stride_height * step.stride_height * step.x_row
        for channel in range(0, step.channels, PANEL):
            for lane in range(0, min(PANEL, step.channels - channel), LANES):
                f = channel + lane
                for r in range(lines):
                    sum_window(source + r * step.stride_height * step.x_row + f, step.stride_width * step.x_pixel, step.tap_row,
                               step.tap_column, step.window_height, step.window_width, step.weights + 4 * f, 4 * step.channels,
                               sums + r * step.conv_width * PIXEL + 4 * lane, PIXEL, step.conv_width, step.zero)
            finish_block(step, image, top, count, channel, sums)


@Kernel
def largest(step, thread, threads):
    """Max-pool over the part of each window that lies on the map."""
    step = step_at(step)
    first, last = share(step.images * step.y_height, thread, threads)
    for item in range(first, last):
        n, i = item // step.y_height, item % step.y_height
        y = i * step.stride_height - step.top
        above, below = max(y, 0), min(y + step.window_height, step.x_height)
        for j in range(step.y_width):
            x = j * step.stride_width - step.left
            before, behind = max(x, 0), min(x + step.window_width, step.x_width)
            largest_byte(step.x_at + n * step.x_image + above * step.x_row + before * step.x_pixel, step.x_row, step.x_pixel,
                         below - above, behind - before,
                         step.y_at + n * step.y_image + i * step.y_row + j * step.y_pixel, step.channels // LANES)


@Kernel
def add(step, thread, threads):
    """Sum of tensors. `table` has for each input: its address, the bytes from one row and image to the next, and its
    multiplier."""
    step = step_at(step)
    first, last = share(step.images * step.y_height, thread, threads)
    for item in range(first, last):
        n, i = item // step.y_height, item % step.y_height
        weighted_sum(step.table, step.inputs, n, i, step.y_width * step.channels // LANES,
                     step.y_at + n * step.y_image + i * step.y_row, step.constants)


@Kernel
def repeat(step, thread, threads):
    """Repeat each pixel window_height times downwards and window_width times to the right."""
    step = step_at(step)
    first, last = share(step.images * step.y_height, thread, threads)
    for item in range(first, last):
        n, i = item // step.y_height, item % step.y_height
        source = step.x_at + n * step.x_image + i // step.window_height * step.x_row
        for j in range(step.y_width):
            copy_vectors(source + j // step.window_width * step.x_pixel,
                         step.y_at + n * step.y_image + i * step.y_row + j * step.y_pixel, step.channels // LANES)
