"""Dense, in integers and in floats. A good file to copy for a new op: constants, a layer struct, the call of one kernel."""
from tinyvgg.codegen.ops._common import (
    UNROLL,
    decoding_counts,
    float_tail,
    float_weights,
    integer_tail,
    is_shared,
    kernel_of,
    layer_step,
    looked_up_fields,
    pair_blocks,
    round_up,
)
from tinyvgg.codegen.program import emit
from tinyvgg.quant.ops.dense import Dense
from tinyvgg.quant.ops.weights import weights_of


@emit.register
def _(op: Dense, program):
    outputs, inputs = op.weights.shape
    fields = {"inputs": inputs, "outputs": outputs}
    if not op.integer:
        fields |= {**float_weights(program, op, "[O][I]"), "tail": float_tail(program, op)}
        return layer_step(op, program, "tv_dense_f32", fields)
    weights, k = weights_of(op), round_up(inputs, UNROLL)
    fields["tail"] = integer_tail(program, op, weights, op.input_zero)
    before, room, files = "", 0, ()
    if is_shared(op):
        fields["shared"], before, room, files = looked_up_fields(program, op, pair_blocks)
    else:
        fields["weights"] = program.constant(op, "weights", pair_blocks(weights), "[O/2][I/4][2][4]")
    file = kernel_of(op, "tv_dense_u8")
    return layer_step(op, program, "tv_dense_s16" if op.output == "int16" else file, fields, struct=f"{file}_layer",
                      files=(file, "tv_dot", *files), scratch=(2 + 2 * is_shared(op)) * k + room, before=before,
                      counts=op.counts() | {"inputs": k, "products": outputs * k} | decoding_counts(op, round_up(outputs, 2) * k))
