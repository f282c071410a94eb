"""PRelu, in integers and in floats."""
from tinyvgg.codegen.ops._common import broadcast_fields, layer_step
from tinyvgg.codegen.program import emit
from tinyvgg.quant.ops.prelu import PRelu


@emit.register
def _(op: PRelu, program):
    fields = {"shape": broadcast_fields(op.shape, [op.shape, op.below.shape]), "slopes": program.constant(op, "slopes", op.below)}
    if not op.integer:
        return layer_step(op, program, "tv_prelu_f32", fields)
    fields |= {"input_zero": int(op.input_zero), "multiplier": int(op.multiplier), "offset": int(op.zero) << op.shift,
               "shift": int(op.shift)}
    return layer_step(op, program, "tv_prelu_u8", fields)
