"""5x5 convolutions: Winograd's F(4, 5) and F(5, 5) forward where they apply, beside float64."""
import numpy as np
import pytest

from tinyvgg import kernels, nn
from tinyvgg.kernels.fast import cores, threads
from tinyvgg.nn import layers as L


@pytest.mark.parametrize(("shape", "padding", "activation", "rows"), [
    ((12, 14, 8), "same", "relu", 4), ((14, 13, 8), "valid", "sigmoid", 5), ((11, 14, 3), "same", None, 4), ((9, 9, 1), "valid", "relu", 5),
    ((13, 6, 8), "same", "relu", 5), ((3, 9, 8), "same", None, 0)])
def test_beside_float64(shape, padding, activation, rows, monkeypatch):
    monkeypatch.setattr(threads, "usable_cores", cores.usable_cores)        # all cores, not this process' share
    monkeypatch.setattr(threads, "_pool", None)
    inner = [L.ReLU()] * (shape[2] == 8)            # else the images themselves, whose channels are not filled up to vectors
    model = nn.Sequential([L.InputLayer(shape), *inner, L.Conv2D(21, 5, padding=padding, activation=activation), L.Flatten(), L.Dense(3)])
    assert ("down the columns" in model.plan().describe()) == bool(rows)
    assert not rows or f"F({rows},5)" in model.plan().describe()
    x = np.random.default_rng(1).random((13, *shape), dtype=np.float32)
    g = np.random.default_rng(2).standard_normal((13, 3)).astype(np.float32)
    found = model.logits(x), model.vjp(x, g), model.forward_logits(x), model.backward_logits(g)
    with kernels.use("reference"):
        exact = model.astype(np.float64)
        wanted = exact.logits(x.astype(np.float64)), exact.vjp(x.astype(np.float64), g.astype(np.float64))
    for one, other in zip(found, (*wanted, *wanted), strict=True):
        assert np.abs(one - other).max() < 3e-6 * np.abs(other).max()
