"""Sums of tensors: Add, Average, Subtract, and TensorFlow Lite's."""
import math

import numpy as np

from tinyvgg.codegen.emit import numbers
from tinyvgg.codegen.ops._common import ACTIVATIONS, joined_step, layer_step
from tinyvgg.codegen.program import emit
from tinyvgg.quant.ops.add import Add, WeightedSum
from tinyvgg.quant.ops.lite_add import LiteAdd


@emit.register
def _(op: WeightedSum, program):
    if op.integer:
        kernel, ctype, file = "tv_add_u8", "uint8_t", "tv_add_u8"
        multipliers = program.constant(op, "multipliers", np.array(op.multipliers, np.int32))
        more = {"multipliers": multipliers, "offset": int(op.offset), "shift": int(op.shift)}
    else:
        kernel, ctype, file = "tv_add_f32", "float", "tv_elementwise_f32"
        more = {"first": float(op.shares[0]), "rest": float(op.shares[1])}
        if isinstance(op, Add):
            more |= {"slope": float(op.slope), "high": float(op.high), "activation": ACTIVATIONS[op.activation]}
    return joined_step(op, program, kernel, {"count": math.prod(op.shape), "inputs": len(op.inputs), **more}, ctype, files=(file,))


@emit.register
def _(op: LiteAdd, program):
    fields = {"count": math.prod(op.shape), "zeros": numbers(op.zeros), "multipliers": numbers(op.multipliers),
              "exponents": numbers(op.exponents), "zero": op.zero, "low": op.low, "high": op.high,
              "rounding": f"TV_{op.rounding.upper()}"}
    return layer_step(op, program, "tv_lite_add_u8", fields, x="(const uint8_t *const[]){{ {inputs} }}")
