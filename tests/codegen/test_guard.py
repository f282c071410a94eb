"""The checks of constants as C on this machine, beside the models of tinyvgg.faults.defences: what is found, what is repaired."""
import ctypes

import numpy as np
import pytest

from tinyvgg.codegen import generate
from tinyvgg.codegen.guard import Guard, guard_bytes, parse_guard
from tinyvgg.codegen.host import compile_library
from tinyvgg.errors import OptionError
from tinyvgg.faults.baseline import draw
from tinyvgg.faults.defences import Crc, Radar, Ranges, Replicas
from tinyvgg.faults.open import open_store
from tinyvgg.rng import generator

DEFENCES = {"crc": lambda s: Crc(s), "radar=8": lambda s: Radar(s, 8), "radar=32": lambda s: Radar(s, 32),
            "ranges=16": lambda s: Ranges(s, 16), "replicas": lambda s: Replicas(s)}


class Report(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("found", "repaired", "harmed", "array")]


class Compiled:
    """The C of a network with one defence, its constants writable: `arrays` are the memory itself."""

    def __init__(self, model, store, defence, folder, flags=("-O1", "-DTV_WEIGHTS_IN_RAM")):
        self.program = generate(model, folder, name="network", guard=parse_guard(defence))
        self.library = ctypes.CDLL(str(compile_library(folder, folder / "n.so", flags=flags)))
        self.arrays = {}
        for key, array in store.arrays.items():
            if not key.endswith("/tail_shift"):
                memory = (ctypes.c_uint8 * array.nbytes).in_dll(self.library, store.constant(key))
                self.arrays[key] = np.frombuffer(memory, array.dtype)

    def check(self):
        report = Report()
        guard = ctypes.c_char.in_dll(self.library, "network_guard")
        harmed = self.library.tv_guard_check(ctypes.byref(guard), ctypes.byref(report))
        assert harmed == report.harmed
        return report


@pytest.fixture(scope="module")
def model():
    from tests.quant.networks import randomise
    from tinyvgg import nn
    from tinyvgg.nn import layers as L
    from tinyvgg.quant import quantize
    net = nn.Sequential([L.InputLayer((9, 8, 3)), L.Conv2D(7, 3, padding="same", activation="relu"), L.BatchNormalization(),
                         L.DepthwiseConv2D(3, activation="relu"), L.MaxPooling2D(), L.Flatten(), L.Dense(5)], name="guarded")
    x = np.random.default_rng(2).integers(0, 256, (8, 9, 8, 3), dtype=np.uint8)
    return quantize(randomise(net, np.random.default_rng(3), dead=0), x)


@pytest.mark.parametrize("name", DEFENCES)
def test_c_finds_and_repairs_what_the_model_does(model, name, tmp_path):
    """Random flips of any constants, thirty times: the same arrays after the repair, and found where the model finds."""
    store = open_store(model)
    defence, keys = DEFENCES[name](store), [k for k in store.arrays if not k.endswith("/tail_shift")]
    compiled, before = Compiled(model, store, name, tmp_path), {k: a.copy() for k, a in store.arrays.items()}
    assert compiled.check().found == 0
    found = 0
    for seed in range(30):
        store.toggle(draw(store, keys, 1 + seed % 7, generator(seed, "test")))
        for key in keys:
            compiled.arrays[key][...] = store.arrays[key].reshape(-1)
        report, seen = compiled.check(), defence.check(store)
        assert bool(report.found) == bool(seen), seed
        found += bool(seen)
        assert report.harmed == (len(seen) if name == "crc" else 0) and bool(report.repaired) == bool(seen and name != "crc")
        defence.repair(store)
        for key in keys:
            assert (compiled.arrays[key] == store.arrays[key].reshape(-1)).all(), (seed, key)
            store.arrays[key][...] = before[key]
        store.changed(set(keys))
    assert found >= (30 if name == "crc" else 5)


def test_together_the_crc_has_the_last_word(model, tmp_path):
    """Replicas give back a bias, so the CRC is content; a zeroed group is not what it was."""
    store = open_store(model)
    compiled = Compiled(model, store, "crc,replicas,radar=8", tmp_path)
    bias = next(k for k in compiled.arrays if k.endswith("/offset"))
    compiled.arrays[bias][2] ^= 1 << 20
    report = compiled.check()
    assert (report.found, report.repaired, report.harmed) == (1, 1, 0) and compiled.check().found == 0
    compiled.arrays["dense/weights"].view(np.uint8)[0] ^= 0x80
    report = compiled.check()
    assert report.harmed == 1 and report.repaired > 1
    names = [c.name for c in compiled.program.constants]
    assert names[report.array] == "dense_weights"


@pytest.mark.parametrize("defence, harmed, cured", [("crc", 1, False), ("replicas", 0, True)])
def test_shifts_are_watched_too(model, defence, harmed, cured, tmp_path):
    store = open_store(model)
    compiled = Compiled(model, store, defence, tmp_path)
    keys = [k for k in store.arrays if k.endswith("/tail_shift")]
    places = (ctypes.POINTER(ctypes.c_uint32) * len(keys)).in_dll(compiled.library, "network_shifts")
    assert [p.contents.value for p in places] == [int(store.arrays[k][0]) for k in keys]
    before = places[1].contents.value
    places[1].contents.value = before ^ 2
    report = compiled.check()
    assert (report.found, report.harmed, report.array) == (1, harmed, len(compiled.program.constants) + 1)
    assert (places[1].contents.value == before) == cured


def test_constants_in_flash_are_only_looked_at(model, tmp_path):
    """Without writable constants a finding stays; nothing is found in what was never changed."""
    store = open_store(model)
    compiled = Compiled(model, store, "crc,replicas,radar=8,ranges=16", tmp_path, flags=("-O1",))
    assert compiled.check().found == 0
    sizes = guard_bytes(compiled.program, Guard(crc=True, radar=8, ranges=16, replicas=True))
    assert sizes["crc"] == 16 * len(compiled.program.constants) and all(sizes.values())


@pytest.mark.parametrize("text", ["rador", "radar=1", "radar=x", "crc=4", "ranges=99999999"])
def test_unknown_defences(text):
    with pytest.raises(OptionError, match="there is no defence"):
        parse_guard(text)


def test_a_float_network_has_no_int8_weights(tmp_path):
    from tinyvgg import nn
    from tinyvgg.nn import layers as L
    net = nn.Sequential([L.InputLayer((4, 4, 1)), L.Flatten(), L.Dense(4), L.Dense(3)], name="floats")
    with pytest.raises(OptionError, match="nothing for the defence 'radar'"):
        generate(net, tmp_path, guard=parse_guard("radar"))
    assert not list(tmp_path.iterdir())
    generate(net, tmp_path, guard=parse_guard("crc,replicas"))
    compile_library(tmp_path, tmp_path / "n.so", flags=("-Wall", "-Wextra", "-Wconversion", "-Werror", "-pedantic"))
