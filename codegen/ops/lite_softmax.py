"""Softmax in TensorFlow Lite's arithmetic."""
import math

from tinyvgg.codegen.ops._common import layer_step
from tinyvgg.codegen.program import emit
from tinyvgg.quant.ops.lite_softmax import LiteSoftmax


@emit.register
def _(op: LiteSoftmax, program):
    fields = {"exponentials": program.constant(op, "exponentials", op.exponentials), "count": math.prod(op.shape)}
    return layer_step(op, program, "tv_lite_softmax_u8", fields)
