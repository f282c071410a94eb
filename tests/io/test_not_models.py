"""Files and folders that people take for a model: what each is, in a sentence."""
import zipfile

import pytest

import tinyvgg
from tinyvgg.cli import main
from tinyvgg.errors import FormatError

FILES = {
    "empty.h5": (b"", "is empty"), "a web page.h5": (b"<!DOCTYPE html><html>404</html>", "is a web page"),
    "pointer.h5": (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "is a pointer of Git LFS"),
    "model.json": (b'{"class_name": "Sequential", "config": {}}', "is a configuration without weights"),
    "frozen.pb": (b"\n\x05\n\x03abc", "is neither HDF5"),
}


@pytest.mark.parametrize("name", FILES)
def test_files(name, tmp_path):
    data, words = FILES[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FormatError, match=words):
        tinyvgg.load_model(tmp_path / name)


def test_a_file_of_pytorch(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"x")
    with pytest.raises(FormatError, match="is a file of PyTorch"):
        tinyvgg.load_model(tmp_path / "m.pt")


def test_a_saved_model(tmp_path, capsys):
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    assert main(["summary", str(tmp_path)]) == 2
    assert "is a SavedModel of TensorFlow" in capsys.readouterr().err
