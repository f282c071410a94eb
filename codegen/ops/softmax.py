"""Softmax: of float logits, or of integer logits, computed in floats or integers."""
import math

from tinyvgg.codegen.ops._common import layer_step
from tinyvgg.codegen.program import emit
from tinyvgg.quant.ops.softmax import Softmax


@emit.register
def _(op: Softmax, program):
    fields = {"count": math.prod(op.shape)}
    if not op.integer:
        return layer_step(op, program, "tv_softmax_f32", fields)
    before = "s16" if program.graph[op.inputs[0]].dtype == "int16" else "u8"
    if op.kind == "float":
        fields["scale"] = float(op.input_scale)
        return layer_step(op, program, f"tv_softmax_{before}_f32", fields, struct="tv_softmax_scaled_layer",
                          files=("tv_softmax_f32",))
    fields |= {"shift": int(op.shift), "multiplier": int(op.multiplier)}
    return layer_step(op, program, f"tv_softmax_{before}", fields, struct="tv_softmax_s16_layer", files=("tv_softmax_u8",))
