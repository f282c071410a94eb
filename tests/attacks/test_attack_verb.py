"""tinyvgg attack, and evaluate on a saved attack, from outside."""
import json

import numpy as np
import pytest

from tinyvgg import attacks
from tinyvgg.cli import main


@pytest.fixture
def files(toy, tmp_path):
    """(model file, --data of .npy files) of the toy network."""
    model, x, y = toy
    model.save(tmp_path / "toy.h5")
    np.save(tmp_path / "x.npy", np.rint(x * 255).astype(np.uint8))
    np.save(tmp_path / "y.npy", y)
    return str(tmp_path / "toy.h5"), ",".join(2 * [str(tmp_path / 'x.npy'), str(tmp_path / 'y.npy')])


def test_pgd_then_evaluate(toy, files, tmp_path, capsys):
    model, x, y = toy
    run = str(tmp_path / "run")
    command = ["attack", "pgd", files[0], "--data", files[1], "--eps", "12/255", "--steps", "10", "-n", "50", "--out", run]
    assert main([*command, "--json", "--quiet"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {"clean_accuracy", "robust_accuracy", "success_rate", "seconds", "flags"} <= set(result) and result["n"] == 50
    same = attacks.pgd(model, x[:50], y[:50], eps="12/255", steps=10)
    assert result["robust_accuracy"] == same.robust_accuracy and 0 < result["success_rate"] < 1
    assert main(["evaluate", files[0], "--data", run, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["robust_accuracy"] == result["robust_accuracy"] == again["accuracy"]
    assert (tmp_path / "run" / "images.png").stat().st_size > 1000


def test_a_saved_attack_is_shown_as_it_was_asked_for(files, tmp_path, capsys):
    run = str(tmp_path / "run")
    assert main(["attack", "fgsm", files[0], "--data", files[1], "-n", "100000", "--out", run]) == 0
    told = capsys.readouterr()
    n = int(told.out.split(" images")[0].split()[-1])
    assert f"-n 100000 asks for more images than there are; these are all {n}" in told.err
    assert main(["evaluate", files[0], "--data", run, "-n", "5", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["n"] == 5 and told.err == ""
    for extra, words in ((["-n", "0"], "n is 0; expected"), (["--batch-size", "0"], "--batch-size is 0; expected"),
                         (["--part", "train"], "has no training images")):
        assert main(["evaluate", files[0], "--data", run, *extra]) == 2
        assert words in capsys.readouterr().err


def test_text_and_studies(files, tmp_path, capsys):
    common = [files[0], "--data", files[1], "-n", "24", "--quiet"]
    assert main(["attack", "ladder", *common, "--eps", "0.03"]) == 0
    assert "robust accuracy" in capsys.readouterr().out
    studies = {"curve": ["--eps", "0,0.05,0.5", "--steps", "5"], "matrix": ["--eps", "0.1", "--steps", "5"],
               "steps": ["--eps", "0.05"], "transfer": ["--victims", files[0]], "presets": []}
    for study, extra in studies.items():
        assert main(["attack", study, *common, *extra, "--out", str(tmp_path / study), "--json"]) == 0, study
        assert json.loads(capsys.readouterr().out)["rows"]
    for attack, extra in (("deepfool", []), ("rays", ["--queries", "100"])):       # with no radius they count at any distance
        assert main(["attack", "matrix", *common, "--attack", attack, *extra, "--json"]) == 0
        assert np.nanmax(np.array(json.loads(capsys.readouterr().out)["matrix"], float)) == 1
    assert {p.name for p in (tmp_path / "curve").iterdir()} == {"curve.jsonl", "curve.png"}
    assert all(json.loads((tmp_path / s / f"{s}.json").read_text())["rows"] for s in ("transfer", "presets"))


@pytest.mark.parametrize(("extra", "words"), [
    (["fgsm", "--steps", "4"], "fgsm has no --steps"),
    (["pgd", "--eps", "eight"], "eps is 'eight'"),
    (["pgd", "--eps=-1/255"], "expected a number, 0 or more"),
    (["pgd", "--eps", "-1/255"], "expected a number, 0 or more"),
    (["pgd", "--step", "-.5"], "expected a number, 0 or more"),
    (["pgdd"], "there is no attack 'pgdd'"),
    (["pgd", "--target", "9"], "classes 0 to 5"),
    (["pgd", "--norm", "l3"], "linf, l2 or l1"),
    (["pgd", "-n", "0"], "0 images were asked for"),
    (["pgd", "--attack", "fgsm"], "belongs to a study"),
    (["transfer"], "--victims"),
    (["matrix", "--target", "2"], "--target is not possible"),
    (["matrix", "--attack", "ladder"], "the ladder attacks away from a class"),
    (["matrix", "--attack", "deepfool", "--eps", "0.1"], "deepfool has no --eps"),
    (["pgd", "--eps", "eight"], "Try: 8/255, eight grey levels"),
    (["pgd", "--grid", "0"], "grid is 0; expected a whole number, 1 or more"),
    (["pgd", "--grid", "-3"], "grid is -3; expected a whole number, 1 or more"),
    (["pgd", "--grid", "7"], "do not lie on the grid of 7 steps"),
    (["pgd", "--victims", "light_cifar10"], "--victims belongs to transfer and deployed; pgd has none"),
    (["curve", "--budget", "9"], "--budget belongs to an attack; curve is a study"),
    (["presets", "--norm", "l2"], "presets has its own settings"),
])
def test_mistakes(files, capsys, extra, words):
    assert main(["attack", extra[0], files[0], "--data", files[1], *extra[1:], "--quiet"]) == 2
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said
