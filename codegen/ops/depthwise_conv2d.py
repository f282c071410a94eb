"""DepthwiseConv2D, in integers and in floats."""
import math

from tinyvgg.codegen.ops._common import (
    decoding_counts,
    float_tail,
    float_weights,
    integer_tail,
    is_shared,
    kernel_of,
    layer_step,
    looked_up_fields,
    round_up,
    window,
)
from tinyvgg.codegen.program import emit
from tinyvgg.quant.ops.depthwise_conv2d import DepthwiseConv2D
from tinyvgg.quant.ops.weights import weights_of

MOST_TAPS = 25              # largest window of the kernel that takes four channels at a time (tv_depthwise_u8.c)

@emit.register
def _(op: DepthwiseConv2D, program):
    f, kh, kw = op.weights.shape
    fields = {"window": window(op, program.input_shapes(op)[0], (kh, kw))}
    if not op.integer:
        fields |= {**float_weights(program, op, "[F][KH][KW]"), "tail": float_tail(program, op)}
        return layer_step(op, program, "tv_depthwise_f32", fields, struct="tv_conv2d_f32_layer",
                          scratch=4 * kh * kw * is_shared(op))
    weights = weights_of(op)
    fields["tail"] = integer_tail(program, op, weights, op.input_zero)
    before, room, files, kernel = "", 0, (), kernel_of(op, "tv_depthwise_u8")
    if is_shared(op):
        fields["shared"], before, room, files = looked_up_fields(program, op, lambda w: w.transpose(1, 2, 0))
    else:
        fields["weights"] = program.constant(op, "weights", weights.transpose(1, 2, 0), "[KH][KW][F]")
    fields["input_zero"] = int(op.input_zero)
    fours = f // 4 * 4 if f == fields["window"]["in_channels"] and kh * kw <= MOST_TAPS and (op.pool or (1, 1))[:2] == (1, 1) else 0
    numbers = 12 if op.lite else 4                                        # bytes of a tv_numbers
    scratch = (2 * round_up(kh * kw, 3) + 5 + numbers) * fours + round_up(f * kh * kw, 4) * is_shared(op) + room
    return layer_step(op, program, kernel, fields, files=(kernel, *files), scratch=scratch, row="layer",
                      before=before, counts=_counts(op, fours) | decoding_counts(op, f * kh * kw))


def _counts(op, fours):
    """Return the counts from which cycles are computed; fours: channels that run four at a time, over windows whose size is
    rounded up to a multiple of three."""
    counted, channels, taps = op.counts(), op.shape[-1], math.prod(op.weights.shape[1:])
    places = counted["results"] // channels
    return {"layer": 1, "weights": channels * taps, "places": places if fours else 0, "lite" if op.lite else "finished": places * fours,
            "fours": places * fours * round_up(taps, 3),
            "outputs": counted["outputs"] // channels * (channels - fours), "products": places * taps * (channels - fours)}
