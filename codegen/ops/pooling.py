"""Pools that no convolution took in."""
from tinyvgg.codegen.emit import initializer
from tinyvgg.codegen.ops._common import window
from tinyvgg.codegen.program import Step, emit
from tinyvgg.quant.float_graph import FloatAveragePool2D, FloatMaxPool2D
from tinyvgg.quant.graph import AveragePool2D, MaxPool2D


@emit.register
def _(op: AveragePool2D, program):
    fields = {"window": window(op, program.input_shapes(op)[0], op.pool_size), "offset": int(op.offset),
              "multiplier": int(op.multiplier), "shift": int(op.shift)}
    symbol = f"{program.symbol(op)}_layer"
    return Step(f"tv_average_pool2d_u8(&{symbol}, {{x}}, {{y}})", ("tv_pool_u8",),
                f"static TV_CONST tv_average_pool2d_u8_layer {symbol} = {initializer(fields)};")


@emit.register
def _(op: MaxPool2D, program):
    return _window_only(op, program, "tv_max_pool2d_u8", "tv_pool_u8")


@emit.register
def _(op: FloatMaxPool2D, program):
    return _window_only(op, program, "tv_max_pool2d_f32", "tv_pool_f32")


@emit.register
def _(op: FloatAveragePool2D, program):
    return _window_only(op, program, "tv_average_pool2d_f32", "tv_pool_f32")


def _window_only(op, program, kernel, file):
    symbol = f"{program.symbol(op)}_layer"
    fields = window(op, program.input_shapes(op)[0], op.pool_size)
    return Step(f"{kernel}(&{symbol}, {{x}}, {{y}})", (file,), f"static TV_CONST tv_window {symbol} = {initializer(fields)};",
                row=(f"&{symbol}", f"(void)scratch;\n    {kernel}(window, x, y);"))
