"""Data and networks of one's own through the verbs: shapes, ranges, standardised values, one output; what is refused, in a sentence."""
import json

import numpy as np
import pytest

from tinyvgg import data, io, nn
from tinyvgg.cli import main
from tinyvgg.nn import layers as L

KERAS = {"class_name": "Sequential", "keras_version": "2.15.0", "backend": "tensorflow", "config": {"name": "theirs", "layers": [
    {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 9], "dtype": "float32", "name": "in", "sparse": False}},
    {"class_name": "Dense", "config": {"name": "a", "units": 6, "activation": "relu"}},
    {"class_name": "Dense", "config": {"name": "b", "units": 3, "activation": "softmax"}}]}}
PYTHON = """
from tinyvgg import nn
def model(input_shape, classes):
    return nn.Sequential([nn.layers.InputLayer(input_shape), nn.layers.Flatten(), nn.layers.Dense(classes, activation="softmax")])
"""
BINARY = PYTHON.replace("Dense(classes, activation=\"softmax\")", "Dense(1, activation=\"sigmoid\")")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in (("keras.json", json.dumps(KERAS)), ("net.py", PYTHON), ("binary.py", BINARY)):
        (tmp_path / name).write_text(text)


def pair(shape, classes=3, low=0.0, high=1.0, n=80, labels=None):
    """Save noisy copies of a random pattern for each class, and return the spec."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    x = np.clip(rng.random((classes, *shape))[y] + 0.1 * rng.standard_normal((n, *shape)), 0, 1)
    np.save("X.npy", (low + (high - low) * x).astype(np.float32))
    np.save("Y.npy", y if labels is None else labels(y))
    return "X.npy,Y.npy"


def run(capsys, *argv, code=0):
    capsys.readouterr()
    assert main([*argv, "--json", "--quiet"]) == code, capsys.readouterr().err
    out = capsys.readouterr()
    return json.loads(out.out) if code == 0 else out.err


TRAIN = ("--epochs", "8", "--batch-size", "4", "--learning-rate", "0.02", "--out", "r")


@pytest.mark.parametrize("arch, shape, low, high", [("keras.json", (9,), -4, 4), ("net.py", (16, 3), -20, 80), ("net.py", (5, 5), 0, 1),
                                                    ("net.py", (4, 4, 5), 0.5, 2.5)])
def test_from_training_to_attack(arch, shape, low, high, capsys):
    """A vector, a series, an image without a channel axis, five channels; ranges with 0 at an end, inside and outside."""
    spec = pair(shape, low=low, high=high)
    trained = run(capsys, "train", "--arch", arch, "--data", spec, "--input-range", f"{low},{high}", *TRAIN)
    found = run(capsys, "evaluate", "r")                            # the data is found again, and its range
    assert found["accuracy"] == trained["test_accuracy"] > 0.6 and found["n"] == 16
    assert io.load_model("r").bounds == (low, high)
    run(capsys, "compress", "r", "--scheme", "int8", "--out", "q.tvq")
    assert run(capsys, "evaluate", "q.tvq")["accuracy"] == found["accuracy"]
    attacked = run(capsys, "attack", "pgd", "q.tvq", "--eps", str(0.4 * (high - low)), "--steps", "5", "--out", "a")
    assert attacked["robust_accuracy"] < attacked["clean_accuracy"]
    assert run(capsys, "evaluate", "q.tvq", "--data", "a")["accuracy"] == attacked["robust_accuracy"]


def test_standardised_by_channel(capsys):
    """Channels of very different size: the model remembers how they were standardised, and every verb does it again."""
    rng = np.random.default_rng(1)
    y = np.arange(60) % 2
    x = (y[:, None] * [200, 0.02] + rng.normal(0, [50, 0.005], (60, 2))).astype(np.float32)
    np.save("X.npy", x), np.save("Y.npy", y)
    trained = run(capsys, "train", "--arch", "binary.py", "--data", "X.npy,Y.npy", "--mean", "100,0.01", "--deviation", "110,0.011", *TRAIN)
    assert trained["test_accuracy"] > 0.9 and run(capsys, "evaluate", "r")["accuracy"] == trained["test_accuracy"]
    run(capsys, "compress", "r", "--scheme", "int8", "--out", "q.tvq")
    assert run(capsys, "evaluate", "q.tvq", "--data", "X.npy,Y.npy", "--part", "all")["accuracy"] > 0.9
    found = data.load_for(io.load_model("q.tvq"), "X.npy,Y.npy")
    z = np.clip((x - np.float32([100, 0.01])) / np.float32([110, 0.011]), -4, 4)
    assert np.allclose(np.sort(np.concatenate([found.x_train, found.x_test]), axis=0), np.sort(z, axis=0), atol=1e-6)


def test_a_run_goes_on_without_its_file(capsys):
    spec = pair((9,))
    unbroken = run(capsys, "train", "--arch", "net.py", "--data", spec, *TRAIN[:-2], "--out", "whole")
    with pytest.raises(KeyboardInterrupt):
        _stopped(capsys, spec)
    open("net.py", "w").write("def model(): raise ValueError")
    assert run(capsys, "train", "--resume", "--out", "r")["weights_sha256"] == unbroken["weights_sha256"]


def _stopped(capsys, spec):
    """The same run, stopped after two epochs."""
    from tinyvgg.train.run import RunFolder
    done = RunFolder.epoch_done

    def stop(self, row, seconds):
        done(self, row, seconds)
        if row["epoch"] == 2:
            raise KeyboardInterrupt
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "epoch_done", stop)
        from tinyvgg.train.recipe import train_run
        from tinyvgg.train.settings import DEFAULTS
        train_run("r", {**dict.fromkeys(DEFAULTS), "arch": "net.py", "data": spec, "epochs": 8, "batch_size": 4, "learning_rate": 0.02}, DEFAULTS)


ONE_HOT = {"labels": lambda y: np.eye(2)[y]}
REFUSED = {
    "channels": (("net", (8, 8, 2)), {}, "have shape (16, 9); expected (N, 8, 8, 2)"),
    "range": (("binary.py", (9,)), {"low": -3, "high": 3, "range": "0,1"}, "X.npy has values from -3 to "),
    "no range": (("binary.py", (9,)), {"low": -3, "high": 3}, "Try: --input-range -3,3"),
    "range of one number": (("binary.py", (9,)), {"range": "4"}, "the --input-range is (4.0,)"),
    "two columns": (("binary.py", (9,)), {"classes": 2, **ONE_HOT}, "have 2 columns; the network has one output"),
    "three classes": (("binary.py", (9,)), {}, "has 3 classes; the network of --arch has one output, which tells 2 apart"),
    "too many classes": (("keras.json", (9,)), {"classes": 4}, "has 4 classes; the network of --arch has 3 outputs"),
    "another number": (("keras.json", (9,)), {"more": ("--classes", "4")}, "--classes is 4; the network of --arch has 3"),
    "mean alone": (("binary.py", (9,)), {"classes": 2, "more": ("--mean", "1")}, "--mean and --deviation belong together"),
    "deviation of 0": (("binary.py", (9,)), {"classes": 2, "more": ("--mean", "1", "--deviation", "0")}, "--deviation is '0'; expected"),
    "means": (("binary.py", (9,)), {"classes": 2, "more": ("--mean", "1,2", "--deviation", "1")}, "2 numbers were given as the mean"),
    "no model()": (("Y.json", (9,)), {}, "is JSON, but no configuration of a network"),
    "light": (("light", (9,)), {}, "light takes images (H, W, C) from 16x16 on; this input has the shape (9,)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_a_sentence(name, capsys):
    (arch, shape), settings, words = REFUSED[name]
    spec, more = dict(settings), ("--input-range", settings["range"]) if "range" in settings else settings.get("more", ())
    made = pair(shape if name != "channels" else (9,), **{k: v for k, v in spec.items() if k not in ("range", "more")})
    open("Y.json", "w").write('{"a": 1}')
    if name == "channels":
        nn.Sequential([L.InputLayer(shape), L.Flatten(), L.Dense(3, activation="softmax")]).save("net.h5")
        err = run(capsys, "evaluate", "net.h5", "--data", made, code=2)
    else:
        err = run(capsys, "train", "--arch", arch, "--data", made, *more, *TRAIN, code=2)
    assert words in err and err.startswith("tinyvgg: ") and "Traceback" not in err


def test_python_that_fails(capsys):
    open("bad.py", "w").write("x = 1\ndef model():\n    return 1 / 0\n")
    assert "bad.py failed (line 3): ZeroDivisionError: division by zero" in run(
        capsys, "train", "--arch", "bad.py", "--data", pair((9,)), *TRAIN, code=2)
    open("none.py", "w").write("def build(): pass\n")
    assert "none.py has no function model()" in run(capsys, "train", "--arch", "none.py", "--data", pair((9,)), *TRAIN, code=2)


def test_lists(capsys):
    rows = {row["name"]: row for row in run(capsys, "attack", "list")["attacks"]}
    assert rows["pgd"]["needs"] == "gradients" and rows["square"]["needs"] == "scores" and "steps" in rows["pgd"]["takes"]
    assert {"curve", "ladder", "rays"} <= rows.keys()
