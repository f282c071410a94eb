"""The generated set: the same bytes everywhere, and out of a linear model's reach."""
import numpy as np
from scipy.linalg import solve

from tinyvgg import data
from tinyvgg.data import shapes

SHA256 = "750df38610b88ff5c336411b3756487aaeec26372eb7335179cdbe0f4039a0c6"


def test_same_bytes_everywhere():
    assert data.load("shapes").sha256 == SHA256


def test_balanced_and_disjoint():
    found = shapes.load()
    assert set(np.bincount(found.y_train)) == {1000} and set(np.bincount(found.y_test)) == {200}
    assert found.x_train.shape == (10_000, 32, 32, 3) and found.x_train.dtype == np.uint8
    assert len(np.unique(np.r_[found.x_train, found.x_test].reshape(12_000, -1), axis=0)) == 12_000


def test_seed_and_part_change_the_images():
    a, b, c = (shapes.generate(20, seed, part)[0] for seed, part in ((0, "train"), (1, "train"), (0, "test")))
    assert not np.array_equal(a, b) and not np.array_equal(a, c)


def test_linear_model_stays_below_half():
    """Ridge regression on the pixels, the best of a wide range of penalties chosen on the test images themselves."""
    found = shapes.load().as_float((-0.5, 0.5))
    x, t = found.x_train.reshape(10_000, -1)[::2], found.x_test.reshape(2_000, -1)
    gram, right = x.T @ x, x.T @ np.eye(10, dtype=np.float32)[found.y_train[::2]]
    scores = [t @ solve(gram + penalty * np.eye(3072, dtype=np.float32), right, assume_a="pos") for penalty in (10, 1e3, 1e5)]
    best = max((s.argmax(axis=1) == found.y_test).mean() for s in scores)
    assert best < 0.5
