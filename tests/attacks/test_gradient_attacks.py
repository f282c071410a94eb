"""FGSM and PGD: closed forms on a linear model, metamorphic properties on a network, and what must change nothing."""
import numpy as np
import pytest

from tinyvgg import attacks
from tinyvgg.attacks import norms

EPS = {"linf": 0.05, "l2": 0.5, "l1": 6.0}
GRADIENT_ATTACKS = {"fgsm": {}, "pgd": {"steps": 10}, "mifgsm": {"steps": 10}, "apgd": {"steps": 20}}


def linear_images(model, n, d, generator, low=0.3, high=0.7):
    x = generator.uniform(low, high, (n, d)).astype(np.float32)
    return x, model.labels(x)


@pytest.mark.parametrize("norm", norms.NORMS)
def test_two_class_linear_model_by_hand(make_linear, norm):
    """Within the ball the margin falls by eps times the dual norm of w: no attack does better, FGSM and PGD get there."""
    model = make_linear(12, 2, dtype=np.float64)
    x, y = linear_images(model, 20, 12, np.random.default_rng(0))
    x = x.astype(np.float64)
    w = model.w[:, 1] - model.w[:, 0]
    dual = {"linf": np.abs(w).sum(), "l2": np.sqrt((w**2).sum()), "l1": np.abs(w).max()}[norm]
    before = model.logits(x)
    margin = np.abs(before[:, 1] - before[:, 0])
    for attack in (attacks.fgsm, attacks.pgd):
        result = attack(model, x, y, eps=0.1, norm=norm, **({"early_stop": False} if attack is attacks.pgd else {}))
        after = model.logits(result.x_adv)
        left = np.where(y == 1, after[:, 1] - after[:, 0], after[:, 0] - after[:, 1])
        np.testing.assert_allclose(left, margin - 0.1 * dual, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(result.success, margin < 0.1 * dual)


def test_linf_points_are_x_plus_or_minus_eps(make_linear):
    model = make_linear(9, 2)
    x, y = linear_images(model, 5, 9, np.random.default_rng(1))
    w = (model.w[:, 1] - model.w[:, 0]) * np.where(y == 1, -1, 1)[:, None]
    result = attacks.pgd(model, x, y, eps=0.1, early_stop=False)
    np.testing.assert_allclose(result.x_adv, x + 0.1 * np.sign(w), atol=1e-6)


@pytest.mark.parametrize("norm", norms.NORMS)
@pytest.mark.parametrize("name", GRADIENT_ATTACKS)
def test_eps_zero_is_the_identity(toy, name, norm):
    model, x, y = toy
    result = attacks.ATTACKS[name](model, x[:20], y[:20], eps=0, norm=norm, **GRADIENT_ATTACKS[name])
    np.testing.assert_array_equal(result.x_adv, x[:20])
    assert result.robust_accuracy == result.clean_accuracy and not result.success.any()


@pytest.mark.parametrize("norm", norms.NORMS)
def test_unbounded_eps_leaves_nothing(toy, norm):
    model, x, y = toy
    eps = {"linf": 1.0, "l2": 14.0, "l1": 192.0}[norm]
    assert attacks.pgd(model, x, y, eps=eps, norm=norm, steps=200 if norm == "l1" else 40).robust_accuracy == 0


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_noise_fgsm_pgd_in_order(toy, norm):
    model, x, y = toy
    noise, fgsm, pgd = (
        f(model, x, y, eps=EPS[norm], norm=norm).robust_accuracy for f in (attacks.noise, attacks.fgsm, attacks.pgd)
    )
    assert noise > fgsm >= pgd
    assert 0 < pgd < 0.9, "a test of order needs some of both"


@pytest.mark.parametrize("norm", norms.NORMS)
def test_robust_accuracy_falls_with_eps_and_steps(toy, norm):
    model, x, y = toy
    by_eps = [attacks.pgd(model, x, y, eps=EPS[norm] * k, norm=norm, steps=10).robust_accuracy for k in (0.25, 0.5, 1, 2, 4)]
    assert by_eps == sorted(by_eps, reverse=True) and by_eps[0] > by_eps[-1]
    by_steps = [
        attacks.pgd(model, x, y, eps=EPS[norm], norm=norm, step=EPS[norm] / 4, steps=n).robust_accuracy for n in (1, 2, 5, 10, 20)
    ]
    assert by_steps == sorted(by_steps, reverse=True)


def test_better_points_with_more_steps_and_restarts(toy):
    """With keep="best" the loss of the kept point never falls as the search goes on."""
    model, x, y = toy
    few, many = (attacks.pgd(model, x, y, eps=0.02, step=0.004, steps=n, early_stop=False) for n in (5, 20))
    assert (many.loss >= few.loss).all()
    once, thrice = (attacks.pgd(model, x, y, eps=0.02, steps=5, random_start=True, restarts=n) for n in (1, 3))
    assert (thrice.success >= once.success).all()


@pytest.mark.parametrize("name", GRADIENT_ATTACKS)
def test_batches_and_order_change_nothing(make_linear, name):
    """To the bit, for a model whose own sums do not depend on the batch."""
    model = make_linear(27, 4)
    g = np.random.default_rng(5)
    x = g.uniform(0, 1, (23, 3, 3, 3)).astype(np.float32)
    y = model.labels(x)
    settings = {**GRADIENT_ATTACKS[name], "eps": 0.03, "seed": 7}
    if name == "pgd":
        settings |= {"random_start": True, "restarts": 2}
    whole = attacks.ATTACKS[name](model, x, y, **settings)
    parts = attacks.ATTACKS[name](model, x, y, batch_size=4, **settings)
    order = g.permutation(23)
    shuffled = attacks.ATTACKS[name](model, x[order], y[order], batch_size=5, **settings)
    np.testing.assert_array_equal(whole.x_adv, parts.x_adv)
    np.testing.assert_array_equal(whole.x_adv[order], shuffled.x_adv)


def test_the_seed_decides(toy):
    model, x, y = toy
    runs = [attacks.pgd(model, x[:16], y[:16], eps=0.02, steps=3, random_start=True, seed=s).x_adv for s in (0, 0, 1)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()


def test_targets(toy):
    model, x, y = toy
    result = attacks.pgd(model, x, y, eps=0.2, target=3)
    assert (result.pred_adv[result.success] == 3).all() and not result.success[y == 3].any()
    assert result.success_rate > 0.9 and int(result.attackable.sum()) == int(((y != 3) & (result.pred_clean == y)).sum())
    own = attacks.pgd(model, x, y, eps=0.2, target=(y + 1) % 6)
    assert (own.pred_adv[own.success] == (y[own.success] + 1) % 6).all()


def test_early_stop_and_cycles_lose_nothing(toy):
    model, x, y = toy
    plain = attacks.pgd(model, x, y, eps=0.03, steps=20, step=0.03, early_stop=False, cycle_stop=False)
    quick = attacks.pgd(model, x, y, eps=0.03, steps=20, step=0.03)
    np.testing.assert_array_equal(plain.success, quick.success)
    assert quick.queries.sum() < plain.queries.sum()


def test_every_loss_works(toy):
    model, x, y = toy
    rates = {loss: attacks.pgd(model, x, y, eps=0.06, loss=loss).robust_accuracy for loss in ("ce", "ce_plain", "margin", "dlr")}
    assert max(rates.values()) <= min(rates.values()) + 0.1, rates


def test_grid_points_are_8_bit_images(toy):
    model, x, y = toy
    result = attacks.pgd(model, x, y, eps="8/255", step="2/255", grid=255)
    np.testing.assert_array_equal(result.x_adv_u8, np.rint(result.x_adv * 255))
    np.testing.assert_array_equal(result.success, result.success_u8)
    assert result.norms["linf"].max() <= 8 / 255 * (1 + 1e-6)


def test_confidence_is_no_robustness(toy):
    """Logits thirty times as large: the plain cross-entropy loses its gradient, the scaled one does not."""
    model, x, y = toy
    loud = attacks.as_classifier(
        lambda z: 30 * model.logits(z),
        bounds=(0, 1),
        n_classes=6,
        vjp=lambda z, g: model.vjp(z, lambda logits: 30 * g(30 * logits)),
    )
    quiet, scaled = (attacks.pgd(m, x, y, eps=0.05).robust_accuracy for m in (model, loud))
    assert scaled <= quiet + 0.02
    plain = attacks.pgd(loud, x, y, eps=0.05, loss="ce_plain")
    assert any("vanished" in flag for flag in plain.flags)
