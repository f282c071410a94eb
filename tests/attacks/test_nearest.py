"""Attacks that look for the nearest adversarial image: exact distances on linear models, agreement on a network."""
import numpy as np
import pytest

from tinyvgg import attacks
from tinyvgg.errors import OptionError, ShapeError

DUAL = {"linf": 1, "l2": 2, "l1": np.inf}
GRADIENT = [("deepfool", "l2", {}), ("deepfool", "linf", {}), ("fab", "l2", {"steps": 20, "targets": 3}),
            ("fab", "linf", {"steps": 20, "targets": 3}), ("fab", "l1", {"steps": 20, "targets": 3}),
            ("fmn", "l2", {}), ("fmn", "linf", {}),
            ("cw", "l2", {"steps": 300, "searches": 6})]


@pytest.mark.parametrize(("name", "norm", "settings"), GRADIENT, ids=[f"{row[0]} {row[1]}" for row in GRADIENT])
def test_exact_distance_on_a_linear_model(make_linear, name, norm, settings):
    """The nearest boundary is where the logit gap over the dual norm of the weights' difference is smallest."""
    model = make_linear(40, 4, bounds=(-5.0, 5.0))
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (12, 40)).astype(np.float32)
    z, y = model.logits(x), model.labels(x)
    gaps = z[np.arange(12), y][:, None] - z
    duals = np.array([[np.linalg.norm(model.w[:, k] - model.w[:, c], ord=DUAL[norm]) for k in range(4)] for c in y])
    exact = np.where(np.arange(4) == y[:, None], np.inf, gaps / np.maximum(duals, 1e-12)).min(axis=1)
    near = exact < 3                                                    # where the box is not in the way
    assert near.sum() > 8
    more = {"fmn": {"norm": norm, "step": 0.1}, "cw": {"rate": 0.001}}   # shares of a range ten times as wide
    more = more.get(name, {"norm": norm})
    result = attacks.ATTACKS[name](model, x, y, **more, **settings)
    assert result.success.all()
    assert (result.norms[norm] >= exact * (1 - 1e-4)).all(), "nothing is nearer than the boundary"
    slack = 1.03 if name in ("deepfool", "fab") else 1.1
    assert (result.norms[norm][near] <= exact[near] * slack + (0.02 if name == "cw" else 1e-4)).all()


def test_they_agree_on_a_network(toy):
    model, x, y = toy
    medians = {}
    for name, norm, settings in GRADIENT:
        result = attacks.ATTACKS[name](model, x[:12], y[:12], **({} if name == "cw" else {"norm": norm}), **settings)
        assert result.success_rate == 1, name
        medians.setdefault(norm, {})[name] = np.median(result.norms[norm])
    for values in medians.values():
        assert max(values.values()) < 1.15 * min(values.values()), medians


def test_label_only_attacks_come_near(toy):
    """They see labels alone and end within a factor of what gradients find."""
    model, x, y = toy
    blind = attacks.as_classifier(labels=model.labels, bounds=(0, 1), n_classes=6)
    best = attacks.fab(model, x[:12], y[:12], steps=20, targets=3)
    rays = attacks.rays(blind, x[:12], y[:12], queries=600)
    assert rays.success.all() and np.median(rays.norms["linf"]) < 2 * np.median(best.norms["linf"])
    near = attacks.fab(model, x[:12], y[:12], norm="l2", steps=20, targets=3)
    walk = attacks.hopskipjump(blind, x[:12], y[:12], steps=5, draws=50)
    assert walk.success.all() and np.median(walk.norms["l2"]) < 3 * np.median(near.norms["l2"])
    cube = attacks.hopskipjump(blind, x[:4], y[:4], norm="linf", steps=4, draws=40)
    assert cube.success.all()


def test_rays_within_a_radius(toy):
    model, x, y = toy
    result = attacks.rays(model, x[:24], y[:24], eps=0.1, queries=300)
    assert result.within.all() and 0 < result.success.sum()
    np.testing.assert_array_equal(result.x_adv[~result.success], x[:24][~result.success])


def test_square_needs_scores_only(toy):
    model, x, y = toy
    scores = attacks.as_classifier(scores=model.predict, bounds=(0, 1), n_classes=6)
    for norm, eps in (("linf", 0.12), ("l2", 2.0)):
        result = attacks.square(scores, x[:24], y[:24], eps=eps, norm=norm, queries=300)
        assert result.within.all() and result.success_rate > attacks.noise(model, x[:24], y[:24], eps=eps, norm=norm).success_rate
    assert result.queries.max() <= 300
    with pytest.raises(ShapeError, match=r"expected \(N, 8, 8, 3\)"):
        attacks.square(scores, x[:4].reshape(4, -1), y[:4], eps=0.1)


def test_targets_are_reached(toy):
    model, x, y = toy
    tried = {"deepfool": {}, "fab": {"steps": 20}, "fmn": {}, "square": {"eps": 0.25, "queries": 300}, "mifgsm": {"eps": 0.2},
             "apgd": {"eps": 0.2, "steps": 20, "loss": "dlr"}}
    for name, settings in tried.items():
        result = attacks.ATTACKS[name](model, x[:24], y[:24], target=2, **settings)
        assert (result.pred_adv[result.success] == 2).all() and result.success_rate > 0.6, name


def test_the_seed_and_the_image_decide(toy):
    model, x, y = toy
    tried = {"square": {"eps": 0.1, "queries": 30}, "hopskipjump": {"steps": 1, "draws": 10}, "noise": {"eps": 0.1}}
    for name, settings in tried.items():
        attack = attacks.ATTACKS[name]
        one, again, other = (attack(model, x[:6], y[:6], seed=s, **settings).x_adv for s in (0, 0, 1))
        np.testing.assert_array_equal(one, again)
        assert (one != other).any(), name
        np.testing.assert_allclose(attack(model, x[3:6], y[3:6], seed=0, batch_size=2, **settings).x_adv, one[3:], atol=1e-6)


@pytest.mark.parametrize(("name", "settings", "words"), [
    ("apgd", {"eps": 0.1, "norm": "l0"}, "l0"), ("square", {"eps": 0.1, "norm": "l0"}, "l0"),
    ("deepfool", {"norm": "l1"}, "deepfool does"), ("hopskipjump", {"norm": "l1"}, "hopskipjump does"),
    ("ladder", {"eps": 0.1, "version": "slow"}, "no ladder 'slow'"), ("fab", {"steps": 0}, "steps is 0"),
    ("noise", {"eps": 0.1, "kind": "pink"}, "no noise 'pink'"), ("rays", {"queries": -1}, "queries is -1")])
def test_settings_that_are_none(toy, name, settings, words):
    model, x, y = toy
    with pytest.raises(OptionError, match=words):
        attacks.ATTACKS[name](model, x[:4], y[:4], **settings)


def test_other_starting_images_are_another_attack(toy, tmp_path):
    model, x, y = toy
    starts = [np.full_like(x[:2], value) for value in (0, 1)]
    few = {"steps": 1, "draws": 4, "tries": 2, "out": tmp_path}
    attacks.hopskipjump(model, x[:2], y[:2], start=starts[0], **few)
    attacks.hopskipjump(model, x[:2], y[:2], start=starts[0], **few)
    for start in (starts[1], None):
        with pytest.raises(OptionError, match="another attack"):
            attacks.hopskipjump(model, x[:2], y[:2], start=start, **few)
