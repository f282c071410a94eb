"""Ops that only move values, of any dtype: Reshape, Pad2D, Crop2D, Permute."""
import math

from tinyvgg.codegen.emit import numbers
from tinyvgg.codegen.ops._common import kind_of, layer_step
from tinyvgg.codegen.program import Step, emit
from tinyvgg.quant.ops.moving import Crop2D, Pad2D, Permute, Reshape


@emit.register
def _(op: Reshape, program):
    return Step(f"tv_copy({{x}}, {{y}}, {op.nbytes}u)", ("tv_move",), kind=kind_of(op), counts=op.counts())


@emit.register
def _(op: Pad2D, program):
    return _moved(op, program, "tv_pad2d", op.padding)


@emit.register
def _(op: Crop2D, program):
    return _moved(op, program, "tv_crop2d", op.cropping)


def _moved(op, program, kernel, sides):
    (h, w, _), (oh, ow, _), ((top, _), (left, _)) = program.input_shapes(op)[0], op.shape, sides
    fields = {"in_height": h, "in_width": w, "out_height": oh, "out_width": ow, "top": top, "left": left,
              "pixel": op.nbytes // (oh * ow), "value": int(op.zero)}
    return layer_step(op, program, kernel, fields, struct="tv_move_layer", files=("tv_move",))


@emit.register
def _(op: Permute, program):
    before = program.input_shapes(op)[0]
    steps = [math.prod(before[i + 1:]) for i in op.axes]
    fields = {"sizes": numbers(op.shape), "steps": numbers(steps), "item": op.nbytes // math.prod(op.shape)}
    return layer_step(op, program, "tv_permute", fields, files=("tv_move",))
