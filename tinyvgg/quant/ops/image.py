"""The image: uint8 as it is, or float32, perhaps rescaled."""
from dataclasses import dataclass

from tinyvgg.errors import QuantError
from tinyvgg.quant.ops.base import Op, floats, integers, need


@dataclass(frozen=True, eq=False, kw_only=True)
class Image(Op):
    """The image as it is, (H, W, C), or a series (W, C), or a vector: of integers uint8, real = scale * (q - zero) + residue,
    where the residue has already been put into the biases of the ops that read it; of floats gain * x + shift (a Rescaling layer
    at the start; else 1 and 0).

    The residue is less than half a level where the range holds 0 (as for images in -1..1, whose zero point lies between two
    integers); else 0 lies beyond the levels, and no border of zeros can be told (see requantise.lower_tail)."""

    residue: float = integers(0.0)
    gain: float = floats(1.0, file="scale")
    shift: float = floats(0.0)

    rounds = False

    def output_shape(self):
        need(1 <= len(self.shape) <= 3 and not self.inputs, self, "no image's shape")
        return self.shape

    def forward(self, x):
        return x if (self.gain, self.shift) == (1.0, 0.0) else x * x.dtype.type(self.gain) + x.dtype.type(self.shift)

    def backward(self, dy, x, *, parameters=True, limits=None):
        return [dy * dy.dtype.type(self.gain)], {}

    def lower(self, work, before):
        low, high = work.input_range
        scale, start = self.gain * (high - low) / 255, self.gain * low + self.shift  # real = scale * q + start
        if scale <= 0:
            raise QuantError(f"the rescaling turns the images upside down (its scale is {self.gain:g}); expected one above 0")
        zero = min(max(round(-start / scale), 0), 255)
        residue = start + scale * zero
        work.residue[self.name] = 0.0 if abs(residue) < 1e-9 * scale else residue
        return Image(**self.common, scale=scale, zero=zero, residue=work.residue[self.name])

    def simulate(self, x):
        return x

    def check(self):
        """Nothing is computed."""

    def dequantize(self, graph):
        low, high = graph.input_range  # q = (x - low) * 255 / (high - low), real = scale * (q - zero)
        gain = self.scale * 255 / (high - low)
        return Image(**self.common, gain=gain, shift=-low * gain - self.scale * self.zero)

    def counts(self):
        return {"layer": 1}
