"""Conv2D, in integers and in floats, with plain or shared weights."""
import math

from tinyvgg.codegen.ops._common import (
    UNROLL,
    float_tail,
    float_weights,
    integer_tail,
    is_coded,
    is_shared,
    kernel_of,
    layer_step,
    looked_up_fields,
    pair_blocks,
    round_up,
    window,
)
from tinyvgg.codegen.ops._fixed import fixed_step
from tinyvgg.codegen.program import emit
from tinyvgg.quant.ops.conv2d import Conv2D
from tinyvgg.quant.ops.weights import weights_of

BLOCK = 4                   # results at a time: a pair of filters is loaded once for each block
SHARED_BLOCK = 8            # the same for shared weights, because looking them up takes longer


@emit.register
def _(op: Conv2D, program):
    f, kh, kw, c = op.weights.shape
    if op.variant not in ("direct", "direct_ram"):
        return fixed_step(op, program)
    fields = {"window": window(op, program.input_shapes(op)[0], (kh, kw))}
    if op.integer:
        return _direct(op, program, fields)
    fields |= {**float_weights(program, op, "[F][KH][KW][C]"), "tail": float_tail(program, op)}
    return layer_step(op, program, "tv_conv2d_f32", fields, scratch=(16 + 4 * is_shared(op)) * kh * kw * c)


def _direct(op, program, fields):
    """Return the Step of the kernel for any shape; it looks a codebook up block by block, or once a layer (direct_ram)."""
    weights = weights_of(op)
    f, kh, pool = *weights.shape[:2], math.prod((op.pool or (1, 1))[:2])
    k, outputs = round_up(math.prod(weights.shape[1:]), UNROLL), math.prod(op.shape) // f
    expand = is_shared(op) and op.variant == "direct_ram"
    block = max(1, min((SHARED_BLOCK if is_shared(op) and not expand else BLOCK) // pool, outputs))
    fields["tail"] = integer_tail(program, op, weights, op.input_zero)
    before, room, files = "", 0, ()
    if is_shared(op):
        fields["shared"], before, room, files = looked_up_fields(program, op, lambda w: pair_blocks(w.reshape(f, -1)))
    else:
        fields["weights"] = program.constant(op, "weights", pair_blocks(weights.reshape(f, -1)), "[F/2][K/4][2][4]")
    fields |= {"block": block, "input_zero": int(op.input_zero), "expand": int(expand)}
    looked_up = 0 if not is_shared(op) else round_up(f, 2) if expand else 2
    results = outputs * pool                        # of the convolution; each pool window computes its own
    counts = {"layer": 1, "gathered": results * k, "lines": results * kh, "results": results * f, "outputs": outputs * f,
              "products": round_up(results, 2) * round_up(f, 2) * k}
    if is_coded(op):
        times = 1 if expand else -(-outputs // block)
        counts |= {"decoded": times * round_up(f, 2) * k, "tables": times}
    elif is_shared(op):
        counts["looked_up"] = (1 if expand else -(-outputs // block)) * round_up(f, 2) * k
    kernel = kernel_of(op, "tv_conv2d_u8")
    return layer_step(op, program, kernel, fields, files=(kernel, "tv_dot", *files), counts=counts, row="layer", before=before,
                      scratch=(2 * round_up(block * pool, 2) + looked_up) * k + room)
