"""Six public kinds of networks whose input is no 32x32 colour image, each from training to the virtual board and under attack."""
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinyvgg
from tinyvgg import attacks
from tinyvgg.board import Board
from tinyvgg.board.evaluator import evaluate_board
from tinyvgg.quant.model import quantize
from tinyvgg.quant.straight import straight_through
from tinyvgg.testing.examples import EXAMPLES

ROOT = Path(__file__).parents[2]
SAME_KINDS = ("mnist_mlp", "imu", "emotion")        # of input as the binary, keywords and colour64: a vector, a series, an image


@pytest.fixture(scope="module")
def trained():
    """{name: (trained network, test inputs, their classes)}, each trained once."""
    made = {}

    def get(name):
        if name not in made:
            model, (x, y) = EXAMPLES[name].network(), EXAMPLES[name].data(192)
            model.fit(x, y, epochs=16, batch_size=16, learning_rate=0.005, quiet=True)
            made[name] = model, *EXAMPLES[name].data(48, seed=1)
        return made[name]
    return get


@pytest.mark.parametrize("name", EXAMPLES)
def test_file_integers_and_attack(name, trained, tmp_path):
    """Learnt, saved and opened again, quantised with the same classes, fooled by PGD within its range; integers too."""
    example, (model, x, y) = EXAMPLES[name], trained(name)
    clean = model.evaluate(x, y)
    assert clean["accuracy"] > 0.9 and len(clean["confusion"]) == example.classes
    model.save(tmp_path / "model.h5")
    again = tinyvgg.open(str(tmp_path / "model.h5"))
    assert again.bounds == example.range and np.array_equal(again.predict(x), model.predict(x))
    q = quantize(model, example.data(64, seed=2)[0])
    assert q.input_shape == example.shape and np.mean(q.labels(x) == model.labels(x)) > 0.9
    for victim in (model, straight_through(q)):
        found = attacks.pgd(victim, x, y, eps=example.eps, steps=10)
        assert found.within.all() and found.robust_accuracy < clean["accuracy"] - 0.2
        assert found.x_adv.shape == x.shape and np.abs(found.x_adv - x).max() <= example.eps * (1 + 1e-6)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SAME_KINDS)) for name in EXAMPLES])
def test_board(name, trained, tmp_path):
    """The ELF on the virtual board gives the simulation's bytes, and is a classifier like any other."""
    from tinyvgg.firmware.network import build_network
    pytest.importorskip("ziglang")
    pytest.importorskip("unicorn")
    model, x, y = trained(name)
    q = quantize(model, EXAMPLES[name].data(64, seed=2)[0])
    network = build_network(q, tmp_path, name=name, optimise="-O1")
    with Board(f"virtual:{network.image.elf}", flash_model="none") as board:
        result = evaluate_board(board, x[:6], y[:6], model=q)
        assert result["agreement"] == 1.0 and board.input_shape == q.input_shape and board.n_classes == q.n_classes
        assert np.array_equal(board.labels(x[:2]), q.labels(x[:2])) and np.allclose(board.logits(x[:2]), q.logits(x[:2]), atol=1e-6)
        assert len(result["confusion"]) == EXAMPLES[name].classes


def test_both_kerases_open_the_files():
    """The files of all six in Keras 2 and 3, 1e-5: TINYVGG_KERAS names a folder with venv-keras2 and venv-keras3."""
    folder = os.environ.get("TINYVGG_KERAS")
    if not folder or not all((Path(folder) / f"venv-keras{version}").is_dir() for version in "23"):
        pytest.skip("no Keras here: TINYVGG_KERAS names no folder with venv-keras2 and venv-keras3 (benchmarks/interop/keras_venvs.py)")
    command = [sys.executable, ROOT / "benchmarks" / "interop" / "examples.py", "--folder", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
