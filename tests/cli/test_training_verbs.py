"""The verbs data, train and evaluate, from outside: exit codes, what goes where, mistakes in a sentence."""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tinyvgg import kernels
from tinyvgg.cli import main
from tinyvgg.report.record import sha256_file

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="module")
def cifar(tmp_path_factory):
    """Forty training and ten test images in the binary layout."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for stem, n in (("data_batch_1", 40), ("test_batch", 10)):
        records = np.c_[np.arange(n) % 10, rng.integers(0, 256, (n, 3072))].astype(np.uint8)
        (folder / f"{stem}.bin").write_bytes(records.tobytes())
    return folder


def call(*words):
    return main([str(w) for w in words])


SMALL = ("--arch", "resnet8", "--batch-size", "8", "--limit", "16", "--validation", "4")


@pytest.fixture(scope="module")
def run(cifar, tmp_path_factory):
    """A finished run of two epochs."""
    out = tmp_path_factory.mktemp("runs") / "first"
    assert call("train", *SMALL, "--data", cifar, "--epochs", 2, "--out", out, "--quiet", "--seed", 3) == 0
    return out


def test_train_result_and_folder(run, cifar, capsys):
    assert call("train", "--resume", "--out", run, "--data", cifar, "--json", "--quiet") == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert err == "" and result["epochs"] == 2 and result["steps"] == 4 and result["test_n"] == 10 and result["arch"] == "resnet8"
    assert len(result["weights_sha256"]) == 64 and 0 <= result["test_accuracy"] <= 1
    assert {"checkpoint.npz", "config.json", "history.csv", "history.jsonl", "curves.png"} <= {p.name for p in run.iterdir()}
    config = json.loads((run / "config.json").read_text())
    assert config["settings"]["seed"] == 3 and config["data"]["sha256"] == result["data_sha256"] and "numpy" in config["versions"]
    assert config["kernels"] == "fast" and config["threads"] == kernels.threads() >= 1


def test_same_command_same_weights(run, cifar, tmp_path, capsys):
    digests = []
    for name in ("a", "b"):
        assert call("train", *SMALL, "--data", cifar, "--epochs", 1, "--out", tmp_path / name, "--json", "--quiet",
                    "--augment", "flip", "--ema", 0.9) == 0
        digests.append(json.loads(capsys.readouterr().out)["weights_sha256"])
    assert digests[0] == digests[1]
    assert sha256_file(tmp_path / "a" / "checkpoint.npz") == sha256_file(tmp_path / "b" / "checkpoint.npz")


def test_resume_refuses_other_settings(run, capsys):
    assert call("train", "--resume", "--out", run, "--batch-size", 5) == 2
    assert "cannot go on with 5" in capsys.readouterr().err
    assert call("train", "--resume", "--out", run, "--epochs", 1) == 2
    assert "began with --epochs 2; it cannot go on with 1" in capsys.readouterr().err
    assert call("train", *SMALL, "--out", run, "--data", "shapes") == 2
    assert "holds a run already" in capsys.readouterr().err
    assert call("train", "--resume", "--out", run, "--data", "shapes") == 2
    assert "not those that" in capsys.readouterr().err


@pytest.fixture(scope="module")
def whole(cifar, tmp_path_factory):
    """The words of a command, and the folder of its unbroken run."""
    words = ["train", *SMALL, "--data", str(cifar), "--epochs", "3", "--augment", "shift2"]
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert call(*words, "--out", out, "--quiet") == 0
    return words, out


def heed_interrupts():
    """A suite that runs in the background may have been started with interrupts ignored, which a child inherits."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize("kind", ["interrupt", "kill"])
def test_stopped_and_resumed(whole, cifar, tmp_path, kind):
    """The command stopped after its first epoch and resumed writes the bytes of one that was not stopped."""
    words, folder = whole
    process = subprocess.Popen([sys.executable, "-m", "tinyvgg", *words, "--out", str(tmp_path / "broken")], env=ENVIRONMENT,
                               stderr=subprocess.PIPE, text=True,
                               preexec_fn=heed_interrupts if os.name == "posix" else None)
    while not (tmp_path / "broken" / "checkpoint.npz").exists():
        assert process.poll() is None
        time.sleep(0.01)
    if kind == "kill":
        process.kill()
    else:
        process.send_signal(signal.SIGINT)
    err = process.communicate()[1]
    assert process.returncode == (130 if kind == "interrupt" else -9)
    assert kind == "kill" or "--resume --out" in err and "Traceback" not in err
    assert call("train", "--resume", "--out", tmp_path / "broken", "--data", cifar, "--quiet") == 0
    for path in folder.glob("*.npz"):
        assert sha256_file(path) == sha256_file(tmp_path / "broken" / path.name), path.name


def test_progress_on_standard_error(cifar, tmp_path, capsys):
    assert call("train", *SMALL, "--data", cifar, "--epochs", 1, "--out", tmp_path / "r", "--optimizer", "momentum",
                "--schedule", "onecycle", "--keep", "best", "--dropout", "0.5") == 0
    out, err = capsys.readouterr()
    assert "epoch 1/1: loss" in err and "weights sha256" in out and "epoch" not in out.split(",")[0]


def test_evaluate(run, cifar, capsys):
    assert call("evaluate", run, "--data", cifar, "--json", "--quiet") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["n"] == 10 and 0 <= result["accuracy"] <= 1 and result["loss"] > 0 and len(result["per_class"]) == 10
    assert result["interval"][0] <= result["accuracy"] <= result["interval"][1]
    assert result["per_class"][3] == {"class": "cat", "n": 1, "accuracy": result["per_class"][3]["accuracy"]}
    assert sum(map(sum, result["confusion"])) == 10
    assert call("evaluate", run, "--data", cifar, "-n", 4, "--part", "train", "--quiet") == 0
    assert "4 train images of cifar10" in capsys.readouterr().out


def test_evaluate_gives_one_answer_for_every_form_of_the_data(run, cifar, tmp_path, capsys):
    from tinyvgg import data
    x, y = data.load(cifar).part("test")
    losses = []
    for name, images in (("bytes", x), ("unit", x / 255), ("signed", x / 127.5 - 1)):
        np.save(tmp_path / f"{name}.npy", images)
        np.save(tmp_path / "y.npy", y)
        assert call("evaluate", run, "--data", f"{tmp_path / name}.npy,{tmp_path / 'y.npy'}", "--json", "--quiet") == 0
        losses.append(json.loads(capsys.readouterr().out)["loss"])
    assert np.allclose(losses, losses[0], rtol=1e-4)


def test_a_name_of_the_zoo_is_a_model_everywhere(cifar, tmp_path, monkeypatch):
    from tinyvgg import io, zoo
    assert call("convert", "light_cifar10", tmp_path / "c.h5", "--data", cifar, "--validation",
                f"{tmp_path / 'x.npy'},{tmp_path / 'y.npy'}", "-n", 2, "--quiet") == 0
    wanted = zoo.load("light_cifar10").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(io.load_model(tmp_path / "c.h5").get_weights(), wanted, strict=True))
    begun = []

    def stop(model, *arguments, **options):
        begun.append(model)
        raise KeyboardInterrupt
    monkeypatch.setattr("tinyvgg.train.recipe.fit", stop)
    assert call("train", "--weights", "light_cifar10", "--data", cifar, "--out", tmp_path / "r") == 130
    assert all(np.array_equal(a, b) for a, b in zip(begun[0].get_weights(), wanted, strict=True))


def test_data_info(cifar, capsys):
    assert call("data", "info", "--data", cifar, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["train"]["n"], result["test"]["n"]) == (40, 10) and result["train"]["per_class"] == [4] * 10
    assert call("data", "info", "--data", "shapes") == 0
    assert "10000 training and 2000 test images" in capsys.readouterr().out


MISTAKES = {
    "train --out {tmp}/r --data nowhere": "there is no data 'nowhere'",
    "train --out {tmp}/r --data {tmp}": "holds no CIFAR-10 batch",
    "train --out {tmp}/r --data {data} --epochs 0": "epochs is 0",
    "train --out {tmp}/r --data {data} --limit 41": "--limit is 41; expected 1 to 40",
    "train --out {tmp}/r --data {data} --validation 40": "validation is 40",
    "train --out {tmp}/r --data {data} --augment zoom": "augmentation 'zoom'",
    "train --out {tmp}/r --data {data} --dropout 4": "--dropout",
    "train --out {tmp}/r --data {data} --dropout x": "--dropout",
    "train --out {tmp}/r --data {data} --validation nan": "validation is nan",
    "train --out {tmp}/r --data {data} --validation inf": "validation is inf",
    "train --out {tmp}/r --data {data} --warmup nan": "warm-up of nan",
    "train --out {tmp}/r --data {data} --classes 1000000000000000": "more memory than there is",
    "train --out {tmp}/r --resume": "holds no run to go on with",
    "train --out {tmp}/r --data {data} --warmup 99": "warm-up of 99",
    "train --out {tmp}/r --data {data} --learning-rate -1": "--learning-rate is -1",
    "train --out {tmp}/r --data {data} --label-smoothing 2": "label smoothing is 2",
    "train --out {tmp}/r --data {data} --ema 0.9 --swa": "one kind of average",
    "train --out {tmp}/r --data {data} --ema 1.5": "weight average",
    "train --out {tmp}/r --data {data} --keep best --validation 0": "need --validation images",
    "train --out {tmp}/r --data {data} --seed -4": "seed is -4",
    "train --out {tmp}/r --data {data} --weights {tmp}/none.npz": "there is no model file",
    "train --out {tmp}/r --data {data} --classes 9": "label 9 of image 9; expected 0 to 8",
    "train --out {data}/test_batch.bin --data {data}": "is a file",
    "train --out {data}/test_batch.bin/r --data {data}": "test_batch.bin is a file; expected a folder",
    "train --out {tmp}/r --data {data} --weights light_cifar01": "nor a network of that name in the zoo",
    "train --out {tmp}/r --data {data} --weights light_cifar10 --arch resnet8": "the model has 17 layers with weights",
    "train --out {tmp}/r --data {data} --distill light_cifar10,": "--distill is 'light_cifar10,', which has an empty name",
    "evaluate {tmp}/none.npz --data {data}": "there is no model file",
    "evaluate {tmp} --data {data}": "holds no model",
    "evaluate {data}/test_batch.bin --data {data}": "neither HDF5",
    "evaluate {run} --data {data} -n 0": "expected at least 1",
    "evaluate {run} --data {data} --batch-size 0": "--batch-size is 0",
    "evaluate {run} --data {data} --input-range 1,0": "--input-range is '1,0'",
    "evaluate {run} --data {tmp}/x.npy,{tmp}/y.npy": "there is no file",
    "evaluate ~stranger/m.h5 --data {data}": "there is no model file",
    "evaluate " + 300 * "m" + ".h5 --data {data}": 20 * "m",
    "data info --data ~stranger/d": "there is no data",
    "data info --data " + 300 * "d": 20 * "d",
    "data info --data cifar100": "CIFAR-100 was not found",
    "data info --url http://127.0.0.1": "--url belongs to download; info has none",
    "data download --data {data}": "download fetches cifar10 or cifar100",
    "data download --out {data}/test_batch.bin": "test_batch.bin is a file; expected a folder",
    "attack fgsm {run} --data {data} --out {data}/test_batch.bin": "test_batch.bin is a file; expected a folder",
    "codegen {run} --out {data}/test_batch.bin": "test_batch.bin is a file; expected a folder",
    "convert light_cifar10 {tmp}/out.txt": "out.txt",
    "convert light_cifar01 {tmp}/out.h5": "nor a network of that name in the zoo",
    "firmware build {tmp}/none.tvq --out {tmp}/b": "Try: tinyvgg compress MODEL --scheme int8",
    "data download --out {tmp}/d --url http://127.0.0.1:9/a.tar.gz": "could not be fetched",
}


@pytest.mark.parametrize("command", MISTAKES)
def test_mistakes(command, run, cifar, tmp_path, capsys):
    """One sentence on standard error, exit code 2, no traceback, and no run begun."""
    assert call(*command.format(tmp=tmp_path, data=cifar, run=run).split(), "--quiet") == 2
    out, err = capsys.readouterr()
    assert out == "" and MISTAKES[command] in err and "Traceback" not in err and err.startswith("tinyvgg: ")
    assert not (tmp_path / "r" / "checkpoint.npz").exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user who may not write everywhere")
def test_unwritable_folder(cifar, tmp_path, capsys):
    (tmp_path / "closed").mkdir(mode=0o500)
    assert call("train", *SMALL, "--data", cifar, "--out", tmp_path / "closed" / "r", "--epochs", 1) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["data", "train", "evaluate"])
def test_help_has_an_example(verb, capsys):
    assert call(verb, "--help") == 0
    assert f"tinyvgg {verb} " in capsys.readouterr().out.split("options:")[0]


def test_a_saved_attack_is_data(run, cifar, tmp_path, capsys):
    from tinyvgg import attacks, data, io
    x, y = data.load(cifar).as_float((0, 1)).part("test")
    attacks.fgsm(io.load_model(run), x, y, eps=8 / 255).save(tmp_path / "attack.npz")
    for spec in (tmp_path, tmp_path / "attack.npz"):
        assert call("evaluate", run, "--data", spec, "--json", "--quiet") == 0
        assert json.loads(capsys.readouterr().out)["data"] == "fgsm"
    assert call("train", "--data", tmp_path, "--out", tmp_path / "r") == 2
    assert "has no train images" in capsys.readouterr().err
