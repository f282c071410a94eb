"""Sums of tensors: Add, Average, Subtract. A good file to copy for a new op."""
import math
from dataclasses import dataclass

import numpy as np

from tinyvgg.errors import NotYet, QuantError
from tinyvgg.nn.layers import Add as AddLayer
from tinyvgg.nn.layers import Average as AverageLayer
from tinyvgg.nn.layers import Subtract as SubtractLayer
from tinyvgg.quant.fixedpoint import INT32_MAX, multiply_high_rounded, saturate
from tinyvgg.quant.ops.base import Op, floats, inside, integers, need


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightedSum(Op):
    """sum_k share_k * x_k. In integers, for two or more tensors,

        q = saturate(smmulr(sum_k x_k * multipliers[k] + offset, 2^(32 - shift)))

    shift 2..24; the last step is the same as (v + 2^(shift-1)) >> shift, and all of it fits int32.
    """

    multipliers: tuple[int, ...] = integers(())
    offset: int = integers(0)
    shift: int = integers(0)

    writes_over_input = True

    @property
    def shares(self):
        """The factor of each input."""
        return [1.0] * len(self.inputs)

    @classmethod
    def from_layer(cls, layer, before, *, name, shape, **common):
        if any(op.shape != shape for op in before):
            raise NotYet(f"the integer model has no {type(layer).__name__} of inputs of different shapes ({name!r})",
                         "inputs of one shape")
        return cls(name=name, shape=shape, **common)

    def output_shape(self, *before):
        need(len(before) >= 2 and all(i.shape == before[0].shape for i in before), self, "inputs of different shapes")
        need(not self.integer or len(self.multipliers) == len(before), self,
             f"{len(self.multipliers)} multipliers for {len(before)} inputs")
        need(all(i.dtype == self.dtype for i in before), self, "inputs of another dtype")
        return before[0].shape

    def forward(self, *x):
        parts = [part if share == 1 else part * part.dtype.type(share) for part, share in zip(x, self.shares, strict=True)]
        return sum(parts[1:], parts[0])

    def backward(self, dy, *x, parameters=True, limits=None):
        dy = inside(dy, self.forward(*x), limits) if limits is not None else dy
        return [dy * dy.dtype.type(share) for share in self.shares], {}

    def lower(self, work, before):
        return type(self)(**self.common, **self.levels(work, before))

    def levels(self, work, before):
        """Return scale, zero point, multipliers, offset and shift."""
        scale, zero = work.output(self)
        ratios = [share * b.scale / scale for share, b in zip(self.shares, before, strict=True)]
        residue = sum(share * work.residue.get(i, 0.0) for share, i in zip(self.shares, self.inputs, strict=True)) / scale
        for shift in range(20, 1, -1):
            multipliers = tuple(round(r * 2**shift) for r in ratios)
            offset = round((zero + residue) * 2**shift) - sum(m * b.zero for m, b in zip(multipliers, before, strict=True))
            if 255 * sum(map(abs, multipliers)) + abs(offset) + (1 << shift) <= INT32_MAX:
                return {"scale": scale, "zero": zero, "multipliers": multipliers, "offset": offset, "shift": shift}
        raise QuantError(f"the inputs of {self.name!r} are {max(ratios):.3g} times its result; expected less than a million",
                         "more calibration images")

    def simulate(self, *x):
        v = sum(part.astype(np.int32) * np.int32(m) for part, m in zip(x, self.multipliers, strict=True)) + np.int32(self.offset)
        return saturate(multiply_high_rounded(v, np.int64(1) << (32 - self.shift))).astype(np.uint8)

    def check(self):
        self.check_reach(255 * sum(abs(m) for m in self.multipliers) + abs(self.offset) + (1 << max(self.shift - 1, 0)), (2, 24))

    def dequantize(self, graph):
        return self.in_floats()

    def counts(self):
        size = math.prod(self.shape)
        return {"layer": 1, "outputs": size, "products": size * len(self.inputs)}


@dataclass(frozen=True, eq=False, kw_only=True)
class Add(WeightedSum):
    """activation(sum of the inputs). Activations in floats: those of FloatTail. In integers, a result with zero = 0 saturates at
    real 0 and at the top of its range, which computes a ReLU or clamp."""

    activation: str = floats("none")
    slope: float = floats(0.0)
    high: float = floats(0.0)

    layers = (AddLayer,)

    def forward(self, *x):
        return self._activate(sum(x[1:], x[0]))

    def backward(self, dy, *x, parameters=True, limits=None):
        v = sum(x[1:], x[0])
        dv = inside(dy, self._activate(v), limits)
        if self.activation == "relu":
            dv = dv * (v > 0)
        elif self.activation == "leaky":
            dv = np.where(v < 0, dv * v.dtype.type(self.slope), dv)
        elif self.activation == "clamp":
            dv = dv * ((v > 0) & (v < self.high))
        return [dv] * len(x), {}

    def _activate(self, v):
        if self.activation == "relu":
            return np.maximum(v, 0)
        if self.activation == "leaky":
            return np.where(v < 0, v * v.dtype.type(self.slope), v)
        return np.clip(v, 0, v.dtype.type(self.high)) if self.activation == "clamp" else v

    def lower(self, work, before):
        if self.activation not in ("none", "relu", "clamp") or (self.activation != "none" and work.output(self)[1]):
            raise NotYet(f"the integer model has no Add with {self.activation} inside ({self.name!r})")
        return super().lower(work, before)


@dataclass(frozen=True, eq=False, kw_only=True)
class Average(WeightedSum):
    """The mean of the inputs."""

    layers = (AverageLayer,)

    @property
    def shares(self):
        return [1 / len(self.inputs)] * len(self.inputs)


@dataclass(frozen=True, eq=False, kw_only=True)
class Subtract(WeightedSum):
    """The first input minus the second."""

    layers = (SubtractLayer,)

    @property
    def shares(self):
        return [1.0, -1.0]

    def output_shape(self, *before):
        need(len(before) == 2, self, f"{len(before)} inputs")
        return super().output_shape(*before)
