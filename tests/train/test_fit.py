"""The training loop: it learns, it is a function of its seed, and a run that was killed ends in the same bytes."""
import csv
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.train import tiny
from tinyvgg import train
from tinyvgg.errors import DataError, FormatError, OptionError, ShapeError, WriteError
from tinyvgg.io import load_checkpoint, load_model
from tinyvgg.nn import losses
from tinyvgg.report.record import read_lines, sha256_arrays, sha256_file

ROOT = Path(__file__).parents[2]
X, Y = tiny.images()
FULL = {"augment": "flip,shift1,cutout2", "validation": 0.2, "schedule": "cosine", "warmup": 1, "label_smoothing": 0.05,
        "batch_size": 32, "quiet": True}


def digest(model):
    return sha256_arrays(*model.get_weights())


def trained(**settings):
    model = tiny.model()
    history = train.fit(model, X, Y, **{**FULL, "epochs": 4, **settings})
    return model, history


@pytest.mark.parametrize("optimizer, rate", [("sgd", 0.1), ("momentum", 0.03), ("adam", 0.01), ("adamw", 0.01),
                                             ("rmsprop", 0.003)])
def test_learns(optimizer, rate):
    model = tiny.model()
    history = train.fit(model, X, Y, epochs=12, batch_size=16, optimizer=optimizer, learning_rate=rate, quiet=True)
    assert history[-1]["loss"] < 0.6 * history[0]["loss"]
    test = train.evaluate(model, *tiny.images(200, seed=1))
    assert test["accuracy"] > 0.85 and test["interval"][0] < test["accuracy"] <= test["interval"][1]


def test_labels_as_one_hot_and_images_as_floats_give_the_same_weights():
    a, b = tiny.model(), tiny.model()
    train.fit(a, X, Y, epochs=2, quiet=True)
    train.fit(b, (X / 255).astype(np.float32), losses.one_hot(Y, 4), epochs=2, quiet=True)
    assert digest(a) == digest(b)


def test_the_seed_decides_everything():
    assert digest(trained()[0]) == digest(trained()[0])
    others = {digest(trained(**change)[0]) for change in ({}, {"seed": 1}, {"augment": None}, {"batch_size": 31})}
    assert len(others) == 4


def test_two_optimizers_of_one_setting_share_nothing():
    optimizer = train.Adam(0.01)
    first = trained(optimizer=optimizer, schedule="constant")[0]
    assert optimizer.iterations == 20 and digest(trained(optimizer=train.Adam(0.01), schedule="constant")[0]) == digest(first)


def test_history_and_folder(tmp_path):
    model, history = trained(out=tmp_path / "run", average="ema")
    rows = list(csv.DictReader(open(tmp_path / "run" / "history.csv", encoding="utf-8")))
    assert [{k: float(v) for k, v in row.items()} for row in rows] == history
    assert [row["epoch"] for row in history] == [1, 2, 3, 4] and history[-1]["step"] == 20
    assert set(history[0]) == {"epoch", "step", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy"}
    lines = read_lines(tmp_path / "run" / "history.jsonl")
    assert all(row.pop("seconds") >= 0 for row in lines) and lines == history
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["training"]["seed"] == 0 and len(config["training"]["data_sha256"]) == 64 and "numpy" in config["versions"]
    assert digest(load_model(tmp_path / "run")) == digest(model)
    assert {p.name.split(".")[0] for p in (tmp_path / "run").iterdir()} == {"checkpoint", "config", "history", "model"}


@pytest.mark.parametrize("settings", [{}, {"average": "ema"}, {"average": "swa", "epochs": 8}, {"optimizer": "momentum"},
                                      {"optimizer": "rmsprop", "schedule": "onecycle", "warmup": 0}], ids=str)
def test_stopped_after_each_epoch_and_resumed(tmp_path, settings):
    """An interruption in the middle of every epoch, by a loss that raises."""
    whole = trained(out=tmp_path / "whole", **settings)[0]
    calls = [0]

    def interrupted(logits, labels):
        calls[0] += 1
        if calls[0] % 8 == 0:
            raise KeyboardInterrupt
        return losses.cross_entropy(logits, labels, label_smoothing=0.05)

    for attempt in range(20):
        try:
            model = trained(out=tmp_path / "broken", resume=True, loss=interrupted, **settings)[0]
            break
        except KeyboardInterrupt:
            assert attempt < 19
    assert attempt >= 3 and digest(model) == digest(whole)
    for name in ("checkpoint.npz", "history.csv", "model.h5"):
        assert sha256_file(tmp_path / "whole" / name) == sha256_file(tmp_path / "broken" / name), name


LONG = {"epochs": 12, "batch_size": 16, "augment": "flip,shift1", "validation": 0.2, "average": "ema", "resume": True, "quiet": True}
SCRIPT = f"""
import sys
from tests.train import tiny
from tinyvgg import train
train.fit(tiny.model(), *tiny.images(600), out=sys.argv[1], **{LONG})
"""


def run_with_kills(folder, kills, seed):
    """Start the script over and over, killing it after random times while `kills` last; return how many hit before the end."""
    delays, hit = random.Random(seed), 0
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    while True:
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], cwd=ROOT, env=environment)
        if hit < kills:
            known = (folder / "checkpoint.npz").stat().st_mtime_ns if (folder / "checkpoint.npz").exists() else 0
            time.sleep(delays.uniform(0.1, 0.5))
            while process.poll() is None and delays.random() < 0.95 and not _moved(folder, known):     # most come after an epoch
                time.sleep(0.05)
            time.sleep(delays.uniform(0, 0.1))
            if process.poll() is None:
                process.kill()
                hit += 1
        if process.wait() == 0:
            return hit


def _moved(folder, known):
    path = folder / "checkpoint.npz"
    return path.exists() and path.stat().st_mtime_ns != known


@pytest.mark.parametrize("kills", [1, pytest.param(3, marks=pytest.mark.slow), pytest.param(10, marks=pytest.mark.slow)])
def test_killed_at_random_moments(tmp_path, kills):
    train.fit(tiny.model(), *tiny.images(600), out=tmp_path / "whole", **LONG)
    hit = run_with_kills(tmp_path / "killed", kills, kills)
    assert hit >= min(kills, 3)
    for name in ("checkpoint.npz", "history.csv", "model.h5"):
        assert sha256_file(tmp_path / "whole" / name) == sha256_file(tmp_path / "killed" / name), name
    assert not [p for p in (tmp_path / "killed").iterdir() if p.name.startswith(".")]


def test_a_run_is_not_overwritten_or_mixed_up(tmp_path):
    trained(out=tmp_path)
    with pytest.raises(OptionError, match="holds a run already"):
        trained(out=tmp_path)
    with pytest.raises(OptionError, match="ends with epoch 4; it cannot go on to 5"):
        trained(out=tmp_path, resume=True, epochs=5)
    for change in ({"epochs": 3}, {"batch_size": 16}, {"optimizer": "sgd"}, {"augment": "flip"}, {"average": "ema"}):
        with pytest.raises(OptionError, match="began with"):
            trained(out=tmp_path, resume=True, **change)
    with pytest.raises(DataError, match="not those that"):
        trained(out=tmp_path, resume=True, seed=5)
    (tmp_path / "file").write_text("x")
    with pytest.raises(OptionError, match="is a file"):
        trained(out=tmp_path / "file")


def test_full_disk_leaves_the_last_whole_epoch(tmp_path, monkeypatch):
    real, calls = os.fsync, [0]

    def full(handle):
        calls[0] += 1
        if calls[0] > 8:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match="No space left"):
        trained(out=tmp_path)
    monkeypatch.undo()
    assert 1 <= len(load_checkpoint(tmp_path / "checkpoint.npz").extra["history"]) < 4
    assert digest(trained(out=tmp_path, resume=True)[0]) == digest(trained()[0])


def test_batch_hook_and_loss_are_called(tmp_path):
    """Mixup through the hook: images and soft labels change, its generator is new each epoch, a resumed run agrees."""
    class Mixup:
        rng = None

        def __call__(self, model, x, y):
            share = self.rng.beta(0.4, 0.4, (len(x), 1)).astype(np.float32)
            order, t = self.rng.permutation(len(x)), losses.one_hot(y, 4)
            x = share[..., None, None] * x + (1 - share[..., None, None]) * x[order]
            return x, share * t + (1 - share) * t[order]

    def soft(logits, t):
        assert t.shape == logits.shape
        return losses.cross_entropy(logits, t)

    a, b = trained(batch_hook=Mixup(), loss=soft)[0], trained(batch_hook=Mixup(), loss=soft)[0]
    assert digest(a) == digest(b) != digest(trained()[0])


def test_best_checkpoint_and_early_stopping(tmp_path):
    best, stop = train.BestCheckpoint(tmp_path / "best.npz"), train.EarlyStopping(2, "val_accuracy")
    history = trained(callbacks=[best, stop], epochs=40)[1]
    values = [row["val_accuracy"] for row in history]
    assert len(history) < 40 and best.epoch == values.index(max(values)) + 1 == len(history) - 2
    x, y = tiny.images(50, seed=3)
    assert load_model(tmp_path / "best.npz").logits((x / 255).astype(np.float32)).shape == (50, 4)
    with pytest.raises(OptionError, match="has no 'val_loss'"):
        trained(callbacks=[train.EarlyStopping(2)], validation=None)


def test_swa_measures_the_statistics_anew():
    model = trained(average="swa", epochs=8)[0]
    layer = next(layer for layer in model.layers if layer.state)
    before = layer.state["moving_mean"].copy()
    from tinyvgg.train.averaging import refresh_statistics
    refresh_statistics(model, [(X / 255).astype(np.float32)])
    assert layer.momentum == 0.9 and np.allclose(before, layer.state["moving_mean"], rtol=0.3, atol=0.05)


@pytest.mark.parametrize("change, error, words", [
    ({"x": X.transpose(0, 3, 1, 2)}, ShapeError, "channels last"),
    ({"x": X[:0], "y": Y[:0]}, DataError, "no image to train on"),
    ({"y": Y[:-1]}, ShapeError, "200 images and 199 labels"),
    ({"y": Y + 1}, DataError, "label 4 of image"),
    ({"y": Y + 0.5}, DataError, "whole numbers"),
    ({"x": X.astype(np.float32)}, DataError, "expected uint8, or floats from 0 to 1"),
    ({"x": np.where(np.arange(8) == 3, np.nan, 0.5)[None, None, :, None] * np.ones((200, 8, 8, 3))}, DataError, "without NaN"),
    ({"epochs": 0}, OptionError, "epochs is 0"), ({"batch_size": -4}, OptionError, "batch size is -4"),
    ({"validation": 200}, OptionError, "validation is 200"), ({"validation": 1.5}, OptionError, "validation"),
    ({"optimizer": "adem"}, OptionError, "not known"), ({"augment": "twist"}, OptionError, "not known"),
    ({"schedule": "linear"}, OptionError, "not known"), ({"average": "mean"}, OptionError, "weight average"),
    ({"label_smoothing": 1.0}, OptionError, "label smoothing"), ({"seed": -1}, OptionError, "seed is -1"),
    ({"learning_rate": 1e30, "optimizer": "sgd"}, OptionError, "diverged"),
], ids=lambda c: str(list(c)) if isinstance(c, dict) else "")
def test_mistakes(change, error, words):
    settings = {"x": X, "y": Y, "epochs": 2, "quiet": True, **change}
    with np.errstate(all="ignore"), pytest.raises(error, match=words):
        train.fit(tiny.model(), settings.pop("x"), settings.pop("y"), **settings)


@pytest.mark.parametrize("change, error, words", [
    ({"x": np.full(X.shape, np.nan, np.float32)}, DataError, "without NaN"),
    ({"x": X.astype(np.float32)}, DataError, "expected uint8, or floats from 0 to 1"),
    ({"x": X[:0], "y": Y[:0]}, DataError, "no image to classify"), ({"y": Y[:-1]}, ShapeError, "199 labels"),
    ({"batch_size": 0}, OptionError, "batch size is 0"), ({"classes": ("a", "b")}, OptionError, "2 names of classes"),
], ids=lambda c: str(list(c)) if isinstance(c, dict) else "")
def test_mistakes_of_an_evaluation(change, error, words):
    settings = {"x": X, "y": Y, **change}
    with pytest.raises(error, match=words):
        train.evaluate(tiny.model(), settings.pop("x"), settings.pop("y"), **settings)


def test_a_value_that_is_no_number_is_never_the_best():
    best = train.EarlyStopping(1)
    assert [best.improved({"val_loss": v, "epoch": i + 1}) for i, v in enumerate((np.nan, 2.0, np.nan, 3.0, 1.0))] == [
        False, True, False, False, True]


def test_progress_goes_to_standard_error(capsys):
    trained(quiet=False)
    out, err = capsys.readouterr()
    assert out == "" and "epoch 4/4: loss" in err and "val_accuracy" in err


class TestCheckpointFiles:
    """Damaged and hostile files."""

    @pytest.fixture
    def path(self, tmp_path):
        trained(out=tmp_path)
        return tmp_path / "checkpoint.npz"

    def test_round_trip(self, path):
        saved = load_checkpoint(path)
        assert [a.dtype for a in saved.weights] == [np.float32] * 8 and saved.optimizer["iterations"] == 20
        assert len(saved.under("optimizer")) == 2 * 6 and saved.extra["history"][0]["epoch"] == 1
        assert saved.model().count_params() == sum(a.size for a in saved.weights)

    def test_is_a_plain_npz(self, path):
        with np.load(path, allow_pickle=False) as archive:
            assert b"tinyvgg checkpoint 1" in archive["tinyvgg.json"] and archive["arrays/0"].shape == (3, 3, 3, 6)

    def test_cut_and_damaged(self, path):
        whole = path.read_bytes()
        cuts = [whole[:n] for n in (0, 1, 100, len(whole) // 2, len(whole) - 1)]
        for text in [*cuts, whole.replace(b"(3, 3, 3, 6)", b"(3, 3, 9, 6)")]:
            path.write_bytes(text)
            with pytest.raises(FormatError):
                load_checkpoint(path).model()
            with pytest.raises(FormatError):
                load_model(path)

    def test_flipped_bytes_never_raise_anything_else(self, path):
        whole, rng = path.read_bytes(), np.random.default_rng(0)
        for _ in range(60):
            damaged = bytearray(whole)
            for place in rng.integers(0, len(whole), 3):
                damaged[place] = int(rng.integers(0, 256))
            path.write_bytes(damaged)
            try:
                load_model(path)
            except FormatError:
                pass

    def test_other_files(self, tmp_path):
        (tmp_path / "text.npz").write_text("hello")
        np.savez_compressed(tmp_path / "other.npz", a=np.zeros(3))
        for name in ("text.npz", "other.npz", "none.npz", "."):
            with pytest.raises((FormatError, DataError)):
                load_model(tmp_path / name)
            if name != ".":
                with pytest.raises(FormatError):
                    load_checkpoint(tmp_path / name)
