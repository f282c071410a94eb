"""Short forms of benchmarks/robustness.py: files of every format that is not HDF5, a bad line, and how counts add up."""
import os

import pytest

from benchmarks import robustness
from benchmarks.campaign import readers
from tinyvgg import rng
from tinyvgg.testing import fuzzer
from tinyvgg.testing.mutations import mutated


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    for package in ("ziglang", "tflite", "flatbuffers"):
        pytest.importorskip(package, reason='a file of each format is written with pip install ".[all]"')
    folder = tmp_path_factory.mktemp("campaign")
    os.environ["TINYVGG_CAMPAIGN"] = str(folder)
    return readers.make(folder), folder


def test_damaged_files(made):
    """HDF5's are opened in a process of their own: tests/io/test_keras_fuzz.py."""
    faults = []
    for name, (path, reader, ending) in made[0].items():
        if "h5" in name or "tvq" in name or name in ("keras", "elf"):
            continue
        for i in range(10):
            kind, data = mutated(path.read_bytes(), ending, rng.generator(1, name, i))
            target = made[1] / f"damaged{ending}"
            target.write_bytes(data)
            outcome = fuzzer.outcome_of(getattr(readers, reader.split(":")[1]), target)
            faults += [(name, i, kind, outcome)] if outcome.startswith("FAULT") else []
    assert not faults


def test_a_bad_line(made):
    pytest.importorskip("unicorn")
    row = robustness.do("serial", "10 %", 0, 20, made[1])
    assert row["wrong"] == 0 and row["answered"] == 20 and row["again"] == 20


def test_counts_add_up():
    one = {"done": 2, "most_seconds": 1.5, "largest": 0.5, "examples": [1] * 15}
    assert robustness.together(one, {"done": 3, "most_seconds": 1.0, "largest": 0.7, "examples": [2] * 15}) == {
        "done": 5, "most_seconds": 1.5, "largest": 0.7, "examples": [1] * 15 + [2] * 5}
