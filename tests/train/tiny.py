"""A network and images so small that the training loop itself can be tested in seconds."""
import numpy as np

from tinyvgg.nn import Sequential
from tinyvgg.nn.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, InputLayer, MaxPooling2D, SpatialDropout2D


def model(seed=0, dropout=0.2, **settings):
    """Conv, batch-norm, both dropouts, softmax, on 8x8 images; four classes."""
    return Sequential([InputLayer((8, 8, 3)), Conv2D(6, 3, activation="relu"), SpatialDropout2D(dropout),
                       BatchNormalization(momentum=0.9), MaxPooling2D(), Flatten(), Dropout(dropout),
                       Dense(4, activation="softmax")], seed=seed, **settings)


def images(n=200, seed=0):
    """Noise with a bright quadrant: the class is which one."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n)
    x = rng.integers(0, 160, (n, 8, 8, 3), np.uint8)
    for image, label in zip(x, y, strict=True):
        image[4 * (label // 2):4 * (label // 2) + 4, 4 * (label % 2):4 * (label % 2) + 4] += 60
    return x, y
