"""The input image: uint8 unchanged, or float32, rescaled if the network starts with a Rescaling."""
from dataclasses import dataclass

from tinyvgg.errors import QuantError
from tinyvgg.quant.ops.base import Op, floats, integers, need


@dataclass(frozen=True, eq=False, kw_only=True)
class Image(Op):
    """The network's input: an image (H, W, C), a series (W, C) or a vector.

    In integers it is uint8, with real = scale * (q - zero) + residue. The residue is already in the biases of the ops that read
    the image. In floats it is gain * x + shift: those of a Rescaling layer at the start, else 1 and 0.

    If the range of the images contains 0, the residue is at most half a level. (For images in -1..1 it is not 0, because their
    zero point lies between two integers.) Otherwise no level stands for 0, so a border of zeros cannot be represented (see
    requantise.lower_tail)."""

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
            raise QuantError(f"the rescaling inverts the images (its scale is {self.gain:g}); expected a scale above 0")
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
