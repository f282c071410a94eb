"""Averages of the weights during training, which often classify better than the last weights.

EMA: exponential moving average after every step. SWA: plain average of the weights at the end of each late epoch (Izmailov et
al., 2018, arXiv:1803.05407). Batch normalization: EMA averages the moving statistics like any weight. After SWA the old
statistics do not fit the averaged weights, so `refresh_statistics` measures them again on training images.
"""
import contextlib

import numpy as np

from tinyvgg import kernels, rng
from tinyvgg.errors import OptionError


class Average:
    """A running average of all weights of a model, moving statistics included, in float64.

    kind "ema": average += (1 - d) (weights - average), with d = min(decay, (1 + n) / (10 + n)) at update n, so that the random
    start soon loses its influence. kind "swa": the mean of all updates.
    """

    def __init__(self, kind: str = "ema", decay: float = 0.999) -> None:
        if kind not in ("ema", "swa") or not 0 <= decay < 1:
            raise OptionError(f"weight average {kind!r} with decay {decay}; expected 'ema' (0 <= decay < 1) or 'swa'")
        self.kind, self.decay, self.updates, self.values = kind, decay, 0, None

    def update(self, model):
        """Add the model's current weights to the average."""
        weights = [w for _, w in model.weights]
        if self.values is None:
            self.values = [np.array(w, np.float64) for w in weights]
        else:
            n = self.updates
            share = 1 / (n + 1) if self.kind == "swa" else 1 - min(self.decay, (1 + n) / (10 + n))
            for average, w in zip(self.values, weights, strict=True):
                kernels.average_update(average, w, share=share)
        self.updates += 1

    @contextlib.contextmanager
    def applied(self, model):
        """Inside the block the model has the averaged weights; afterwards its own again."""
        if self.values is None:
            yield
            return
        own = model.get_weights()
        self.copy_to(model)
        try:
            yield
        finally:
            model.set_weights(own)

    def copy_to(self, model):
        """Replace the model's weights by the average."""
        if self.values is not None:
            model.set_weights([v.astype(w.dtype) for v, (_, w) in zip(self.values, model.weights, strict=True)])


def refresh_statistics(model, batches, *, seed: int = 0):
    """Set every moving mean and variance to the plain mean over `batches` (an iterable of images), run in training mode."""
    normalized = [layer for layer in model.layers if "moving_mean" in layer.state]
    if not normalized:
        return
    for index, layer in enumerate(model.layers):
        layer.rng = rng.generator(seed, "statistics", index)
    own = [layer.momentum for layer in normalized]
    try:
        for n, x in enumerate(batches):
            for layer in normalized:
                layer.momentum = n / (n + 1)
            model.forward_logits(x, training=True)
    finally:
        for layer, momentum in zip(normalized, own, strict=True):
            layer.momentum = momentum
