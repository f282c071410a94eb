"""PaddedAveragePool2D, in integers and in floats."""
from tinyvgg.codegen.ops._common import layer_step, window
from tinyvgg.codegen.program import emit
from tinyvgg.quant.ops.padded_average_pool2d import PaddedAveragePool2D


@emit.register
def _(op: PaddedAveragePool2D, program):
    area = window(op, program.input_shapes(op)[0], op.pool_size)
    if not op.integer:
        return layer_step(op, program, "tv_padded_average_pool2d_f32", area, struct="tv_window", files=("tv_pool_f32",))
    fields = {"window": area, "offsets": program.constant(op, "offsets", op.offsets),
              "multipliers": program.constant(op, "multipliers", op.multipliers), "shift": int(op.shift)}
    return layer_step(op, program, "tv_padded_average_pool2d_u8", fields, files=("tv_pool_u8",))
