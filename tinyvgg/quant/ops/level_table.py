"""LevelTable: any function of a single value, as a table for the whole tensor or one for each channel."""
import math
from dataclasses import dataclass

import numpy as np

from tinyvgg.quant.ops.base import Op, floats, integers, need


@dataclass(frozen=True, eq=False, kw_only=True)
class LevelTable(Op):
    """q = table[0, x], or table[c, x] for channel c. table: uint8 (1, 256) or (C, 256).

    In floats it interpolates linearly between 256 points: real `values`, float32 (1 or C, 256), at (k - input_zero) *
    input_scale.
    """

    table: np.ndarray | None = integers(None)
    values: np.ndarray | None = floats(None)
    input_scale: float = floats(1.0)
    input_zero: int = floats(0)

    writes_over_input = True

    def output_shape(self, before):
        held = self.table if self.integer else self.values
        need(isinstance(held, np.ndarray) and held.dtype == (np.uint8 if self.integer else np.float32)
             and held.shape in ((1, 256), (before.shape[-1], 256)), self, "no table of 256 levels")
        flat = len(held) == 1 and math.prod(self.shape) == math.prod(before.shape)
        return self.shape if flat else before.shape

    def _place(self, x):
        """Return the level below each value, the fraction of the way to the next level, and the channel indices."""
        level = np.clip(x / x.dtype.type(self.input_scale) + self.input_zero, 0, 255)
        left = np.minimum(level.astype(np.int64), 254)
        return left, (level - left).astype(x.dtype), 0 if len(self.values) == 1 else np.arange(x.shape[-1])

    def forward(self, x):
        left, way, c = self._place(x)
        return (self.values[c, left] * (1 - way) + self.values[c, left + 1] * way).reshape(len(x), *self.shape)

    def backward(self, dy, x, *, parameters=True, limits=None):
        left, _, c = self._place(x)
        low, high = np.maximum(left - 1, 0), np.minimum(left + 2, 255)      # slope over several levels: one by one they are steps
        return [dy.reshape(x.shape) * (self.values[c, high] - self.values[c, low]) / ((high - low) * dy.dtype.type(self.input_scale))], {}

    def lower(self, work, before):
        (source,), (scale, zero) = before, work.output(self)
        real = source.scale * (np.arange(256) - source.zero) + work.residue.get(source.name, 0.0)
        place = np.clip(real / self.input_scale + self.input_zero, 0, 255)
        values = [np.interp(place, np.arange(256), row) for row in self.values]
        table = np.clip(np.floor(np.array(values) / scale + zero + 0.5), 0, 255).astype(np.uint8)
        return LevelTable(**self.common, scale=scale, zero=zero, table=table)

    def simulate(self, x):
        q = self.table[0, x] if len(self.table) == 1 else self.table[np.arange(x.shape[-1]), x]
        return q.reshape(len(x), *self.shape)

    def check(self):
        """Nothing is computed."""

    def dequantize(self, graph):
        before = graph[self.inputs[0]]
        values = (self.scale * (self.table.astype(np.float64) - self.zero)).astype(np.float32)
        return LevelTable(**self.common, values=values, input_scale=before.scale, input_zero=before.zero)

    def counts(self):
        return {"layer": 1, "outputs": math.prod(self.shape)}
