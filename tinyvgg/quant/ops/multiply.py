"""Multiply: the product of two tensors; one may be a gate with one value a channel or a pixel."""
import math
from dataclasses import dataclass

import numpy as np

from tinyvgg.errors import NotYet, QuantError
from tinyvgg.nn.layers.merging import to_shape
from tinyvgg.quant.fixedpoint import INT32_MAX, multiply_high_rounded, quantise_multiplier, saturate
from tinyvgg.quant.ops.base import Op, inside, integers, need

LARGEST_PRODUCT = 255 * 255


@dataclass(frozen=True, eq=False, kw_only=True)
class Multiply(Op):
    """x_0 * x_1; an axis of length 1 is broadcast. In integers

        q = saturate(smmulr(((x_0 - zeros[0]) * (x_1 - zeros[1]) << shift) + offset, multiplier))
    """

    zeros: tuple[int, int] = integers((0, 0))
    multiplier: int = integers(0)
    offset: int = integers(0)
    shift: int = integers(0)

    def output_shape(self, *before):
        need(len(before) == 2 and len(before[0].shape) == len(before[1].shape), self,
             f"{len(before)} inputs, or inputs with different numbers of axes")
        need(all(i.dtype == self.dtype for i in before), self, "inputs of another dtype")
        need(not self.integer or self.zeros == tuple(i.zero for i in before), self, "zero points that are not its inputs'")
        return np.broadcast_shapes(*(i.shape for i in before))

    def forward(self, *x):
        return x[0] * x[1]

    def backward(self, dy, *x, parameters=True, limits=None):
        dy = inside(dy, self.forward(*x), limits) if limits is not None else dy
        return [to_shape(dy * x[1], x[0].shape), to_shape(dy * x[0], x[1].shape)], {}

    def lower(self, work, before):
        if any(work.residue.get(i) for i in self.inputs):
            raise NotYet(f"the integer model has no Multiply of input images whose 0 lies between two levels ({self.name!r})",
                         "a convolution before it, or images in 0..1")
        scale, zero = work.output(self)
        gain = before[0].scale * before[1].scale / scale
        for shift in range(int(np.clip(np.ceil(np.log2(gain)) + 8, 0, 14)), -1, -1):
            multiplier = int(quantise_multiplier(gain, shift, repr(self.name)))
            offset = round(zero * 2**32 / multiplier) if multiplier else INT32_MAX + 1
            if (LARGEST_PRODUCT << shift) + abs(offset) <= INT32_MAX:
                return Multiply(**self.common, scale=scale, zero=zero, zeros=tuple(b.zero for b in before), shift=shift, offset=offset,
                                multiplier=multiplier)
        raise QuantError(f"the product {self.name!r} is too small compared with its range", "more calibration images")

    def simulate(self, *x):
        product = (x[0].astype(np.int32) - self.zeros[0]) * (x[1].astype(np.int32) - self.zeros[1])
        return saturate(multiply_high_rounded((product << self.shift) + self.offset, self.multiplier)).astype(np.uint8)

    def check(self):
        self.check_reach((LARGEST_PRODUCT << self.shift) + abs(self.offset), (0, 14), self.multiplier)

    def dequantize(self, graph):
        return self.in_floats()

    def counts(self):
        return {"layer": 1, "outputs": math.prod(self.shape)}
