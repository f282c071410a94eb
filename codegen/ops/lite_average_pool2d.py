"""The mean of each window in TensorFlow Lite's arithmetic."""
from tinyvgg.codegen.ops._common import layer_step, window
from tinyvgg.codegen.program import emit
from tinyvgg.quant.ops.lite_average_pool2d import LiteAveragePool2D


@emit.register
def _(op: LiteAveragePool2D, program):
    fields = {"window": window(op, program.input_shapes(op)[0], op.pool_size), "centre": op.centre, "low": op.low, "high": op.high}
    return layer_step(op, program, "tv_lite_average_pool2d_u8", fields)
