"""What a result says of itself: re-checking, metrics, warnings, files, bad input, budgets, resuming."""
import json
import re
import zipfile

import numpy as np
import pytest

from tinyvgg import attacks
from tinyvgg.errors import DataError, FormatError, GradientError, OptionError


def test_wilson():
    """Against the published values for 10 of 100 and the closed ends."""
    assert attacks.wilson(10, 100) == pytest.approx((0.05523, 0.17437), abs=1e-5)
    assert attacks.wilson(0, 50)[0] == 0 and attacks.wilson(50, 50)[1] == 1


def test_summary_counts_right_before_and_after(toy):
    model, x, y = toy
    wrong = y.copy()
    wrong[:10] = (wrong[:10] + 1) % 6
    result = attacks.pgd(model, x, wrong, eps=0.05, steps=5)
    s = result.summary()
    right = result.pred_clean == wrong
    assert s["clean_accuracy"] == right.mean() and s["attackable"] == right.sum()
    assert s["robust_accuracy"] == (right & (result.pred_adv == wrong)).mean()
    assert s["success_rate"] == pytest.approx(1 - s["robust_accuracy"] / s["clean_accuracy"])
    assert not result.success[:10].any()
    np.testing.assert_array_equal(result.pred_adv, model.labels(result.x_adv))
    np.testing.assert_array_equal(result.success_u8, right & (model.labels((result.x_adv_u8 / 255).astype(np.float32)) != wrong))
    assert json.loads(result.to_json())["versions"]["tinyvgg"]


def test_files(toy, tmp_path):
    model, x, y = toy
    result = attacks.pgd(model, x[:12], y[:12], eps=0.05, target=2)
    result.save(tmp_path / "a.npz")
    again = attacks.load(tmp_path / "a.npz")
    assert again.to_json() == result.to_json()
    np.testing.assert_array_equal(again.x_adv, result.x_adv)
    np.testing.assert_array_equal(again.target, result.target)
    replayed = attacks.replay(model, again)
    np.testing.assert_array_equal(replayed.success, result.success)


def test_files_that_are_not_ours(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.savez(tmp_path / "objects.npz", header=np.array([{"a": 1}], dtype=object))
    np.savez(tmp_path / "short.npz", header=np.frombuffer(b'{"tinyvgg_attack": 1}', np.uint8), x=np.zeros((2, 3)))
    for name in ("text", "other", "objects", "short", "missing"):
        with pytest.raises(FormatError):
            attacks.load(tmp_path / f"{name}.npz")


def test_cut_file(toy, tmp_path):
    model, x, y = toy
    attacks.fgsm(model, x[:4], y[:4], eps=0.1).save(tmp_path / "a.npz")
    whole = (tmp_path / "a.npz").read_bytes()
    for length in (0, 30, len(whole) // 2, len(whole) - 10):
        (tmp_path / "cut.npz").write_bytes(whole[:length])
        with pytest.raises(FormatError):
            attacks.load(tmp_path / "cut.npz")


def test_archive_that_unpacks_to_too_much(tmp_path, monkeypatch):
    from tinyvgg.attacks import result

    monkeypatch.setattr(result, "LARGEST", 1000)
    with zipfile.ZipFile(tmp_path / "big.npz", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("header.npy", bytes(100_000))
    with pytest.raises(FormatError, match="unpacks to over 1,000 bytes"):
        attacks.load(tmp_path / "big.npz")


def test_replay_in_another_range(toy):
    """A twin that takes -1..1 sees the same pictures and answers the same."""
    model, x, y = toy
    twin = attacks.as_classifier(lambda z: model.logits((z + 1) / 2), bounds=(-1, 1), n_classes=6)
    result = attacks.pgd(model, x, y, eps=0.05)
    again = attacks.replay(twin, result)
    assert again.robust_accuracy == pytest.approx(result.robust_accuracy, abs=0.02) and again.within.all()
    np.testing.assert_array_equal(again.x_adv_u8, result.x_adv_u8)


BAD = [
    ("outside", lambda x, y: dict(x=x * 255, y=y), DataError, "outside the model's bounds 0..1"),
    ("whole numbers", lambda x, y: dict(x=(x * 255).astype(np.int64), y=y), DataError, "expected uint8"),
    ("nan", lambda x, y: dict(x=np.where(x > 0.5, np.nan, x), y=y), DataError, "NaN"),
    ("no labels", lambda x, y: dict(x=x, y=None), DataError, "y=None"),
    ("label 9", lambda x, y: dict(x=x, y=y + 9), DataError, "labels go from"),
    ("one-hot", lambda x, y: dict(x=x, y=np.eye(6)[y]), DataError, "argmax"),
    ("too few labels", lambda x, y: dict(x=x, y=y[:3]), DataError, "labels have shape"),
    ("eps below 0", lambda x, y: dict(x=x, y=y, eps=-0.1), OptionError, "eps is"),
    ("eps text", lambda x, y: dict(x=x, y=y, eps="eight"), OptionError, "eps is 'eight'"),
    ("norm", lambda x, y: dict(x=x, y=y, norm="l3"), OptionError, "norm is"),
    ("steps", lambda x, y: dict(x=x, y=y, steps=0), OptionError, "steps is 0"),
    ("own class", lambda x, y: dict(x=x, y=y, target=y), OptionError, "is of class"),
    ("target 6", lambda x, y: dict(x=x, y=y, target=6), OptionError, "classes 0 to 5"),
    ("loss", lambda x, y: dict(x=x, y=y, loss="mse"), OptionError, "no loss 'mse'"),
    ("keep", lambda x, y: dict(x=x, y=y, keep="all"), OptionError, "keep is"),
    ("batch", lambda x, y: dict(x=x, y=y, batch_size=0), OptionError, "batch_size"),
    ("seed", lambda x, y: dict(x=x, y=y, seed=-1), OptionError, "seed is -1"),
]


@pytest.mark.parametrize(("arguments", "error", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_input(toy, arguments, error, words):
    model, x, y = toy
    given = {"eps": 0.1, **arguments(x[:8], y[:8])}
    with pytest.raises(error, match=re.escape(words)):
        attacks.pgd(model, given.pop("x"), given.pop("y"), **given)


def test_models_that_cannot_be_attacked(toy):
    model, x, y = toy
    blind = attacks.as_classifier(labels=model.labels, bounds=(0, 1), n_classes=6)
    with pytest.raises(GradientError, match="no gradients"):
        attacks.pgd(blind, x[:4], y[:4], eps=0.1)
    for broken, words in (
        (dict(bounds=None, n_classes=6), "bounds"),
        (dict(bounds=(1, 0), n_classes=6), "bounds"),
        (dict(bounds=(0, 1), n_classes=1), "classes"),
    ):
        with pytest.raises(OptionError, match=words):
            attacks.pgd(attacks.as_classifier(model.logits, **broken), x, y, eps=0.1)
    with pytest.raises(OptionError, match="is not a classifier"):
        attacks.pgd(type("Thing", (), {"bounds": (0, 1), "n_classes": 3})(), x, y, eps=0.1)


def test_no_images(toy):
    model, x, y = toy
    result = attacks.pgd(model, x[:0], y[:0], eps=0.1)
    assert len(result) == 0 and result.summary()["fooled"] == 0 and json.loads(result.to_json())["clean_accuracy"] is None


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_nothing_left_to_attack(toy, name):
    """Every image is wrong already: the attack has nothing to do, and fooled nobody."""
    model, x, y = toy
    settings = {"eps": 0.05} if name in ("noise", "fgsm", "pgd", "mifgsm", "apgd", "apgd_t", "square", "ladder") else {}
    result = attacks.ATTACKS[name](model, x[:6], (model.labels(x[:6]) + 1) % 6, **settings)
    assert result.clean_accuracy == result.robust_accuracy == 0 and not result.success.any()


def test_a_budget_ends_it_in_the_middle(toy):
    model, x, y = toy
    result = attacks.pgd(model, x, y, eps=0.05, early_stop=False, cycle_stop=False, steps=10, batch_size=16, budget=16 * 11 + 40)
    assert result.done[:16].all() and not result.done[32:].any()
    assert any("budget of 216 queries" in flag for flag in result.flags)
    assert 176 < result.queries.sum() <= 216
    np.testing.assert_array_equal(result.x_adv[32:], x[32:])
    full = attacks.pgd(model, x[:16], y[:16], eps=0.05, early_stop=False, cycle_stop=False, steps=10)
    np.testing.assert_array_equal(result.success[:16], full.success)


def test_predicted_labels_must_be_asked_for(toy):
    model, x, y = toy
    result = attacks.fgsm(model, x, None, eps=0.05, labels="predicted")
    assert result.clean_accuracy == 1


def test_a_stopped_run_goes_on(toy, tmp_path):
    model, x, y = toy
    settings = dict(eps=0.03, steps=5, random_start=True, batch_size=24)
    calls = []

    def stop(batch):
        calls.append(len(batch.x))
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attacks.pgd(model, x, y, out=tmp_path / "run", callback=stop, **settings)
    calls.clear()
    result = attacks.pgd(model, x, y, out=tmp_path / "run", callback=lambda batch: calls.append(len(batch.x)), **settings)
    assert calls == [24, 24], "two of the four batches were there already"
    np.testing.assert_array_equal(result.x_adv, attacks.pgd(model, x, y, **settings).x_adv)
    np.testing.assert_array_equal(attacks.load(tmp_path / "run").x_adv, result.x_adv)
    with pytest.raises(OptionError, match="another attack"):
        attacks.pgd(model, x, y, out=tmp_path / "run", **{**settings, "eps": 0.04})


# --- planted bugs, each of which must be noticed ---


def test_probabilities_are_noticed(toy):
    """A model that hides its softmax: noticed, and attacked as well as its logits would be, with a target too."""
    model, x, y = toy
    hidden = attacks.as_classifier(model.predict, bounds=(0, 1), n_classes=6, vjp=lambda z, g: _through_softmax(model, z, g))
    for target in (None, 3):
        shown, masked = (attacks.pgd(m, x, y, eps=0.08, target=target) for m in (model, hidden))
        assert masked.success_rate == pytest.approx(shown.success_rate, abs=0.05)
        assert any("probabilities, not logits" in flag for flag in masked.flags)
        assert not any("probabilities" in flag for flag in shown.flags)


def _through_softmax(model, x, g):
    def by_logits(z):
        e = np.exp(z - z.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        dp = g(p)
        return p * (dp - (p * dp).sum(axis=1, keepdims=True))

    return model.vjp(x, by_logits)


def test_images_out_of_the_box_or_ball_fool_nobody(toy):
    """An attack that forgets to clip or to project."""
    from tinyvgg.attacks.run import run

    model, x, y = toy
    for careless in (lambda z: 1 - z, lambda z: z + 1.5):
        def attack(batch, careless=careless):
            batch.adv[:] = careless(batch.x)
        result = run("careless", attack, model, x, y, eps=0.05)
        assert not result.success.any() and result.robust_accuracy == result.clean_accuracy
        assert any("out of bounds or of the ball: 96 of 96" in flag for flag in result.flags)


def test_a_random_model_is_noticed(toy):
    model, x, y = toy
    g = np.random.default_rng(0)
    shaky = attacks.as_classifier(
        lambda z: model.logits(z) + 20 * g.standard_normal((len(z), 6)).astype(np.float32), bounds=(0, 1), n_classes=6
    )
    assert any("random outputs" in flag for flag in attacks.noise(shaky, x, y, eps=0.01).flags)


def test_warnings_about_settings(toy):
    model, x, y = toy
    assert any("beyond 1, the whole range" in flag for flag in attacks.fgsm(model, x[:4], y[:4], eps=3).flags)
    assert any(
        "ball not reached" in flag for flag in attacks.pgd(model, x[:4], y[:4], eps=3, norm="l2", step=0.05, steps=40).flags
    )
    assert attacks.pgd(model, x, y, eps=0.05, grid=255).flags == []


def test_successes_lost_by_8_bits_are_told(toy):
    """Steps of half a grey level: the perturbation vanishes in an 8-bit image."""
    model, x, y = toy
    boundary = attacks.as_classifier(
        lambda z: np.stack(
            [np.abs(z - np.rint(z * 255) / 255).reshape(len(z), -1).max(axis=1) - 1e-4, np.zeros(len(z), np.float32)], axis=1
        ).astype(np.float32),
        bounds=(0, 1),
        n_classes=2,
    )
    result = attacks.noise(boundary, x, np.ones(len(x), int), eps=0.4 / 255)
    assert result.success.all() and not result.success_u8.any()
    assert any("8-bit images: 96 of 96" in flag for flag in result.flags)
