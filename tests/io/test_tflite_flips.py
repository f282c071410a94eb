"""Bit flips in a .tflite file itself: the byte that is told is the one that changes, and the file opens as the store said."""
import json

import numpy as np
import pytest

pytest.importorskip("tflite", reason='pip install "tinyvgg[tflite]"')
pytest.importorskip("flatbuffers", reason='pip install "tinyvgg[tflite]"')

from tests.io.test_tflite_integers import int8_network
from tests.io.tflite_files import float_network
from tinyvgg import faults, io
from tinyvgg.cli import main
from tinyvgg.errors import NotYet
from tinyvgg.faults.plan import FlipPlan, Step, flips_of
from tinyvgg.io.tflite.places import places

FILES = {"float": lambda: float_network()[0], "int8": int8_network, "uint8": lambda: int8_network(dtype="uint8")}


def plan_of(store, *flips):
    return FlipPlan(store.name, store.sha256, "file", "file", [Step(tuple(flips_of(store, flips)))])


@pytest.mark.parametrize("kind", FILES)
def test_one_flip_is_one_bit_of_the_file(kind, tmp_path):
    path, out = tmp_path / "net.tflite", tmp_path / "flipped.tflite"
    path.write_bytes(FILES[kind]())
    model, found = io.load_model(path), places(path)
    store = faults.open_store(model, "file")
    assert {key.rsplit("/", 1)[1] for key in found} == ({"kernel", "bias"} if kind == "float" else {"weights", "bias"})
    x = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    for key, place in found.items():
        assert place.index.shape == store.arrays[key].shape
        index, bit = store.arrays[key].size // 2, store.bits(key) - 2
        plan = plan_of(store, (key, index, bit))
        assert faults.patch_file(plan, path, out) == 1
        old, new = (np.frombuffer(p.read_bytes(), np.uint8) for p in (path, out))
        at, = np.flatnonzero(old != new)
        assert at == place.byte(index, bit) and old[at] ^ new[at] == 1 << bit % 8, key
        plan.apply(store)
        np.testing.assert_array_equal(faults.open_store(io.load_model(out), "file").arrays[key], store.arrays[key])
        if key.endswith(("kernel", "weights")):
            np.testing.assert_array_equal(io.load_model(out).logits(x), store.logits(x))
        plan.revert(store)


def test_numbers_that_the_file_has_not_are_named(tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(int8_network())
    store = faults.open_store(io.load_model(path), "file")
    with pytest.raises(NotYet, match="mean/weights is not a separate array"):
        faults.patch_file(plan_of(store, ("mean/weights", 0, 0)), path, tmp_path / "flipped.tflite")
    assert not (tmp_path / "flipped.tflite").exists()


def test_the_verb_tells_places_in_the_file(tmp_path, capsys):
    path, out, images = tmp_path / "net.tflite", tmp_path / "flipped.tflite", tmp_path / "x.npy"
    path.write_bytes(int8_network())
    np.save(images, np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8))
    np.save(tmp_path / "y.npy", np.arange(12) % 5)
    data = ["--data", f"{images},{tmp_path / 'y.npy'}", "-n", "12", "--json"]
    plan = plan_of(faults.open_store(io.load_model(path), "file"), ("logits/weights", 7, 6))
    plan.save(tmp_path / "plan.json")
    assert main(["bitflip", "apply", str(path), "--plan", str(tmp_path), "--patch", str(out), *data]) == 0
    told = json.loads(capsys.readouterr().out)["addresses"]
    at, = np.flatnonzero(np.frombuffer(path.read_bytes(), np.uint8) != np.frombuffer(out.read_bytes(), np.uint8))
    assert told == [{"tensor": "logits/weights", "index": 7, "bit": 6, "address": f"{at:#010x}"}]
