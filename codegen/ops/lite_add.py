"""The sum of two tensors in TensorFlow Lite's arithmetic."""
import math

from tinyvgg.codegen.emit import numbers
from tinyvgg.codegen.ops._common import layer_step
from tinyvgg.codegen.program import emit
from tinyvgg.quant.ops.lite_add import LiteAdd


@emit.register
def _(op: LiteAdd, program):
    fields = {"count": math.prod(op.shape), "zeros": numbers(op.zeros), "multipliers": numbers(op.multipliers),
              "exponents": numbers(op.exponents), "zero": op.zero, "low": op.low, "high": op.high,
              "rounding": f"TV_{op.rounding.upper()}"}
    return layer_step(op, program, "tv_lite_add_u8", fields, x="(const uint8_t *const[]){{ {inputs} }}")
