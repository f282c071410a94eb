"""A small network that trains in a minute, for benchmarks of attacks whose number of questions is large."""
import numpy as np

from tinyvgg import data, nn
from tinyvgg.nn import layers as L
from tinyvgg.open import open_model


class Halved:
    """A data set whose images are half as wide and high."""

    def __init__(self, dataset):
        self.dataset = dataset

    def part(self, part, n):
        x, y = self.dataset.part(part, n)
        n, height, width, channels = x.shape
        whole = np.asarray(x).reshape(n, height // 2, 2, width // 2, 2, channels).astype(np.float64)
        return np.floor(whole.mean(axis=(2, 4)) + 0.5).astype(np.uint8), y


def opened(model, source):
    """Return (data, network) of these names; "small" is trained now, on images half as wide and high."""
    dataset = data.load(source)
    if model != "small":
        return dataset, open_model(model, board=False)
    halved = Halved(dataset)
    return halved, small(halved)


def small(dataset):
    """A network of two convolutions, trained for some epochs on 10,000 images."""
    model = nn.Sequential([L.InputLayer((16, 16, 3)), L.Conv2D(8, 3, padding="same", activation="relu"), L.MaxPooling2D(),
                           L.Conv2D(16, 3, padding="same", activation="relu"), L.MaxPooling2D(), L.Flatten(), L.Dense(32, activation="relu"),
                           L.Dense(10, activation="softmax")], seed=1, name="small")
    x, y = dataset.part("train", 10_000)
    model.fit(x.astype(np.float32) / np.float32(255), y, epochs=6, batch_size=64, quiet=True, seed=1)
    return model
