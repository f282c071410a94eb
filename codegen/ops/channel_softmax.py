"""ChannelSoftmax, in integers and in floats."""
import math

from tinyvgg.codegen.ops._common import layer_step
from tinyvgg.codegen.program import emit
from tinyvgg.quant.ops.channel_softmax import ChannelSoftmax


@emit.register
def _(op: ChannelSoftmax, program):
    row, rows = {"count": op.shape[-1]}, math.prod(op.shape[:-1])
    if not op.integer:
        return layer_step(op, program, "tv_channel_softmax_f32", {"row": row, "rows": rows}, files=("tv_softmax_f32",))
    row |= {"shift": int(op.shift), "multiplier": int(op.multiplier)}
    return layer_step(op, program, "tv_channel_softmax_u8", {"row": row, "rows": rows}, files=("tv_softmax_u8",))
