"""Small networks for the tests of the integer model, with weights and batch-norms that hide nothing."""

from hypothesis import strategies as st

from tinyvgg import nn
from tinyvgg.errors import NotYet
from tinyvgg.nn import layers as L
from tinyvgg.quant.fuse import fuse
from tinyvgg.testing.networks import random_network, randomise

__all__ = ["models", "randomise", "small"]


def small(classes=4, seed=0):
    """A network of every fused tail, untrained."""
    return nn.Sequential(
        [
            L.InputLayer((8, 8, 3)),
            L.Conv2D(8, 3, padding="same"),
            L.Activation("relu"),
            L.BatchNormalization(),
            L.Conv2D(12, 3, padding="same"),
            L.Activation("relu"),
            L.BatchNormalization(),
            L.MaxPooling2D(),
            L.Flatten(),
            L.Dense(16, activation="relu"),
            L.Dense(classes, activation="softmax"),
        ],
        seed=seed,
    )


def models(**kinds):
    """Hypothesis' draws of a random network that can be quantised."""
    draws = st.randoms(use_true_random=False).map(lambda source: random_network(source, integer=True, widest=8, **kinds))
    return draws.filter(_can_be_quantised)


def _can_be_quantised(model):
    try:
        return fuse(model) is not None
    except NotYet:
        return False
