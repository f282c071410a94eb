"""A tiny network, trained for a moment so that its flips matter, as floats, integers and codebooks."""
import numpy as np
import pytest

from tinyvgg import nn
from tinyvgg.nn import layers as L
from tinyvgg.quant.schemes import compress


def tiny_network(x, seed=0, filters=(3, 4)):
    """Convolution with a batch-norm after its ReLU (so a zero point that is not 0), pool, second convolution, dense."""
    start = nn.Input((6, 6, 3))
    y = L.Conv2D(filters[0], 3, padding="same", activation="relu")(start)
    y = L.BatchNormalization()(y)
    y = L.MaxPooling2D(2)(y)
    y = L.Conv2D(filters[1], (2, 3), padding="same", activation="relu")(y)
    y = L.BatchNormalization()(y)
    y = L.Dense(3, activation="softmax")(L.Flatten()(y))
    model, rng = nn.Model(start, y, seed=seed), np.random.default_rng(seed)
    for layer in model.layers:
        for name, array in layer.parameters.items():
            if name == "gamma":
                array[...] = rng.choice([-1, 1], array.shape) * rng.uniform(0.5, 1.5, array.shape)
            elif name != "kernel":
                array[...] = rng.normal(0, 0.3, array.shape)
        for array in layer.state.values():
            array[...] = rng.uniform(0.1, 0.5, array.shape)
    logits = model.logits(np.asarray(x / 255, np.float32))
    model.layers[-1].parameters["bias"][...] -= logits.mean(axis=0)
    return model


@pytest.fixture(scope="session")
def network(images):
    return tiny_network(images)


@pytest.fixture(scope="session")
def images():
    """Flat colours with some noise: images that differ."""
    rng = np.random.default_rng(5)
    return np.clip(rng.integers(0, 256, (24, 1, 1, 3)) + rng.integers(-40, 40, (24, 6, 6, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def quantized(network, images):
    return compress(network, "int8", images, calibration="minmax")


@pytest.fixture(scope="session")
def smallest(images):
    """One whose every flip can be tried."""
    return compress(tiny_network(images, filters=(1, 1)), "int8", images, calibration="minmax")


@pytest.fixture(scope="session")
def shared(network, images):
    return compress(network, "shared3", images, calibration="minmax")


@pytest.fixture(scope="session")
def answers(quantized, images):
    """The labels that the unharmed network gives: its accuracy is 100 %."""
    return quantized.labels(images)
