"""DepthwiseConv2D, of integers and of floats."""
from dataclasses import replace

from tinyvgg.codegen.emit import initializer
from tinyvgg.codegen.ops._common import float_tail, float_weights, integer_tail, is_shared, layer_row, shared_fields, window
from tinyvgg.codegen.program import Step, emit
from tinyvgg.quant.float_graph import FloatDepthwiseConv2D
from tinyvgg.quant.graph import DepthwiseConv2D, weights_of


@emit.register
def _(op: DepthwiseConv2D, program):
    weights = weights_of(op)
    f, kh, kw = weights.shape
    fields = {"window": window(op, program.input_shapes(op)[0], (kh, kw)),
              "tail": integer_tail(program, op, weights, op.input_zero)}
    if is_shared(op):
        fields["shared"] = shared_fields(program, op)
    else:
        fields["weights"] = program.constant(op, "weights", weights.transpose(1, 2, 0), "[KH][KW][F]")
    fields["input_zero"] = int(op.input_zero)
    step = _step(op, program, "tv_depthwise_u8", "tv_depthwise_u8_layer", fields, f * kh * kw * is_shared(op))
    return replace(step, row=layer_row("tv_depthwise_u8", f"{program.symbol(op)}_layer"))


@emit.register
def _(op: FloatDepthwiseConv2D, program):
    _, kh, kw = op.weights.shape
    fields = {"window": window(op, program.input_shapes(op)[0], (kh, kw)), **float_weights(program, op, "[F][KH][KW]"),
              "tail": float_tail(program, op)}
    return _step(op, program, "tv_depthwise_f32", "tv_conv2d_f32_layer", fields, 4 * kh * kw * is_shared(op))


def _step(op, program, kernel, struct, fields, scratch):
    symbol = f"{program.symbol(op)}_layer"
    return Step(f"{kernel}(&{symbol}, {{x}}, {{y}}, {{scratch}})", (kernel,),
                f"static TV_CONST {struct} {symbol} = {initializer(fields)};", scratch)
