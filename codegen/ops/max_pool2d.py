"""MaxPool2D that is not merged into a convolution."""
from tinyvgg.codegen.ops._common import layer_step, window
from tinyvgg.codegen.program import emit
from tinyvgg.quant.ops.max_pool2d import MaxPool2D


@emit.register
def _(op: MaxPool2D, program):
    kind = "u8" if op.integer else "f32"
    return layer_step(op, program, f"tv_max_pool2d_{kind}", window(op, program.input_shapes(op)[0], op.pool_size),
                      struct="tv_window", files=(f"tv_pool_{kind}",), row="window")
