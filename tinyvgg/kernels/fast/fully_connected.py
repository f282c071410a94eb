"""Fully connected layers, computed with the register tiles of `tile.py`. Rows are padded with zeros to whole vectors."""
from tinyvgg.kernels.fast.elementwise import clear, load_float, share, store_float
from tinyvgg.kernels.fast.packing import pack_panels
from tinyvgg.kernels.fast.program import step_at
from tinyvgg.kernels.fast.simd import WIDTH, Kernel, compiled, machine
from tinyvgg.kernels.fast.tile import blocked_product, blocked_row, panel_product, panel_width, transposed_product


def make_finish(relu, masked):
    """Return y = ReLU(y + bias) * mask for one row of y, count vectors."""
    @machine
    def finish_row(e, y, bias, mask, count):
        def body(i, _):
            value = e.load(y + i * WIDTH) + e.load(bias + i * WIDTH)
            value = value.relu() if relu else value
            e.store(value * e.load(mask + i * WIDTH) if masked else value, y + i * WIDTH)
            return []
        e.loop(count, [], body)
    return finish_row


finish, finish_relu, finish_relu_mask, finish_mask = make_finish(0, 0), make_finish(1, 0), make_finish(1, 1), make_finish(0, 1)


@machine
def gate_row(e, g, y, mask, count):
    """g = mask * g where y > 0, else 0; y is the result after ReLU and dropout."""
    def body(i, _):
        value = e.load(g + i * WIDTH) * e.load(mask + i * WIDTH)
        e.store(value.where(e.load(y + i * WIDTH).positive(), 0.0), g + i * WIDTH)
        return []
    e.loop(count, [], body)


@Kernel
def pack(step, thread, threads):
    """As packing.pack, but not for a single image, whose product reads each weight once: `forward` then takes step.kernel as it is."""
    step = step_at(step)
    if step.images > 1:
        pack_panels(step, thread, threads)


@Kernel
def forward(step, thread, threads):
    """y (N, F) = tail(x (N, K) @ packed + bias). Threads share the rows of y if there are many, else the panels."""
    step = step_at(step)
    columns = step.y.row
    if step.images == 1:
        first, last = share(columns // WIDTH, thread, threads)
        if last > first:
            _forward_row(step, first * WIDTH, (last - first) * WIDTH)
    elif step.images >= 8 * threads:
        first, last = share(step.images, thread, threads)
        _forward_part(step, first, last, 0, columns)
    else:
        first, last = share((columns + WIDTH - 1) // WIDTH, thread, threads)
        _forward_part(step, 0, step.images, first * WIDTH, last * WIDTH)


@compiled
def _forward_part(step, first, last, left, right):
    """Compute rows first..last of y, in the panels that begin in left..right."""
    x, y, k = step.x, step.y, step.x.row
    j = 0
    while j < y.row:
        width = panel_width(y.row - j)
        if left <= j < right:
            at = y.at + first * y.row + j
            blocked_product(x.at + first * k, k, WIDTH, step.packed + j * k, at, y.row, last - first, width, WIDTH, k // WIDTH)
            for n in range(first, last):
                _finish(step, y.at + n * y.row + j, step.bias + j, step.mask + n * step.mask_image + j, width // WIDTH)
        j += width


@compiled
def _forward_row(step, first, count):
    """Compute `count` columns of y's only row, from the weights as they are."""
    y = step.y.at + first
    blocked_row(step.x.at, WIDTH, step.kernel + first, step.y.row, y, count, WIDTH, step.x.row // WIDTH)
    _finish(step, y, step.bias + first, step.mask + first, count // WIDTH)


@compiled
def _finish(step, y, bias, mask, count):
    if step.gate and step.mask:
        finish_relu_mask(y, bias, mask, count)
    elif step.gate:
        finish_relu(y, bias, 0, count)
    elif step.mask:
        finish_mask(y, bias, mask, count)
    else:
        finish(y, bias, 0, count)


@Kernel
def gate(step, thread, threads):
    """Pull g back through dropout and ReLU, in place."""
    step = step_at(step)
    first, last = share(step.images, thread, threads)
    for n in range(first, last):
        gate_row(step.g.at + n * step.g.row, step.y.at + n * step.y.row, step.mask + n * step.mask_image, step.g.row // WIDTH)


@Kernel
def kernel_gradient(step, thread, threads):
    """step.gradient (K, F) = x' g, F in whole vectors; the bias gradient is the sum of g's rows."""
    step = step_at(step)
    x, g = step.x, step.g
    first, last = share(step.depth, thread, threads)
    if last > first:
        target = step.gradient + first * g.row
        clear(target, (last - first) * g.row // WIDTH)
        transposed_product(x.at + first, x.row, 0, g.at, g.row, 0, target, g.row, last - first, g.row, step.images, 1)
    first, last = share(step.filters if step.bias_gradient else 0, thread, threads)
    for f in range(first, last):
        total = 0.0
        for n in range(step.images):
            total += load_float(g.at + n * g.row + f)
        store_float(total, step.bias_gradient + f)


@Kernel
def input_gradient(step, thread, threads):
    """dx (N, K) = g (N, F) @ the transposed kernel."""
    step = step_at(step)
    g, dx = step.g, step.dx
    first, last = share(step.images, thread, threads)
    if last > first:
        j = 0
        while j < dx.row:
            width = panel_width(dx.row - j)
            panel_product(g.at + first * g.row, g.row, step.packed + j * g.row, dx.at + first * dx.row + j, dx.row,
                          last - first, width, g.row)
            j += width
