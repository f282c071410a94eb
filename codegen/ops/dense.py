"""Dense, in integers and in floats. A good file to copy for a new op: constants, a layer struct, the call of one kernel."""
from tinyvgg.codegen.ops._common import (
    UNROLL,
    decoding_counts,
    float_fields,
    integer_tail,
    is_shared,
    kernel_of,
    layer_step,
    pair_blocks,
    round_up,
    weight_fields,
)
from tinyvgg.codegen.program import emit
from tinyvgg.quant.ops.dense import Dense


@emit.register
def _(op: Dense, program):
    outputs, inputs = op.weights.shape
    fields = {"inputs": inputs, "outputs": outputs}
    if not op.integer:
        return layer_step(op, program, "tv_dense_f32", fields | float_fields(program, op, "[O][I]"))
    k = round_up(inputs, UNROLL)
    fields["tail"] = integer_tail(program, op)
    stored, before, room, files = weight_fields(program, op, pair_blocks, "[O/2][I/4][2][4]")
    fields |= stored
    file = kernel_of(op, "tv_dense_u8")
    return layer_step(op, program, "tv_dense_s16" if op.output == "int16" else file, fields, struct=f"{file}_layer",
                      files=(file, "tv_dot", *files), scratch=(2 + 2 * is_shared(op)) * k + room, before=before,
                      counts=op.counts() | {"inputs": k, "products": outputs * k} | decoding_counts(op, round_up(outputs, 2) * k))
