"""The sum of tensors."""
import math

import numpy as np

from tinyvgg.codegen.emit import initializer
from tinyvgg.codegen.ops._common import ACTIVATIONS
from tinyvgg.codegen.program import Step, emit
from tinyvgg.quant.float_graph import FloatAdd
from tinyvgg.quant.graph import Add


@emit.register
def _(op: Add, program):
    multipliers = program.constant(op, "multipliers", np.array(op.multipliers, np.int32))
    fields = {"count": math.prod(op.shape), "inputs": len(op.inputs), "multipliers": multipliers, "offset": int(op.offset),
              "shift": int(op.shift)}
    return _step(op, program, "tv_add_u8", "uint8_t", fields, "tv_add_u8")


@emit.register
def _(op: FloatAdd, program):
    fields = {"count": math.prod(op.shape), "inputs": len(op.inputs), "slope": float(op.slope), "high": float(op.high),
              "activation": ACTIVATIONS[op.activation]}
    return _step(op, program, "tv_add_f32", "float", fields, "tv_elementwise_f32")


def _step(op, program, kernel, ctype, fields, file):
    symbol = f"{program.symbol(op)}_layer"
    return Step(f"{kernel}(&{symbol}, (const {ctype} *const[]){{{{ {{inputs}} }}}}, {{y}})", (file,),
                f"static TV_CONST {kernel}_layer {symbol} = {initializer(fields)};")
