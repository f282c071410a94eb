"""C that decodes its weights: the bytes of the simulation, on this machine and on the board."""
import numpy as np
import pytest

from tests.codegen.test_host import assert_same
from tests.codegen.test_variants import BOARD_COMPILERS, FAST, draw_variants, possible
from tests.quant.networks import randomise
from tinyvgg import nn
from tinyvgg.codegen import HostModel, with_variants
from tinyvgg.codegen.program import build_program
from tinyvgg.nn import layers as L
from tinyvgg.quant import quantize
from tinyvgg.quant.model import QuantizedModel
from tinyvgg.quant.ops.weights import CodedWeights
from tinyvgg.testing.integer_networks import code_weights


def network(seed=0):
    """Odd sizes, every kernel that decodes."""
    start = node = nn.Input((9, 7, 3))
    node = L.BatchNormalization()(L.Conv2D(5, 3, padding="same", activation="relu")(node))
    node = L.DepthwiseConv2D(3, padding="same", activation="relu")(node)
    node = L.MaxPooling2D(2)(L.Conv2D(8, 3, padding="same")(node))
    node = L.Conv2D(6, 3, activation="relu", padding="same")(node)
    node = L.Dense(9, activation="relu")(L.Flatten()(node))
    return randomise(nn.Model(start, L.Dense(3)(node), seed=seed), np.random.default_rng(seed))


@pytest.fixture(scope="module")
def coded():
    generator = np.random.default_rng(1)
    x = generator.integers(0, 256, (3, 9, 7, 3), dtype=np.uint8)
    return x, code_weights(quantize(network(), x).graph, generator)


@pytest.mark.parametrize("variants", [("direct_ram", "winograd4_ram", "direct16_rows"), ("direct", "winograd2_rows", "direct16")])
def test_this_machine(coded, variants):
    x, graph = coded
    chosen = dict(zip(("conv2d", "conv2d_1", "conv2d_2"), variants, strict=True))
    assert set(chosen) == set(possible(graph))
    model = QuantizedModel(with_variants(graph, chosen))
    assert_same(model, HostModel(model, flags=(*FAST, "-Wall", "-Wextra", "-Werror")), x)


def test_constants_are_streams(coded):
    _, graph = coded
    program = build_program(with_variants(graph, {"conv2d_1": "winograd4_ram"}), "coded")
    for op in graph.ops:
        own = {c.name.rsplit("_", 1)[1] for c in program.constants if c.op == op.name}
        assert not isinstance(getattr(op, "weights", None), CodedWeights) or {"stream", "counts", "values"} <= own and "weights" not in own


@pytest.mark.parametrize("compiler", BOARD_COMPILERS[:1])
def test_the_board(coded, compiler, tmp_path):
    from tinyvgg.board import Board
    from tinyvgg.firmware.network import build_network
    x, graph = coded
    model = QuantizedModel(with_variants(graph, {"conv2d": "direct_ram", "conv2d_1": "winograd4_ram", "conv2d_2": "direct16_rows"}))
    image = build_network(model, tmp_path, name="coded", compiler=compiler, code="sram2").image
    with Board(f"virtual:{image.elf}") as board:
        assert np.array_equal(board.infer(x).raw, model.integer_logits(x))


@pytest.mark.slow
def test_many_random_graphs():
    for seed in range(40):
        generator = np.random.default_rng(seed)
        x = generator.integers(0, 256, (3, 9, 7, 3), dtype=np.uint8)
        model = QuantizedModel(draw_variants(code_weights(quantize(network(seed), x).graph, generator), generator))
        assert_same(model, HostModel(model, flags=FAST), x)
