"""From the gradient of an op's result to that of its sums: back through saturation, activation and pool.

The codes that the integer forward pass wrote decide where the gradient goes (vectors.CLOSED). Addresses of float tensors are in
elements of four bytes, those of codes in bytes.
"""
from llvmlite import ir
from numba import types

from tinyvgg.kernels.fast.elementwise import share, wipe
from tinyvgg.kernels.fast.program import step_at
from tinyvgg.kernels.fast.simd import WIDTH, Kernel, machine
from tinyvgg.quant.fast.vectors import BYTE, CLOSED, NEGATIVE, NUMBER, PLACES, load, same


def make_spread(adds):
    """Return the function that gives each place of a window its part of g, for a pixel of `vectors` vectors.

    adds: whether it adds to the values already there or overwrites them.
    """
    @machine
    def spread(e, g, codes, to, row, pixel, height, width, vectors, slope: types.float32):
        builder, lanes = e.builder, ir.VectorType(NUMBER, WIDTH)

        def one(v, _):
            code = builder.zext(load(e, codes + v * WIDTH, ir.VectorType(BYTE, WIDTH)), lanes)
            bits = [builder.icmp_signed("!=", builder.and_(code, same(lanes, bit)), same(lanes, 0)) for bit in (CLOSED, NEGATIVE)]
            value = e.load(g + v * WIDTH)
            value = e.zero().where(bits[0], (value * e.spread(slope)).where(bits[1], value))
            place = builder.and_(code, same(lanes, PLACES - 1))

            def rows(p, _):
                def columns(q, _):
                    many = builder.trunc((p * width + q).value, NUMBER)
                    one = builder.insert_element(ir.Constant(lanes, ir.Undefined), many, NUMBER(0))
                    here = builder.shuffle_vector(one, one, ir.Constant(lanes, [0] * WIDTH))
                    part = value.where(builder.icmp_signed("==", place, here), 0.0)
                    spot = to + p * row + q * pixel + v * WIDTH
                    e.store(e.load(spot) + part if adds else part, spot)
                    return []
                e.loop(width, [], columns)
                return []
            e.loop(height, [], rows)
            return []
        e.loop(vectors, [], one)
    return spread


set_window, add_to_window = make_spread(False), make_spread(True)


@Kernel
def route(step, thread, threads):
    """Compute step.dx, the gradient of the sums, from step.g, the gradient of the result.

    mask: codes, mask_image bytes an image and depth bytes a pixel. Windows are kernel_height by kernel_width, stride_height and
    stride_width apart. leak: slope of the negative side. Values that no window covers are left unchanged.
    """
    step = step_at(step)
    g, dx = step.g, step.dx
    overlap = step.stride_height < step.kernel_height or step.stride_width < step.kernel_width
    first, last = share(step.images, thread, threads)
    for n in range(first, last):
        if overlap:
            for i in range(dx.height):
                wipe(dx.at + n * dx.image + i * dx.row, dx.width * dx.channels)
        for i in range(g.height):
            codes = step.mask + n * step.mask_image + i * g.width * step.depth
            source = g.at + n * g.image + i * g.row
            target = dx.at + n * dx.image + i * step.stride_height * dx.row
            for j in range(g.width):
                at, to, code = source + j * g.channels, target + j * step.stride_width * dx.channels, codes + j * step.depth
                if overlap:
                    add_to_window(at, code, to, dx.row, dx.channels, step.kernel_height, step.kernel_width, g.channels // WIDTH,
                                  step.leak)
                else:
                    set_window(at, code, to, dx.row, dx.channels, step.kernel_height, step.kernel_width, g.channels // WIDTH,
                               step.leak)
