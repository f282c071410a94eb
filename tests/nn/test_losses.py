"""Cross-entropy: its value, its gradient, extreme numbers, labels that are none."""
import numpy as np
import pytest

from tinyvgg.errors import DataError, OptionError, ShapeError
from tinyvgg.kernels.reference import softmax
from tinyvgg.nn import losses

RNG = np.random.default_rng(2)
Z = RNG.standard_normal((6, 10)) * 3
Y = RNG.integers(0, 10, 6)
SOFT = softmax(RNG.standard_normal((6, 10)))


@pytest.mark.parametrize("labels", [Y, Y[:, None], np.eye(10)[Y], SOFT, 2 * SOFT],
                         ids=["int", "column", "one-hot", "soft", "sum 2"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("function, scores", [(losses.cross_entropy, Z),
                                              (losses.cross_entropy_from_probabilities, softmax(Z / 3))])
def test_gradient(function, scores, labels, smoothing):
    """Central difference along a random direction."""
    _, gradient = function(scores, labels, label_smoothing=smoothing)
    v = RNG.standard_normal(scores.shape)
    step = 1e-7
    plus, minus = (function(scores + s * step * v, labels, label_smoothing=smoothing)[0] for s in (1, -1))
    numeric, analytic = (plus - minus) / (2 * step), np.vdot(gradient, v)
    assert abs(numeric - analytic) <= 1e-6 * max(abs(numeric), 1e-3)


def test_value_by_hand():
    z = np.array([[1.0, 2.0], [0.0, 0.0]])
    expected = (np.log(np.exp(1) + np.exp(2)) - 2 + np.log(2)) / 2
    assert losses.cross_entropy(z, [1, 0])[0] == pytest.approx(expected, rel=1e-14)
    smoothed = (np.log(np.exp(1) + np.exp(2)) - 0.9 * 2 - 0.1 * 1 + np.log(2)) / 2
    assert losses.cross_entropy(z, [1, 0], label_smoothing=0.2)[0] == pytest.approx(smoothed, rel=1e-14)


def test_the_two_forms_agree():
    for labels in (Y, SOFT):
        a, b = losses.cross_entropy(Z, labels)[0], losses.cross_entropy_from_probabilities(softmax(Z), labels)[0]
        assert a == pytest.approx(b, rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [0, 1e4, -1e4, 3e38])
def test_extreme_logits(dtype, scale):
    z = np.zeros((4, 10), dtype)
    z[:, 3] = scale
    value, gradient = losses.cross_entropy(z, [3, 3, 0, 5])
    assert np.isfinite(value) and np.isfinite(gradient).all() and gradient.dtype == dtype
    assert np.allclose(gradient.sum(axis=1), 0, atol=1e-6)


def test_probabilities_of_0_and_1():
    p = np.eye(10, dtype=np.float32)[[0, 1]]
    value, gradient = losses.cross_entropy_from_probabilities(p, [0, 2])
    assert value == pytest.approx(-np.log(1e-7) / 2, rel=1e-5) and np.isfinite(gradient).all()


@pytest.mark.parametrize("labels, error", [([0, 1, 10], DataError), ([0, -1, 2], DataError), ([0, 0.5, 1], DataError),
                                           ([0, np.nan, 1], DataError), ([0, 1], ShapeError), (np.zeros((3, 9)), ShapeError),
                                           (np.zeros((3, 2, 2)), ShapeError)])
def test_labels_that_are_none(labels, error):
    with pytest.raises(error, match="expected"):
        losses.cross_entropy(np.zeros((3, 10)), np.array(labels))


def test_settings():
    for smoothing in (-0.1, 1, np.nan):
        with pytest.raises(OptionError, match="label smoothing"):
            losses.CrossEntropy(label_smoothing=smoothing)
    with pytest.raises(ShapeError):
        losses.cross_entropy(np.zeros((0, 10)), [])
    value, gradient = losses.CrossEntropy(label_smoothing=0.1)(Z, Y)
    assert value == losses.cross_entropy(Z, Y, label_smoothing=0.1)[0] and gradient.shape == Z.shape
