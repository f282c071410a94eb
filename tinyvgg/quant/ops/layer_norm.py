"""LayerNorm: normalises each vector along the last axis to mean 0 and standard deviation 1. In floats only."""
import math
from dataclasses import dataclass

import numpy as np

from tinyvgg.errors import NotYet
from tinyvgg.quant.ops.base import Op, floats, inside, need


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerNorm(Op):
    """gain (x - mean) / sqrt(variance + epsilon) + shift; mean and variance are of each vector along the last axis. gain, shift
    (C,)."""

    gain: np.ndarray | None = floats(None)
    shift: np.ndarray | None = floats(None)
    epsilon: float = floats(1e-3)

    writes_over_input = True

    def output_shape(self, before):
        need(not self.integer, self, "a scale, but LayerNorm exists in floats only")
        need(all(isinstance(a, np.ndarray) and a.shape == before.shape[-1:] and np.isfinite(a).all() for a in (self.gain, self.shift)),
             self, f"a gain or a shift that is not one number for each of {before.shape[-1]} channels")
        need(0 < self.epsilon < math.inf, self, f"epsilon {self.epsilon}")
        need(before.dtype == self.dtype, self, f"an input of {before.dtype}")
        return before.shape

    def _normalised(self, x):
        away = x - x.mean(axis=-1, keepdims=True)
        inverse = 1 / np.sqrt((away ** 2).mean(axis=-1, keepdims=True) + x.dtype.type(self.epsilon))
        return away * inverse, inverse

    def forward(self, x):
        return self._normalised(x)[0] * self.gain.astype(x.dtype) + self.shift.astype(x.dtype)

    def backward(self, dy, x, *, parameters=True, limits=None):
        dy = inside(dy, self.forward(x), limits) if limits is not None else dy
        normalised, inverse = self._normalised(x)
        axes = tuple(range(dy.ndim - 1))
        g = dy * self.gain.astype(x.dtype)
        dx = inverse * (g - g.mean(axis=-1, keepdims=True) - normalised * (g * normalised).mean(axis=-1, keepdims=True))
        return [dx], {"gain": (dy * normalised).sum(axis=axes), "shift": dy.sum(axis=axes)} if parameters else {}

    def lower(self, work, before):
        raise NotYet(f"the integer model has no LayerNormalization yet ({self.name!r}): it runs in floats, in Python and in C",
                     "tinyvgg codegen of the float network, or BatchNormalization, which is merged into the weights before it")

    def simulate(self, x):
        raise NotYet(f"the integer model has no LayerNormalization yet ({self.name!r})")

    def check(self):
        """A float op has nothing that could leave int32."""

    def dequantize(self, graph):
        return self

    def counts(self):
        return {"layer": 1, "rows": math.prod(self.shape[:-1]), "outputs": math.prod(self.shape)}
