"""Nothing outside a HDF5 file is read or written through it, whichever format it is and whichever way it is opened; and it ends."""
import io
import os
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

import tinyvgg
from tinyvgg import nn, quant
from tinyvgg.analyze.open import describe_h5
from tinyvgg.cli import main
from tinyvgg.errors import FormatError
from tinyvgg.io import hdf5, hdf5_structure, hdf5_trial, keras_h5
from tinyvgg.nn import layers as L
from tinyvgg.report.untrusted import Budget

CASES = Path(__file__).resolve().parents[2].parent / "shared" / "cases" / "faults"
FORMATS = ("m.h5", "m.weights.h5", "m.keras", "m.tvq")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One small network in every format."""
    folder = tmp_path_factory.mktemp("whole")
    model = nn.Sequential([L.InputLayer((6, 6, 2)), L.Conv2D(4, 3, activation="relu"), L.Flatten(), L.Dense(3)])
    for name in FORMATS[:3]:
        model.save(folder / name)
    quant.quantize(model, np.random.default_rng(0).integers(0, 256, (4, 6, 6, 2), dtype=np.uint8)).save(folder / "m.tvq")
    return model, folder


def changed(source, target, change):
    """A copy in which `change(h5py.File, name of the largest array, that array)` was made; inside the archive for .keras."""
    image = io.BytesIO(source.read_bytes())
    if source.suffix == ".keras":
        with zipfile.ZipFile(source) as archive:
            members = {n: archive.read(n) for n in archive.namelist()}
        image = io.BytesIO(members["model.weights.h5"])
    with h5py.File(image, "r+") as f:
        arrays = []
        f.visititems(lambda name, item: arrays.append((item.size, name)) if isinstance(item, h5py.Dataset) and item.dtype.kind in "fi"
                     and "json" not in name else None)
        name = max(arrays)[1]
        change(f, name, f[name])
    if source.suffix == ".keras":
        with zipfile.ZipFile(target, "w") as archive:
            for n, data in members.items():
                archive.writestr(n, image.getvalue() if n == "model.weights.h5" else data)
    else:
        target.write_bytes(image.getvalue())
    return target


def ways(path, model):
    """Every way in which a file is opened."""
    yield "load", lambda: model.load_weights(path) if ".weights" in path.name else tinyvgg.load_model(path)
    if path.suffix != ".tvq":
        yield "summary", lambda: keras_h5.summary(path)
        yield "read", lambda: keras_h5.read(path)
        yield "optimizer", lambda: keras_h5.load_optimizer(path)
        yield "convert", lambda: keras_h5.convert(path, path.with_name("converted.h5"))
    if path.name in ("m.h5", "m.keras"):
        yield "analyze", lambda: describe_h5(path)


def external(victim):
    def change(f, name, data):
        shape, dtype = data.shape, data.dtype
        del f[name]
        f.create_dataset(name, shape, dtype, external=[(str(victim), 0, h5py.h5f.UNLIMITED)])
    return change


def virtual(victim):
    def change(f, name, data):
        layout = h5py.VirtualLayout(data.shape, data.dtype)
        layout[:] = h5py.VirtualSource(str(victim), "x", data.shape, data.dtype)
        del f[name]
        f.create_virtual_dataset(name, layout)
    return change


def external_link(victim):
    def change(f, name, data):
        del f[name]
        f[name] = h5py.ExternalLink(str(victim), "x")
    return change


def external_group(victim):
    """The first group of all leads out, and so does whatever lies below it."""
    def change(f, name, data):
        top = name.split("/")[0]
        del f[top]
        f[top] = h5py.ExternalLink(str(victim), "/")
    return change


def soft_link(victim):
    def change(f, name, data):
        f.move(name, "elsewhere")
        f[name] = h5py.SoftLink("/elsewhere")
    return change


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", [external, virtual, external_link, external_group, soft_link])
def test_nothing_outside_is_read(whole, tmp_path, form, kind):
    """CVE-2026-1669, and its siblings by links and virtual datasets."""
    model, folder = whole
    victim = tmp_path / "victim.h5"
    with h5py.File(victim, "w") as f:
        f["x"] = np.zeros(1000, "f4")
    path = changed(folder / form, tmp_path / form, kind(victim))
    for name, way in ways(path, model):
        if kind in (soft_link,) and name == "analyze":
            continue                                    # reads no array
        with pytest.raises(FormatError) as error:
            way()
        assert form in str(error.value), name


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFO")
@pytest.mark.parametrize("form", FORMATS)
def test_a_fifo_is_not_waited_for(whole, tmp_path, form):
    model, folder = whole
    os.mkfifo(tmp_path / "fifo")
    path = changed(folder / form, tmp_path / form, external(tmp_path / "fifo"))
    for _, way in ways(path, model):
        pytest.raises(FormatError, way)
    os.mkfifo(tmp_path / f"f{form}")                    # and the file itself may be one
    for _, way in ways(tmp_path / f"f{form}", model):
        pytest.raises(tinyvgg.errors.TinyVGGError, way)


@pytest.mark.parametrize("form", ["m.h5", "m.tvq"])
def test_a_patch_writes_into_its_own_file_alone(whole, tmp_path, form, capsys):
    """`bitflip apply --patch` once wrote into the file that external storage named."""
    _, folder = whole
    data = np.zeros(1 << 16, np.uint8)
    (tmp_path / "victim").write_bytes(data.tobytes())
    path = changed(folder / form, tmp_path / form, external(tmp_path / "victim"))
    assert main(["bitflip", "random", str(folder / form), "--memory", "file", "--flips", "2", "--data", "shapes", "-n", "8",
                 "--out", str(tmp_path / "run"), "--quiet"]) in (0, 2)
    plan = tmp_path / "run"
    assert main(["bitflip", "apply", str(path), "--plan", str(plan), "--patch", str(tmp_path / f"out{path.suffix}")]) == 2
    assert (tmp_path / "victim").read_bytes() == data.tobytes() and not (tmp_path / f"out{path.suffix}").exists()


@pytest.mark.parametrize("name", ["load_model_hangs.h5", "analyze_hangs.h5"])
@pytest.mark.skipif(not CASES.is_dir(), reason="the reported files are not at hand")
def test_reported_files_end_in_a_sentence(name, capsys):
    for verb in ("summary", "analyze", "evaluate", "convert"):
        more = ["/dev/null/x.h5"] if verb == "convert" else ["--data", "shapes"] if verb == "evaluate" else []
        assert main([verb, str(CASES / name), *more]) == 2
        assert name in capsys.readouterr().err


def heap_of(raw):
    return raw.index(b"GCOL\1") + 16


@pytest.mark.parametrize("size", [2 ** 64 - 1, 2 ** 64 - 16, 2 ** 63, 5000])
@pytest.mark.parametrize("form", ["m.h5", "m.tvq"])
def test_sizes_in_a_heap_of_texts(whole, tmp_path, form, size):
    """The library adds them up in 64 bits, which wrap around: it walked in a circle."""
    model, folder = whole
    raw = bytearray((folder / form).read_bytes())
    struct.pack_into("<Q", raw, heap_of(raw) + 8, size)
    path = tmp_path / form
    path.write_bytes(raw)
    for _, way in ways(path, model):
        with pytest.raises(FormatError, match="heap of texts"):
            way()


def test_what_looks_like_a_reference_to_text_counts_in_attributes_alone(tmp_path):
    """A layout message read one byte off did: (0x48010300 bytes, the heap at 0x800, index 0x90). So may any array."""
    path = tmp_path / "numbers.h5"
    with h5py.File(path, "w") as f:
        f.attrs["names"] = [f"text {i}" for i in range(20)]
    heap = path.read_bytes().index(b"GCOL")
    with h5py.File(path, "r+") as f:
        f["x"] = np.frombuffer(struct.pack("<IQI", 2 ** 32 - 1, heap, 1) * 100, np.uint8)
    with hdf5.open_file(path) as (f, budget):
        assert hdf5.read_array(hdf5.numbers(f, "x", budget)).size == 1600 and len(hdf5.strings(f, "names")) == 20


def test_text_that_is_claimed_and_not_there(whole, tmp_path):
    """The library makes room for it before it looks: a thousand entries of 4 GB are refused."""
    model, folder = whole
    raw = bytearray((folder / "m.h5").read_bytes())
    heap, at = raw.index(b"GCOL").to_bytes(8, "little"), 0
    while (at := raw.find(heap + b"\1\0\0\0", at + 1)) >= 0:
        raw[at - 4:at] = b"\xff" * 4
    (tmp_path / "m.h5").write_bytes(raw)
    with pytest.raises(FormatError):
        tinyvgg.load_model(tmp_path / "m.h5")


@pytest.mark.parametrize("elsewhere", [0, 0xff])
def test_one_claim_of_four_gigabytes(whole, tmp_path, elsewhere):
    """Also where the address leads to no heap: the room is made first."""
    model, folder = whole
    raw = bytearray((folder / "m.h5").read_bytes())
    at = raw.index(raw.index(b"GCOL").to_bytes(8, "little") + b"\1\0\0\0")
    raw[at - 1], raw[at] = 0xff, raw[at] ^ elsewhere
    (tmp_path / "m.h5").write_bytes(raw)
    for _, way in ways(tmp_path / "m.h5", model):
        with pytest.raises(FormatError, match="claim more text"):
            way()


def test_circles_in_the_structure(whole, tmp_path):
    """A tree that is its own child, a table that a group has twice, free places that follow each other."""
    _, folder = whole
    raw = (folder / "m.h5").read_bytes()
    tree, heap = raw.index(b"TREE"), raw.index(b"HEAP")
    circles = {"tree": bytearray(raw), "free": bytearray(raw), "table": bytearray(raw)}
    circles["tree"][tree + 5] = 1
    struct.pack_into("<Q", circles["tree"], tree + 32, tree)
    place, = struct.unpack_from("<Q", raw, heap + 24)
    struct.pack_into("<Q", circles["free"], heap + 16, 0)
    struct.pack_into("<QQ", circles["free"], place, 0, 16)
    struct.pack_into("<H", circles["table"], tree + 6, 2)
    circles["table"][tree + 48:tree + 56] = raw[tree + 32:tree + 40]
    for name, data in circles.items():
        with pytest.raises(FormatError):
            hdf5_structure.check(bytes(data), Budget(len(data)))
        (tmp_path / f"{name}.h5").write_bytes(data)
        pytest.raises(FormatError, tinyvgg.load_model, tmp_path / f"{name}.h5")


def test_structures_that_are_not_known_are_tried_in_a_process_of_their_own(whole, tmp_path):
    """Many links or attributes lie in heaps of another kind; such files open, and their links out are found too."""
    path = tmp_path / "new.h5"
    with h5py.File(path, "w", libver="latest") as f:
        for i in range(20):
            f[f"array{i}"] = np.full(3, i, "f4")
    assert not hdf5_structure.check(path.read_bytes(), Budget(1))
    with hdf5.open_file(path) as (f, budget):
        assert hdf5.read_array(hdf5.numbers(f, "array7", budget)).tolist() == [7, 7, 7]
    with h5py.File(path, "r+", libver="latest") as f:
        f["out"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(FormatError, match="link to another file"), hdf5.open_file(path):
        pass
    with pytest.raises(FormatError, match="link to another file"), hdf5.open_image(path.read_bytes()):
        pass


def test_a_process_that_does_not_come_back(monkeypatch, tmp_path):
    monkeypatch.setattr(hdf5_trial, "PATIENCE", 0.001)
    with pytest.raises(FormatError, match="does not come to an end"):
        hdf5_trial.try_file(tmp_path / "any")


def test_arrays_of_a_file_have_one_budget(tmp_path):
    """A thousand arrays, each below the limit of one, are not."""
    with h5py.File(tmp_path / "many.h5", "w") as f:
        for i in range(6):
            f.create_dataset(f"a{i}", (15 << 20,), "f4", chunks=(1 << 20,), compression="gzip")
        f.create_dataset("wide", (3,), "f4", chunks=(1 << 28,), maxshape=(None,))
    with hdf5.open_file(tmp_path / "many.h5") as (f, budget):
        with pytest.raises(FormatError, match="unpacks to over"):
            for i in range(6):
                hdf5.numbers(f, f"a{i}", budget)
        with pytest.raises(FormatError, match="wide declares"):
            hdf5.numbers(f, "wide", Budget(1000))
    slow = Budget(100, started=-1e9)
    with pytest.raises(FormatError, match="it took over 10 s"):
        slow.check_time()


def test_filters_other_than_the_usual_are_refused(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as f:
        f.create_dataset("x", data=np.zeros((100, 100), "i4"), scaleoffset=4)
    with pytest.raises(FormatError, match="packed by filter 6"), hdf5.open_file(tmp_path / "f.h5"):
        pass


@pytest.mark.parametrize("value", [3.5, np.arange(5), np.zeros(0), b"\xff\xfe", "9" * 5000, '{"config": ' + "9" * 5000 + "}", "[" * 100_000,
                                   "NaN", '{"config": 1e999}', np.zeros(3, "S9")])
def test_descriptions_that_are_none(whole, tmp_path, value):
    model, folder = whole
    with h5py.File(io.BytesIO((folder / "m.h5").read_bytes()), "r+") as f:
        f.attrs["model_config"] = value
        f.flush()
        image = f.id.get_file_image()
    (tmp_path / "m.h5").write_bytes(image)
    for _, way in ways(tmp_path / "m.h5", model):
        with pytest.raises(FormatError, match="m.h5"):
            way()
