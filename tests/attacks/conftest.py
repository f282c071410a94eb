"""Small classifiers under attack: a linear one that can be solved by hand, and a trained network of 8x8 images."""
import numpy as np
import pytest

from tinyvgg import rng
from tinyvgg.nn import Sequential
from tinyvgg.nn.layers import Conv2D, Dense, Flatten, InputLayer, MaxPooling2D


class Linear:
    """logits = x @ w + b by einsum, whose sums do not depend on the batch."""

    def __init__(self, w, b, bounds=(0.0, 1.0), dtype=np.float32):
        self.w, self.b, self.bounds, self.n_classes, self.dtype = (
            w.astype(dtype),
            b.astype(dtype),
            bounds,
            w.shape[1],
            np.dtype(dtype),
        )

    def logits(self, x):
        return np.einsum("nd,dk->nk", x.reshape(len(x), -1), self.w) + self.b

    def labels(self, x):
        return self.logits(x).argmax(axis=1)

    def vjp(self, x, g):
        g = g(self.logits(x)) if callable(g) else g
        return np.einsum("nk,dk->nd", np.asarray(g, self.dtype), self.w).reshape(x.shape)


@pytest.fixture
def recorder():
    """recorder(w, b) -> the linear model, noting in `asked` every image it was asked about."""
    class Recorder(Linear):
        def __init__(self, w, b):
            super().__init__(w, b, dtype=np.float64)
            self.asked = []

        def logits(self, x):
            self.asked.append(x.copy())
            return super().logits(x)

    return Recorder


@pytest.fixture
def make_linear():
    """make_linear(d, k, seed=0, **settings) -> Linear with normal weights."""

    def make(d, k, seed=0, **settings):
        g = rng.generator(seed, "linear")
        return Linear(g.standard_normal((d, k)), g.standard_normal(k) * 0.1, **settings)

    return make


@pytest.fixture(scope="session")
def toy():
    """(network, x, y): a trained 6-class network on 8x8x3 images of noisy prototypes, right on nearly all of x (96, 8, 8, 3)."""
    g = rng.generator(0, "toy")
    prototypes = g.uniform(0.25, 0.75, (6, 8, 8, 3))
    y = np.arange(600) % 6
    x = np.clip(prototypes[y] + 0.15 * g.standard_normal((600, 8, 8, 3)), 0, 1)
    x = (np.rint(x * 255) / 255).astype(np.float32)
    model = Sequential(
        [
            InputLayer((8, 8, 3)),
            Conv2D(8, 3, activation="relu", padding="same"),
            MaxPooling2D(),
            Flatten(),
            Dense(24, activation="relu"),
            Dense(6, activation="softmax"),
        ],
        name="toy",
        seed=1,
    )
    train(model, x, y, g)
    assert (model.labels(x) == y).mean() > 0.97
    return model, x[:96], y[:96]


def train(model, x, y, g, epochs=12, rate=0.1):
    """Plain stochastic gradient descent on the cross-entropy."""
    onehot = np.eye(model.n_classes, dtype=np.float32)[y]
    for _ in range(epochs):
        order = g.permutation(len(x))
        for part in np.array_split(order, len(x) // 50):
            logits = model.forward_logits(x[part], training=True)
            e = np.exp(logits - logits.max(axis=1, keepdims=True))
            model.backward_logits((e / e.sum(axis=1, keepdims=True) - onehot[part]) / np.float32(len(part)))
            for layer in model.layers:
                for name, gradient in layer.gradients.items():
                    layer.parameters[name] -= np.float32(rate) * gradient
