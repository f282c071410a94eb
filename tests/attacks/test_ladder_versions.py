"""The ladder's versions and lists, L1, and defences that draw anew for each question."""
import json

import numpy as np
import pytest

from tinyvgg import attacks
from tinyvgg.__main__ import main
from tinyvgg.attacks.stages import stages_of
from tinyvgg.errors import OptionError


def noisy(deviation):
    """A defence that adds noise to each image anew."""
    return lambda z, generator: np.clip(z + generator.normal(0, deviation, z.shape), 0, 1)


def test_versions_are_those_of_autoattack():
    names = {(version, norm): [stage.name for stage in stages_of(version, norm)]
             for version in ("standard", "plus", "rand") for norm in ("linf", "l1")}
    assert names["standard", "linf"] == ["apgd-ce", "apgd-t", "fab-t", "square"] == names["standard", "l1"]
    assert names["plus", "linf"] == ["apgd-ce", "apgd-dlr", "fab", "square", "apgd-t", "fab-t"]
    assert names["rand", "linf"] == ["apgd-ce", "apgd-dlr"]
    l1 = {stage.name: stage.settings for stage in stages_of("standard", "l1")}
    assert l1["apgd-ce"]["restarts"] == 5 and l1["apgd-t"]["targets"] == 5 and l1["fab-t"]["targets"] == 9


def test_l1_is_the_worst_case_and_stays_in_its_ball(toy):
    model, x, y = toy
    x, y, eps = x[:12], y[:12], 3.5
    by_pgd = attacks.pgd(model, x, y, eps=eps, norm="l1", steps=40).robust_accuracy
    by_apgd, by_square = attacks.apgd(model, x, y, eps=eps, norm="l1", steps=30), attacks.square(model, x, y, eps=eps, norm="l1", queries=100)
    floor = attacks.noise(model, x, y, eps=eps, norm="l1").robust_accuracy
    ladder = attacks.ladder(model, x, y, eps=eps, norm="l1", attacks=[("apgd-ce", {"steps": 30}), ("square", {"queries": 20})])
    for result in (by_apgd, by_square, ladder):
        assert result.within.all() and result.norms["l1"].max() <= eps * (1 + 1e-6)
    assert ladder.robust_accuracy <= by_apgd.robust_accuracy <= by_pgd + 0.2 and by_square.robust_accuracy <= floor
    assert 0 < ladder.robust_accuracy < 0.9, "a test of order needs some of both"


def test_plus_and_lists_of_ones_own(toy):
    model, x, y = toy
    x, y = x[:6], y[:6]
    chosen = attacks.ladder(model, x, y, eps=0.06, attacks=["noise", ("pgd", {"steps": 5}), ("fab", {"steps": 5}), ("square", {"queries": 20})])
    assert [row["stage"] for row in chosen.config["stages"]] == ["noise", "pgd", "fab", "square"][:len(chosen.config["stages"])]
    text = attacks.ladder_text(chosen)
    assert text[0].startswith("using custom version including noise, pgd") and text[1] == "initial accuracy: 100.00%"
    assert text[2].startswith("noise - 1/1 - ") and text[2].endswith("out of 6 successfully perturbed")
    assert text[-1] == f"robust accuracy: {chosen.robust_accuracy:.2%}" and "nan in tensor: 0" in text[-2]
    plus = attacks.ladder(model, x[:3], y[:3], eps=0.3, version="plus")
    assert plus.robust_accuracy == 0 and plus.config["stages"][0]["restarts"] == 5


@pytest.mark.parametrize(("settings", "words"), [
    ({"attacks": ["apgd-cw"]}, "there is no stage 'apgd-cw'"), ({"attacks": ["ladder"]}, "there is no stage 'ladder'"),
    ({"attacks": ["deepfool"]}, "looks for the nearest image"), ({"attacks": []}, "no attacks were given"),
    ({"attacks": ["square", "square"]}, "square stands twice"), ({"attacks": ["rays"], "norm": "l2"}, "rays does linf only"),
    ({"attacks": [("square", {"query": 3})]}, "square has no setting 'query'"), ({"version": "random"}, "there is no ladder 'random'"),
    ({"attacks": ["square"], "version": "plus"}, "a version .plus. and a list"), ({"draws": 0}, "draws is 0"),
])
def test_mistakes(toy, settings, words):
    model, x, y = toy
    with pytest.raises(OptionError, match=words):
        attacks.ladder(model, x[:2], y[:2], eps=0.1, **settings)


def repeatable(model, transform):
    """A random defence whose draws are the same in every run of the tests."""
    defence = attacks.defended(model, transform)
    defence.random = np.random.default_rng(0)
    return defence


@pytest.mark.parametrize("deviation", [0.1, 0.15])
def test_a_random_defence_is_flagged_and_judged_over_draws(toy, deviation):
    """Attacks that follow single draws leave more than those of the expectation, and say that they may."""
    model, x, y = toy
    x, y, eps, settings = x[:24], y[:24], 0.06, {"steps": 12}
    single = attacks.ladder(repeatable(model, noisy(deviation)), x, y, eps=eps, attacks=[("apgd-ce", settings)])
    assert any(flag.startswith("random answers and gradients") and 'version="rand"' in flag for flag in single.flags)
    rand = attacks.ladder(repeatable(model, noisy(deviation)), x, y, eps=eps, version="rand", draws=8, attacks=[("apgd-ce", settings)])
    left, before = rand.config["random"], single.config["random"]
    assert left["draws"] == 8 and left["lowest"] <= left["robust_accuracy"] <= left["highest"]
    assert left["robust_accuracy"] < before["robust_accuracy"] and not any("flatter" in flag for flag in rand.flags)
    assert rand.queries.sum() == sum(row["queries_used"] for row in rand.config["stages"])


def test_random_resizing_is_flagged_and_judged_over_draws(toy):
    """Sizes of 7 and 8 pixels, at random places: the search along single draws reports more than four times what is left."""
    model, x, y = toy
    single, rand = (attacks.ladder(repeatable(model, attacks.random_resize(7)), x[:24], y[:24], eps=0.08, attacks=[("apgd-ce", {"steps": 12})],
                                   **version) for version in ({}, {"version": "rand", "draws": 8}))
    assert any(flag.startswith("random answers and gradients") and "flatters a random defence" in flag for flag in single.flags)
    for judged in (single.config["random"], rand.config["random"]):
        assert judged["lowest"] <= judged["robust_accuracy"] <= judged["highest"]
    assert 2 * rand.config["random"]["robust_accuracy"] < single.config["random"]["robust_accuracy"] < 0.9 * rand.config["random"]["clean_accuracy"]


def test_what_is_random_is_said(toy):
    model, x, y = toy
    generator = np.random.default_rng(0)
    loud = attacks.as_classifier(lambda z: model.logits(z) + generator.normal(0, 0.5, (len(z), 6)).astype(np.float32), bounds=(0, 1),
                                 n_classes=6, vjp=lambda z, g: model.vjp(z, g))
    few = {"attacks": [("apgd-ce", {"steps": 3})]}
    flags = attacks.ladder(loud, x[:8], y[:8], eps=0.02, **few).flags
    assert any(flag.startswith("random answers: asked 5 times") for flag in flags)
    still = attacks.ladder(model, x[:4], y[:4], eps=0.3, version="rand", draws=2, **few)
    assert any(flag.startswith("nothing random") for flag in still.flags)
    assert not any("random" in flag for flag in attacks.ladder(model, x[:4], y[:4], eps=0.3, **few).flags)


def test_the_command_line_prints_what_autoattack_prints(toy, tmp_path, capsys):
    model, x, y = toy
    model.save(tmp_path / "toy.h5")
    np.save(tmp_path / "x.npy", x[:8]), np.save(tmp_path / "y.npy", y[:8])
    common = ["attack", "ladder", str(tmp_path / "toy.h5"), "--data", f"{tmp_path / 'x.npy'},{tmp_path / 'y.npy'}", "--norm", "l1", "--eps", "40",
              "--quiet"]
    assert main([*common, "--attacks", "apgd-ce, square"]) == 0
    said = capsys.readouterr().out
    assert "apgd-ce - 1/1 - 2 out of 2 successfully perturbed" in said and "robust accuracy after APGD-CE: 0.00%" in said
    assert main([*common, "--version", "standard", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"]["stages"][0]["batches"] == [[2, 2]]
    assert main([*common, "--attacks", "apgd-cd"]) == 2
    assert "there is no stage 'apgd-cd'" in capsys.readouterr().err
