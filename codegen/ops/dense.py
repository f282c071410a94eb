"""Dense, of integers and of floats. A good file to copy for a new op: constants, a layer struct, the call of one kernel."""
from tinyvgg.codegen.emit import initializer
from tinyvgg.codegen.ops._common import (
    UNROLL,
    float_tail,
    float_weights,
    integer_tail,
    is_shared,
    pair_blocks,
    round_up,
    shared_fields,
)
from tinyvgg.codegen.program import Step, emit
from tinyvgg.quant.float_graph import FloatDense
from tinyvgg.quant.graph import Dense, weights_of


@emit.register
def _(op: Dense, program):
    weights = weights_of(op)
    outputs, inputs = weights.shape
    fields = {"inputs": inputs, "outputs": outputs, "tail": integer_tail(program, op, weights, op.input_zero)}
    if is_shared(op):
        fields["shared"] = shared_fields(program, op)
    else:
        fields["weights"] = program.constant(op, "weights", pair_blocks(weights), "[O/2][I/4][2][4]")
    symbol, kernel = f"{program.symbol(op)}_layer", "tv_dense_s16" if op.output == "int16" else "tv_dense_u8"
    scratch = (2 + 2 * is_shared(op)) * round_up(inputs, UNROLL)
    return Step(f"{kernel}(&{symbol}, {{x}}, {{y}}, {{scratch}})", ("tv_dense_u8", "tv_dot"),
                f"static TV_CONST tv_dense_u8_layer {symbol} = {initializer(fields)};", scratch)


@emit.register
def _(op: FloatDense, program):
    outputs, inputs = op.weights.shape
    fields = {"inputs": inputs, "outputs": outputs, **float_weights(program, op, "[O][I]"), "tail": float_tail(program, op)}
    symbol = f"{program.symbol(op)}_layer"
    return Step(f"tv_dense_f32(&{symbol}, {{x}}, {{y}})", ("tv_dense_f32",),
                f"static TV_CONST tv_dense_f32_layer {symbol} = {initializer(fields)};")
