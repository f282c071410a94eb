"""The .tvq file: what is read is what was written; a damaged file gives one sentence, never a crash, a hang or a huge array."""

import json
import os

import h5py
import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from tests.quant.networks import models
from tinyvgg import io
from tinyvgg import models as zoo
from tinyvgg.errors import FormatError, QuantError, TinyVGGError
from tinyvgg.quant import CompressedModel, QuantizedModel, load_tvq, quantize
from tinyvgg.quant.schemes import compress
from tinyvgg.quant.simulate import run
from tinyvgg.quant.tvq import stored_fields


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small integer model in a file, with its images."""
    from tinyvgg import nn
    from tinyvgg.nn import layers as L

    model = nn.Sequential(
        [
            L.InputLayer((6, 6, 2)),
            L.Conv2D(4, 3, padding="same", activation="relu"),
            L.BatchNormalization(),
            L.MaxPooling2D(),
            L.Flatten(),
            L.Dense(3, activation="softmax"),
        ]
    )
    x = np.random.default_rng(0).integers(0, 256, (8, 6, 6, 2), dtype=np.uint8)
    path = tmp_path_factory.mktemp("tvq") / "small.tvq"
    q = compress(model, "shared4", x, calibration="minmax")
    q.save(path)
    return path, q, x


@settings(max_examples=15, deadline=None)
@given(models(), st.sampled_from(["int8", "shared3", "float"]))
def test_round_trip(tmp_path_factory, model, scheme):
    x = np.random.default_rng(0).integers(0, 256, (4, *model.input_shape), dtype=np.uint8)
    path = tmp_path_factory.mktemp("tvq") / "model.tvq"
    try:
        options = {"codebook": "float", "per": "channel"} if scheme == "float" else {"x": x, "calibration": "minmax"}
        compress(model, "shared4" if scheme == "float" else scheme, **options).save(path)
    except QuantError:                                  # a refusal in a sentence; hypothesis fails where nearly all are refused
        reject()
    again = io.load_model(path)
    if scheme == "float":
        assert isinstance(again, CompressedModel)
        return
    assert isinstance(again, QuantizedModel) and again.graph.facts["scheme"] == scheme
    q = load_tvq(path)
    first = compress(model, scheme, x, calibration="minmax")
    assert first.sha256 == again.sha256 == q.sha256 and (first.integer_logits(x) == again.integer_logits(x)).all()
    low, high = model.input_range
    floats = (x / 255 * (high - low) + low).astype(np.float32)
    assert (run(again.float_graph, floats) == run(first.float_graph, floats)).all()


def test_the_file_opens_as_any_model(saved):
    path, q, x = saved
    model = io.load_model(path)
    assert (model.labels(x) == q.labels(x)).all() and model.sha256 == q.sha256
    assert "not a .tvq" in str(pytest.raises(FormatError, load_tvq, _plain_hdf5(path.parent)).value)
    with pytest.raises(FormatError, match="is not there"):
        load_tvq(path.parent / "other.tvq")


IN_VERSION_1 = {         # what files of version 1 hold of an op: another field, or one less, is another version of the format
    "Image": "inputs name residue scale shape zero", "FloatImage": "inputs name scale shape shift",
    "Conv2D": "dilation input_zero inputs name padding pool scale shape strides tail variant weights zero",
    "FloatConv2D": "dilation inputs name padding pool shape strides tail weights",
    "Dense": "input_zero inputs name output scale shape tail variant weights zero", "FloatDense": "inputs name shape tail weights",
    "Softmax": "input_scale inputs kind multiplier name scale shape shift zero", "FloatSoftmax": "inputs name shape"}


@pytest.mark.parametrize("name", IN_VERSION_1)
def test_files_of_version_1_stay_readable(name):
    assert " ".join(sorted(stored_fields(name))) == IN_VERSION_1[name]


@pytest.mark.parametrize("version", [1.5, True, "1", [1], 2, -1])
def test_another_version_is_not_taken_for_this_one(saved, version, tmp_path):
    (tmp_path / "m.tvq").write_bytes(saved[0].read_bytes())
    with h5py.File(tmp_path / "m.tvq", "r+") as file:
        file.attrs["version"] = version
    with pytest.raises(FormatError, match="version .* of the .tvq format; this library reads 1"):
        load_tvq(tmp_path / "m.tvq")


def _plain_hdf5(folder):
    with h5py.File(folder / "plain.tvq", "w") as f:
        f.create_dataset("x", data=[1])
    return folder / "plain.tvq"


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_fuzzed_bytes(saved, tmp_path_factory, data):
    refused_or_the_same(saved, tmp_path_factory, data)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(st.data())
def test_many_fuzzed_bytes(saved, tmp_path_factory, data):
    refused_or_the_same(saved, tmp_path_factory, data)


def refused_or_the_same(saved, tmp_path_factory, data):
    """Bytes changed, removed or repeated: a FormatError, or, where they were padding, the same model."""
    path, q, x = saved
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(raw) - 1))
        how = data.draw(st.sampled_from(["flip", "byte", "cut", "double"]))
        if how == "flip":
            raw[at] ^= 1 << data.draw(st.integers(0, 7))
        elif how == "byte":
            raw[at] = data.draw(st.sampled_from([0, 1, 127, 128, 255]))
        elif how == "cut":
            del raw[at : at + data.draw(st.sampled_from([1, 8, 512, len(raw)]))]
        else:
            raw[at:at] = raw[at : at + 16]
        raw = raw or bytearray(b"\0")
    damaged = tmp_path_factory.getbasetemp() / "damaged.tvq"
    damaged.write_bytes(raw)
    try:
        model = load_tvq(damaged)
    except FormatError as error:
        assert "damaged.tvq" in str(error)
    else:
        assert model.sha256 == q.sha256 and (model.integer_logits(x) == q.integer_logits(x)).all()


def test_a_heap_that_the_library_would_walk_for_ever(saved, tmp_path):
    """Free space of no size in the heap of texts: refused before the HDF5 library sees it, whichever way the file is opened."""
    raw = bytearray(saved[0].read_bytes())
    at = raw.index(b"GCOL") + 16
    raw[at:at + 16] = bytes(16)
    path = tmp_path / "damaged.tvq"
    path.write_bytes(raw)
    for load in (load_tvq, io.load_model):
        with pytest.raises(FormatError, match="damaged.tvq.*objects without size"):
            load(path)


def _edit(path, target, change):
    """Copy a file and change the JSON of its graph; the hash is left as it was."""
    target.write_bytes(path.read_bytes())
    with h5py.File(target, "r+") as f:
        description = json.loads(bytes(f["graph/json"][()]).decode())
        change(description)
        del f["graph/json"]
        f["graph"].create_dataset("json", data=np.frombuffer(json.dumps(description).encode(), np.uint8))
    return target


def _op(d, kind):
    return next(op for op in d["ops"] if op["class"] == kind)


EDITS = {"huge shape": lambda d: _op(d, "Conv2D").update(shape=[2**30, 2**30, 4]),
         "huge array": lambda d: _op(d, "Dense")["tail"]["bias"].update(shape=[2**30]),
         "wrong shape": lambda d: _op(d, "Conv2D").update(shape=[4, 4, 4]),
         "wrong zero": lambda d: _op(d, "Conv2D").update(input_zero=7),
         "unknown op": lambda d: _op(d, "Conv2D").update({"class": "Exec"}),
         "float op": lambda d: _op(d, "Image").update({"class": "FloatImage"}),
         "a cycle": lambda d: _op(d, "Conv2D").update(inputs=[_op(d, "Dense")["name"]]),
         "extra field": lambda d: _op(d, "Conv2D").update(code="print(1)"),
         "shift": lambda d: _op(d, "Conv2D")["tail"].update(shift=40),
         "overflow": lambda d: _op(d, "Conv2D")["tail"].update(shift=15),
         "negative padding": lambda d: _op(d, "Conv2D").update(padding=[[-5, 1], [1, 1]]),
         "stride 0": lambda d: _op(d, "Conv2D").update(strides=[0, 1]),
         "variant": lambda d: _op(d, "Conv2D").update(variant="magic"),
         "nan": lambda d: _op(d, "Conv2D").update(scale=float("nan")),
         "text for a number": lambda d: _op(d, "Conv2D").update(scale="1"), "twice": lambda d: d["ops"].append(d["ops"][1]),
         "no ops": lambda d: d.update(ops=[]), "bits": lambda d: _op(d, "Conv2D")["weights"].update(bits=1),
         "range": lambda d: d.update(input_range=[1, 0]), "other hash": lambda d: _op(d, "Conv2D").update(scale=0.5)}


@pytest.mark.parametrize("edit", EDITS)
def test_wrong_descriptions(saved, tmp_path, edit):
    with pytest.raises(FormatError) as caught:
        load_tvq(_edit(saved[0], tmp_path / "edited.tvq", EDITS[edit]))
    assert "edited.tvq" in str(caught.value) and str(caught.value).count("\n") <= 1


def test_facts_may_be_anything_plain(saved, tmp_path):
    model = load_tvq(_edit(saved[0], tmp_path / "edited.tvq", lambda d: d.update(facts={"note": [1, None, "x"]})))
    assert model.graph.facts == {"note": [1, None, "x"]}


def test_nothing_half_written(saved, tmp_path, monkeypatch):
    path, q, _ = saved
    target = tmp_path / "kept.tvq"
    target.write_bytes(path.read_bytes())
    monkeypatch.setattr("tinyvgg.quant.tvq._write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(TinyVGGError, match="No space left"):
        q.save(target)
    assert target.read_bytes() == path.read_bytes() and [p.name for p in tmp_path.iterdir()] == ["kept.tvq"]


def test_light_saves_and_loads(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    q = quantize(zoo.light(), x)
    q.save(tmp_path / "light.tvq")
    assert load_tvq(tmp_path / "light.tvq").sha256 == q.sha256


@pytest.mark.parametrize("kind", ["folder", "fifo", "empty"])
def test_what_is_no_file(tmp_path, kind):
    path = tmp_path / "m.tvq"
    if kind == "fifo" and not hasattr(os, "mkfifo"):
        pytest.skip("no FIFOs here")
    {"folder": path.mkdir, "fifo": lambda: os.mkfifo(path), "empty": path.touch}[kind]()
    with pytest.raises(FormatError) as caught:
        load_tvq(path)
    assert str(caught.value).startswith(f"{path} is {'empty' if kind == 'empty' else 'not a file'}")
