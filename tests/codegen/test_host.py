"""The C of a model against its simulation: integers byte for byte, floats within 1e-5 of the largest."""
import ctypes
import gc
import json
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.quant.networks import models, randomise
from tinyvgg import models as networks
from tinyvgg import nn
from tinyvgg.codegen import HostModel
from tinyvgg.codegen import host as host_module
from tinyvgg.codegen.host import find_compiler
from tinyvgg.codegen.objects import objects
from tinyvgg.codegen.write import HERE
from tinyvgg.errors import BuildError, QuantError, ShapeError
from tinyvgg.nn import layers as L
from tinyvgg.quant import quantize
from tinyvgg.testing.integer_networks import share_weights

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "fixedpoint.json"
FAST = ("-O1",)             # compiles faster; the bytes do not depend on it
COMPILED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}


def assert_same(model, host, x):
    expected, got = model.trace(x), host.trace(x)
    assert set(got) == {op.name for op in host.program.layers}
    for name, values in got.items():
        if values.dtype == np.float32:
            assert np.allclose(values, expected[name], rtol=1e-5, atol=1e-7), name
        else:
            assert values.dtype == expected[name].dtype and np.array_equal(values, expected[name]), name
    assert np.array_equal(host.raw_logits(x), model.integer_logits(x))


def check_random(model, seed, softmax, bits, by_channel):
    from tinyvgg.quant.model import QuantizedModel
    generator = np.random.default_rng(seed)
    x = generator.integers(0, 256, (3, *model.input_shape), dtype=np.uint8)
    x[0] = generator.choice([0, 255])
    try:
        q = quantize(model, x[1:], softmax=softmax)
    except QuantError:                                  # a refusal in a sentence: this network has no integers
        return "refused"
    if bits:
        q = QuantizedModel(share_weights(q.graph, bits, generator, by_channel=by_channel))
    assert_same(q, HostModel(q, flags=FAST), x)
    return "same"


@pytest.mark.parametrize("examples", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_random_graphs(examples):
    """Networks that are refused are counted: a quantiser that refuses nearly all would pass every comparison."""
    counts = Counter()

    @settings(max_examples=examples, database=None, **COMPILED)
    @given(models(), st.integers(0, 2 ** 16), st.sampled_from(["integer", "float"]), st.integers(0, 8), st.booleans())
    def check(model, seed, softmax, bits, by_channel):
        counts[check_random(model, seed, softmax, bits, by_channel)] += 1

    check()
    assert counts["refused"] <= counts["same"] / 4, counts


def check_random_float(model, seed, bits, by_channel):
    from tinyvgg.quant.fuse import fuse
    from tinyvgg.quant.simulate import run
    generator = np.random.default_rng(seed)
    low, high = model.input_range
    x = generator.uniform(low, high, (3, *model.input_shape)).astype(np.float32)
    graph = fuse(model)
    if bits:
        graph = share_weights(graph, bits, generator, by_channel=by_channel)
    got, expected = HostModel(graph, flags=FAST).trace(x), run(graph, x.astype(np.float64), keep=True)
    for name, values in got.items():
        assert np.abs(values - expected[name]).max() <= 1e-5 * np.abs(expected[name]).max() + 1e-7, name


@settings(max_examples=3, **COMPILED)
@given(models(), st.integers(0, 2 ** 16), st.integers(0, 8), st.booleans())
def test_random_float_graphs(model, seed, bits, by_channel):
    check_random_float(model, seed, bits, by_channel)


@pytest.mark.slow
@settings(max_examples=100, **COMPILED)
@given(models(), st.integers(0, 2 ** 16), st.integers(0, 8), st.booleans())
def test_many_random_float_graphs(model, seed, bits, by_channel):
    check_random_float(model, seed, bits, by_channel)


def test_light(light, images):
    model, q = light
    host = HostModel(q)
    assert_same(q, host, images)
    assert np.array_equal(host.labels(images), q.labels(images)) and np.array_equal(host.logits(images), q.logits(images))
    assert host.program.arena_bytes <= 45_000
    assert host.n_classes == 10 and host.bounds == (0.0, 1.0) and host.sha256 == q.sha256


@pytest.mark.parametrize("name", [pytest.param("light", marks=pytest.mark.slow), "resnet8", "notebook"])
def test_float_networks(name, images):
    model = randomise(networks.build(name), np.random.default_rng(2), dead=0)
    low, high = model.input_range
    x = images[:3] / np.float32(255) * np.float32(high - low) + np.float32(low)
    host, expected = HostModel(model), model.logits(x)
    assert np.abs(host.logits(x) - expected).max() <= 1e-5 * np.abs(expected).max()
    assert np.allclose(host.predict(x), model.predict(x), atol=1e-6)
    if model.ends_in_softmax:
        assert np.allclose(host.scores(x), model.predict(x), atol=1e-6)


def test_every_kernel(small):
    x = np.random.default_rng(1).integers(0, 256, (40, 9, 8, 3), dtype=np.uint8)
    q = quantize(small, x)
    host = HostModel(q)
    names = ("add_u8", "conv2d_u8", "dense_u8", "depthwise_u8", "dot", "pool_u8", "softmax_u8")
    assert host.program.kernels == [f"tv_{name}" for name in names]
    assert_same(q, host, x)


def test_plain_arithmetic_gives_the_golden_table(tmp_path):
    table = json.loads(GOLDEN.read_text())
    source = tmp_path / "golden.c"
    source.write_text('#include "tv_intrinsics.h"\nint32_t rounded(int32_t a, int32_t b);\n'
                      "int32_t rounded(int32_t a, int32_t b) { return tv_smmulr(a, b); }\n")
    subprocess.run([*find_compiler(), "-shared", "-fPIC", "-O2", f"-I{HERE / 'kernels'}", str(source), "-o",
                    str(tmp_path / "golden.so")], check=True)
    rounded = ctypes.CDLL(str(tmp_path / "golden.so")).rounded
    assert [rounded(a, b) for a, b, _ in table] == [y for _, _, y in table]


def test_a_network_that_ends_in_a_map():
    """A backbone without its head: what C and integers give is flat."""
    model = nn.Sequential([L.InputLayer((6, 5, 2)), L.Conv2D(3, 3, strides=2)], seed=1)
    x = np.random.default_rng(0).random((4, 6, 5, 2), dtype=np.float32)
    q = quantize(model, x)
    floats, integers = HostModel(model, flags=FAST), HostModel(q, flags=FAST)
    assert np.allclose(floats.outputs(x), model.outputs(x).reshape(4, 12), atol=1e-6)
    assert q.integer_logits(x).shape == (4, 12) and np.array_equal(integers.raw_logits(x), q.integer_logits(x))


@pytest.fixture(scope="module")
def small_integers(small):
    return quantize(small, np.random.default_rng(1).integers(0, 256, (8, 9, 8, 3), dtype=np.uint8))


def test_wrong_images(small_integers):
    host = HostModel(small_integers, flags=FAST)
    with pytest.raises(ShapeError):
        host.labels(np.zeros((2, 3, 9, 8), np.uint8))


def test_objects_are_those_of_the_text_and_its_headers(tmp_path):
    """Compiled once, also from another folder; anew for another option, text or header, the second one's header too."""
    calls, place = [], tmp_path / "place"

    def compiled(value, option="-O1", text="int f(void) { return N; }"):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        for made in (folder, place):
            made.mkdir(exist_ok=True)
        for name, content in (("a.c", f'#include "a.h"\n{text}\n'), ("a.h", '#include "b.h"\n'), ("b.h", f"#define N {value}\n")):
            (folder / name).write_text(content)
        (path,) = objects([str(folder / "a.c")], [*find_compiler(), option], lambda words: calls.append(subprocess.run(
            words, check=True, cwd=place)), place)
        return Path(path).read_bytes()
    first = compiled(3)
    assert compiled(3) == first and len(calls) == 1
    assert compiled(4) != first and len(calls) == 2
    assert compiled(3, "-O0") and len(calls) == 3
    assert compiled(3, text="int g(void) { return N; }") != first and len(calls) == 4
    assert compiled(3) == first and len(calls) == 4


def test_no_compiler():
    with pytest.raises(BuildError, match="not found"):
        find_compiler("no-such-compiler-here")


def test_a_library_that_cannot_be_deleted(small_integers, monkeypatch, tmp_path, capfd):
    """As on Windows while it is loaded: no traceback, then or at the end; what was left goes after a day."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old = tmp_path / "tinyvgg-host-old"
    old.mkdir()
    os.utime(old, (1, 1))
    real = os.unlink

    def unlink(path, *more, **named):
        if str(path).endswith("network.so"):
            raise PermissionError(13, "Access is denied", str(path))
        return real(path, *more, **named)
    host = HostModel(small_integers, flags=FAST)
    assert [p.name.startswith("tinyvgg-host-") for p in tmp_path.iterdir()] == [True, True]
    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", unlink)
        del host
        gc.collect()
    assert not old.exists() and capfd.readouterr().err == ""


def test_compilers_by_their_path(monkeypatch, tmp_path):
    """A path with spaces is one word; on Windows backslashes are no escapes; quotes without an end are a sentence."""
    real = find_compiler()[0]
    (tmp_path / "my compiler").symlink_to(shutil.which(real))
    assert find_compiler(str(tmp_path / "my compiler")) == [str(tmp_path / "my compiler")]
    monkeypatch.setenv("CC", str(tmp_path / "my compiler"))
    assert find_compiler() == [str(tmp_path / "my compiler")]
    with pytest.raises(BuildError, match="is not a command"):
        find_compiler("gcc 'unended")
    monkeypatch.setattr(host_module.shutil, "which", lambda name: name if name in (r"C:\LLVM\bin\clang.exe", r"C:\a b\cc.exe") else None)
    monkeypatch.setattr(host_module.os, "name", "nt")
    assert find_compiler(r"C:\LLVM\bin\clang.exe -O1") == [r"C:\LLVM\bin\clang.exe", "-O1"]
    assert find_compiler(r'"C:\a b\cc.exe" -O1') == [r"C:\a b\cc.exe", "-O1"]


def test_a_compiler_that_says_nothing(monkeypatch, tmp_path):
    """Killed, or on a full disk: what is known of it is told."""
    done = subprocess.CompletedProcess([], -9, "", "")
    assert "signal 9" in host_module.why_refused(done, tmp_path)
    monkeypatch.setattr(host_module.shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10, 10, 0))
    assert host_module.why_refused(done, tmp_path) == f"the disk of {tmp_path} is full"
    assert host_module.why_refused(subprocess.CompletedProcess([], 1, "", "x.c:1: error: no\n"), tmp_path) == "x.c:1: error: no"


def test_a_float_network_takes_floats_and_an_integer_one_bytes():
    model = nn.Sequential([L.InputLayer((4, 4, 1)), L.Flatten(), L.Dense(3)], seed=1)
    assert not HostModel(model).takes_bytes
    assert HostModel(quantize(model, np.random.default_rng(0).random((8, 4, 4, 1), np.float32))).takes_bytes
