"""Sigmoid at the end of a network: of float logits, or of integer logits, computed in floats or integers."""
import math
from dataclasses import replace

from tinyvgg.codegen.ops._common import layer_step
from tinyvgg.codegen.program import emit
from tinyvgg.quant.ops.sigmoid import Sigmoid


@emit.register
def _(op: Sigmoid, program):
    return replace(_step(op, program), kind="softmax")          # an output costs as much as one of a softmax


def _step(op, program):
    fields = {"count": math.prod(op.shape)}
    if not op.integer:
        return layer_step(op, program, "tv_sigmoid_f32", fields, struct="tv_softmax_f32_layer", files=("tv_softmax_f32",))
    before = "s16" if program.graph[op.inputs[0]].dtype == "int16" else "u8"
    if op.kind == "float":
        scaled = {"softmax": fields | {"scale": float(op.input_scale)}, "zero": int(op.input_zero)}
        return layer_step(op, program, f"tv_sigmoid_{before}_f32", scaled, struct="tv_sigmoid_scaled_layer", files=("tv_softmax_f32",))
    fields |= {"shift": int(op.shift), "multiplier": int(op.multiplier)}
    return layer_step(op, program, f"tv_sigmoid_{before}", {"softmax": fields, "zero": int(op.input_zero)}, struct="tv_sigmoid_s16_layer",
                      files=("tv_softmax_u8",))
