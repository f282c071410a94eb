"""A float graph with codebooks as a classifier: the schemes none, low, medium and high, and codebooks of floats."""

from typing import Any

import numpy as np

from tinyvgg.classifier import labels_of
from tinyvgg.images import float_images
from tinyvgg.quant.classifier import GraphClassifier, vjp
from tinyvgg.quant.simulate import run
from tinyvgg.types import AnyArray, Floats, Gradient, Images, Integers


class CompressedModel(GraphClassifier):
    """A float graph as a classifier. Images (N, H, W, C) are float32 in `bounds`; uint8 values are levels of that range."""

    def __init__(self, graph: Any) -> None:
        super().__init__(graph, float_graph=graph)

    def check_images(self, x: Images) -> AnyArray:
        """Return x, uint8 or floats in `bounds`, as float32, or raise ShapeError or DataError: see tinyvgg.images."""
        return float_images(x, self.bounds, shape=self.input_shape)

    def outputs(self, x: Images, *, batch_size: int = 256) -> Floats:
        """x (N, *input_shape) -> (N, K) float32, before the head."""
        x = self.check_images(x)
        parts = [run(self.graph, x[i : i + batch_size]) for i in range(0, len(x), batch_size)]
        return np.concatenate([np.zeros((0, self.graph.logits.shape[-1]), np.float32), *parts])

    def labels(self, x: Images, *, batch_size: int = 256) -> Integers:
        """x (N, H, W, C) -> (N,) int64."""
        return labels_of(self.logits(x, batch_size=batch_size))

    def vjp(self, x: Images, g: Gradient, *, batch_size: int = 64) -> Floats:
        """Return d sum(g * logits(x)) / dx, float32, as x. g: (N, classes), or a function of the logits (then one batch)."""
        return vjp(self.graph, self._values, x, g, batch_size=batch_size)

    def _values(self, x):
        x = self.check_images(x)
        return {**run(self.graph, x, keep=True), "": x}
