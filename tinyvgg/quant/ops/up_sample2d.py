"""UpSample2D, in integers and in floats."""
import math
from dataclasses import dataclass

from tinyvgg.errors import NotYet
from tinyvgg.nn.layers import UpSampling2D
from tinyvgg.quant.ops.base import Keeps, need


@dataclass(frozen=True, eq=False, kw_only=True)
class UpSample2D(Keeps):
    """y[i,j,c] = x[i // a, j // b, c] with factors (a, b), in the input's scale and zero point."""

    factors: tuple[int, int]

    layers = (UpSampling2D,)

    @classmethod
    def from_layer(cls, layer, before, **common):
        if layer.interpolation != "nearest":
            raise NotYet(f"the integer model has no UpSampling2D with interpolation {layer.interpolation!r} ({common['name']!r}); it has "
                         "'nearest'")
        return cls(**common, factors=layer.size)

    def output_shape(self, before):
        need(len(before.shape) == 3 and min(self.factors) >= 1, self, f"factors {self.factors} on {before.shape}")
        (h, w, c), (a, b) = before.shape, self.factors
        return h * a, w * b, c

    def forward(self, x):
        return x.repeat(self.factors[0], axis=1).repeat(self.factors[1], axis=2)

    def backward(self, dy, x, *, parameters=True, limits=None):
        (n, h, w, c), (a, b) = x.shape, self.factors
        return [dy.reshape(n, h, a, w, b, c).sum(axis=(2, 4))], {}

    def counts(self):
        return {"layer": 1, "pixels": math.prod(self.shape[:2]), "outputs": math.prod(self.shape)}
