import numpy as np
import pytest

from tests.quant.networks import randomise
from tinyvgg import models, nn
from tinyvgg.nn import layers as L
from tinyvgg.quant import quantize


@pytest.fixture(scope="session")
def images():
    return np.random.default_rng(7).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def light(images):
    """(float light net with random batch-norms, its int8 model)."""
    model = randomise(models.light(), np.random.default_rng(3), dead=0)
    return model, quantize(model, images)


@pytest.fixture(scope="session")
def mini(images):
    """A net of seconds: (float model, its int8 model) on 32x32x3."""
    model = nn.Sequential([L.InputLayer((32, 32, 3)), L.Conv2D(6, 3, strides=2, padding="same", activation="relu"),
                           L.BatchNormalization(), L.MaxPooling2D(), L.Conv2D(9, 3, padding="same", activation="relu"),
                           L.MaxPooling2D(), L.Flatten(),
                           L.Dense(12, activation="relu"), L.Dense(10, activation="softmax")], name="mini")
    randomise(model, np.random.default_rng(3), dead=0)
    return model, quantize(model, images)


@pytest.fixture(scope="session")
def network(mini, tmp_path_factory):
    """The mini int8 net as firmware: a Network."""
    pytest.importorskip("ziglang")
    pytest.importorskip("unicorn")
    from tinyvgg.firmware.network import build_network
    return build_network(mini[1], tmp_path_factory.mktemp("firmware"), name="mini")


@pytest.fixture
def url(network):
    return f"virtual:{network.image.elf}"
