"""Layers that act only in training: noise, and Keras' layers that change images, which this library skips."""
from typing import Any, Unpack

import numpy as np

from tinyvgg.errors import OptionError
from tinyvgg.nn.layers.base import Layer, number
from tinyvgg.nn.layers.dropout import Dropout
from tinyvgg.types import LayerOptions


class GaussianNoise(Layer):
    """x + n in training, n drawn from `rng` with standard deviation `stddev`; the identity at inference."""

    options = ("stddev",)

    def __init__(self, stddev: float, **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.stddev = number(stddev, "stddev")
        if not stddev >= 0:
            raise OptionError(f"stddev is {stddev}; expected 0 or more")
        self.rng = np.random.default_rng(0)

    def forward(self, x, *, training=False):
        if not training or self.stddev == 0:
            return x
        return x + (self.rng.standard_normal(x.shape, dtype=np.float32) * np.float32(self.stddev)).astype(x.dtype)

    def backward(self, dy, *, parameters=True):
        return dy


class GaussianDropout(Dropout):
    """x times noise of mean 1 and standard deviation sqrt(rate / (1 - rate)) in training; the identity at inference."""

    def mask(self, shape, dtype):
        """Draw the noise for x of `shape` (N, ...)."""
        noise = self.rng.standard_normal(shape, dtype=np.float32) * np.float32(np.sqrt(self.rate / (1 - self.rate)))
        return (1 + noise).astype(dtype)


class AlphaDropout(Dropout):
    """Dropout that keeps mean and variance of SELU's outputs (Klambauer et al. 2017); the identity at inference.

    Values are set to -alpha * scale = -1.7581 with probability `rate`; then a x + b.
    """

    LOWEST = -1.6732632423543772 * 1.0507009873554805

    def forward(self, x, *, training=False):
        if not training or self.rate == 0:
            self.saved = None
            return x
        keep = (self.rng.random(x.shape, dtype=np.float32) >= np.float32(self.rate)).astype(x.dtype)
        a = ((1 - self.rate) * (1 + self.rate * self.LOWEST ** 2)) ** -0.5
        self.saved = keep * x.dtype.type(a)
        return self.saved * x + (x.dtype.type(a * self.LOWEST) * (1 - keep) - x.dtype.type(a * self.LOWEST * self.rate))


class TrainingOnly(Layer):
    """A layer of Keras that acts only in training. Here it changes nothing, in training either; training warns of it.

    kind: Keras' class, as RandomFlip, RandomRotation or ActivityRegularization; settings: its settings, kept for files.
    """

    options = ("kind", "settings")

    def __init__(self, kind: str, settings: Any = None, **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        if not isinstance(kind, str) or not isinstance(settings, dict | None):
            raise OptionError(f"TrainingOnly got kind {kind!r} and settings {settings!r}; expected a name and a dict")
        self.kind, self.settings = kind, dict(settings or {})

    def forward(self, x, *, training=False):
        return x

    def backward(self, dy, *, parameters=True):
        return dy
