"""Activation: in integers a table of 256 levels, in floats a function."""
import math

from tinyvgg.codegen.ops._common import layer_step
from tinyvgg.codegen.program import emit
from tinyvgg.quant.ops.activation import NO_MAXIMUM, Activation


@emit.register
def _(op: Activation, program):
    fields = {"count": math.prod(op.shape)}
    if op.integer:
        fields["table"] = program.constant(op, "table", op.table, "the level of each level")
        return layer_step(op, program, "tv_lookup_u8", fields)
    fields |= {"function": f"TV_F_{op.function.upper()}", "alpha": float(op.alpha), "threshold": float(op.threshold),
               "high": float(op.high), "limited": int(op.high != NO_MAXIMUM), "start": float(op.start)}
    return layer_step(op, program, "tv_activation_f32", fields, files=("tv_activation_f32", "tv_softmax_f32"))
