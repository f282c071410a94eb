"""Masks: nothing but what they free changes, in every attack and in every place where one is given."""
import json

import numpy as np
import pytest

from tinyvgg import attacks
from tinyvgg.__main__ import main
from tinyvgg.errors import OptionError

ATTACKS = {"noise": {"eps": 0.5}, "fgsm": {"eps": 0.5}, "pgd": {"eps": 0.5, "steps": 5, "random_start": True},
           "mifgsm": {"eps": 0.5, "steps": 3}, "apgd": {"eps": 6.0, "norm": "l1", "steps": 12},
           "apgd_t": {"eps": 1.5, "norm": "l2", "steps": 5, "targets": 1},
           "fab": {"steps": 3, "targets": 1}, "deepfool": {"steps": 5}, "cw": {"steps": 30, "searches": 1, "constant": 100.0, "rate": 0.1},
           "fmn": {"steps": 5},
           "square": {"eps": 0.5, "queries": 10}, "hopskipjump": {"steps": 1, "draws": 5, "tries": 5}, "rays": {"queries": 10},
           "ladder": {"eps": 0.5, "attacks": ["fgsm", "noise"]}}


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_changes_outside_the_mask(toy, name):
    model, x, y = toy
    free = np.zeros((8, 8), bool)
    free[1:6, 2:8] = True
    result = attacks.ATTACKS[name](model, x[:6], y[:6], mask=free, **ATTACKS[name])
    assert (result.x_adv == x[:6])[:, ~free].all() and (result.x_adv_u8[:, ~free] == np.rint(x[:6] * 255)[:, ~free]).all()
    assert result.within.all() and (result.x_adv != x[:6]).any()


def test_masks_of_each_image_and_what_they_cost(toy):
    model, x, y = toy
    x, y = x[:12], y[:12]
    free = np.zeros(x.shape, bool)
    free[np.arange(12) % 2 == 0, :, :4] = True
    free[np.arange(12) % 2 == 1, :, 4:] = True
    part = attacks.pgd(model, x, y, eps=0.1, mask=free)
    whole, nothing_masked = attacks.pgd(model, x, y, eps=0.1), attacks.pgd(model, x, y, eps=0.1, mask=np.ones((8, 8), bool))
    assert part.robust_accuracy >= whole.robust_accuracy and not (part.x_adv != x)[~free].any()
    np.testing.assert_array_equal(nothing_masked.x_adv, whole.x_adv)
    alone = attacks.pgd(model, x[3:5], y[3:5], eps=0.1, mask=free[3:5])
    np.testing.assert_array_equal(alone.x_adv, part.x_adv[3:5])


@pytest.mark.parametrize(("mask", "words"), [
    (np.zeros((8, 8)), "allows no change"), (np.ones((4, 4)), r"mask has shape \(4, 4\)"), (np.full((8, 8), 0.5), "expected booleans"),
    ("left", "expected booleans")])
def test_mistakes(toy, mask, words):
    model, x, y = toy
    with pytest.raises(OptionError, match=words):
        attacks.pgd(model, x[:2], y[:2], eps=0.1, mask=mask)


def test_the_command_line(toy, tmp_path, capsys):
    model, x, y = toy
    model.save(tmp_path / "toy.h5")
    np.save(tmp_path / "x.npy", x[:24]), np.save(tmp_path / "y.npy", y[:24])
    common = ["attack", "fgsm", str(tmp_path / "toy.h5"), "--data", f"{tmp_path / 'x.npy'},{tmp_path / 'y.npy'}", "--eps", "1", "--quiet"]
    assert main([*common, "--mask", "2,2,4,4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"]["mask"]["changeable"] == 0.25
    np.save(tmp_path / "mask.npy", np.ones((8, 8, 3), bool))
    assert main([*common, "--mask", str(tmp_path / "mask.npy")]) == 0
    capsys.readouterr()
    for mask, words in (("6,6,4,4", "does not lie within images of shape (8, 8, 3)"), ("a,b", "expected TOP,LEFT,HEIGHT,WIDTH"),
                        ("no.npy", "cannot be read")):
        assert main([*common, "--mask", mask]) == 2
        assert words in capsys.readouterr().err
