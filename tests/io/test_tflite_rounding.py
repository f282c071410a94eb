"""Single rounding, which TensorFlow Lite can be built for: one rule in simulation, fast engine, C and firmware."""
from fractions import Fraction
from math import floor

import numpy as np
import pytest

pytest.importorskip("tflite", reason='pip install "tinyvgg[tflite]"')
pytest.importorskip("flatbuffers", reason='pip install "tinyvgg[tflite]"')

from tests.codegen.test_host import assert_same
from tests.io.test_tflite_integers import int8_network
from tests.quant.test_fast import same
from tests.quant.test_fast_moves import graph_of
from tinyvgg import io
from tinyvgg.cli import main
from tinyvgg.codegen import HostModel
from tinyvgg.errors import OptionError, QuantError
from tinyvgg.quant import load_tvq
from tinyvgg.quant.model import QuantizedModel
from tinyvgg.quant.rounding import multiply

FAST = ("-O1", "-Wall", "-Wextra", "-Werror")


def opened(folder, dtype, **settings):
    path = folder / f"{dtype}.tflite"
    path.write_bytes(int8_network(dtype=dtype))
    return io.load_model(path, **settings)


def test_it_is_the_nearest_number_and_ties_go_up():
    r = np.random.default_rng(0)
    x, m, e = r.integers(-2**31, 2**31, 3000), r.integers(2**30, 2**31, 3000), r.integers(-31, 1, 3000)
    ties = np.arange(-41, 41)
    x, m, e = (np.concatenate(v) for v in ((x, ties), (m, np.full(82, 2**30)), (e, np.tile([0, -1], 41))))
    exact = [floor(Fraction(int(a) * int(b), 2**31) * Fraction(2) ** int(c) + Fraction(1, 2)) for a, b, c in zip(x, m, e, strict=True)]
    once, twice = multiply(x, m, e, "single"), multiply(x, m, e, "double")
    assert once.tolist() == exact
    assert 0 < (once != twice).sum() and abs(once - twice).max() == 1
    with pytest.raises(QuantError, match="2\\^30 or more"):
        multiply(1, 2**30, 31, "single")


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_a_file_with_every_operator(dtype, tmp_path):
    """Other bytes than double rounding gives in convolutions, sum, mean and tables, and the same ones in engine and C."""
    x = np.random.default_rng(5).integers(0, 256, (400, 8, 8, 3), dtype=np.uint8)
    once, twice = opened(tmp_path, dtype, rounding="single"), opened(tmp_path, dtype)
    found, before = once.trace(x), twice.trace(x)
    assert {n for n in found if (found[n] != before[n]).any()} >= {"conv", "bn_2", "depthwise", "sum", "leaky", "mean", "logits"}
    assert (np.abs(found["conv"].astype(int) - before["conv"]) <= 1).all()
    same(once.graph, x[:9], None)
    assert_same(once, HostModel(once, flags=FAST), x[:40])


def test_firmware_gives_the_same_bytes(tmp_path, capsys):
    """By the command line: the .tvq holds the rounding, and what is built of it obeys."""
    pytest.importorskip("unicorn")
    pytest.importorskip("ziglang")
    from tinyvgg.board import Board
    from tinyvgg.firmware.network import build_network
    once = opened(tmp_path, "int8", rounding="single")
    assert main(["convert", str(tmp_path / "int8.tflite"), str(tmp_path / "once.tvq"), "--rounding", "single"]) == 0
    held = load_tvq(tmp_path / "once.tvq")
    assert held.sha256 == once.sha256 != io.load_model(tmp_path / "int8.tflite").sha256
    x = np.random.default_rng(6).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)
    network = build_network(held, tmp_path, name="once", compiler="zig")
    with Board(f"virtual:{network.image.elf}", flash_model="none") as board:
        assert np.array_equal(board.infer(x).raw, once.integer_logits(x))
    assert main(["convert", str(tmp_path / "int8.tflite"), str(tmp_path / "twice.tvq")]) == 0
    assert load_tvq(tmp_path / "twice.tvq").sha256 == io.load_model(tmp_path / "int8.tflite").sha256
    capsys.readouterr()


@pytest.mark.parametrize(("line", "words"), [
    ("{int8} {tmp}/a.h5 --rounding single", "--rounding is for a .tvq; OUT is"),
    ("{int8} {tmp}/a.tvq --logits 8", "--logits is for a .tflite; OUT is"),
    ("{int8} {tmp}/a.tvq --float32", "--for and --float32 are for Keras files; OUT is a .tvq"),
    ("light_cifar10 {tmp}/a.tvq", "is not an integer .tflite"),
    ("{int8} {tmp}/a.tvq --rounding twice", "--rounding is 'twice'; expected one of double, single"),
])
def test_mistakes(line, words, tmp_path, capsys):
    opened(tmp_path, "int8")
    assert main(["convert", *line.format(int8=tmp_path / "int8.tflite", tmp=tmp_path).split()]) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "a.tvq").exists()


def test_another_rounding_is_refused(tmp_path):
    with pytest.raises(OptionError, match="the rounding is 'thrice'; expected double or single"):
        opened(tmp_path, "int8", rounding="thrice")


@pytest.mark.slow
def test_c_of_random_graphs():
    """Tails of both roundings, behind and before all that moves values."""
    for seed in range(100):
        graph, images = graph_of(seed)
        model = QuantizedModel(graph)
        assert_same(model, HostModel(model, flags=FAST), images)
