"""Gradients of the integer model by the straight-through estimator (Bengio et al., 2013, arXiv:1308.3432)."""

import numpy as np

from tinyvgg.errors import ShapeError
from tinyvgg.quant.dequantize import dequantize, limits, real_values
from tinyvgg.quant.float_backward import pull_graph


def straight_through(model):
    """Return a QuantizedModel as a classifier with gradients: the integer model's answers, and vjp through its rounding."""
    return StraightThrough(model)


class StraightThrough:
    """Forward: the integers, bit for bit. Backward: rounding passes the gradient unchanged, saturation passes none.

    Images are floats in `bounds` (or uint8); answers are the integer model's for the nearest levels.
    """

    def __init__(self, model):
        self.model, self.name = model, model.name
        self.float_graph, self.limits = dequantize(model.graph), limits(model.graph)

    @property
    def bounds(self):
        """(low, high) of valid images."""
        return self.model.bounds

    @property
    def input_range(self):
        """The same as bounds."""
        return self.model.bounds

    @property
    def input_shape(self):
        """Shape of one image."""
        return self.model.input_shape

    @property
    def n_classes(self):
        return self.model.n_classes

    def logits(self, x, **settings):
        """As QuantizedModel.logits."""
        return self.model.logits(x, **settings)

    def predict(self, x, **settings):
        """As QuantizedModel.predict."""
        return self.model.predict(x, **settings)

    def labels(self, x, **settings):
        """As QuantizedModel.labels."""
        return self.model.labels(x, **settings)

    def vjp(self, x, g, *, batch_size=64):
        """Return d sum(g * logits(x)) / dx, float32, as x. g: (N, classes), or a function of the logits (then one batch)."""
        x = np.asarray(x)
        if callable(g):
            return self._vjp(x, g)
        g = np.asarray(g, np.float32)
        if g.shape != (len(x), self.n_classes):
            raise ShapeError(f"g has shape {g.shape}; expected {(len(x), self.n_classes)}, one value for each logit")
        parts = [self._vjp(x[i : i + batch_size], lambda _, i=i: g[i : i + batch_size]) for i in range(0, len(x), batch_size)]
        return np.concatenate(parts) if parts else np.zeros(x.shape, np.float32)

    def _vjp(self, x, g):
        traced = self.model.trace(x)
        values = real_values(self.model.graph, traced, x.astype(np.float32))
        dlogits = np.asarray(g(values[self.float_graph.logits.name].reshape(len(x), -1)), np.float32)
        return pull_graph(self.float_graph, values, dlogits, parameters=False, limits=self.limits)[0]
