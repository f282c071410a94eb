"""5x5 convolutions: Winograd's F(2x2, 5x5) forward where it applies, beside float64."""
import numpy as np
import pytest

from tinyvgg import kernels, nn
from tinyvgg.nn import layers as L


@pytest.mark.parametrize(("size", "padding", "activation", "fast"), [
    ((12, 14), "same", "relu", True), ((10, 8), "valid", "sigmoid", True), ((11, 14), "same", None, False)])
def test_beside_float64(size, padding, activation, fast):
    model = nn.Sequential([L.InputLayer((*size, 8)), L.ReLU(), L.Conv2D(24, 5, padding=padding, activation=activation), L.Flatten(),
                           L.Dense(3)])
    assert ("F(2x2,5x5)" in model.plan().describe()) == fast
    x = np.random.default_rng(1).random((13, *size, 8), dtype=np.float32)
    g = np.random.default_rng(2).standard_normal((13, 3)).astype(np.float32)
    found = model.logits(x), model.vjp(x, g), model.forward_logits(x), model.backward_logits(g)
    with kernels.use("reference"):
        exact = model.astype(np.float64)
        wanted = exact.logits(x.astype(np.float64)), exact.vjp(x.astype(np.float64), g.astype(np.float64))
    for one, other in zip(found, (*wanted, *wanted), strict=True):
        assert np.abs(one - other).max() < 3e-6 * np.abs(other).max()
