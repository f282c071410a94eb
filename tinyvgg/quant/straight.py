"""Gradients of the integer model by the straight-through estimator (Bengio et al., 2013, arXiv:1308.3432)."""

import numpy as np

from tinyvgg import kernels
from tinyvgg.classifier import directions
from tinyvgg.quant.classifier import vjp
from tinyvgg.quant.lower import dequantize, limits, real_values
from tinyvgg.quant.model import QuantizedModel


def straight_through(model):
    """Return a QuantizedModel as a classifier with gradients: the integer model's answers, and vjp through its rounding."""
    return StraightThrough(model.graph, float_graph=model.float_graph)


class StraightThrough(QuantizedModel):
    """Forward: the integers, bit for bit. Backward: rounding passes the gradient unchanged, saturation passes none.

    Images are floats in `bounds` (or uint8); the integer model answers for the nearest levels.
    """

    def __init__(self, graph, *, float_graph=None):
        super().__init__(graph, float_graph=float_graph)
        self._dequantised, self._limits = dequantize(graph), limits(graph)

    def vjp(self, x, g, *, batch_size=64):
        """Return d sum(g * logits(x)) / dx, float32, as x. g: (N, classes), or a function of the logits (then one batch)."""
        if kernels.active() == "fast":
            from tinyvgg.quant.fast.back import way_back

            x = self.check_images(x)
            g = g if callable(g) else directions(g, (len(x), self.n_classes), np.float32)
            return way_back(self.graph).vjp(x, g)
        return vjp(self._dequantised, self._values, x, g, limits=self._limits, batch_size=batch_size)

    def _values(self, x):
        return real_values(self.graph, self.trace(x), x.astype(np.float32))
