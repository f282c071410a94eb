"""MLPerf Tiny's samples: a folder of them, a clone whose history has them, and what is wrong with one."""
import shutil
import subprocess

import numpy as np
import pytest

from tinyvgg import data
from tinyvgg.cli import main
from tinyvgg.data import mlperf_ic
from tinyvgg.errors import DataError, FormatError

X = np.random.default_rng(3).integers(0, 256, (4, 32, 32, 3), np.uint8)


def write(folder, labels=(7, 5, 3, 0)):
    folder.mkdir(parents=True)
    for i, image in enumerate(X):
        (folder / f"emu_s_{i}.bin").write_bytes(image.tobytes())
    (folder / "y_labels.csv").write_text("".join(f"emu_s_{i}.bin,10,{label}\n" for i, label in enumerate(labels)))
    return folder


def test_a_folder_of_samples_is_a_test_part(tmp_path, capsys):
    write(tmp_path / "datasets" / "ic01")
    found = data.load(f"mlperf-ic:{tmp_path}")
    np.testing.assert_array_equal(found.x_test, X)
    assert found.y_test.tolist() == [7, 5, 3, 0] and len(found.x_train) == 0 and found.classes[7] == "horse"
    assert main(["data", "info", "--data", f"mlperf-ic:{tmp_path}/datasets/ic01"]) == 0
    assert "mlperf-ic" in capsys.readouterr().out
    assert main(["train", "--data", f"mlperf-ic:{tmp_path}", "--epochs", "1", "--out", str(tmp_path / "run"), "--quiet"]) == 2
    assert "has no train images" in capsys.readouterr().err


def test_a_clone_is_asked_for_its_history(tmp_path, monkeypatch):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    write(tmp_path / "clone" / "datasets" / "ic01")
    def git(*words):
        subprocess.run(["git", "-C", tmp_path / "clone", "-c", "user.name=a", "-c", "user.email=a@b.c", *words], check=True,
                       capture_output=True)
    git("init")
    git("add", ".")
    git("commit", "-m", "samples")
    git("rm", "-r", "datasets")
    git("commit", "-m", "no samples")
    with pytest.raises(DataError, match=r"holds no y_labels\.csv"):         # its history has no commit of that name
        data.load(f"mlperf-ic:{tmp_path}/clone")
    monkeypatch.setattr(mlperf_ic, "COMMIT", "HEAD^")
    np.testing.assert_array_equal(data.load(f"mlperf-ic:{tmp_path}/clone").x_test, X)


def test_what_is_wrong_is_said(tmp_path):
    with pytest.raises(DataError, match="there is no folder"):
        data.load(f"mlperf-ic:{tmp_path}/nowhere")
    with pytest.raises(DataError, match="label 12 of image 1"):
        data.load(f"mlperf-ic:{write(tmp_path / 'label', (1, 12, 0, 0))}")
    folder = write(tmp_path / "cut")
    (folder / "emu_s_2.bin").write_bytes(b"12")
    with pytest.raises(FormatError, match="has 2 bytes; expected 3,072"):
        data.load(f"mlperf-ic:{folder}")
    (folder / "emu_s_2.bin").unlink()
    with pytest.raises(DataError, match="No such file"):
        data.load(f"mlperf-ic:{folder}")
    (folder / "y_labels.csv").write_text("../../secret,10,1\n")
    with pytest.raises(FormatError, match="expected file,10,label"):
        data.load(f"mlperf-ic:{folder}")
    (folder / "y_labels.csv").write_text("")
    with pytest.raises(DataError, match="names no sample"):
        data.load(f"mlperf-ic:{folder}")
