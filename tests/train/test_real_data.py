"""Minutes rather than seconds: the networks on CIFAR-10, the light net on shapes."""
import numpy as np
import pytest

from tinyvgg import data, models, train
from tinyvgg.data import cifar10

pytestmark = pytest.mark.slow


@pytest.mark.skipif(cifar10.find() is None, reason="CIFAR-10 was not found: TINYVGG_DATA names its folder")
@pytest.mark.parametrize("arch", ["resnet8", "light", "notebook"])
def test_the_loss_falls_on_cifar10(arch):
    model = models.build(arch)
    x, y = data.load("cifar10").part("train", 4000)
    history = train.fit(model, x, y, epochs=2, quiet=True)
    assert history[1]["loss"] < history[0]["loss"] and history[1]["accuracy"] > history[0]["accuracy"] > 0.1
    again = models.build(arch)
    train.fit(again, x, y, epochs=2, quiet=True)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), again.get_weights(), strict=True))


def test_light_learns_shapes():
    shapes, model = data.load("shapes"), models.light()
    train.fit(model, *shapes.part("train"), epochs=10, schedule="cosine", warmup=1, quiet=True)
    assert train.evaluate(model, *shapes.part("test"))["accuracy"] > 0.95
