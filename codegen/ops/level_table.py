"""A table of levels, for the whole tensor or for each channel."""
import math

from tinyvgg.codegen.ops._common import layer_step
from tinyvgg.codegen.program import emit
from tinyvgg.errors import NotYet
from tinyvgg.quant.ops.level_table import LevelTable


@emit.register
def _(op: LevelTable, program):
    if not op.integer:
        raise NotYet(f"C code has no float table ({op.name!r})", "the integer model, which has a table of 256 levels instead")
    channels, rows = op.shape[-1], len(op.table)
    fields = {"table": program.constant(op, "table", op.table, "[C][256]" if rows > 1 else ""),
              "pixels": math.prod(op.shape) // channels, "channels": channels, "step": 256 if rows > 1 else 0}
    return layer_step(op, program, "tv_level_table_u8", fields)
