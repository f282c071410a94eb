"""The projection on a hyperplane within a box, against linear and quadratic programming solved another way."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize_scalar

from tinyvgg.attacks.hyperplanes import project


def nearest(t, w, b, norm, low, high):
    """The smallest norm of d with <w, t + d> = b in the box, by scipy; None where the box does not reach the plane."""
    n, bounds = len(t), [(low - v, high - v) for v in t]
    if norm == "l2":                    # the dual: maximise over the multiplier, each coordinate has its own minimum
        def dual(m):
            d = np.clip(-m * w, low - t, high - t)
            return -((d ** 2).sum() / 2 + m * (w @ (t + d) - b))
        best = minimize_scalar(dual, bounds=(-1e4, 1e4), method="bounded", options={"xatol": 1e-10, "maxiter": 2000})
        return np.sqrt(-2 * best.fun)
    if norm == "linf":
        cost, more = np.r_[np.zeros(n), 1], np.r_[np.c_[np.eye(n), -np.ones(n)], np.c_[-np.eye(n), -np.ones(n)]]
        found = linprog(cost, more, np.zeros(2 * n), [np.r_[w, 0]], [b - w @ t], [*bounds, (0, None)])
    else:
        split = [*((0, hi) for _, hi in bounds), *((0, -lo) for lo, _ in bounds)]
        found = linprog(np.ones(2 * n), A_eq=[np.r_[w, -w]], b_eq=[b - w @ t], bounds=split)
    return found.fun if found.success else None


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2 ** 31), norm=st.sampled_from(["linf", "l2", "l1"]))
def test_nearest_point(seed, norm):
    g = np.random.default_rng(seed)
    t, w = g.uniform(-1, 1, (1, 7)), g.standard_normal((1, 7)) * (g.random((1, 7)) > 0.2)
    b = (w * g.uniform(-1, 1, (1, 7))).sum(axis=1)                      # a plane that goes through the box
    d = project(t, w, b, norm, -1.0, 1.0)[0]
    assert (np.abs(t[0] + d) <= 1 + 1e-9).all()
    np.testing.assert_allclose(w[0] @ (t[0] + d), b[0], atol=1e-9)
    length = {"linf": np.abs(d).max(), "l2": np.sqrt((d ** 2).sum()), "l1": np.abs(d).sum()}[norm]
    expected = nearest(t[0], w[0], b[0], norm, -1, 1)
    assert length == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_a_plane_beyond_the_box_gives_the_corner(norm):
    t, w = np.array([[0.2, 0.5, 0.9]]), np.array([[1.0, -2.0, 0.0]])
    np.testing.assert_allclose(t + project(t, w, np.array([9.0]), norm, 0, 1), [[1, 0, 0.9]])
