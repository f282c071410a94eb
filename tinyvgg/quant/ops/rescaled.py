"""Maximum and Concatenate: inputs are rescaled to the result's levels, then compared or concatenated."""
import functools
import math
from dataclasses import dataclass

import numpy as np

from tinyvgg.errors import NotYet, QuantError
from tinyvgg.nn.layers import Concatenate as ConcatenateLayer
from tinyvgg.nn.layers import Maximum as MaximumLayer
from tinyvgg.quant.fixedpoint import INT32_MAX, multiply_high_rounded, saturate
from tinyvgg.quant.ops.base import Op, inside, integers, need


@dataclass(frozen=True, eq=False, kw_only=True)
class Rescaled(Op):
    """In integers, input k in the result's levels is

        r_k = saturate(smmulr(x_k * multipliers[k] + offsets[k], 2^(32 - shift)))

    shift 2..24; the last step is the same as (v + 2^(shift-1)) >> shift, and all of it fits int32.
    """

    multipliers: tuple[int, ...] = integers(())
    offsets: tuple[int, ...] = integers(())
    shift: int = integers(0)

    def join(self, parts):
        """Return the result of inputs (N, ...), which are floats or already in the result's levels."""
        raise NotImplementedError

    def check_inputs(self, before):
        """Raise FormatError unless the inputs are valid for this op."""
        need(len(before) >= 2 and all(i.dtype == self.dtype for i in before), self, "inputs of another kind")
        need(not self.integer or len(self.multipliers) == len(self.offsets) == len(before), self,
             f"{len(self.multipliers)} multipliers for {len(before)} inputs")

    def forward(self, *x):
        return self.join(x)

    def lower(self, work, before):
        scale, zero = work.output(self)
        ratios = [b.scale / scale for b in before]
        starts = [zero + work.residue.get(i, 0.0) / scale for i in self.inputs]
        for shift in range(20, 1, -1):
            multipliers = tuple(round(r * 2**shift) for r in ratios)
            offsets = tuple(round(start * 2**shift) - m * b.zero for start, m, b in zip(starts, multipliers, before, strict=True))
            if _largest(multipliers, offsets, shift) <= INT32_MAX:
                return type(self)(**self.common, scale=scale, zero=zero, multipliers=multipliers, offsets=offsets, shift=shift)
        raise QuantError(f"the inputs of {self.name!r} are {max(ratios):.3g} times its result; expected less than a million",
                         "more calibration images")

    def simulate(self, *x):
        parts = [saturate(multiply_high_rounded(part.astype(np.int32) * np.int32(m) + np.int32(offset), 1 << (32 - self.shift)))
                 for part, m, offset in zip(x, self.multipliers, self.offsets, strict=True)]
        return self.join(parts).astype(np.uint8)

    def check(self):
        self.check_reach(_largest(self.multipliers, self.offsets, self.shift), (2, 24))

    def dequantize(self, graph):
        return self.in_floats()

    def counts(self):
        size = math.prod(self.shape)
        return {"layer": 1, "outputs": size, "products": size * (len(self.inputs) if isinstance(self, Maximum) else 1)}


def _largest(multipliers, offsets, shift):
    return max((255 * abs(m) + abs(o) for m, o in zip(multipliers, offsets, strict=True)), default=0) + (1 << max(shift - 1, 0))


@dataclass(frozen=True, eq=False, kw_only=True)
class Maximum(Rescaled):
    """The elementwise maximum of the inputs; if several are equally large, the first gets the gradient."""

    layers = (MaximumLayer,)
    writes_over_input = True

    @classmethod
    def from_layer(cls, layer, before, *, name, shape, **common):
        if any(op.shape != shape for op in before):
            raise NotYet(f"the integer model has no Maximum of inputs of different shapes ({name!r})", "inputs of one shape")
        return cls(name=name, shape=shape, **common)

    def output_shape(self, *before):
        self.check_inputs(before)
        need(all(i.shape == before[0].shape for i in before), self, "inputs of different shapes")
        return before[0].shape

    def join(self, parts):
        return functools.reduce(np.maximum, parts)

    def backward(self, dy, *x, parameters=True, limits=None):
        largest, found = self.join(x), []
        open_still = np.ones(dy.shape, bool) if limits is None else inside(np.ones_like(dy), largest, limits) > 0
        for part in x:
            wins = open_still & (part == largest)
            open_still &= ~wins
            found.append(dy * wins)
        return found, {}


@dataclass(frozen=True, eq=False, kw_only=True)
class Concatenate(Rescaled):
    """The inputs concatenated along the channels."""

    layers = (ConcatenateLayer,)

    @classmethod
    def from_layer(cls, layer, before, **common):
        rank = len(layer.input_shape[0])
        if layer.along(rank) != rank - 1:
            raise NotYet(f"the integer model has no Concatenate along axis {layer.axis} ({common['name']!r}); it has the last one")
        return cls(**common)

    def output_shape(self, *before):
        self.check_inputs(before)
        need(all(i.shape[:-1] == before[0].shape[:-1] for i in before), self, "inputs of different shapes")
        return (*before[0].shape[:-1], sum(i.shape[-1] for i in before))

    def join(self, parts):
        return np.concatenate(parts, axis=-1)

    def backward(self, dy, *x, parameters=True, limits=None):
        dy = inside(dy, self.join(x), limits) if limits is not None else dy
        return np.split(dy, np.cumsum([part.shape[-1] for part in x])[:-1], axis=-1), {}
