"""Softmax and Sigmoid: of float logits, or of integer logits, computed in floats or integers; a softmax of each pixel, or TensorFlow Lite's."""
import math
from dataclasses import replace

from tinyvgg.codegen.ops._common import layer_step
from tinyvgg.codegen.program import emit
from tinyvgg.quant.ops.channel_softmax import ChannelSoftmax
from tinyvgg.quant.ops.lite_softmax import LiteSoftmax
from tinyvgg.quant.ops.sigmoid import Sigmoid
from tinyvgg.quant.ops.softmax import Softmax


@emit.register
def _(op: Softmax, program):
    fields = {"count": math.prod(op.shape)}
    if not op.integer:
        return layer_step(op, program, "tv_softmax_f32", fields)
    kernel = f"tv_softmax_{_logits(op, program)}"
    if op.kind == "float":
        return layer_step(op, program, f"{kernel}_f32", fields | {"scale": float(op.input_scale)}, struct="tv_softmax_scaled_layer",
                          files=("tv_softmax_f32",))
    return layer_step(op, program, kernel, fields | _scaling(op), struct="tv_softmax_s16_layer", files=("tv_softmax_u8",))


@emit.register
def _(op: Sigmoid, program):
    return replace(_sigmoid(op, program), kind="softmax")       # an output costs as much as one of a softmax


def _sigmoid(op, program):
    fields = {"count": math.prod(op.shape)}
    if not op.integer:
        return layer_step(op, program, "tv_sigmoid_f32", fields, struct="tv_softmax_f32_layer", files=("tv_softmax_f32",))
    kernel, zero = f"tv_sigmoid_{_logits(op, program)}", int(op.input_zero)
    if op.kind == "float":
        scaled = {"softmax": fields | {"scale": float(op.input_scale)}, "zero": zero}
        return layer_step(op, program, f"{kernel}_f32", scaled, struct="tv_sigmoid_scaled_layer", files=("tv_softmax_f32",))
    return layer_step(op, program, kernel, {"softmax": fields | _scaling(op), "zero": zero}, struct="tv_sigmoid_s16_layer",
                      files=("tv_softmax_u8",))


@emit.register
def _(op: ChannelSoftmax, program):
    row, rows = {"count": op.shape[-1]}, math.prod(op.shape[:-1])
    if not op.integer:
        return layer_step(op, program, "tv_channel_softmax_f32", {"row": row, "rows": rows}, files=("tv_softmax_f32",))
    return layer_step(op, program, "tv_channel_softmax_u8", {"row": row | _scaling(op), "rows": rows}, files=("tv_softmax_u8",))


@emit.register
def _(op: LiteSoftmax, program):
    fields = {"exponentials": program.constant(op, "exponentials", op.exponentials), "count": math.prod(op.shape)}
    return layer_step(op, program, "tv_lite_softmax_u8", fields)


def _logits(op, program):
    return "s16" if program.graph[op.inputs[0]].dtype == "int16" else "u8"


def _scaling(op):
    return {"shift": int(op.shift), "multiplier": int(op.multiplier)}
