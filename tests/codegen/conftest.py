import shutil

import numpy as np
import pytest

from tests.quant.networks import randomise
from tinyvgg import models, nn
from tinyvgg.nn import layers as L
from tinyvgg.quant import quantize


def pytest_collection_modifyitems(items):
    if not any(shutil.which(c) for c in ("cc", "gcc", "clang")):
        try:
            import ziglang  # noqa: F401
        except ImportError:
            for item in items:
                if "codegen" in item.nodeid:
                    item.add_marker(pytest.mark.skip(reason="no C compiler"))


@pytest.fixture(scope="session")
def images():
    return np.random.default_rng(7).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def light(images):
    """(float light net with random batch-norms, its int8 model)."""
    model = randomise(models.light(), np.random.default_rng(3), dead=0)
    return model, quantize(model, images)


@pytest.fixture(scope="session")
def small():
    """A net with every kernel of the integer graph."""
    x = node = nn.Input((9, 8, 3))
    node = L.MaxPooling2D(2)(L.BatchNormalization()(L.Conv2D(6, 3, padding="same", activation="relu")(node)))
    node = L.DepthwiseConv2D(3, padding="same", activation="relu6")(node)
    node = L.Add()([node, L.Conv2D(6, 1, activation="leaky_relu")(node)])
    node = L.AveragePooling2D(2, strides=1)(L.MaxPooling2D(2, strides=1, padding="same")(node))
    node = L.Dense(7, activation="relu")(L.Flatten()(node))
    return randomise(nn.Model(x, L.Dense(4, activation="softmax")(node), name="small"), np.random.default_rng(5), dead=0)
