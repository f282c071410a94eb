"""cleverhans' functions: its signatures, and its steps, traced by hand on a linear model."""
import inspect

import numpy as np
import pytest

from tinyvgg import attacks
from tinyvgg.attacks.compat.cleverhans import fast_gradient_method, projected_gradient_descent
from tinyvgg.errors import DataError, NotYet, OptionError


def test_signatures():
    names = list(inspect.signature(projected_gradient_descent).parameters)
    assert names[:14] == [
        "model_fn",
        "x",
        "eps",
        "eps_iter",
        "nb_iter",
        "norm",
        "loss_fn",
        "clip_min",
        "clip_max",
        "y",
        "targeted",
        "rand_init",
        "rand_minmax",
        "sanity_checks",
    ]
    assert list(inspect.signature(fast_gradient_method).parameters) == [
        "model_fn",
        "x",
        "eps",
        "norm",
        "loss_fn",
        "clip_min",
        "clip_max",
        "y",
        "targeted",
        "sanity_checks",
    ]


def test_fast_gradient_method_by_hand(make_linear):
    """Two classes: the gradient of the loss of class y is p_other * (w_other - w_y), so its direction is known."""
    model = make_linear(6, 2)
    x = np.random.default_rng(0).uniform(0.3, 0.7, (4, 6)).astype(np.float32)
    y = model.labels(x)
    w = (model.w[:, 1] - model.w[:, 0])[None] * np.where(y == 1, -1, 1)[:, None]
    np.testing.assert_allclose(fast_gradient_method(model, x, 0.1, np.inf), x + 0.1 * np.sign(w), rtol=1e-6)
    np.testing.assert_allclose(
        fast_gradient_method(model, x, 0.1, 2), x + 0.1 * w / np.linalg.norm(w, axis=1, keepdims=True), rtol=1e-5
    )
    largest = np.abs(w) == np.abs(w).max(axis=1, keepdims=True)
    np.testing.assert_allclose(fast_gradient_method(model, x, 0.1, 1), x + 0.1 * np.sign(w) * largest, rtol=1e-6)
    toward = fast_gradient_method(model, x, 0.1, np.inf, y=1 - y, targeted=True)
    np.testing.assert_allclose(toward, x + 0.1 * np.sign(w), rtol=1e-6)


def test_nothing_is_clipped_unless_asked(make_linear):
    model = make_linear(6, 2)
    x = np.full((1, 6), 0.02, np.float32)
    free = projected_gradient_descent(model, x, 0.1, 0.05, 4, np.inf)
    assert free.min() < 0
    boxed = projected_gradient_descent(model, x, 0.1, 0.05, 4, np.inf, clip_min=0, clip_max=1)
    np.testing.assert_allclose(boxed, np.clip(free, 0, 1), atol=1e-7)


def test_l2_floor():
    """A gradient shorter than 1e-6 gives a shorter step: what a confident model gains by it."""
    weak = attacks.as_classifier(
        lambda x: np.stack([1e-8 * x[:, 0], 0 * x[:, 0]], axis=1),
        bounds=(0, 1),
        n_classes=2,
        vjp=lambda x, g: np.stack([1e-8 * g(np.stack([1e-8 * x[:, 0], 0 * x[:, 0]], axis=1))[:, 0], 0 * x[:, 0]], axis=1),
    )
    x = np.full((1, 2), 0.5, np.float32)
    moved = fast_gradient_method(weak, x, 0.1, 2, y=[0])
    assert abs(moved[0, 0] - 0.5) == pytest.approx(0.1 * 0.5e-8 / 1e-6, rel=1e-3)


def test_the_clip_is_before_the_projection_in_l2(make_linear):
    """A point clipped first is shortened less: the order differs from foolbox's where the box is met."""
    from tinyvgg.attacks.compat.pgd_loop import pgd_loop

    model = make_linear(6, 2)
    x = np.full((1, 6), 0.05, np.float32)
    w = np.broadcast_to(model.w[:, 1] - model.w[:, 0], x.shape).astype(np.float32)
    ends = {
        order: pgd_loop(lambda z: w, x, x, eps=0.3, step=0.2, steps=5, norm="l2", bounds=(0, 1), order=order)
        for order in ("cleverhans", "foolbox", "art")
    }
    assert np.abs(ends["cleverhans"] - ends["foolbox"]).max() > 1e-3
    for z in ends.values():
        assert np.linalg.norm(z - x) <= 0.3 * (1 + 1e-6)


def test_softmax_models_are_attacked_by_their_logits(toy):
    model, x, y = toy
    for given in (model, model.logits, model.predict):
        np.testing.assert_array_equal(
            projected_gradient_descent(given, x[:8], 0.05, 0.01, 5, np.inf, y=y[:8]),
            projected_gradient_descent(model, x[:8], 0.05, 0.01, 5, np.inf, y=y[:8]),
        )


def test_a_plain_function_and_a_loss_of_ones_own(make_linear):
    model = make_linear(5, 3)
    x = np.random.default_rng(2).uniform(0, 1, (3, 5)).astype(np.float32)
    y = model.labels(x)
    by_model = projected_gradient_descent(model, x, 0.05, 0.01, 5, np.inf)
    np.testing.assert_array_equal(projected_gradient_descent(lambda z: model.logits(z), x, 0.05, 0.01, 5, np.inf), by_model)

    def loss_fn(labels, logits):
        return np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]

    np.testing.assert_array_equal(projected_gradient_descent(model, x, 0.05, 0.01, 5, np.inf, loss_fn=loss_fn, y=y), by_model)


def test_random_starts(make_linear):
    model = make_linear(400, 2)
    x = np.full((2, 400), 0.5, np.float32)
    for norm in (np.inf, 2):
        start = projected_gradient_descent(model, x, 0.3, 0.1, 0, norm, rand_init=True)
        inner = projected_gradient_descent(model, x, 0.3, 0.1, 0, norm, rand_init=True, rand_minmax=0.01)
        size = np.abs(start - x).max() if norm == np.inf else np.linalg.norm(start - x, axis=1).max()
        assert 0.28 < size <= 0.3 * (1 + 1e-6) and np.abs(inner - x).max() <= 0.01 * (1 + 1e-5)
    np.testing.assert_array_equal(projected_gradient_descent(model, x, 0.3, 0.1, 0, np.inf), x)


def test_its_refusals(toy):
    model, x, y = toy
    with pytest.raises(AssertionError, match="eps_iter 0.1 is larger than eps 0.05"):
        projected_gradient_descent(model, x, 0.05, 0.1, 5, np.inf)
    with pytest.raises(NotYet):
        projected_gradient_descent(model, x, 0.05, 0.01, 5, 1)
    with pytest.raises(OptionError, match="norm"):
        projected_gradient_descent(model, x, 0.05, 0.01, 5, 3)
    with pytest.raises(AssertionError, match="beyond the range"):
        projected_gradient_descent(model, x, 3, 0.1, 5, np.inf, clip_min=0, clip_max=1, sanity_checks=True)
    with pytest.raises(AssertionError, match="both or neither"):
        fast_gradient_method(model, x, 0.05, np.inf, clip_min=0)
    with pytest.raises(DataError):
        projected_gradient_descent(model, x, 0.05, 0.01, 5, np.inf, y=y[:3])
