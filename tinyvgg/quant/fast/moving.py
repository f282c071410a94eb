"""Stages of ops without weights: moved values, tables of levels, products, and means whose divisor depends on the place."""
import numpy as np

from tinyvgg.quant import ops
from tinyvgg.quant.fast import moves
from tinyvgg.quant.fast.memory import LiteEnds, whole
from tinyvgg.quant.fast.stage import Stage, at
from tinyvgg.quant.fast.vectors import LANES
from tinyvgg.quant.ops.lite_add import LEFT
from tinyvgg.quant.rounding import multiply

LEVELS = np.arange(256, dtype=np.uint8)


class Move(Stage):
    """Copies each input to the place that `parts` gives, through a table of its levels if it has one."""

    def parts(self):
        """Return, for each input, {fields that differ from `between`} and a table, (256,) for all channels or (C, 256), or
        None."""
        return [({}, None)]

    def add(self, program, scratch):
        self.tables = []
        for k, ((fields, table), source) in enumerate(zip(self.parts(), self.sources, strict=True)):
            place = {} if table is None else self._held(table)
            between = {**self.between(), **source.fields("x"), "source_channels": source.channels, "x_channel": 1}
            program.add(moves.move, **{**between, "table": 0, "each": 0, "join": 0, **place, **self.joined(k), **fields})

    def _held(self, table):
        self.tables.append(np.ascontiguousarray(table, np.uint8))
        return {"table": at(self.tables[-1]), "each": 256 if table.ndim == 2 else 0}

    def joined(self, k):
        """Return the fields that say how input k is combined with the values already there."""
        return {}


class Levels(Move):
    """Activation, with one table for all channels, and LevelTable with a table a channel."""

    def parts(self):
        return [({}, self.op.table)]


class SlopedLevels(Move):
    """PRelu with one slope, or one a channel: a table a channel."""

    def parts(self):
        op, channels = self.op, self.sources[0].channels
        levels = op.simulate(np.broadcast_to(LEVELS[:, *[None] * len(op.shape)], (256, *[1] * (len(op.shape) - 1), channels)))
        return [({}, levels.reshape(256, channels).T)]


class Largest(Move):
    """Maximum: each input is rescaled to the result's levels by a table; the largest value is kept."""

    def parts(self):
        return [({}, table) for table in tables(self.op)]

    def joined(self, k):
        return {"join": int(k > 0)}


class Join(Move):
    """Concatenate: each input is rescaled by a table to its place in the result."""

    def parts(self):
        found, offset = [], 0
        for source, table in zip(self.sources, self.tables_of(), strict=True):
            found.append(({"y_at": self.target.at + offset}, table))
            offset += source.channels
        return found

    def tables_of(self):
        """Return a table for each input."""
        return tables(self.op)


class LiteJoin(Join):
    """LiteConcatenate: bytes are copied unchanged."""

    def tables_of(self):
        return [None] * len(self.sources)


class Pad(Move):
    """Pad2D: a copy into the inside of a result that is filled with the zero point when it is allocated."""

    def parts(self):
        ((top, _), (left, _)), target = self.op.padding, self.target
        grid = {f"y_{name}": getattr(self.sources[0], name) for name in ("height", "width")}
        return [({"y_at": target.at + top * target.row + left * target.pixel, **grid}, None)]


class Crop(Move):
    """Crop2D."""

    def parts(self):
        ((top, _), (left, _)), source = self.op.cropping, self.sources[0]
        return [({"x_at": source.at + top * source.row + left * source.pixel}, None)]


class Turn(Move):
    """Permute."""

    def parts(self):
        source = self.sources[0]
        apart = [(source.row, source.pixel, 1)[axis] for axis in self.op.axes]
        names = ("x_row", "x_pixel", "x_channel")
        return [({**dict(zip(names, apart, strict=True)), "source_channels": self.target.channels}, None)]


class Reshaped(Stage):
    """Reshape, and LevelTable with one table."""

    def add(self, program, scratch):
        self.table = np.ascontiguousarray(self.op.table[0]) if isinstance(self.op, ops.LevelTable) else None
        program.add(moves.reshape, **self.between(), source_channels=self.sources[0].channels, y_channels=self.target.channels,
                    table=0 if self.table is None else at(self.table))


class Product(Stage):
    """Multiply."""

    def add(self, program, scratch):
        rows = []
        for source, zero in zip(self.sources, self.op.zeros, strict=True):
            apart = [0 if size == 1 else step for size, step in zip((source.height, source.width, source.channels),
                                                                    (source.row, source.pixel, 1), strict=True)]
            rows += [source.at, source.image, *apart, zero]
        self.table = np.array([*rows, self.op.offset, self.op.multiplier], np.int64)
        program.add(moves.multiply, **self.between(), table=at(self.table), shift=self.op.shift, source_channels=self.target.channels)


class Window(Stage):
    """Base of the means of windows that may reach beyond the map."""

    def window(self):
        """Return the fields with the geometry of the windows."""
        (top, _), (left, _) = self.op.padding
        (height, width), (down, across) = self.op.pool_size, self.op.strides
        return {**self.between(), "top": top, "left": left, "window_height": height, "window_width": width, "stride_height": down,
                "stride_width": across, "source_channels": self.sources[0].channels}


class PaddedMean(Window):
    """PaddedAveragePool2D."""

    def add(self, program, scratch):
        self.table = np.ascontiguousarray(np.stack([self.op.offsets, self.op.multipliers], axis=1), np.int32)
        program.add(moves.padded_mean, **self.window(), table=at(self.table), shift=self.op.shift)


class LiteMean(Window):
    """LiteAveragePool2D."""

    def add(self, program, scratch):
        self.table = np.array([self.op.low, self.op.high], np.int32)
        program.add(moves.lite_mean, **self.window(), table=at(self.table), zero=self.op.centre)


class LiteSum(Stage):
    """LiteAdd: the summand for each level of an input comes from a table; the tail of a convolution finishes the sums."""

    def prepare(self):
        op = self.op
        same = [np.full(LANES, n, np.int32) for n in (0, op.multipliers[2], op.exponents[2])]
        self.ends = LiteEnds(ops.LiteTail(bias=same[0], multiplier=same[1], exponent=same[2], zero=op.zero, low=op.low, high=op.high,
                                      rounding=op.rounding))
        self.constants = self.ends.constants()
        self.scratch = 4 * self.target.width * whole(self.target.channels)

    def add(self, program, scratch):
        entries = []
        for source, zero, m, e in zip(self.sources, self.op.zeros, self.op.multipliers, self.op.exponents, strict=False):
            given = multiply((LEVELS.astype(np.int64) - zero) << LEFT, m, e, self.op.rounding).astype(np.int32)
            entries += [np.array([source.at, source.image, source.row], np.int64).view(np.int32), given]
        self.table = np.concatenate(entries)
        program.add(moves.lite_add, **self.between(), **scratch, table=at(self.table), constants=at(self.constants),
                    **self.ends.fields())


def tables(op):
    """Return the table (256,) of each input: its levels rescaled to the result's levels."""
    one = type(op)(**{**vars(op), "shape": (1,)})
    return [_alone(one, k).simulate(LEVELS) for k in range(len(op.inputs))]


def _alone(op, k):
    """Return a Rescaled op with only its k-th input."""
    return type(op)(**{**vars(op), "inputs": (op.inputs[k],), "multipliers": (op.multipliers[k],), "offsets": (op.offsets[k],)})


def _sloped(op, sources, target, path):
    alike = len(op.shape) == 1 or all(n == 1 for n in op.slopes.shape[:-1])
    return SlopedLevels(op, sources, target, path) if alike else "a slope for each value"


def _level_table(op, sources, target, path):
    return (Reshaped if len(op.table) == 1 else Levels)(op, sources, target, path)


_MEAN, _RESCALED = {"pool_size", "strides", "padding"}, {"multipliers", "offsets", "shift"}
# op -> (its stage, the fields that the stage supports)
STAGES = {
    ops.Activation: (Levels, {"function", "alpha", "threshold", "high", "start", "table"}),
    ops.PRelu: (_sloped, {"alpha", "input_zero", "multiplier", "slopes", "shift"}),
    ops.Maximum: (Largest, _RESCALED), ops.Concatenate: (Join, _RESCALED), ops.LiteConcatenate: (LiteJoin, set()),
    ops.Pad2D: (Pad, {"padding"}), ops.Crop2D: (Crop, {"cropping"}), ops.Permute: (Turn, {"axes"}), ops.Reshape: (Reshaped, set()),
    ops.LevelTable: (_level_table, {"table", "values", "input_scale", "input_zero"}),
    ops.Multiply: (Product, {"zeros", "multiplier", "offset", "shift"}),
    ops.PaddedAveragePool2D: (PaddedMean, _MEAN | {"shift", "offsets", "multipliers"}),
    ops.LiteAveragePool2D: (LiteMean, _MEAN | {"centre", "low", "high"}),
    ops.LiteAdd: (LiteSum, {"zeros", "multipliers", "exponents", "low", "high", "rounding"}),
}
