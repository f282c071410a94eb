"""The sum of tensors."""
import math
from dataclasses import replace

import numpy as np

from tinyvgg.codegen.ops._common import ACTIVATIONS, layer_step
from tinyvgg.codegen.program import emit
from tinyvgg.quant.ops.add import Add


@emit.register
def _(op: Add, program):
    if op.integer:
        kernel, ctype, file = "tv_add_u8", "uint8_t", "tv_add_u8"
        multipliers = program.constant(op, "multipliers", np.array(op.multipliers, np.int32))
        more = {"multipliers": multipliers, "offset": int(op.offset), "shift": int(op.shift)}
    else:
        kernel, ctype, file = "tv_add_f32", "float", "tv_elementwise_f32"
        more = {"slope": float(op.slope), "high": float(op.high), "activation": ACTIVATIONS[op.activation]}
    step = layer_step(op, program, kernel, {"count": math.prod(op.shape), "inputs": len(op.inputs), **more}, files=(file,), x="sources")
    # An array with a name, for C++ has no address of a temporary one.
    return replace(step, call=f"{{{{ const {ctype} *const sources[] = {{{{ {{inputs}} }}}}; {step.call}; }}}}")
