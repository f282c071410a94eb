"""The image: uint8 as it is, or float32, perhaps rescaled."""
import math

from tinyvgg.codegen.emit import initializer
from tinyvgg.codegen.program import Step, emit
from tinyvgg.quant.float_graph import FloatImage
from tinyvgg.quant.graph import Image


@emit.register
def _(op: Image, program):
    return None


@emit.register
def _(op: FloatImage, program):
    if (op.scale, op.shift) == (1.0, 0.0):
        return None
    symbol = f"{program.symbol(op)}_layer"
    fields = {"count": math.prod(op.shape), "scale": float(op.scale), "shift": float(op.shift)}
    return Step(f"tv_affine_f32(&{symbol}, {{x}}, {{y}})", ("tv_elementwise_f32",),
                f"static TV_CONST tv_affine_f32_layer {symbol} = {initializer(fields)};")
