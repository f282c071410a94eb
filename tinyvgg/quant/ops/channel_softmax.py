"""ChannelSoftmax: a softmax inside the network, along the channels of each pixel."""
import math
from dataclasses import dataclass

import numpy as np

from tinyvgg.quant.ops.base import integers, need
from tinyvgg.quant.ops.softmax import Exponential, octaves, power, shares


@dataclass(frozen=True, eq=False, kw_only=True)
class ChannelSoftmax(Exponential):
    """exp(x - max x) / sum along the last axis. In integers, uint8 in units of 1/255, computed as in Softmax."""

    shift: int = integers(0)
    multiplier: int = integers(0)

    def output_shape(self, before):
        need(before.dtype == self.dtype, self, f"an input of {before.dtype}")
        return before.shape

    def lower(self, work, before):
        shift, multiplier = octaves(before[0].scale, self.name)
        return ChannelSoftmax(**self.common, scale=1 / 255, shift=shift, multiplier=multiplier)

    def simulate(self, x):
        return shares(power(x.max(axis=-1, keepdims=True).astype(np.int32) - x, self))

    def counts(self):
        return {"layer": 1, "rows": math.prod(self.shape[:-1]), "outputs": math.prod(self.shape)}
