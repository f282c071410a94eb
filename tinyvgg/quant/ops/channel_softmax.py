"""ChannelSoftmax: a softmax inside the network, along the channels of each pixel."""
import math
from dataclasses import dataclass

import numpy as np

from tinyvgg import kernels
from tinyvgg.errors import QuantError
from tinyvgg.quant.fixedpoint import INT32_MAX
from tinyvgg.quant.ops.base import Op, integers, need
from tinyvgg.quant.ops.softmax import octaves, power, shares


@dataclass(frozen=True, eq=False, kw_only=True)
class ChannelSoftmax(Op):
    """exp(x - max x) / sum along the last axis. In integers, uint8 in units of 1/255, computed as in Softmax."""

    shift: int = integers(0)
    multiplier: int = integers(0)

    rounds = False

    def output_shape(self, before):
        need(before.dtype == self.dtype, self, f"an input of {before.dtype}")
        return before.shape

    def forward(self, x):
        return kernels.softmax(x)

    def backward(self, dy, x, *, parameters=True, limits=None):
        return [kernels.softmax_backward(dy, x)], {}

    def lower(self, work, before):
        shift, multiplier = octaves(before[0].scale, self.name)
        return ChannelSoftmax(**self.common, scale=1 / 255, shift=shift, multiplier=multiplier)

    def simulate(self, x):
        return shares(power(x.max(axis=-1, keepdims=True).astype(np.int32) - x, self))

    def check(self):
        if not 0 <= self.shift <= 14 or not 0 <= self.multiplier <= INT32_MAX:
            raise QuantError(f"{self.name!r} has shift {self.shift}, multiplier {self.multiplier}; expected 0..14 and 0..2^31-1")

    def dequantize(self, graph):
        return ChannelSoftmax(**self.common)

    def counts(self):
        return {"layer": 1, "rows": math.prod(self.shape[:-1]), "outputs": math.prod(self.shape)}
