"""Functions of each value: Activation (in integers a table of 256 levels), LevelTable, PRelu, LayerNorm, and the image's own Rescaling."""
import math

from tinyvgg.codegen.ops._common import broadcast_fields, layer_step
from tinyvgg.codegen.program import emit
from tinyvgg.errors import NotYet
from tinyvgg.quant.ops.activation import NO_MAXIMUM, Activation
from tinyvgg.quant.ops.image import Image
from tinyvgg.quant.ops.layer_norm import LayerNorm
from tinyvgg.quant.ops.level_table import LevelTable
from tinyvgg.quant.ops.prelu import PRelu


@emit.register
def _(op: Activation, program):
    fields = {"count": math.prod(op.shape)}
    if op.integer:
        fields["table"] = program.constant(op, "table", op.table, "the level of each level")
        return layer_step(op, program, "tv_lookup_u8", fields)
    fields |= {"function": f"TV_F_{op.function.upper()}", "alpha": float(op.alpha), "threshold": float(op.threshold),
               "high": float(op.high), "limited": int(op.high != NO_MAXIMUM), "start": float(op.start)}
    return layer_step(op, program, "tv_activation_f32", fields, files=("tv_activation_f32", "tv_softmax_f32"))


@emit.register
def _(op: LevelTable, program):
    """A table of levels, for the whole tensor or for each channel."""
    if not op.integer:
        raise NotYet(f"C code has no float table ({op.name!r})", "the integer model, which has a table of 256 levels instead")
    channels, rows = op.shape[-1], len(op.table)
    fields = {"table": program.constant(op, "table", op.table, "[C][256]" if rows > 1 else ""),
              "pixels": math.prod(op.shape) // channels, "channels": channels, "step": 256 if rows > 1 else 0}
    return layer_step(op, program, "tv_level_table_u8", fields)


@emit.register
def _(op: PRelu, program):
    fields = {"shape": broadcast_fields(op.shape, [op.shape, op.below.shape]), "slopes": program.constant(op, "slopes", op.below)}
    if not op.integer:
        return layer_step(op, program, "tv_prelu_f32", fields)
    fields |= {"input_zero": int(op.input_zero), "multiplier": int(op.multiplier), "offset": int(op.zero) << op.shift,
               "shift": int(op.shift)}
    return layer_step(op, program, "tv_prelu_u8", fields)


@emit.register
def _(op: LayerNorm, program):
    fields = {"count": op.shape[-1], "rows": math.prod(op.shape[:-1]), "epsilon": float(op.epsilon),
              "gain": program.constant(op, "gain", op.gain), "shift": program.constant(op, "shift", op.shift)}
    return layer_step(op, program, "tv_layer_norm_f32", fields)


@emit.register
def _(op: Image, program):
    """None where the image is used as it is: bytes, or floats of a network that does not start with a Rescaling."""
    if op.integer or (op.gain, op.shift) == (1.0, 0.0):
        return None
    fields = {"count": math.prod(op.shape), "scale": float(op.gain), "shift": float(op.shift)}
    return layer_step(op, program, "tv_affine_f32", fields, files=("tv_elementwise_f32",))
