"""Conv2D, of integers and of floats, with plain or shared weights."""
import math

from tinyvgg.codegen.emit import initializer
from tinyvgg.codegen.ops._common import (
    UNROLL,
    float_tail,
    float_weights,
    integer_tail,
    is_shared,
    layer_row,
    pair_blocks,
    round_up,
    shared_fields,
    window,
)
from tinyvgg.codegen.ops._fixed import fixed_step
from tinyvgg.codegen.program import Step, emit
from tinyvgg.quant.float_graph import FloatConv2D
from tinyvgg.quant.graph import Conv2D, weights_of

BLOCK = 4                   # results at a time: a pair of filters is loaded (or looked up) once for so many
SHARED_BLOCK = 8            # looking up takes longer


@emit.register
def _(op: Conv2D, program):
    if op.variant not in ("direct", "direct_ram"):
        return fixed_step(op, program)
    weights = weights_of(op)
    f, kh, kw, c = weights.shape
    size, pool = kh * kw * c, op.pool or (1, 1, 1, 1)
    outputs = math.prod(op.shape) // f
    expand = is_shared(op) and op.variant == "direct_ram"
    block = max(1, min((SHARED_BLOCK if is_shared(op) and not expand else BLOCK) // (pool[0] * pool[1]), outputs))
    fields = {"window": window(op, program.input_shapes(op)[0], (kh, kw)),
              "tail": integer_tail(program, op, weights, op.input_zero)}
    if is_shared(op):
        fields["shared"] = shared_fields(program, op)
    else:
        fields["weights"] = program.constant(op, "weights", pair_blocks(weights.reshape(f, -1)), "[F/2][K/4][2][4]")
    fields |= {"block": block, "input_zero": int(op.input_zero), "expand": int(expand)}
    symbol = f"{program.symbol(op)}_layer"
    looked_up = 0 if not is_shared(op) else round_up(f, 2) if expand else 2
    scratch = (2 * round_up(block * pool[0] * pool[1], 2) + looked_up) * round_up(size, UNROLL)
    return Step(f"tv_conv2d_u8(&{symbol}, {{x}}, {{y}}, {{scratch}})", ("tv_conv2d_u8", "tv_dot"),
                f"static TV_CONST tv_conv2d_u8_layer {symbol} = {initializer(fields)};", scratch, layer_row("tv_conv2d_u8", symbol))


@emit.register
def _(op: FloatConv2D, program):
    f, kh, kw, c = op.weights.shape
    size = kh * kw * c
    fields = {"window": window(op, program.input_shapes(op)[0], (kh, kw)), **float_weights(program, op, "[F][KH][KW][C]"),
              "tail": float_tail(program, op)}
    symbol = f"{program.symbol(op)}_layer"
    return Step(f"tv_conv2d_f32(&{symbol}, {{x}}, {{y}}, {{scratch}})", ("tv_conv2d_f32",),
                f"static TV_CONST tv_conv2d_f32_layer {symbol} = {initializer(fields)};", (16 + 4 * is_shared(op)) * size)
