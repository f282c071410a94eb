"""The losses' gradients, and what each must not do."""
import numpy as np
import pytest

from tinyvgg.attacks import losses
from tinyvgg.errors import OptionError


def numeric(loss, z, y, t, step=1e-6):
    g = np.zeros_like(z)
    for k in range(z.shape[1]):
        up, down = z.copy(), z.copy()
        up[:, k] += step
        down[:, k] -= step
        g[:, k] = (loss(up, y, t)[0] - loss(down, y, t)[0]) / (2 * step)
    return g


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("name", losses.LOSSES)
def test_gradient(name, targeted):
    g = np.random.default_rng(3)
    z, y = 3 * g.standard_normal((40, 7)), g.integers(0, 7, 40)
    t = (y + g.integers(1, 7, 40)) % 7 if targeted else None
    np.testing.assert_allclose(losses.get(name)(z, y, t)[1], numeric(losses.get(name), z, y, t), atol=1e-6)


def test_scaled_cross_entropy_is_cross_entropy_scaled():
    """softplus of the value is the cross-entropy, and its gradient is the other's times 1 - p_y."""
    g = np.random.default_rng(4)
    z, y = 2 * g.standard_normal((30, 5)), g.integers(0, 5, 30)
    value, gradient = losses.cross_entropy(z, y)
    plain, plain_gradient = losses.plain_cross_entropy(z, y)
    np.testing.assert_allclose(np.log1p(np.exp(value)), plain, rtol=1e-12)
    p = np.exp(-plain)
    np.testing.assert_allclose(plain_gradient, gradient * (1 - p)[:, None], atol=1e-12)


def test_scaled_cross_entropy_does_not_vanish():
    z = np.array([[200, 0, 1]], np.float32)
    assert not losses.plain_cross_entropy(z, np.array([0]))[1].any()
    np.testing.assert_allclose(losses.cross_entropy(z, np.array([0]))[1], [[-1, 1 / (1 + np.e), np.e / (1 + np.e)]], rtol=1e-6)


def test_huge_offsets_change_nothing():
    z = np.array([[3.0, 1, 2], [0, 4, 1]])
    y = np.array([0, 1])
    for loss in losses.LOSSES.values():
        np.testing.assert_allclose(loss(z + 1e6, y)[0], loss(z, y)[0], rtol=1e-6)


def test_dlr_by_hand():
    z = np.array([[5.0, 3, 1, 0]])
    np.testing.assert_allclose(losses.dlr(z, np.array([0]))[0], [-(5 - 3) / (5 - 1)])
    np.testing.assert_allclose(losses.dlr(z, np.array([0]), np.array([2]))[0], [-(5 - 1) / (5 - (1 + 0) / 2)])
    assert np.abs(losses.dlr(z, np.array([2]))[1]).max() < 1e-12, "flat where the label is the third largest"


def test_too_few_classes():
    with pytest.raises(OptionError, match="needs 3 classes; this model has 2"):
        losses.dlr(np.zeros((1, 2)), np.array([0]))
    with pytest.raises(OptionError, match="needs 4 classes; this model has 3"):
        losses.dlr(np.zeros((1, 3)), np.array([0]), np.array([1]))
    with pytest.raises(OptionError, match="no loss 'hinge'"):
        losses.get("hinge")
