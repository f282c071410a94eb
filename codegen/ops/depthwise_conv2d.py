"""DepthwiseConv2D, of integers and of floats."""
from tinyvgg.codegen.ops._common import (
    float_tail,
    float_weights,
    integer_tail,
    is_shared,
    kernel_of,
    layer_step,
    shared_fields,
    window,
)
from tinyvgg.codegen.program import emit
from tinyvgg.quant.ops.depthwise_conv2d import DepthwiseConv2D
from tinyvgg.quant.ops.weights import weights_of


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
    if is_shared(op):
        fields["shared"] = shared_fields(program, op)
    else:
        fields["weights"] = program.constant(op, "weights", weights.transpose(1, 2, 0), "[KH][KW][F]")
    fields["input_zero"] = int(op.input_zero)
    return layer_step(op, program, kernel_of(op, "tv_depthwise_u8"), fields, scratch=f * kh * kw * is_shared(op), row="layer")
