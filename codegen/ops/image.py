"""The input image: uint8 unchanged, or float32, rescaled if the network starts with a Rescaling."""
import math

from tinyvgg.codegen.ops._common import layer_step
from tinyvgg.codegen.program import emit
from tinyvgg.quant.ops.image import Image


@emit.register
def _(op: Image, program):
    if op.integer or (op.gain, op.shift) == (1.0, 0.0):
        return None
    fields = {"count": math.prod(op.shape), "scale": float(op.gain), "shift": float(op.shift)}
    return layer_step(op, program, "tv_affine_f32", fields, files=("tv_elementwise_f32",))
