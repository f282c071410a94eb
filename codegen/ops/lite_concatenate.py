"""Concatenation along the channels, if all inputs have one scale and zero point."""
import math

from tinyvgg.codegen.emit import numbers
from tinyvgg.codegen.ops._common import kind_of
from tinyvgg.codegen.program import Step, emit
from tinyvgg.errors import NotYet
from tinyvgg.quant.ops.lite_concatenate import LiteConcatenate


@emit.register
def _(op: LiteConcatenate, program):
    if not op.integer:
        raise NotYet(f"C code has no float concatenation for this op ({op.name!r})", "the integer model")
    channels = [shape[-1] for shape in program.input_shapes(op)]
    name, pixels = f"{program.symbol(op)}_channels", math.prod(op.shape[:-1])
    return Step(f"tv_lite_concatenate_u8((const uint8_t *const[]){{{{ {{inputs}} }}}}, {name}, {len(channels)}u, {pixels}u, {{y}})",
                ("tv_lite_concatenate_u8",), f"static TV_CONST uint32_t {name}[] = {numbers(channels)};",
                kind=kind_of(op), counts=op.counts())
