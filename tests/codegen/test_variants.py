"""Kernels for fixed shapes: every variant of every layer gives the bytes of the simulation, on this machine and on the board."""
import dataclasses
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.codegen.test_host import assert_same
from tests.quant.networks import models, randomise
from tinyvgg import nn
from tinyvgg.codegen import HostModel, generate, variant_cost, variants, with_variants
from tinyvgg.codegen.ops._fixed import TRANSFORMS, as_words, lanes, words_winograd
from tinyvgg.codegen.program import build_program
from tinyvgg.errors import NotYet
from tinyvgg.nn import layers as L
from tinyvgg.quant import quantize
from tinyvgg.quant.model import QuantizedModel
from tinyvgg.quant.ops.tail import Tail
from tinyvgg.quant.ops.weighted import VARIANTS
from tinyvgg.testing.integer_networks import share_weights

FAST = ("-O1",)
COMPILED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
NEEDS_GCC = pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="no arm-none-eabi-gcc here")
BOARD_COMPILERS = ["zig", pytest.param("gcc", marks=NEEDS_GCC)]


def possible(graph):
    """{layer: variants it can run as} of every layer that has a choice."""
    found = {op.name: variants(op, graph[op.inputs[0]].shape) for op in graph.ops[1:]}
    return {name: v for name, v in found.items() if len(v) > 1}


def draw_variants(graph, generator):
    """The graph with a variant drawn for each layer that has a choice."""
    return with_variants(graph, {name: str(generator.choice(v[1:])) for name, v in possible(graph).items()})


@st.composite
def convolutions(draw):
    """A chain of convolutions that Winograd may take, of odd sizes, few or many channels, pooled or not."""
    h, w, c = draw(st.integers(3, 13)), draw(st.integers(3, 13)), draw(st.integers(1, 4))
    start = node = nn.Input((h, w, c))
    for _ in range(draw(st.integers(1, 3))):
        if min(node.shape[:2]) < 3:
            break
        filters = draw(st.sampled_from([1, 2, 3, 4, 5, 8, 17]))
        node = L.Conv2D(filters, 3, padding=draw(st.sampled_from(["same", "valid"])))(node)
        node = L.Activation(draw(st.sampled_from(["relu", "relu6", "leaky_relu", "linear"])))(node)
        node = L.BatchNormalization()(node) if draw(st.booleans()) else node
        node = L.MaxPooling2D(2)(node) if min(node.shape[:2]) > 1 and draw(st.booleans()) else node
    node = L.Dense(3)(L.Flatten()(node))
    seed = draw(st.integers(0, 2 ** 16))
    return randomise(nn.Model(start, node, seed=seed), np.random.default_rng(seed))


def varied(model, seed, bits=0):
    """(images, the int8 or codebook model, the same with variants drawn)."""
    generator = np.random.default_rng(seed)
    x = generator.integers(0, 256, (3, *model.input_shape), dtype=np.uint8)
    x[0] = generator.choice([0, 255])
    graph = quantize(model, x[1:]).graph
    if bits:
        graph = share_weights(graph, bits, generator, by_channel=False)
    return x, QuantizedModel(graph), QuantizedModel(draw_variants(graph, generator))


def check_host(model, seed, bits):
    x, plain, changed = varied(model, seed, bits)
    assert np.array_equal(plain.integer_logits(x), changed.integer_logits(x))
    assert_same(changed, HostModel(changed, flags=FAST), x)


def check_board(model, seed, bits, folder, compiler):
    from tinyvgg.board import Board
    from tinyvgg.firmware.network import build_network
    x, plain, changed = varied(model, seed, bits)
    network = build_network(changed, folder / str(seed), name="varied", compiler=compiler, code="sram2" if seed % 2 else "flash")
    with Board(f"virtual:{network.image.elf}") as board:
        assert np.array_equal(board.infer(x).raw, plain.integer_logits(x))


@settings(max_examples=3, **COMPILED)
@given(convolutions(), st.integers(0, 2 ** 16), st.sampled_from([0, 0, 3]))
def test_random_convolutions(model, seed, bits):
    check_host(model, seed, bits)


@settings(max_examples=3, **COMPILED)
@given(models(), st.integers(0, 2 ** 16), st.sampled_from([0, 0, 3]))
def test_random_graphs(model, seed, bits):
    check_host(model, seed, bits)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
@settings(max_examples=25, **COMPILED)
@given(st.one_of(convolutions(), models()), st.integers(0, 2 ** 16), st.integers(0, 8))
def test_many_random_graphs(part, model, seed, bits):
    check_host(model, seed, bits)


@pytest.mark.parametrize("seeds, compiler", [
    ([0, 1], "zig"), pytest.param([1], "gcc", marks=NEEDS_GCC), pytest.param([0], "gcc", marks=[NEEDS_GCC, pytest.mark.slow])])
def test_on_the_board(seeds, compiler, tmp_path):
    """An even seed leaves the code in flash, an odd one copies it to RAM."""
    pytest.importorskip("unicorn")
    model = nn.Sequential([L.InputLayer((9, 10, 3)), L.Conv2D(6, 3, padding="same", activation="relu"), L.BatchNormalization(),
                           L.Conv2D(9, 3, padding="same", activation="relu"), L.BatchNormalization(), L.MaxPooling2D(),
                           L.Conv2D(8, 3, padding="same", activation="leaky_relu"), L.Conv2D(5, 1, strides=2),
                           L.Flatten(), L.Dense(3)])
    randomise(model, np.random.default_rng(1))
    for seed in seeds:
        check_board(model, seed, 0, tmp_path, compiler)


@pytest.mark.parametrize("variant", ["winograd2_rows", "winograd2", "winograd4_rows", "winograd4", "winograd4_ram"])
def test_results_over_inputs(variant):
    """Winograd's kernels keep the rows that they still need: a result as high as its input lies on it, in several batches too."""
    start = nn.Input((13, 9, 8))
    first = L.Conv2D(8, 3, padding="same", activation="relu")(start)
    node = L.Conv2D(8, 3, padding="same", activation="relu")(first)
    node = L.Add()([L.Conv2D(8, 3, padding="same")(node), first])
    model = nn.Model(start, L.Dense(3)(L.Flatten()(node)))
    x = np.random.default_rng(1).integers(0, 256, (3, 13, 9, 8), dtype=np.uint8)
    graph = quantize(randomise(model, np.random.default_rng(0)), x).graph
    changed = with_variants(graph, dict.fromkeys(possible(graph), variant))
    program, size = build_program(changed, "net"), 13 * 9 * 8
    at = program.offsets
    assert at["conv2d"] == at[graph.ops[0].name] and at["conv2d_1"] != at["conv2d"] and at["conv2d_2"] == at["conv2d_1"]
    assert program.arena_bytes - program.scratch["conv2d_1"] < 2 * size + 16 < build_program(graph, "net").arena_bytes
    assert_same(QuantizedModel(changed), HostModel(QuantizedModel(changed), flags=FAST), x)


def test_weights_held_in_ram_are_read_from_flash_no_more(tmp_path):
    """They lie behind SRAM2, the answers are the simulation's, and the flash adds nothing to those layers; four tiles at once
    read each weight once."""
    pytest.importorskip("unicorn")
    from tinyvgg.board import Board
    from tinyvgg.board.evaluator import profile_board
    from tinyvgg.firmware.elf import Elf
    from tinyvgg.firmware.facts import board_facts
    from tinyvgg.firmware.network import build_network
    model = nn.Sequential([L.InputLayer((8, 8, 8)), *(L.Conv2D(8, 3, padding="same", activation="relu") for _ in range(3)),
                           L.Flatten(), L.Dense(2)])
    x = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 8), dtype=np.uint8)
    plain = quantize(randomise(model, np.random.default_rng(0)), x).graph
    changed = with_variants(plain, {"conv2d": "winograd4", "conv2d_1": "winograd4_held", "conv2d_2": "direct16_held"})
    network = build_network(QuantizedModel(changed), tmp_path, name="held", compiler="zig", code="sram2")
    section = {s.name: s for s in Elf(network.image.elf).sections}[".tv_held"]
    assert section.address == board_facts("stm32l4r9i-disco").held["origin"] == 0x20040000
    assert section.size == network.program.held_bytes() == 36 * 8 * 8 * 2 + 36 * 8 * 4
    with Board(f"virtual:{network.image.elf}") as board:
        assert np.array_equal(board.infer(x).raw, QuantizedModel(plain).integer_logits(x))
        stalls = [r["ms"] * 120_000 - r["cycles"] for r in profile_board(board, x[:1])["layers"][1:]]
    once = 36 * 8 * 8 * 2 / 8 * 3.9                                    # words of 64 bits, cycles each
    assert 0.9 * once < stalls[0] - stalls[1] < 1.3 * once and stalls[1] < 100 and stalls[2] < 100


@pytest.mark.slow
@pytest.mark.parametrize("part", range(5))
@pytest.mark.parametrize("compiler", BOARD_COMPILERS)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(convolutions(), models()), st.integers(0, 2 ** 16), st.sampled_from([0, 0, 3]))
def test_many_on_the_board(compiler, part, tmp_path_factory, model, seed, bits):
    pytest.importorskip("unicorn")
    check_board(model, seed, bits, tmp_path_factory.mktemp("board"), compiler)


@pytest.mark.parametrize("kinds", [("direct16", "winograd2", "winograd4"), *[
    pytest.param((kind,), marks=pytest.mark.slow) for kind in ("direct16", "winograd2", "winograd4")]], ids="-".join)
def test_light(light, images, kinds):
    """Each variant of `kinds` in turn, pairs of layers, the second of each with its weights widened in RAM."""
    _, q = light
    names = list(possible(q.graph))
    assert len(names) == 6 and set(VARIANTS[2:]) <= set(possible(q.graph)[names[1]])
    chosen = {name: kinds[i // 2 % len(kinds)] + ("_ram" if i % 2 else "") for i, name in enumerate(names)}
    changed = QuantizedModel(with_variants(q.graph, chosen))
    assert_same(changed, HostModel(changed, flags=FAST), images[:4])


IN_TURN = ("direct16_ram", "winograd2_ram", "direct16_rows", "winograd4_ram")


def each(variant, names):
    return dict.fromkeys(names, variant)


def in_turn(first, names):
    return {name: IN_TURN[(first + i) % len(IN_TURN)] for i, name in enumerate(names)}


@pytest.mark.parametrize("choose", [in_turn, pytest.param(each, marks=pytest.mark.slow)])
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5])
def test_codebooks(bits, choose):
    """Indices are looked up in RAM where rows are of whole words and a codebook serves the layer; else weights stand as int8."""
    model = nn.Sequential([L.InputLayer((7, 6, 4)), L.Conv2D(8, 3, padding="same", activation="relu"), L.Conv2D(6, 3),
                           L.Conv2D(3, 3), L.Flatten(), L.Dense(2)])
    generator = np.random.default_rng(bits)
    x = generator.integers(0, 256, (3, 7, 6, 4), dtype=np.uint8)
    graph = share_weights(quantize(randomise(model, generator), x).graph, bits, generator, by_channel=False)
    names = list(possible(graph))
    for chosen in [each(v, names) for v in IN_TURN] if choose is each else [in_turn(first, names) for first in (bits, bits + 2)]:
        changed = QuantizedModel(with_variants(graph, chosen))
        assert_same(changed, HostModel(changed, flags=FAST), x)
    tail, weights = 2 * 4 * 8, 8 * 36                                    # offset, multiplier
    for variant in IN_TURN:
        expected = weights * bits // 8 + 2 ** bits if bits < 5 else weights
        assert variant_cost(graph, names[0], variant).constants - tail == expected


def test_extremes():
    """The largest sums that are proven to fit do fit: weights and images at their ends, accumulators near 2^25."""
    model = nn.Sequential([L.InputLayer((4, 4, 64)), L.Conv2D(4, 3, padding="same"), L.Flatten(), L.Dense(2)])
    graph = quantize(model, np.random.default_rng(0).integers(0, 256, (2, 4, 4, 64), dtype=np.uint8)).graph
    conv = graph.ops[1]
    weights = np.zeros(conv.weights.shape, np.int8)
    weights[0], weights[1], weights[2] = 127, -127, np.where(np.arange(64) % 2, 127, -127)
    small = {"bias": np.zeros(4, np.int32), "offset": np.zeros(4, np.int32), "multiplier": np.array([40, -40, 40, 40], np.int32)}
    conv = dataclasses.replace(conv, weights=weights, tail=Tail(**small, shift=0))
    graph = dataclasses.replace(graph, ops=(graph.ops[0], conv, *graph.ops[2:]))
    x = np.stack([np.full((4, 4, 64), 255, np.uint8), np.tile(np.uint8([0, 255]), 512).reshape(4, 4, 64)])
    for variant in possible(graph)[conv.name][1:]:
        changed = QuantizedModel(with_variants(graph, {conv.name: variant}))
        assert_same(changed, HostModel(changed, flags=FAST), x)


def test_sums_that_winograd4_cannot_hold():
    weights = np.full((4, 3, 3, 128), 127, np.int8)
    model = nn.Sequential([L.InputLayer((4, 4, 128)), L.Conv2D(4, 3, padding="same"), L.Flatten(), L.Dense(2)], name="net")
    graph = quantize(model, np.random.default_rng(0).integers(0, 256, (2, 4, 4, 128), dtype=np.uint8)).graph
    conv = dataclasses.replace(graph.ops[1], weights=weights)
    assert "winograd4" not in variants(conv, (4, 4, 128)) and "winograd2" in variants(conv, (4, 4, 128))
    graph = dataclasses.replace(graph, ops=(graph.ops[0], dataclasses.replace(conv, variant="winograd4"), *graph.ops[2:]))
    with pytest.raises(NotYet, match=r"its sums can reach 37,307,520; expected less than 33,554,432"):
        generate(graph, "nowhere", name="x")


def test_costs(light):
    _, q = light
    plain, wide = (variant_cost(q.graph, "conv2d_1", v) for v in ("direct", "direct16"))
    assert wide.constants - plain.constants == 32 * 288 and wide.scratch > 0
    ram = variant_cost(q.graph, "conv2d_1", "winograd4_ram")
    assert ram.constants == plain.constants and variant_cost(q.graph, "conv2d_1", "winograd4").constants > 4 * ram.constants
    assert variants(q.graph["dense"], (512,))[0] == "direct"


@pytest.mark.parametrize("tile", [2, 4])
def test_transformed_weights(tile):
    """The words are H w H' of two channels, as the definition says."""
    w = np.random.default_rng(0).integers(-127, 128, (5, 3, 3, 7)).astype(np.int8)
    words, h = words_winograd(w, tile), TRANSFORMS[tile]
    u = h @ w[4, :, :, 6].astype(np.int64) @ h.T
    assert np.array_equal((words[1, :, 2, 0] >> 16).astype(np.int16), u.ravel())     # filter 4; word 2 holds channels 4 and 6
    assert as_words(np.array([[1, -1]], np.int16))[0] == 0xFFFF0001 and lanes(7).tolist() == [[0, 2], [1, 3], [4, 6], [5, -1]]


def cycles_and_flash(name, compiler, folder, preferred, single):
    """(modelled cycles an image, bytes of flash) of an untrained net, each layer as the first variant of `preferred` it takes."""
    from tinyvgg import models as networks
    from tinyvgg.board import Board
    from tinyvgg.board.evaluator import profile_board
    from tinyvgg.firmware.network import build_network
    x = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    graph = quantize(networks.build(name), x).graph
    chosen = {layer: single.get(layer, next(v for v in preferred if v in can)) for layer, can in possible(graph).items()}
    image = build_network(QuantizedModel(with_variants(graph, chosen)), folder, name="claim", compiler=compiler).image
    with Board(f"virtual:{image.elf}") as board:
        return profile_board(board, x[:1])["cycles_per_image"], image.flash_bytes


@pytest.mark.slow
@pytest.mark.parametrize("compiler", BOARD_COMPILERS)
@pytest.mark.parametrize("name, single, most, flash", [
    ("light", {"conv2d_5": "winograd2"}, 12_500_000, 2 << 20),
    ("light", {"conv2d_3": "winograd4_ram", "conv2d_4": "winograd4_ram", "conv2d_5": "winograd2_ram"}, 22_000_000, 640 << 10),
    ("resnet8", {}, 16_000_000, 2 << 20)])
def test_claims(name, single, most, flash, compiler, tmp_path):
    pytest.importorskip("unicorn")
    cycles, used = cycles_and_flash(name, compiler, tmp_path, ("winograd4", "direct16"), single)
    assert cycles <= most and used <= flash
