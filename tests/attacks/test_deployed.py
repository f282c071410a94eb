"""A deployed network under attack: precisions of its answers, answers that are kept, kills, minutes."""
import json

import numpy as np
import pytest

from tinyvgg import attacks
from tinyvgg.__main__ import main
from tinyvgg.errors import GradientError, OptionError


class Line:
    """A network at the end of a line, which breaks after some questions."""

    def __init__(self, model, breaks_after=None):
        self.model, self.bounds, self.n_classes, self.left, self.asked = model, model.bounds, model.n_classes, breaks_after, 0
        self.sha256, self.link = "a" * 64, self

    def now(self):
        return self.asked * 0.5

    def logits(self, x):
        assert len(x) == 1, "one question at a time"
        if self.left is not None and self.asked >= self.left:
            raise KeyboardInterrupt
        self.asked += 1
        return self.model.logits(x)

    def labels(self, x):
        return self.logits(x).argmax(axis=1)


@pytest.mark.parametrize(("name", "precision", "settings"), [
    ("rays", "labels", {"eps": 0.08, "queries": 40}), ("square", "bytes", {"eps": 0.08, "queries": 20}),
    ("square", "scores", {"eps": 0.08, "queries": 20}), ("hopskipjump", None, {"steps": 1, "draws": 10, "tries": 5})])
def test_killed_twice_is_as_in_one_go(toy, tmp_path, name, precision, settings):
    model, x, y = toy
    x, y, attack = x[:6], y[:6], attacks.ATTACKS[name]
    whole_line, out = Line(model), tmp_path / "answers.jsonl"
    whole = attack(attacks.deployed(whole_line, precision=precision), x, y, **settings)
    asked = 0
    for breaks_after in (25, 30):
        line = Line(model, breaks_after)
        with pytest.raises(KeyboardInterrupt):
            attack(attacks.deployed(line, precision=precision, out=out), x, y, **settings)
        asked += line.asked
    with open(out, "a") as file:
        file.write('{"q": "cut in the mid')
    line = Line(model)
    victim = attacks.deployed(line, precision=precision, out=out)
    last = attack(victim, x, y, **settings)
    for array in ("x_adv", "success", "queries", "pred_adv", "loss"):
        np.testing.assert_array_equal(getattr(last, array), getattr(whole, array), err_msg=array)
    assert asked == 55 and asked + line.asked == whole_line.asked == victim.asked, "no question was asked twice"
    assert victim.line_seconds == pytest.approx(0.5 * victim.asked)


def test_precisions(toy):
    model, x, y = toy
    labels, coarse = attacks.deployed(model, precision="labels"), attacks.deployed(model, precision="bytes")
    np.testing.assert_array_equal(labels.labels(x), model.labels(x))
    assert not hasattr(labels, "logits") and not hasattr(coarse, "vjp") and len(np.unique(coarse.logits(x))) <= 256
    np.testing.assert_allclose(np.exp(coarse.logits(x)), attacks.deployed(model, precision="scores").scores(x), atol=2 / 255)
    with pytest.raises(GradientError, match="tells only labels"):
        attacks.square(labels, x, y, eps=0.1)
    with pytest.raises(OptionError, match="tells labels at best; scores were asked for"):
        attacks.deployed(labels, precision="scores")
    with pytest.raises(OptionError, match="no precision 'byte'"):
        attacks.deployed(model, precision="byte")


def test_minutes_end_an_attack_that_goes_on_later(toy, tmp_path):
    model, x, y = toy
    x, y, settings = x[:6], y[:6], {"eps": 0.08, "queries": 40}
    whole = attacks.rays(attacks.deployed(Line(model), precision="labels"), x, y, **settings)
    out = tmp_path / "answers.jsonl"
    victim = attacks.deployed(Line(model), precision="labels", out=out)
    part = attacks.rays(victim, x, y, minutes=0.5, out=tmp_path / "run", **settings)
    assert any("the time of 0.5 minutes is used up" in flag for flag in part.flags) and not part.done.all()
    rest = attacks.rays(attacks.deployed(Line(model), precision="labels", out=out), x, y, out=tmp_path / "run", **settings)
    np.testing.assert_array_equal(rest.x_adv, whole.x_adv)
    with pytest.raises(OptionError, match="minutes is 0; expected a number above 0"):
        attacks.rays(model, x, y, minutes=0, **settings)
    with pytest.raises(OptionError, match="answers of another model or precision"):
        attacks.deployed(Line(model), precision="scores", out=out)
    other = tmp_path / "other.jsonl"
    other.write_text("no answers\n")
    with pytest.raises(OptionError, match="holds no answers of a model"):
        attacks.deployed(Line(model), out=other)


def test_the_command_line(toy, tmp_path, capsys):
    model, x, y = toy
    model.save(tmp_path / "toy.h5")
    np.save(tmp_path / "x.npy", x[:24]), np.save(tmp_path / "y.npy", y[:24])
    common = [str(tmp_path / "toy.h5"), "--data", f"{tmp_path / 'x.npy'},{tmp_path / 'y.npy'}", "--quiet"]
    assert main(["attack", "rays", *common, "--precision", "labels", "--eps", "0.2", "--queries", "60", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["success_by_queries"][-1]["fooled"] == found["success_rate"] and found["line"]["questions"] > 0
    model.save(tmp_path / "same.h5")
    assert main(["attack", "deployed", *common, "--eps", "0.2", "--queries", "60", "--victims", str(tmp_path / "same.h5"), "--precision",
                 "labels", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["transferred"] == row["white_box"] for row in rows] == [True, True] and rows[0]["by_queries"] == rows[1]["by_queries"]
    assert main(["attack", "deployed", *common, "--queries", "5", "--victims", str(tmp_path / "same.h5"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["eps"] == pytest.approx(8 / 255), "rays itself looks at any distance"
    assert main(["attack", "deployed", *common, "--attack", "square", "--norm", "l2", "--queries", "5", "--victims", str(tmp_path / "same.h5"),
                 "--json"]) == 0
    far = json.loads(capsys.readouterr().out)
    assert main(["attack", "pgd", *common, "--norm", "l2", "--eps", "0.5", "--no-early-stop", "--json"]) == 0
    assert far["eps"] == 0.5 and far["rows"][0]["white_box"] == json.loads(capsys.readouterr().out)["robust_accuracy"], "the same ball for all"
    for extra, words in ((["pgd", *common, "--precision", "labels"], "has no gradients"),
                         (["pgd", *common, "--flash-model", "none"], "--flash-model belongs to a virtual board"),
                         (["ladder", *common, "--minutes", "3"], "--minutes belongs to one attack"),
                         (["deployed", *common], "--victims"), (["rays", *common, "--minutes", "-1"], "minutes is -1")):
        assert main(["attack", *extra]) == 2
        assert words in capsys.readouterr().err
