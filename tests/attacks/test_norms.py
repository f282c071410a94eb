"""Distances, projections and 8-bit grids."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyvgg.attacks import norms
from tinyvgg.errors import OptionError


@pytest.mark.parametrize(
    ("text", "value"), [("8/255", 8 / 255), (0.03, 0.03), ("0.5", 0.5), (" 1 / 4 ", 0.25), (0, 0.0), (np.float32(2), 2.0)]
)
def test_eps(text, value):
    assert norms.parse_eps(text) == value


@pytest.mark.parametrize("text", ["-1/255", -0.1, "eight", "1/0", "", None, float("nan"), "8/255/2", float("inf"), "1e999", "__import__('os')"])
def test_eps_that_is_none(text):
    with pytest.raises(OptionError, match="eps is"):
        norms.parse_eps(text)


def test_norm_names():
    assert [norms.parse_norm(n) for n in (np.inf, 2, 1, "linf", "L2", 2.0)] == ["linf", "l2", "l1", "linf", "l2", "l2"]
    with pytest.raises(OptionError, match="linf, l2 or l1"):
        norms.parse_norm("l7")


def test_steepest_is_the_best_direction_of_length_one():
    g = np.random.default_rng(0).standard_normal((5, 4, 3)).astype(np.float32)
    for norm, dual in (("linf", "l1"), ("l2", "l2"), ("l1", "linf")):
        d = norms.steepest(g, norm)
        np.testing.assert_allclose(norms.size(d, norm), 1, rtol=1e-6)
        np.testing.assert_allclose((g * d).sum(axis=(1, 2)), norms.size(g, dual), rtol=1e-5)  # Hoelder, with equality


def test_steepest_of_tiny_and_zero_gradients():
    g = np.zeros((3, 6), np.float32)
    g[1], g[2, 2] = 1e-30, -1e-38
    np.testing.assert_allclose(norms.size(norms.steepest(g, "l2"), "l2"), [0, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(norms.steepest(g, "l1")[1], 1 / 6, rtol=1e-6)


def test_shorten_l1_is_the_nearest_point():
    """Against the definition: soft thresholding at the level whose l1 norm is eps, found by bisection."""
    d = np.random.default_rng(1).standard_normal((6, 40))
    got = norms.shorten(d, 3.0, "l1")
    low, high = np.zeros(6), np.abs(d).max(axis=1)
    for _ in range(80):
        middle = (low + high) / 2
        long = np.maximum(np.abs(d) - middle[:, None], 0).sum(axis=1) > 3
        low, high = np.where(long, middle, low), np.where(long, high, middle)
    np.testing.assert_allclose(got, np.sign(d) * np.maximum(np.abs(d) - high[:, None], 0), atol=1e-12)
    small = d / 1e3
    np.testing.assert_array_equal(norms.shorten(small, 3.0, "l1"), small)


@pytest.mark.parametrize("seed", range(4))
def test_shorten_in_box_is_the_nearest_point(seed):
    """Against the definition: soft thresholding, cut with the box, at the level whose l1 norm is eps, found by bisection."""
    g = np.random.default_rng(seed)
    d, room = g.standard_normal((6, 40)), g.uniform(0, 0.7, (6, 40)) * (g.random((6, 40)) > 0.1)
    got, eps = norms.shorten_in_box(d, 3.0, room), 3.0
    low, high = np.zeros(6), np.abs(d).max(axis=1)
    for _ in range(80):
        middle = (low + high) / 2
        long = np.clip(np.abs(d) - middle[:, None], 0, room).sum(axis=1) > eps
        low, high = np.where(long, middle, low), np.where(long, high, middle)
    np.testing.assert_allclose(got, np.sign(d) * np.clip(np.abs(d) - high[:, None], 0, room), atol=1e-12)
    near = norms.shorten_in_box(d, 1e3, room)
    np.testing.assert_array_equal(near, np.sign(d) * np.minimum(np.abs(d), room))
    np.testing.assert_array_equal(norms.shorten_in_box(d, 0.0, room), 0)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), eps=st.floats(1e-6, 5), norm=st.sampled_from(norms.NORMS), low=st.sampled_from([0.0, -1.0]))
def test_a_ball_is_never_left(seed, eps, norm, low):
    g = np.random.default_rng(seed)
    x = g.uniform(low, 1, (3, 5, 5, 2)).astype(np.float32)
    ball = norms.Ball(x, eps, norm, (low, 1.0))
    z = ball.project((x + g.standard_normal(x.shape) * 10 ** g.uniform(-3, 1)).astype(np.float32))
    assert z.dtype == np.float32 and z.min() >= low and z.max() <= 1
    assert (norms.size(z.astype(np.float64) - x, norm) <= eps).all()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), eps=st.floats(0.5 / 255, 2), norm=st.sampled_from(norms.NORMS))
def test_on_the_grid_the_ball_is_not_left_either(seed, eps, norm):
    g = np.random.default_rng(seed)
    x = norms.from_grid(g.integers(0, 256, (3, 4, 4, 3)), (0, 1))
    z = norms.Ball(x, eps, norm, (0.0, 1.0), grid=255).project((x + 0.1 * g.standard_normal(x.shape)).astype(np.float32))
    levels = norms.to_grid(z, (0, 1))
    np.testing.assert_array_equal(norms.from_grid(levels, (0, 1)), z)
    assert (norms.size(z.astype(np.float64) - x, norm) <= eps * (1 + 2e-6)).all()


def test_grid_needs_images_on_it():
    with pytest.raises(OptionError, match="grid of 255"):
        norms.Ball(np.full((1, 2, 2, 3), 0.3001, np.float32), 0.1, "linf", (0, 1), grid=255)
