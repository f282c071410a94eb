"""Numbers that must not flatter: transfer at full strength, 8-bit images within eps, budgets, and marks that tell models apart."""
import functools
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tinyvgg import attacks
from tinyvgg.attacks.identity import attack_identity, model_identity
from tinyvgg.errors import DataError, OptionError
from tinyvgg.quant.model import quantize

EPS = 0.05
WIDE = 0.08                 # where the toy network is left with nothing at full strength


def noise_of_mine(model, x, y, **settings):
    return attacks.noise(model, x, y, **settings)


@pytest.fixture(scope="module")
def other(toy):
    """A second network that answers nearly as the toy one: its weights moved a little."""
    import copy

    from tinyvgg import rng
    twin, g = copy.deepcopy(toy[0]), rng.generator(3, "twin")
    twin.set_weights([w + np.float32(0.03) * g.standard_normal(w.shape).astype(w.dtype) for w in twin.get_weights()])
    return twin


@pytest.mark.parametrize("attack", [attacks.pgd, attacks.mifgsm, attacks.apgd, attacks.apgd_t, attacks.square, attacks.ladder])
def test_transfer_goes_all_the_steps(toy, other, attack):
    model, x, y = toy
    few = {"queries": 60} if attack is attacks.square else {} if attack is attacks.ladder else {"steps": 8}
    x, y = x[:24], y[:24]
    full = attacks.transfer({"toy": model}, {"other": other}, x, y, attack=attack, eps=WIDE, **few)[0]
    early = attacks.transfer({"toy": model}, {"other": other}, x, y, attack=attack, eps=WIDE, early_stop=True, **few)[0]
    assert full["robust_accuracy"] <= early["robust_accuracy"]
    assert any("made for another model" in flag and "--no-early-stop" in flag for flag in early["flags"])
    assert not any("made for another model" in flag for flag in full["flags"])
    if attack in (attacks.pgd, attacks.apgd, attacks.mifgsm):
        assert full["robust_accuracy"] < early["robust_accuracy"]


def test_a_replay_of_boundary_images_says_so(toy, other):
    model, x, y = toy
    early, whole = (attacks.pgd(model, x[:8], y[:8], eps=EPS, early_stop=e) for e in (True, False))
    nearest = attacks.deepfool(model, x[:8], y[:8])
    told = [any("made for another model" in flag for flag in attacks.replay(m, r).flags)
            for m, r in ((other, early), (other, whole), (other, nearest), (model, early))]
    assert told == [True, False, True, False]


def test_the_same_weights_in_another_network_are_another_model(toy, tmp_path):
    """The SHA-256 of weights tells nothing of activations, nor of a defence before the network."""
    from tinyvgg import nn
    from tinyvgg.nn import layers as L
    model, x, y = toy
    twin = nn.Sequential([L.InputLayer((8, 8, 3)), L.Conv2D(8, 3, activation="elu", padding="same"), L.MaxPooling2D(), L.Flatten(),
                          L.Dense(24, activation="relu"), L.Dense(6, activation="softmax")], name="toy")
    twin.set_weights(model.get_weights())
    attacks.pgd(model, x[:4], y[:4], eps=EPS, early_stop=True, out=tmp_path)
    early = attacks.load(tmp_path)
    assert early.model_identity is not None
    told = [any("made for another model" in flag for flag in attacks.replay(m, early).flags)
            for m in (model, twin, attacks.defended(model, lambda z: 1 - z, name="negative"))]
    assert told == [False, True, True]


def test_full_strength_is_stronger_on_images_that_are_fooled_already(toy):
    model, x, y = toy
    for attack in (attacks.pgd, attacks.apgd, functools.partial(attacks.square, queries=60)):
        early, whole = (attack(model, x[:12], y[:12], eps=0.2, early_stop=e) for e in (True, False))
        assert early.success.any() and (whole.success >= early.success).all() and whole.within.all()
        assert whole.loss[early.success].mean() > early.loss[early.success].mean()


def test_eight_bit_victims_are_shown_the_saved_bytes(toy):
    model, x, y = toy
    integers = quantize(model, x)
    found = attacks.pgd(model, x[:16], y[:16], eps=3.5 / 255, early_stop=False)     # floats between two levels round out of the ball
    seen = attacks.replay(integers, found)
    np.testing.assert_array_equal(np.rint(seen.x_adv * 255).astype(np.uint8), found.x_adv_u8)
    np.testing.assert_array_equal(seen.pred_adv, integers.labels(found.x_adv_u8))
    assert np.abs(seen.x_adv - found.x).max() <= 3.5 / 255


@pytest.mark.parametrize(("norm", "eps"), [("linf", 4 / 255), ("linf", 0.3 / 255), ("l2", 0.2), ("l1", 1.0)])
def test_bytes_never_lie_beyond_eps(make_linear, norm, eps):
    """Clean images that are not of 8 bits: the nearest bytes of an attacked one may be farther away than eps."""
    model = make_linear(192, 10)
    x = np.random.default_rng(0).uniform(0, 1, (64, 8, 8, 3)).astype(np.float32)
    result = attacks.pgd(model, x, model.labels(x), eps=eps, norm=norm)
    distance = attacks.norms.size(result.x_adv_u8 / 255 - x.astype(np.float64), norm)
    assert result.success.any() and not (result.success_u8 & (distance > eps * 1.000001)).any()
    if norm == "linf" and eps > 1 / 255:
        assert result.success_u8.any() and distance.max() <= eps * 1.000001


def test_labels_and_targets_as_people_give_them(toy):
    model, x, y = toy
    with pytest.raises(DataError, match=r"y\.ravel\(\)"):
        attacks.fgsm(model, x[:4], y[:4, None], eps=EPS)
    row = attacks.pgd(model, x[:12], y[:12], eps=0.2, target=np.full(12, 2))
    one = attacks.pgd(model, x[:12], y[:12], eps=0.2, target=2)
    np.testing.assert_array_equal(row.x_adv, one.x_adv)
    assert row.attackable.sum() == (y[:12] != 2).sum() and not row.success[y[:12] == 2].any()
    with pytest.raises(OptionError, match="eps is True"):
        attacks.fgsm(model, x[:4], y[:4], eps=True)
    with pytest.raises(OptionError, match="step is False"):
        attacks.pgd(model, x[:4], y[:4], eps=EPS, step=False)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_fab_reaches_a_target_behind_other_classes(toy, norm):
    model, x, y = toy
    x, y, target = x[:18], y[:18], (y[:18] + 2) % 6
    near = attacks.fab(model, x, y, norm=norm, target=target, steps=60)
    assert near.success_rate == 1
    pgd = attacks.pgd(model, x, y, norm=norm, eps=float(near.norms[norm].max()) * 1.02, target=target, steps=60)
    assert pgd.success_rate == 1
    assert np.median(near.norms[norm]) <= np.median(pgd.norms[norm])


def test_hopskipjump_estimates_a_gradient_in_linf(toy):
    """Where all draws fall on one side of the boundary, there is no estimate and it stays as far away as it began."""
    model, x, y = toy
    walked, begun = (attacks.hopskipjump(model, x[:8], y[:8], norm="linf", steps=s, draws=60) for s in (8, 1))
    fgsm_like = attacks.fab(model, x[:8], y[:8], norm="linf", steps=40)
    assert np.median(walked.norms["linf"]) < 0.6 * np.median(begun.norms["linf"])
    assert np.median(walked.norms["linf"]) < 2.5 * np.median(fgsm_like.norms["linf"])


@pytest.mark.parametrize("queries", [1, 2, 13])
def test_no_image_is_asked_more_often_than_it_may(toy, queries):
    """Not within a bisection either."""
    model, x, y = toy
    for attack, settings in ((attacks.rays, {}), (attacks.rays, {"eps": 0.001}), (attacks.square, {"eps": 0.001})):
        assert attack(model, x[:12], y[:12], queries=queries, **settings).queries.max() == queries


def test_a_budget_goes_on_where_it_was(make_linear, tmp_path):
    model, calls = make_linear(192, 10), []
    x = np.random.default_rng(0).uniform(0, 1, (32, 8, 8, 3)).astype(np.float32)
    settings = {"eps": 1e-4, "queries": 20, "batch_size": 8, "budget": 480, "out": tmp_path / "a"}
    model.name = "linear"

    def stop(batch):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attacks.square(model, x, model.labels(x), callback=stop, **settings)
    resumed = attacks.square(model, x, model.labels(x), **settings)
    straight = attacks.square(model, x, model.labels(x), **{**settings, "out": None})
    np.testing.assert_array_equal(resumed.queries, straight.queries)
    np.testing.assert_array_equal(resumed.done, straight.done)


def test_marks_tell_defences_and_attacks_apart(toy, tmp_path):
    model, x, y = toy
    x, y = x[:8], y[:8]
    coarse, blind = (attacks.defended(model, t) for t in (lambda z: np.rint(z * 7) / 7, lambda z: np.zeros_like(z) + 0.5))
    rows = [attacks.eps_curve(m, x, y, eps=[0.01], steps=2, out=out)[0]["clean_accuracy"]
            for m, out in ((coarse, tmp_path / "c"), (blind, tmp_path / "c"), (blind, None))]
    assert rows[0] > 0.5 and rows[1] == rows[2] < 0.5
    lambdas = [attacks.eps_curve(model, x, y, eps=[0.2], attack=a, out=tmp_path / "d")[0]["robust_accuracy"]
               for a in (lambda *p, **s: attacks.noise(*p, **s), lambda *p, **s: attacks.pgd(*p, **s))]
    assert lambdas[0] > lambdas[1] == 0


def test_what_has_a_name_goes_on(toy, tmp_path):
    model, x, y = toy
    asked = []

    def counted(z):
        asked.append(len(z))
        return model.logits(z)

    for name, again in (("mine", False), (None, True)):
        victim = attacks.as_classifier(counted, bounds=(0, 1), n_classes=6, name=name)
        first = attacks.eps_curve(victim, x[:4], y[:4], eps=[0.01], attack=attacks.noise, out=tmp_path / f"{name}.jsonl")
        del asked[:]
        assert attacks.eps_curve(victim, x[:4], y[:4], eps=[0.01], attack=attacks.noise, out=tmp_path / f"{name}.jsonl")[0][
            "robust_accuracy"] == first[0]["robust_accuracy"]
        assert bool(asked) is again
    one, two = (attacks.as_classifier(counted, bounds=(0, 1), n_classes=6, name=name) for name in "ab")
    attacks.noise(one, x[:4], y[:4], eps=0.01, out=tmp_path / "run")
    with pytest.raises(OptionError, match="holds another attack, model or images"):
        attacks.noise(two, x[:4], y[:4], eps=0.01, out=tmp_path / "run")


def test_identities(toy, other):
    model, _, _ = toy
    assert model_identity(model) != model_identity(other)
    named = [attacks.defended(m, np.sin, name=n, eot=e) for m, n, e in ((model, "a", 1), (model, "b", 1), (other, "a", 1), (model, "a", 2))]
    assert len({str(model_identity(m)) for m in named}) == 4
    assert model_identity(attacks.defended(model, np.sin)) is None and model_identity(attacks.defended(model)) is not None
    assert attack_identity(functools.partial(attacks.pgd, steps=5)) == ("pgd", {"steps": 5}, True)
    assert attack_identity(lambda *a: None)[2] is False and attack_identity(noise_of_mine)[2] is True
    assert attack_identity(noise_of_mine)[1]["code"] != attack_identity(test_identities)[1]["code"]


class Client:
    """What a Dask client offers of an executor."""

    def get_executor(self):
        return ThreadPoolExecutor(2)


@pytest.mark.parametrize("attack", [attacks.rays, functools.partial(attacks.pgd, steps=4), attacks.deepfool, attacks.square, attacks.fab])
def test_curves_of_every_kind_of_attack(toy, attack):
    model, x, y = toy
    few = {"queries": 40} if attack in (attacks.rays, attacks.square) else {"steps": 4} if attack is attacks.fab else {}
    rows = attacks.eps_curve(model, x[:6], y[:6], attack=attack, eps=[0, EPS, 2.0], **few)
    robust = [row["robust_accuracy"] for row in rows]
    assert [row["eps"] for row in rows] == [0, EPS, 2.0] and robust == sorted(robust, reverse=True) and robust[0] == 1 > robust[-1]
    again = attacks.eps_curve(model, x[:6], y[:6], attack=attack, eps=[0, EPS, 2.0], executor=Client(), **few)
    assert [row["robust_accuracy"] for row in again] == robust


def test_a_curve_of_an_attack_without_a_choice_of_norms(toy):
    model, x, y = toy
    with pytest.raises(OptionError, match="rays has no choice of norms"):
        attacks.eps_curve(model, x[:2], y[:2], attack=attacks.rays, norm="l2", eps=[0.1])


def test_an_attack_keeps_few_copies_of_its_images(make_linear):
    """x, x_adv and bytes are kept; what is measured in float64 is measured in parts."""
    model = make_linear(3072, 10)
    x = np.random.default_rng(0).random((2000, 32, 32, 3), dtype=np.float32)
    y = model.labels(x)
    attacks.fgsm(model, x[:8], y[:8], eps=EPS)
    tracemalloc.start()
    result = attacks.fgsm(model, x, y, eps=EPS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(result) == 2000 and peak < 3 * x.nbytes


def test_a_wrapper_is_not_the_model_within(toy):
    """It passes on what it does not know itself; two of one class may answer differently all the same."""
    class Wrapper:
        def __init__(self, model, levels):
            self.__dict__.update(model=model, levels=levels)

        def __getattr__(self, name):
            return getattr(self.model, name)

    class Weighed(Wrapper):
        def get_weights(self):
            return self.model.get_weights()

    assert model_identity(Wrapper(toy[0], 7)) is None and model_identity(Weighed(toy[0], 7)) is None
    one, two = Weighed(toy[0], 7), Weighed(toy[0], 1)
    one.name, two.name = "seven", "one"
    assert model_identity(one) != model_identity(two) is not None


def test_an_attack_of_a_module_is_told_by_its_defaults_too():
    told = attack_identity(noise_of_mine)
    noise_of_mine.__kwdefaults__ = {"tries": 3}
    try:
        assert attack_identity(noise_of_mine) != told
    finally:
        noise_of_mine.__kwdefaults__ = None
    assert attack_identity(noise_of_mine) == told


def test_studies_take_an_attack_of_ones_own_and_settings_bound_before(toy, other):
    model, x, y = toy
    x, y = x[:6], y[:6]
    assert attacks.eps_curve(model, x, y, attack=noise_of_mine, eps=[0])[0]["robust_accuracy"] == 1
    assert attacks.eps_curve(model, x[:2], y[:2], attack=functools.partial(attacks.pgd, norm=2, steps=1))[-1]["eps"] == 6
    assert attacks.eps_curve(model, x[:2], y[:2], attack=attacks.cw, steps=5, searches=1)[-1]["eps"] == 6
    early = attacks.transfer({"a": model}, {"b": other}, x, y, eps=EPS, attack=functools.partial(attacks.pgd, early_stop=True))
    assert any("made for another model" in flag for flag in early[0]["flags"])
    alone = attacks.target_matrix(model, x[y == y[0]], y[y == y[0]], eps=0.2, steps=5)["matrix"]
    assert np.isnan(alone[:, y[0]]).all() and np.isfinite(np.delete(alone[y[0]], y[0])).all()


@pytest.mark.parametrize("levels", [1, 4])
def test_bytes_that_were_scaled_in_another_order_keep_their_levels(make_linear, levels):
    """u / 127.5 - 1 in float32 is not to the last bit what a level is; it is of 8 bits all the same."""
    model = make_linear(192, 10, bounds=(-1.0, 1.0))
    u = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3)).astype(np.uint8)
    y = model.labels(attacks.checks.float_images(u, model.bounds))
    floats, exact = (attacks.fgsm(model, x, y, eps=levels / 127.5) for x in (u.astype(np.float32) / np.float32(127.5) - 1, u))
    moved, expected = (np.abs(r.x_adv_u8.astype(int) - u) for r in (floats, exact))
    assert expected.max() == levels
    np.testing.assert_array_equal(moved, expected)
    np.testing.assert_array_equal(floats.success_u8, exact.success_u8)


def test_hopskipjump_takes_starts_of_bytes(toy):
    model, x, y = toy
    x, start, target = x[:6], np.roll(x[:6], -1, axis=0), np.roll(y[:6], -1)
    settings = {"norm": "linf", "target": target, "steps": 1, "draws": 10, "tries": 1}
    floats = attacks.hopskipjump(model, x, y[:6], start=start, **settings)
    u, v = (np.rint(255 * a).astype(np.uint8) for a in (x, start))
    np.testing.assert_array_equal(attacks.hopskipjump(model, u, y[:6], start=v, **settings).x_adv, floats.x_adv)
    assert floats.success.sum() >= 5
    with pytest.raises(DataError, match="start has shape"):
        attacks.hopskipjump(model, x, y[:6], start=start[:1], **settings)
    with pytest.raises(OptionError, match="eps is"):
        attacks.fgsm(model, x, y[:6], eps=np.array(True))


@pytest.mark.parametrize(("attack", "settings", "words"), [
    (attacks.mifgsm, {"momentum": True}, "momentum is True; expected a number from 0"), (attacks.mifgsm, {"momentum": "1"}, "momentum is '1'"),
    (attacks.square, {"share": 1.5}, "share is 1.5; expected a number above 0, at most 1"), (attacks.square, {"rescale": "no"}, "rescale is 'no'"),
    (attacks.deepfool, {"overshoot": float("nan")}, "overshoot is nan"), (attacks.cw, {"rate": -1}, "rate is -1; expected a number above 0"),
    (attacks.cw, {"constant": True}, "constant is True"), (attacks.cw, {"confidence": np.inf}, "confidence is inf"),
    (attacks.fmn, {"step": True}, "step is True"), (attacks.fmn, {"gamma": 2}, "gamma is 2"), (attacks.pgd, {"loss": ["ce"]}, "there is no loss"),
    (attacks.hopskipjump, {"most_draws": 0}, "most_draws is 0"), (attacks.noise, {"minutes": True}, "minutes is True"),
    (attacks.pgd, {"early_stop": "no"}, "early_stop is 'no'; expected True or False"), (attacks.pgd, {"keep": np.array([1, 2])}, "keep is"),
    (attacks.pgd, {"random_start": 1}, "random_start is 1"), (attacks.fgsm, {"labels": "predicted"}, "labels are given twice"),
    (attacks.fgsm, {"labels": "mine"}, "labels is 'mine'; expected true or predicted"), (attacks.fgsm, {"callback": 3}, "callback is 3"),
    (attacks.ladder, {"early_stop": None}, "early_stop is None"), (attacks.ladder, {"attacks": "square"}, "attacks is 'square'; expected a list"),
    (attacks.ladder, {"attacks": [("square", 3)]}, "stands in the list of attacks"), (attacks.ladder, {"attacks": [3]}, "stands in the list"),
    (attacks.ladder, {"attacks": [("pgd", {"norm": "l2"})]}, "norm is a setting of the whole ladder"),
])
def test_no_setting_is_taken_for_another_value(toy, attack, settings, words):
    """True is not 1, "no" is not True, NaN is no length: none of them runs an attack that nobody asked for."""
    model, x, y = toy
    eps = {"eps": EPS} if attack not in (attacks.cw, attacks.deepfool, attacks.fmn, attacks.hopskipjump) else {}
    with pytest.raises(OptionError, match=words):
        attack(model, x[:2], y[:2], **eps, **settings)


@pytest.mark.parametrize(("changed", "words"), [
    ({"logits": lambda m, z: m.logits(z)[:1]}, r"answers 4 images with shape \(1, 6\)"),
    ({"logits": lambda m, z: [["a"] * 6] * len(z)}, "answers 4 images"),
    ({"vjp": lambda m, z, g: m.vjp(z, g)[:1]}, r"gradient has shape \(1, 8, 8, 3\)"),
    ({"vjp": lambda m, z, g: m.vjp(z, g).reshape(len(z), -1)}, "gradient has"), ({"labels": lambda m, z: m.logits(z)}, r"labels have shape \(4, 6\)"),
    ({"labels": lambda m, z: m.labels(z) + 70}, "expected 4 whole numbers, 0 to 5"),
    ({"labels": lambda m, z: m.labels(z) + 0.5}, "labels have shape"),
    ({"labels": lambda m, z: ["cat"] * len(z)}, "labels have shape")])
def test_answers_of_another_shape_are_never_spread_over_the_images(toy, changed, words):
    """One row of answers, or one gradient, would fit all images."""
    model, x, y = toy
    own = {} if "labels" in changed else {"logits": model.logits, "vjp": model.vjp}
    functions = own | {name: functools.partial(f, model) for name, f in changed.items()}
    victim, attack = attacks.as_classifier(bounds=(0, 1), n_classes=6, **functions), attacks.noise if "labels" in changed else attacks.fgsm
    with pytest.raises(DataError, match=words):
        attack(victim, x[:4], y[:4], eps=EPS)


def test_studies_say_what_they_take(toy, other, tmp_path):
    model, x, y = toy
    x, y, both = x[:4], y[:4], {"toy": model}
    for study, words in ((lambda: attacks.eps_curve(model, x, y, eps=0.1), "a curve takes several radii"),
                         (lambda: attacks.eps_curve(model, x, y, eps="8/255"), "a curve takes several radii"),
                         (lambda: attacks.eps_curve(model, x, y, attack="pgd"), "attack is 'pgd'; expected a function"),
                         (lambda: attacks.step_map(model, x, y, eps=0.1, shares=0.5), "expected several of each"),
                         (lambda: attacks.step_map(model, x, y, eps=0.1, shares=[True]), "share is True"),
                         (lambda: attacks.target_matrix(model, x, y, eps=0.1, attack=attacks.ladder), "attacks away from a class"),
                         (lambda: attacks.target_matrix(model, x, y), "pgd attacks within a radius; got no eps"),
                         (lambda: attacks.as_classifier(3, bounds=(0, 1), n_classes=6), "a function is 3"),
                         (lambda: attacks.transfer([model], both, x, y, eps=0.1), "transfer needs a source and a victim"),
                         (lambda: attacks.defended(model, 3), "transform is 3"), (lambda: attacks.defended(model, np.sin, name=3), "name is 3"),
                         (lambda: attacks.preprocessed(model, 3), "a step is 3"), (lambda: attacks.resize(2.5, 3), "height or width is 2.5"),
                         (lambda: attacks.normalise("a", 1), "are not numbers")):
        with pytest.raises(OptionError, match=words):
            study()
    rows = attacks.eps_curve(model, x, y, eps=[0.01], steps=1, callback=lambda batch: None, out=tmp_path / "rows.jsonl")
    assert "callback" not in rows[0] and (tmp_path / "rows.jsonl").exists()
