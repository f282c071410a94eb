"""Attacks on the integer model: of scores and labels as it is, by gradients through its rounding."""
import json

import numpy as np
import pytest

from tinyvgg import attacks
from tinyvgg.cli import main
from tinyvgg.errors import GradientError
from tinyvgg.quant import quantize
from tinyvgg.quant.straight import straight_through


@pytest.fixture(scope="module")
def integer(toy):
    """The toy network in integers."""
    model, x, _ = toy
    return quantize(model, x)


def test_a_gradient_attack_says_what_to_use_instead(integer, toy):
    _, x, y = toy
    with pytest.raises(GradientError, match="straight-through") as error:
        attacks.pgd(integer, x, y, eps="8/255")
    assert "square" in error.value.hint


def test_radii_are_in_the_unit_of_the_input_range(integer, toy):
    """bounds 0..1 and 255 levels: eps 40/255 moves a byte by at most 40."""
    _, x, y = toy
    result = attacks.square(integer, x[:24], y[:24], eps="40/255", queries=100)
    levels = np.abs(result.x_adv_u8.astype(int) - np.rint(x[:24] * 255).astype(int))
    assert levels.max() == 40 and result.clean_accuracy > 0.9 and result.success.any()
    np.testing.assert_array_equal(result.pred_u8, integer.labels(result.x_adv_u8))
    np.testing.assert_array_equal(result.success, result.success_u8)


def test_gradients_through_the_rounding_find_more_than_a_transfer(integer, toy):
    model, x, y = toy
    through = attacks.pgd(straight_through(integer), x, y, eps="10/255", steps=40)
    moved = attacks.replay(integer, attacks.pgd(model, x, y, eps="10/255", steps=40))
    assert through.model_sha256 == integer.sha256 == moved.model_sha256
    assert through.success_rate >= moved.success_rate > 0


def test_on_the_command_line(integer, toy, tmp_path, capsys):
    _, x, y = toy
    file, run = str(tmp_path / "toy.tvq"), str(tmp_path / "run")
    integer.save(file)
    np.save(tmp_path / "x.npy", np.rint(x * 255).astype(np.uint8))
    np.save(tmp_path / "y.npy", y)
    common = ["--data", f"{tmp_path / 'x.npy'},{tmp_path / 'y.npy'}", "--eps", "12/255", "-n", "24", "--quiet", "--json"]
    assert main(["attack", "pgd", file, *common, "--gradients", "none"]) == 2
    assert "--gradients straight-through" in capsys.readouterr().err
    assert main(["attack", "pgd", file, *common, "--steps", "5", "--out", run]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["success_rate"] > 0 and result["model_sha256"] == integer.sha256
    assert main(["evaluate", file, "--data", run, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["robust_accuracy"] == result["robust_accuracy"]
    for name in ("square", "ladder"):
        few = ["--queries", "20"] if name == "square" else []
        assert main(["attack", name, file, *common, "--gradients", "none", *few]) == 0
        flags = json.loads(capsys.readouterr().out)["flags"]
    assert any("only Square was run" in flag for flag in flags)
    toy[0].save(tmp_path / "toy.h5")
    assert main(["attack", "pgd", str(tmp_path / "toy.h5"), *common, "--gradients", "straight-through"]) == 2
    assert "is for integer models" in capsys.readouterr().err
