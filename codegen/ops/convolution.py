"""Conv2D and DepthwiseConv2D, in integers and in floats, with plain or shared weights."""
import math

from tinyvgg.codegen.ops._common import (
    UNROLL,
    decoding_counts,
    float_fields,
    integer_tail,
    is_coded,
    is_shared,
    kernel_of,
    layer_step,
    pair_blocks,
    round_up,
    weight_fields,
    window,
)
from tinyvgg.codegen.ops._fixed import fixed_step
from tinyvgg.codegen.program import emit
from tinyvgg.quant.ops.conv2d import Conv2D
from tinyvgg.quant.ops.depthwise_conv2d import DepthwiseConv2D

BLOCK = 4                   # results at a time: a pair of filters is loaded once for each block
SHARED_BLOCK = 8            # the same for shared weights, because looking them up takes longer
MOST_TAPS = 25              # largest window of the kernel that takes four channels at a time (tv_depthwise_u8.c)


@emit.register
def _(op: Conv2D, program):
    f, kh, kw, c = op.weights.shape
    if op.variant not in ("direct", "direct_ram"):
        return fixed_step(op, program)
    fields = {"window": window(op, program.input_shapes(op)[0], (kh, kw))}
    if op.integer:
        return _direct(op, program, fields)
    fields |= float_fields(program, op, "[F][KH][KW][C]")
    return layer_step(op, program, "tv_conv2d_f32", fields, scratch=(16 + 4 * is_shared(op)) * kh * kw * c)


def _direct(op, program, fields):
    """Return the Step of the kernel for any shape; it looks a codebook up block by block, or once a layer (direct_ram)."""
    f, kh, pool = *op.weights.shape[:2], math.prod((op.pool or (1, 1))[:2])
    k, outputs = round_up(math.prod(op.weights.shape[1:]), UNROLL), math.prod(op.shape) // f
    expand = is_shared(op) and op.variant == "direct_ram"
    block = max(1, min((SHARED_BLOCK if is_shared(op) and not expand else BLOCK) // pool, outputs))
    fields["tail"] = integer_tail(program, op)
    stored, before, room, files = weight_fields(program, op, lambda w: pair_blocks(w.reshape(f, -1)), "[F/2][K/4][2][4]")
    fields |= {**stored, "block": block, "input_zero": int(op.input_zero), "expand": int(expand)}
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


@emit.register
def _(op: DepthwiseConv2D, program):
    f, kh, kw = op.weights.shape
    fields = {"window": window(op, program.input_shapes(op)[0], (kh, kw))}
    if not op.integer:
        fields |= float_fields(program, op, "[F][KH][KW]")
        return layer_step(op, program, "tv_depthwise_f32", fields, struct="tv_conv2d_f32_layer",
                          scratch=4 * kh * kw * is_shared(op))
    fields["tail"] = integer_tail(program, op)
    stored, before, room, files = weight_fields(program, op, lambda w: w.transpose(1, 2, 0), "[KH][KW][F]")
    fields |= {**stored, "input_zero": int(op.input_zero)}
    fours = f // 4 * 4 if f == fields["window"]["in_channels"] and kh * kw <= MOST_TAPS and (op.pool or (1, 1))[:2] == (1, 1) else 0
    kernel, numbers = kernel_of(op, "tv_depthwise_u8"), 12 if op.lite else 4            # bytes of a tv_numbers
    scratch = (2 * round_up(kh * kw, 3) + 5 + numbers) * fours + round_up(f * kh * kw, 4) * is_shared(op) + room
    return layer_step(op, program, kernel, fields, files=(kernel, *files), scratch=scratch, row="layer",
                      before=before, counts=_depthwise_counts(op, fours) | decoding_counts(op, f * kh * kw))


def _depthwise_counts(op, fours):
    """Return the counts from which cycles are computed; fours: channels that run four at a time, over windows whose size is
    rounded up to a multiple of three."""
    counted, channels, taps = op.counts(), op.shape[-1], math.prod(op.weights.shape[1:])
    places = counted["results"] // channels
    return {"layer": 1, "weights": channels * taps, "places": places if fours else 0, "lite" if op.lite else "finished": places * fours,
            "fours": places * fours * round_up(taps, 3),
            "outputs": counted["outputs"] // channels * (channels - fours), "products": places * taps * (channels - fours)}
