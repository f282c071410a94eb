"""CIFAR-10 in its official layouts, and files that only pretend to be."""
import os
import pickle
import shutil
import tarfile
import time

import numpy as np
import pytest

from tinyvgg import data
from tinyvgg.data import cifar10
from tinyvgg.data.batch_pickle import read_batch
from tinyvgg.errors import DataError, FormatError

RNG = np.random.default_rng(3)


def batch(n=7):
    return RNG.integers(0, 256, (n, 3072), np.uint8), [int(v) for v in RNG.integers(0, 10, n)]


@pytest.fixture
def folder(tmp_path):
    """A small CIFAR-10 in both layouts; the pickles are written with every protocol in turn."""
    py, binary = tmp_path / "cifar-10-batches-py", tmp_path / "cifar-10-batches-bin"
    py.mkdir(), binary.mkdir()
    for protocol, stem in enumerate((*cifar10.TRAIN, "test_batch")):
        rows, labels = batch(5 + protocol)
        (py / stem).write_bytes(pickle.dumps({b"data": rows, b"labels": labels}, protocol=protocol))
        (binary / f"{stem}.bin").write_bytes(np.c_[np.array(labels, np.uint8), rows].tobytes())
    (py / "batches.meta").write_bytes(pickle.dumps({b"label_names": [c.encode() for c in cifar10.CLASSES]}))
    return tmp_path


def test_both_layouts_agree(folder):
    both, py, binary = data.load(folder), data.load(folder / "cifar-10-batches-py"), data.load(folder / "cifar-10-batches-bin")
    assert both.sha256 == py.sha256 == binary.sha256
    assert py.x_train.shape == (5 + 6 + 7 + 8 + 9, 32, 32, 3) and py.x_test.shape == (10, 32, 32, 3)
    assert py.y_train.dtype == np.int64 and py.x_train.dtype == np.uint8


def test_planes_become_channels(folder):
    rows = np.frombuffer((folder / "cifar-10-batches-bin" / "test_batch.bin").read_bytes(), np.uint8).reshape(-1, 3073)
    x = data.load(folder).x_test
    assert x[2, 5, 9, 1] == rows[2, 1 + 1024 + 5 * 32 + 9]


@pytest.mark.parametrize("layout", cifar10.LAYOUTS)
@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_archive(folder, layout, mode):
    with tarfile.open(folder / "some.tar.gz", mode) as archive:
        archive.add(folder / layout, layout)
    assert data.load(folder / "some.tar.gz").sha256 == data.load(folder).sha256


@pytest.mark.parametrize("inside", ["cifar-10-batches-py", "cifar-10-batches-py-target/cifar-10-batches-py"])
def test_found_in_keras_cache(folder, tmp_path_factory, monkeypatch, inside):
    home = tmp_path_factory.mktemp("keras")
    shutil.copytree(folder / "cifar-10-batches-py", home / "datasets" / inside)
    monkeypatch.delenv("TINYVGG_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(home))
    monkeypatch.chdir(home)
    assert data.load("cifar10").sha256 == data.load(folder).sha256
    assert data.load().name == "cifar10"


def test_default_without_cifar10_is_shapes(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYVGG_DATA", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert data.load().name == "shapes"
    with pytest.raises(DataError, match="was not found.*looked in"):
        data.load("cifar10")


def test_numpy_2_and_old_python_pickles():
    rows, labels = batch(2)
    text = pickle.dumps({"data": rows, "labels": labels}, protocol=2)
    for module in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
        other = text.replace(b"numpy._core.multiarray", module)
        assert np.array_equal(read_batch(other, "x")[0], rows)
    # Python 2 wrote str for both keys and pixels (the official files): S and U opcodes with raw bytes.
    official = (b"\x80\x02}q\x01(U\x06labelsq\x02]q\x03(K\x04K\x09eU\x04dataq\x04cnumpy.core.multiarray\n_reconstruct\nq\x05"
                b"cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87Rq\x07(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\nq\x08U\x02u1K\x00K\x01\x87R"
                b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T\x00\x18\x00\x00" + rows.tobytes() + b"tbu.")
    assert np.array_equal(read_batch(official, "x")[0], rows) and list(read_batch(official, "x")[1]) == [4, 9]


class Caller:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("function, argument", [(os.system, "touch owned"), (eval, "open('owned', 'w')"), (os.mkdir, "owned")])
@pytest.mark.parametrize("protocol", range(6))
def test_pickle_that_calls_something(folder, monkeypatch, function, argument, protocol):
    monkeypatch.chdir(folder)
    bad = pickle.dumps({b"data": Caller(function, argument), b"labels": [1]}, protocol=protocol)
    (folder / "cifar-10-batches-py" / "data_batch_2").write_bytes(bad)
    with pytest.raises(FormatError, match="asks for .* not run"):
        data.load(folder / "cifar-10-batches-py")
    assert not (folder / "owned").exists()


BOMBS = {
    "memo index": b"\x80\x04]r\xff\xff\xff\xff.",
    "bytearray": b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x0f.",
    "bytes": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x0f.",
    "frame": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x0f.",
    "array shape": pickle.dumps({b"data": np.zeros((2, 3072), np.uint8)}, 4).replace(b"K\x02M\x00", b"J\xff\xff\xff\x7fM\x00"),
    "object array": pickle.dumps({b"data": np.array([None])}, 4),
    "float array": pickle.dumps({b"data": np.zeros((2, 3072)), b"labels": [1, 2]}, 4),
    "text": b"hello", "empty": b"", "a number": pickle.dumps(5), "a list": pickle.dumps([1]),
    "no labels": pickle.dumps({b"data": np.zeros((2, 3072), np.uint8)}),
    "labels are text": pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": ["cat"]}),
    "too few labels": pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}),
    "no image": pickle.dumps({b"data": np.zeros((0, 3072), np.uint8), b"labels": []}),
    "wrong row": pickle.dumps({b"data": np.zeros((2, 3071), np.uint8), b"labels": [1, 2]}),
    "cifar-100": pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"fine_labels": [50], b"coarse_labels": [3]}),
}


@pytest.mark.parametrize("name", BOMBS)
def test_damaged_pickles(name):
    started = time.process_time()           # of this process alone: the machine may be busy
    with pytest.raises(FormatError, match="somefile"):
        read_batch(BOMBS[name], "somefile")
    assert time.process_time() - started < 1


@pytest.mark.parametrize("cut", [0, 1, 100, 3072, 3074, -1])
def test_cut_records(folder, cut):
    path = folder / "cifar-10-batches-bin" / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FormatError, match="data_batch_3.bin .*whole records of 3073"):
        data.load(folder / "cifar-10-batches-bin")


def test_cut_pickles(folder):
    path = folder / "cifar-10-batches-py" / "data_batch_5"
    whole = path.read_bytes()
    for cut in (0, 1, 50, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(FormatError, match="data_batch_5"):
            data.load(folder / "cifar-10-batches-py")


def test_label_out_of_range(folder):
    path = folder / "cifar-10-batches-bin" / "test_batch.bin"
    path.write_bytes(b"\x0a" + path.read_bytes()[1:])
    with pytest.raises(DataError, match="test_batch.bin: label 10 of image 0; expected 0 to 9"):
        data.load(folder / "cifar-10-batches-bin")


def test_cifar_100_is_not_cifar_10(tmp_path):
    other = tmp_path / "cifar-100-python"
    other.mkdir()
    for name in ("train", "test", "meta"):
        (other / name).write_bytes(b"x")
    with tarfile.open(tmp_path / "c.tar.gz", "w:gz") as archive:
        archive.add(other, other.name)
    for spec in (other, tmp_path / "c.tar.gz"):
        with pytest.raises(DataError, match="CIFAR-100; expected CIFAR-10"):
            cifar10.load(spec)
    other.rename(tmp_path / "renamed")
    with pytest.raises(DataError, match="CIFAR-100"):
        cifar10.load(tmp_path / "renamed")


def test_archives_that_are_not_whole(folder):
    path = folder / "cut.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder / "cifar-10-batches-py", "cifar-10-batches-py")
    whole = path.read_bytes()
    for text in (whole[:len(whole) // 2], whole[:-9], b"", b"not an archive", whole[:200] + b"\xff" * 50 + whole[250:]):
        path.write_bytes(text)
        with pytest.raises(FormatError, match="cut.tar.gz"):
            data.load(path)


def test_archive_with_tricks(folder, tmp_path):
    """Links and absolute names are not followed, an announced size beyond reason is refused."""
    path = tmp_path / "tricks.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(DataError, match="holds no CIFAR-10 batch"):
        data.load(path)
    header = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
    header.size = 1 << 40
    path.write_bytes(header.tobuf() + bytes(2048))
    with pytest.raises(FormatError):
        data.load(path)


def test_unreadable_places(tmp_path):
    with pytest.raises(DataError, match="holds no CIFAR-10 batch"):
        data.load(tmp_path)
    with pytest.raises(DataError, match="there is no data"):
        data.load(tmp_path / "nowhere")
    with pytest.raises(DataError, match="there is no data"):
        data.load("shape")


def test_half_unpacked_layout_does_not_hide_the_other(folder):
    for stem in cifar10.TRAIN:
        (folder / "cifar-10-batches-bin" / f"{stem}.bin").unlink()
    assert len(data.load(folder).x_train) == 35


def test_only_a_test_batch(folder):
    for stem in cifar10.TRAIN:
        (folder / "cifar-10-batches-bin" / f"{stem}.bin").unlink()
    only = data.load(folder / "cifar-10-batches-bin")
    assert len(only.part("test", 4)[0]) == 4
    with pytest.raises(DataError, match="has no train images"):
        only.part("train")
