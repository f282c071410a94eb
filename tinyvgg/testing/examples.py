"""Six public kinds of networks for microcontrollers, small, each with data that is generated: inputs that are no 32x32 colour images.

    example = EXAMPLES["imu"]
    model, (x, y) = example.network(), example.data(200)
    model.fit(x, y, epochs=10)
"""
from dataclasses import dataclass

import numpy as np

from tinyvgg import nn
from tinyvgg.nn import layers as L


@dataclass(frozen=True)
class Example:
    """A network by its layers (class, settings), its classes, and the shape and range of its input.

    eps: of L-inf attacks, in the unit of the input.
    """

    name: str
    what: str
    shape: tuple[int, ...]
    range: tuple[float, float]
    classes: int
    layers: tuple
    eps: float

    def network(self, seed=0):
        """Return the untrained network."""
        made = [L.InputLayer(self.shape), *(getattr(L, layer)(**settings) for layer, settings in self.layers)]
        return nn.Sequential(made, name=self.name, seed=seed, input_range=self.range)

    def data(self, n, seed=0, noise=0.15):
        """Return n inputs (n, *shape), float32 within `range`, and their classes (n,): a smooth pattern of each class, with noise."""
        rng = np.random.default_rng(0)
        cells = 16 if len(self.shape) == 1 else 4
        coarse = rng.random((self.classes, *(min(side, cells) for side in self.shape)))
        patterns = coarse
        for axis, side in enumerate(self.shape, start=1):
            patterns = np.repeat(patterns, -(-side // patterns.shape[axis]), axis=axis).take(np.arange(side), axis=axis)
        rng = np.random.default_rng([1, seed])
        y = rng.integers(0, self.classes, n)
        x = np.clip(patterns[y] + noise * rng.standard_normal((n, *self.shape)), 0, 1)
        low, high = self.range
        return np.clip(low + (high - low) * x, low, high).astype(np.float32), y


def _dense(units, activation):
    return "Dense", {"units": units, "activation": activation}


def _conv(filters, size=3, **more):
    return "Conv2D", {"filters": filters, "kernel_size": size, "activation": "relu", **more}


_FLAT, _NORM, _POOL = ("Flatten", {}), ("BatchNormalization", {}), ("MaxPooling2D", {})
EXAMPLES = {e.name: e for e in (
    Example("mnist_mlp", "digits as vectors of 784 values", (784,), (0.0, 1.0), 10,
            (_dense(24, "relu"), ("Dropout", {"rate": 0.2}), _dense(10, "softmax")), 0.1),
    Example("imu", "series of an accelerometer and a gyroscope, standardised", (128, 9), (-4.0, 4.0), 6,
            (("Conv1D", {"filters": 8, "kernel_size": 5, "strides": 2, "activation": "relu"}), ("MaxPooling1D", {}), _NORM, _FLAT,
             _dense(6, "softmax")), 1.0),
    Example("keywords", "spectrogram of a second, 40 channels", (49, 40), (-1.0, 1.0), 4,
            (("Conv1D", {"filters": 12, "kernel_size": 3, "padding": "same", "activation": "relu"}), _NORM,
             ("GlobalAveragePooling1D", {}), _dense(4, "softmax")), 0.3),
    Example("binary", "two classes by one sigmoid", (30,), (-3.0, 3.0), 2, (_dense(16, "tanh"), _dense(1, "sigmoid")), 1.5),
    Example("emotion", "grey faces of 48x48", (48, 48, 1), (0.0, 1.0), 7,
            (_conv(6, strides=2, padding="same"), _NORM, _POOL, _conv(8), _POOL, _FLAT, _dense(7, "softmax")), 0.1),
    Example("colour64", "colour images of 64x64, global pooling", (64, 64, 3), (0.0, 1.0), 3,
            (_conv(6, strides=4), _conv(8, padding="same"), ("GlobalAveragePooling2D", {}), _dense(3, "softmax")), 0.1))}
