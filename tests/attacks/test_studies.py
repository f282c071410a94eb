"""The ladder, curves, maps, matrices, transfer, presets, defended models."""
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tinyvgg import attacks
from tinyvgg.attacks import presets
from tinyvgg.errors import OptionError

EPS = 0.05


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_ladder_is_the_worst_case(toy, norm):
    model, x, y = toy
    eps = {"linf": EPS, "l2": 0.5}[norm]
    x, y = x[:24], y[:24]
    pgd = attacks.pgd(model, x, y, eps=eps, norm=norm)
    ladder = attacks.ladder(model, x, y, eps=eps, norm=norm)
    assert ladder.robust_accuracy <= pgd.robust_accuracy
    after = [stage["robust_accuracy"] for stage in ladder.config["stages"]]
    assert [s["attack"] for s in ladder.config["stages"]] == ["apgd", "apgd_t", "square"]
    assert after == sorted(after, reverse=True) and ladder.robust_accuracy == pytest.approx(after[-1])
    assert ladder.within.all() and ladder.queries.sum() == sum(s["queries_used"] for s in ladder.config["stages"])


def test_the_standard_ladder_and_its_folder(toy, tmp_path):
    model, x, y = toy
    result = attacks.ladder(model, x[:6], y[:6], eps=0.2, version="standard", out=tmp_path / "run")
    assert result.robust_accuracy == 0 and attacks.load(tmp_path / "run").robust_accuracy == 0


def test_masked_gradients_are_told(toy):
    """Images rounded to eight levels before the model, whose gradient is 0: white-box attacks fail, Square does not."""
    model, x, y = toy
    masked = attacks.as_classifier(lambda z: model.logits(np.rint(z * 7) / np.float32(7)), bounds=(0, 1), n_classes=6,
                                   vjp=lambda z, g: (g(model.logits(np.rint(z * 7) / np.float32(7))), np.zeros_like(z))[1])
    result = attacks.ladder(masked, x[:32], y[:32], eps=0.2)
    assert any("vanished gradients" in flag for flag in result.flags)
    assert any("a sign of masking: Square" in flag for flag in result.flags)
    through = attacks.defended(model, lambda z: np.rint(z * 7) / np.float32(7))
    assert attacks.pgd(through, x[:32], y[:32], eps=0.2).robust_accuracy == 0


def test_random_defences(toy):
    model, x, y = toy
    def noisy(z, generator):
        return np.clip(z + generator.normal(0, 0.1, z.shape), 0, 1)
    free = attacks.pgd(attacks.defended(model, noisy), x[:24], y[:24], eps=EPS)
    assert any("random outputs" in flag for flag in free.flags)
    seeded = [attacks.pgd(attacks.defended(model, noisy, eot=2, seed=1), x[:24], y[:24], eps=EPS, batch_size=b) for b in (24, 5)]
    np.testing.assert_allclose(seeded[0].x_adv, seeded[1].x_adv, atol=1e-5)
    assert not any("random outputs" in flag for flag in seeded[0].flags)
    with pytest.raises(OptionError, match="eot is 0"):
        attacks.defended(model, noisy, eot=0)


def test_a_stand_in_gradient_of_ones_own(toy):
    model, x, y = toy
    flipped = attacks.defended(model, lambda z: z[:, :, ::-1], backward=lambda z, dy: dy[:, :, ::-1])
    mirrored = np.ascontiguousarray(x[:16, :, ::-1])
    np.testing.assert_allclose(attacks.pgd(flipped, mirrored, y[:16], eps=EPS).x_adv[:, :, ::-1],
                               attacks.pgd(model, x[:16], y[:16], eps=EPS).x_adv, atol=1e-6)


def test_curves_resume_and_run_side_by_side(toy, tmp_path):
    model, x, y = toy
    x, y = x[:32], y[:32]
    radii = [0, 0.02, 0.05, 0.1, 0.5]
    rows = attacks.eps_curve(model, x, y, eps=radii, steps=10, out=tmp_path / "curve.jsonl")
    robust = [row["robust_accuracy"] for row in rows]
    assert robust == sorted(robust, reverse=True) and robust[0] == 1 and robust[-1] == 0
    lines = (tmp_path / "curve.jsonl").read_text()
    assert attacks.eps_curve(model, x, y, eps=radii, steps=10, out=tmp_path / "curve.jsonl") == rows
    assert (tmp_path / "curve.jsonl").read_text() == lines, "nothing was run again"
    with ThreadPoolExecutor(2) as executor:
        assert [r["robust_accuracy"] for r in attacks.eps_curve(model, x, y, eps=radii, steps=10, executor=executor)] == robust
    short = attacks.eps_curve(model, x, y, eps=[0, 0.02], steps=5)
    assert any("not at 0" in flag for flag in short[-1]["flags"])


def test_target_matrix(toy):
    model, x, y = toy
    found = attacks.target_matrix(model, x, y, eps=0.1, steps=10)["matrix"]
    assert found.shape == (6, 6) and np.isnan(np.diag(found)).all()
    one = attacks.pgd(model, x, y, eps=0.1, steps=10, target=4)
    rows = one.attackable & (y == 1)
    assert found[1, 4] == pytest.approx(one.success[rows].mean())


def test_transfer(toy, make_linear):
    model, x, y = toy
    other = make_linear(192, 6)
    rows = attacks.transfer({"net": model}, {"net": model, "other": other}, x, y, eps=0.1, early_stop=False)
    assert [row["victim"] for row in rows] == ["net", "other"] and rows[0]["success_rate"] > rows[1]["success_rate"]
    with pytest.raises(OptionError):
        attacks.transfer({}, {"net": model}, x, y, eps=0.1)


def test_success_by_queries(toy):
    model, x, y = toy
    result = attacks.rays(model, x[:24], y[:24], eps=0.1, queries=200)
    used, share = attacks.success_by_queries(result)
    assert (np.diff(share) >= 0).all() and share[-1] == pytest.approx(result.success_rate)


def test_preset_units():
    """Half as much in 0..1 as in -1..1: eps 0.05 is 6.4 grey levels."""
    for make in presets.ALL:
        preset = make()
        half, same = preset.settings((0, 1)), preset.settings((-1, 1))
        assert half["eps"] == preset.eps / 2 == same["eps"] / 2 and half["step"] == preset.step / 2
    assert presets.original_linf().eps_levels == pytest.approx(6.375)
    assert presets.original_eps3().eps > 2 and presets.original_l2_3().eps_unit == 1.5


def test_the_notebooks_labels_flatter(toy):
    """With y=None images that are wrong already are pushed, too: some become right and are counted, though nothing survives."""
    model, x, y = toy
    wrong = y.copy()
    wrong[::3] = (wrong[::3] + 1) % 6                                   # a third that the model has wrong
    row = presets.compare(model, x, wrong, presets=[presets.Preset("linf 0.6", "linf", 0.6, 0.06, 20)])[0]
    assert row["pgd"] > row["robust"] == 0 and row["out_of_range"] > 0
    assert "linf 0.6" in presets.text([row])
