"""A float graph with codebooks as a classifier: the schemes none, low, medium and high, and codebooks of floats."""

import numpy as np

from tinyvgg.quant.calibrate import as_float_images
from tinyvgg.quant.classifier import GraphClassifier, vjp
from tinyvgg.quant.simulate_float import run_float


class CompressedModel(GraphClassifier):
    """A float graph that answers. Images (N, H, W, C) are float32 in `bounds`; uint8 is taken as levels of that range."""

    def __init__(self, graph):
        super().__init__(graph, float_graph=graph)

    def logits(self, x, *, batch_size=256):
        """x (N, H, W, C) -> (N, classes) float32, before a final softmax."""
        x = as_float_images(x, self.graph)
        return np.concatenate([run_float(self.graph, x[i : i + batch_size]) for i in range(0, len(x), batch_size)])

    def labels(self, x, *, batch_size=256):
        """x (N, H, W, C) -> (N,) int64."""
        return self.logits(x, batch_size=batch_size).argmax(axis=-1)

    def vjp(self, x, g, *, batch_size=64):
        """Return d sum(g * logits(x)) / dx, float32, as x. g: (N, classes), or a function of the logits (then one batch)."""
        return vjp(self.graph, self._values, x, g, batch_size=batch_size)

    def _values(self, x):
        x = as_float_images(x, self.graph)
        return {**run_float(self.graph, x, keep=True), "": x}
