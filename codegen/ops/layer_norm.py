"""LayerNorm, in floats."""
import math

from tinyvgg.codegen.ops._common import layer_step
from tinyvgg.codegen.program import emit
from tinyvgg.quant.ops.layer_norm import LayerNorm


@emit.register
def _(op: LayerNorm, program):
    fields = {"count": op.shape[-1], "rows": math.prod(op.shape[:-1]), "epsilon": float(op.epsilon),
              "gain": program.constant(op, "gain", op.gain), "shift": program.constant(op, "shift", op.shift)}
    return layer_step(op, program, "tv_layer_norm_f32", fields)
