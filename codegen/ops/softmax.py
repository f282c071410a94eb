"""Softmax: of floats, or of integer logits in floats or integers."""
import math

from tinyvgg.codegen.emit import initializer
from tinyvgg.codegen.program import Step, dtype_of, emit
from tinyvgg.quant.float_graph import FloatSoftmax
from tinyvgg.quant.graph import Softmax


@emit.register
def _(op: Softmax, program):
    before = "s16" if dtype_of(program.graph[op.inputs[0]]) == "int16" else "u8"
    if op.kind == "float":
        fields = {"count": math.prod(op.shape), "scale": float(op.input_scale)}
        return _step(op, program, f"tv_softmax_{before}_f32", "tv_softmax_scaled_layer", fields, "tv_softmax_f32")
    fields = {"count": math.prod(op.shape), "shift": int(op.shift), "multiplier": int(op.multiplier)}
    return _step(op, program, f"tv_softmax_{before}", "tv_softmax_s16_layer", fields, "tv_softmax_u8")


@emit.register
def _(op: FloatSoftmax, program):
    return _step(op, program, "tv_softmax_f32", "tv_softmax_f32_layer", {"count": math.prod(op.shape)}, "tv_softmax_f32")


def _step(op, program, kernel, struct, fields, file):
    symbol = f"{program.symbol(op)}_layer"
    return Step(f"{kernel}(&{symbol}, {{x}}, {{y}})", (file,), f"static TV_CONST {struct} {symbol} = {initializer(fields)};")
