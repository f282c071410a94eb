"""Pools that are not merged into a convolution: of the largest, of the mean, in integers and in floats, and in TensorFlow Lite's arithmetic."""
from tinyvgg.codegen.ops._common import layer_step, window
from tinyvgg.codegen.program import emit
from tinyvgg.quant.ops.average_pool2d import AveragePool2D
from tinyvgg.quant.ops.lite_average_pool2d import LiteAveragePool2D
from tinyvgg.quant.ops.max_pool2d import MaxPool2D
from tinyvgg.quant.ops.padded_average_pool2d import PaddedAveragePool2D


def _window(op, program):
    return window(op, program.input_shapes(op)[0], op.pool_size)


@emit.register
def _(op: MaxPool2D, program):
    kind = "u8" if op.integer else "f32"
    return layer_step(op, program, f"tv_max_pool2d_{kind}", _window(op, program), struct="tv_window", files=(f"tv_pool_{kind}",), row="window")


@emit.register
def _(op: AveragePool2D, program):
    if not op.integer:
        return layer_step(op, program, "tv_average_pool2d_f32", _window(op, program), struct="tv_window", files=("tv_pool_f32",), row="window")
    fields = {"window": _window(op, program), "offset": int(op.offset), "multiplier": int(op.multiplier), "shift": int(op.shift)}
    return layer_step(op, program, "tv_average_pool2d_u8", fields, files=("tv_pool_u8",))


@emit.register
def _(op: PaddedAveragePool2D, program):
    if not op.integer:
        return layer_step(op, program, "tv_padded_average_pool2d_f32", _window(op, program), struct="tv_window", files=("tv_pool_f32",))
    fields = {"window": _window(op, program), "offsets": program.constant(op, "offsets", op.offsets),
              "multipliers": program.constant(op, "multipliers", op.multipliers), "shift": int(op.shift)}
    return layer_step(op, program, "tv_padded_average_pool2d_u8", fields, files=("tv_pool_u8",))


@emit.register
def _(op: LiteAveragePool2D, program):
    fields = {"window": _window(op, program), "centre": op.centre, "low": op.low, "high": op.high}
    return layer_step(op, program, "tv_lite_average_pool2d_u8", fields)
