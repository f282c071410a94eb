"""CIFAR-100 in both official layouts, by its name, as folder and as archive, with fine and coarse labels."""
import json
import pickle
import tarfile

import numpy as np
import pytest

from tinyvgg import data
from tinyvgg.cli import main
from tinyvgg.data import cifar10, cifar100
from tinyvgg.errors import DataError, FormatError

RNG = np.random.default_rng(7)
PARTS = {name: (RNG.integers(0, 256, (n, 3072), np.uint8), RNG.integers(0, 100, n), RNG.integers(0, 20, n)) for name, n in
         (("train", 9), ("test", 5))}


@pytest.fixture
def folder(tmp_path):
    """A small CIFAR-100 in both layouts."""
    py, binary = tmp_path / "cifar-100-python", tmp_path / "cifar-100-binary"
    py.mkdir(), binary.mkdir()
    for name, (rows, fine, coarse) in PARTS.items():
        batch = {b"data": rows, b"fine_labels": fine.tolist(), b"coarse_labels": coarse.tolist(), b"batch_label": b"x", b"filenames": [b"a"]}
        (py / name).write_bytes(pickle.dumps(batch, 2))
        (binary / f"{name}.bin").write_bytes(np.c_[coarse, fine, rows].astype(np.uint8).tobytes())
    (py / "meta").write_bytes(pickle.dumps({b"fine_label_names": []}))
    (binary / "fine_label_names.txt").write_text("apple\n")
    return tmp_path


def test_both_layouts_agree(folder, monkeypatch):
    with tarfile.open(folder / "any.tar.gz", "w:gz") as archive:
        archive.add(folder / "cifar-100-python", "cifar-100-python")
    monkeypatch.setenv("TINYVGG_DATA", str(folder))
    specs = (folder, folder / "cifar-100-python", folder / "cifar-100-binary", folder / "any.tar.gz", "cifar100")
    found = [data.load(spec) for spec in specs]
    assert len({f.sha256 for f in found}) == 1 and found[0].name == "cifar100" and found[0].n_classes == 100
    assert np.array_equal(found[0].y_test, PARTS["test"][1]) and found[0].x_train.shape == (9, 32, 32, 3)
    assert found[0].x_train[3, 2, 5, 1] == PARTS["train"][0][3, 1024 + 2 * 32 + 5]
    coarse = data.load("cifar100-coarse")
    assert np.array_equal(coarse.y_train, PARTS["train"][2]) and coarse.classes == cifar100.COARSE


def test_names(folder, monkeypatch, capsys):
    assert len(cifar100.FINE) == 100 and len(cifar100.COARSE) == 20
    monkeypatch.setenv("TINYVGG_DATA", str(folder))
    assert main(["data", "list", "--json"]) == 0
    rows = {row["name"]: row["found"] for row in json.loads(capsys.readouterr().out)["data"]}
    assert rows["cifar100"] == str(folder) and rows["cifar10"] is None and rows["shapes"]
    with pytest.raises(DataError, match="CIFAR-10 was not found"):
        data.load("cifar10")
    with pytest.raises(DataError, match="is CIFAR-100; expected CIFAR-10"):
        cifar10.load(folder / "cifar-100-python")


def test_damage(folder):
    for name, words in (("cifar-100-python/train", "train is not a whole"), ("cifar-100-binary/test.bin", "whole records of 3074")):
        path = folder / name
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(FormatError, match=words):
            data.load(path.parent)
