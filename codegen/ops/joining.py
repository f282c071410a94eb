"""Ops with several inputs, except sums: Multiply, Maximum, Concatenate."""
import math

import numpy as np

from tinyvgg.codegen.emit import numbers
from tinyvgg.codegen.ops._common import broadcast_fields, joined_step, kind_of
from tinyvgg.codegen.program import Step, emit
from tinyvgg.errors import NotYet
from tinyvgg.quant.ops.lite_concatenate import LiteConcatenate
from tinyvgg.quant.ops.multiply import Multiply
from tinyvgg.quant.ops.rescaled import Concatenate, Maximum


@emit.register
def _(op: Multiply, program):
    shape = broadcast_fields(op.shape, program.input_shapes(op))
    if not op.integer:
        return joined_step(op, program, "tv_multiply_f32", shape, "float", struct="tv_broadcast", files=("tv_elementwise_f32",))
    fields = {"shape": shape, "zeros": numbers(op.zeros), "offset": int(op.offset), "multiplier": int(op.multiplier),
              "shift": int(op.shift)}
    return joined_step(op, program, "tv_multiply_u8", fields, "uint8_t")


@emit.register
def _(op: Maximum, program):
    fields = {"count": math.prod(op.shape), "inputs": len(op.inputs)}
    if not op.integer:
        return joined_step(op, program, "tv_maximum_f32", fields, "float", files=("tv_elementwise_f32",))
    return joined_step(op, program, "tv_maximum_u8", fields | _rescaling(op, program), "uint8_t", struct="tv_rescaled_u8_layer",
                       files=("tv_rescaled_u8",))


@emit.register
def _(op: Concatenate, program):
    channels = [shape[-1] for shape in program.input_shapes(op)]
    pixels = math.prod(op.shape[:-1])
    if not op.integer:
        widths = numbers(4 * n for n in channels)
        return Step(f"{{{{ const void *const sources[] = {{{{ {{inputs}} }}}}; const uint32_t widths[] = {{{widths}}}; "
                    f"tv_concatenate(sources, {{y}}, {pixels}u, widths, {len(channels)}u); }}}}", ("tv_move",), kind=kind_of(op),
                    counts=op.counts())
    fields = {"count": pixels, "inputs": len(op.inputs), "channels": program.constant(op, "channels", np.array(channels, np.int32))}
    return joined_step(op, program, "tv_concatenate_u8", fields | _rescaling(op, program), "uint8_t", struct="tv_rescaled_u8_layer",
                       files=("tv_rescaled_u8",))


@emit.register
def _(op: LiteConcatenate, program):
    """Along the channels, if all inputs have one scale and zero point."""
    if not op.integer:
        raise NotYet(f"C code has no float concatenation for this op ({op.name!r})", "the integer model")
    channels = [shape[-1] for shape in program.input_shapes(op)]
    name, pixels = f"{program.symbol(op)}_channels", math.prod(op.shape[:-1])
    return Step(f"tv_lite_concatenate_u8((const uint8_t *const[]){{{{ {{inputs}} }}}}, {name}, {len(channels)}u, {pixels}u, {{y}})",
                ("tv_lite_concatenate_u8",), f"static TV_CONST uint32_t {name}[] = {numbers(channels)};",
                kind=kind_of(op), counts=op.counts())


def _rescaling(op, program):
    return {"multipliers": program.constant(op, "multipliers", np.array(op.multipliers, np.int32)),
            "offsets": program.constant(op, "offsets", np.array(op.offsets, np.int32)), "shift": int(op.shift)}
