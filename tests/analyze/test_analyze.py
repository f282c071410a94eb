"""The analyser says what ST's tool says, to the byte, and what would help is measured, not guessed."""

import json
import math

import numpy as np
import pytest

from tinyvgg import models, nn
from tinyvgg.analyze import Operation, analyze, boards, describe, describe_config
from tinyvgg.analyze import st as rules
from tinyvgg.cli import main
from tinyvgg.errors import FormatError, NotYet, OptionError, TinyVGGError

# (compression, weights, flash, RAM) as four real logs of X-CUBE-AI 10.2 print them for the student project's base net.
BASE = [
    ("none", 5_372_584, 5_393_034, 152_124),
    ("low", 2_228_904, 2_249_370, 152_124),
    ("medium", 1_702_696, 1_723_162, 152_124),
    ("high", 1_702_696, 1_723_162, 152_124),
]


@pytest.mark.parametrize(("compression", "weights", "flash", "ram"), BASE)
def test_base_as_x_cube_ai_prints_it(compression, weights, flash, ram):
    found = analyze(models.base(), compression=compression)
    assert (found.parameters, found.macc, found.activations_bytes) == (1_343_146, 32_997_984, 143_468)
    assert (found.weights_bytes, found.flash_bytes, found.ram_bytes) == (weights, flash, ram)
    assert found.fits == (flash <= 2 << 20)


def test_our_counts():
    light, base = analyze(models.light(), rules="tinyvgg"), analyze(models.base(), rules="tinyvgg")
    assert (light.parameters, light.macc) == (409_418, 24_625_792)
    assert base.parameters == models.base().count_params() == 1_344_042


@pytest.mark.parametrize("name", list(models.MODELS))
def test_counts_agree_with_the_engine(name):
    model = models.build(name)
    found = analyze(model, rules="tinyvgg")
    assert found.parameters == model.count_params()
    assert found.macc == sum(row["macc"] for row in nn.summary.summary_rows(model))
    assert describe(model)[-1].output_shape == model.output_shape


@pytest.mark.parametrize("name", list(models.MODELS))
def test_integer_bytes_agree_with_the_integer_graph(name):
    from tinyvgg.quant import quantize
    from tinyvgg.quant.blob import constant_bytes
    from tinyvgg.quant.memory import plan_memory

    model, rng = models.build(name), np.random.default_rng(0)
    for layer in model.layers:
        if "bias" in layer.parameters:
            layer.parameters["bias"][...] = rng.uniform(0.01, 0.05, layer.parameters["bias"].shape)
    graph = quantize(model, rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)).graph
    found = analyze(model, rules="tinyvgg")
    assert found.activations_bytes == plan_memory(graph).size
    assert found.weights_bytes == sum(constant_bytes(graph).values())


def test_macc_of_each_kind():
    def macc(kind, shape, release=(10, 2), **more):
        return rules.macc(Operation("x", kind, "x", ("y",), shape, shape, **more), release)[0]

    assert macc("conv", (8, 8, 16), parameters={"kernel": (3, 3, 4, 16), "bias": (16,)}) == 8 * 8 * 16 * 36 + 16
    assert macc("dense", (10,), parameters={"kernel": (64, 10), "bias": (10,)}) == 650
    assert macc("dense", (10,), (5, 2), parameters={"kernel": (64, 10), "bias": (10,)}) == 640
    assert macc("batch_norm", (4, 4, 8)) == 256
    assert macc("activation", (10,), settings={"function": "softmax"}) == 150
    assert macc("activation", (10,), settings={"function": "sigmoid"}) == 100
    assert macc("pool", (4, 4, 8), settings={"pool_size": (2, 2)}) == 512
    # LSTM rows of versions 4.0, 5.0 and 8.1: 12 -> 32 units over 30 steps, and 28 -> 20 over 28.
    lstm = {"kernel": (12, 128), "recurrent_kernel": (32, 128), "bias": (128,)}
    assert macc("lstm", (30, 32), parameters=lstm, settings={"steps": 30, "units": 32}) == 173_760
    assert rules.macc(Operation("x", "activation", "x", (), (4,), (4,), settings={"function": "gelu"}))[1] is True


# Decisions of real networks: dense sizes, bits, which are shared.
SKIPS = [
    ([720_896, 16_384, 768], 4, 2),
    ([720_896, 16_384, 384], 8, 1),
    ([1_228_800, 16_384, 1_280], 4, 1),
    ([401_408, 131_072, 32_768, 8_192, 640], 4, 3),
    ([2_048, 2_048, 384, 64], 4, 3),
    ([524_288, 524_288, 5_120], 4, 2),
    ([524_288, 524_288, 5_120], 8, 2),
    ([5_600], 4, 1),
]


@pytest.mark.parametrize(("sizes", "bits", "count"), SKIPS)
def test_which_dense_layers_are_shared(sizes, bits, count):
    names = {f"d{i}": size for i, size in enumerate(sizes)}
    assert rules.shared_layers(names, bits) == [f"d{i}" for i in range(count)]


def test_batch_norm_after_a_convolution_is_folded_and_after_a_relu_is_not():
    x = nn.Input((8, 8, 3))
    folded = nn.layers.BatchNormalization()(nn.layers.Conv2D(4, 3, use_bias=False)(x))
    rows = rules.costs(describe(nn.Model(x, folded)))
    assert [r.weights_bytes for r in rows] == [4 * (108 + 4), 0] and rows[0].macc == 36 * 108 + 4
    kept = nn.layers.BatchNormalization()(nn.layers.Conv2D(4, 3, activation="relu")(x))
    assert [r.weights_bytes for r in rules.costs(describe(nn.Model(x, kept)))] == [448, 0, 32]


def test_changes_are_what_they_say():
    """Build the network that a piece of advice describes, and measure it."""
    before = analyze(models.base(), compression="none")
    change = next(c for c in before.changes if c.what == "compression medium")
    assert change.flash_bytes == before.flash_bytes - analyze(models.base(), compression="medium").flash_bytes
    small = analyze(models.light(), compression="high", rules="tinyvgg")
    half = next(c for c in small.changes if c.what.startswith("dense: 128 units"))
    model = nn.Sequential([nn.layers.InputLayer((32, 32, 3)), *(layer for layer in _light_with(128))])
    assert small.flash_bytes - analyze(model, compression="high", rules="tinyvgg").flash_bytes == half.flash_bytes
    assert len(before.changes) == 3


def _light_with(units):
    layers = nn.layers
    for i, f in enumerate((32, 32, 32, 64, 128, 128)):
        yield layers.Conv2D(f, 3, padding="same", activation="relu")
        yield layers.BatchNormalization()
        if i in (1, 3, 4, 5):
            yield layers.MaxPooling2D()
    yield from (
        layers.Flatten(),
        layers.Dense(units, activation="relu"),
        layers.Dense(64, activation="relu"),
        layers.Dense(10, activation="softmax"),
    )


def test_keras_configurations_of_layers_that_the_engine_lacks():
    config = {
        "class_name": "Sequential",
        "config": {
            "name": "s",
            "layers": [
                {
                    "class_name": "Conv1D",
                    "config": {
                        "name": "c",
                        "batch_input_shape": [None, 128, 3],
                        "filters": 16,
                        "kernel_size": [5],
                        "padding": "same",
                        "activation": "relu",
                    },
                },
                {"class_name": "MaxPooling1D", "config": {"name": "p", "pool_size": [2], "strides": [2]}},
                {"class_name": "LSTM", "config": {"name": "l", "units": 8}},
                {
                    "class_name": "Dense",
                    "config": {"name": "d", "units": 3, "activation": {"class_name": "softmax", "config": {}}},
                },
            ],
        },
    }
    operations = describe_config(config)
    assert [(o.name, o.kind, o.output_shape) for o in operations[1:]] == [
        ("c/conv", "conv", (128, 16)),
        ("c", "activation", (128, 16)),
        ("p", "pool", (64, 16)),
        ("l", "lstm", (8,)),
        ("d/dense", "dense", (3,)),
        ("d", "activation", (3,)),
    ]
    assert analyze(operations).macc == 30_736 + 2_048 + 2_048 + 64 * (4 * 8 * 25 + 8) + 27 + 45


def test_keras_3_graph():
    def tensor(name):
        return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}

    layers = [
        {"class_name": "InputLayer", "name": "x", "config": {"name": "x", "batch_shape": [None, 4, 4, 2]}, "inbound_nodes": []},
        {
            "class_name": "Conv2D",
            "name": "c",
            "config": {"name": "c", "filters": 2, "kernel_size": [1, 1]},
            "inbound_nodes": [{"args": [tensor("x")], "kwargs": {}}],
        },
        {"class_name": "Add", "name": "a", "config": {"name": "a"}, "inbound_nodes": [{"args": [[tensor("x"), tensor("c")]]}]},
    ]
    operations = describe_config(
        {"class_name": "Functional", "config": {"layers": layers, "input_layers": ["x", 0, 0], "output_layers": ["a", 0, 0]}}
    )
    assert operations[-1].inputs == ("x", "c") and operations[-1].elements == 32


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"config": []},
        {"class_name": "Sequential", "config": {"layers": [{}]}},
        [],
        None,
        {
            "class_name": "Sequential",
            "config": {"layers": [{"class_name": "Conv2D", "config": {"name": "c", "batch_input_shape": [None, 4, 4, 1]}}]},
        },
    ],
)
def test_damaged_configurations(config):
    with pytest.raises(FormatError):
        if describe_config(config) == []:
            raise FormatError("nothing described")


def sequential(*layers):
    return {"class_name": "Sequential", "config": {"layers": list(layers)}}


def conv_layer(**settings):
    config = {"name": "c", "batch_input_shape": [None, 8, 8, 3], "filters": 4, "kernel_size": [3, 3], "padding": "same"}
    return {"class_name": "Conv2D", "config": {**config, **settings}}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"filters": 0}, "'c': filters is 0; expected a positive whole number"),
        ({"filters": -4}, "'c': filters is -4; expected a positive whole number"),
        ({"filters": 4.5}, "'c': filters is 4.5; expected a positive whole number"),
        ({"kernel_size": [0, 0]}, "'c': kernel_size is .0, 0.; expected a positive whole number"),
        ({"kernel_size": [9, 9], "padding": "valid"}, "Conv2D c has a window of .9, 9. on images of .8, 8.: no pixel is left"),
        ({"batch_input_shape": [None, None, None, 3]}, "leaves a size open"),
        ({"batch_input_shape": None}, "the shape of the images is not in the file"),
        ({"filters": 10**30}, "'c' .Conv2D. is larger than any machine"),
        ({"activation": "foo"}, "'c' .Conv2D. has the activation 'foo'"),
        ({"data_format": "channels_first"}, "'c' .Conv2D. has data_format 'channels_first'"),
    ],
)
def test_settings_that_make_no_network(settings, words):
    with pytest.raises(TinyVGGError, match=words):
        describe_config(sequential(conv_layer(**settings)))


def test_no_layers_and_too_many_inside_each_other():
    with pytest.raises(FormatError, match="no list of layers"):
        describe_config(sequential())
    deep = conv_layer()
    for _ in range(5000):
        deep = sequential(deep)
    with pytest.raises(FormatError):
        describe_config(deep)


def test_no_advice_that_cannot_be_followed():
    """The last layer has a unit for each class, and the integer graph holds no LSTM."""
    head = [{"class_name": "Flatten", "config": {"name": "f"}}, {"class_name": "Dense", "config": {"name": "d", "units": 100}}]
    changes = analyze(describe_config(sequential(conv_layer(), *head))).changes
    assert changes and not any("units" in c.what for c in changes)
    lstm = {"class_name": "LSTM", "config": {"name": "l", "units": 64, "batch_input_shape": [None, 9, 64]}}
    changes = analyze(describe_config(sequential(lstm, head[1]))).changes
    assert not any("8-bit integers" in c.what for c in changes)


def test_unknown_layer_is_named():
    with pytest.raises(NotYet, match="'g'.*ConvLSTM2D"):
        describe_config(
            {
                "class_name": "Sequential",
                "config": [{"class_name": "ConvLSTM2D", "config": {"name": "g", "batch_input_shape": [None, 3, 8, 8, 2]}}],
            }
        )


def test_boards(tmp_path):
    assert len(boards.names()) >= 10 and sum(n.startswith(("stm32", "nucleo", "b-")) for n in boards.names()) >= 8
    for name in boards.names():
        board = boards.load(name)
        assert board.flash_bytes % 1024 == 0 and board.ram_bytes % 1024 == 0 and board.source and math.log10(board.clock_hz) > 7
    own = tmp_path / "mine.toml"
    own.write_text('title = "M"\nmcu = "m"\ncore = "cortex-m4f"\nclock_hz = 1000000\nflash_bytes = 1024\nram_bytes = 1024\n')
    found = analyze(models.light(), board=str(own))
    assert not found.fits and found.missing_flash == found.flash_bytes - 1024
    own.write_text("title = 3\n")
    with pytest.raises(FormatError, match="it lacks mcu, core, clock_hz, flash_bytes, ram_bytes"):
        boards.load(str(own))
    own.write_text('title = "M"\nmcu = "m"\ncore = "m4"\nclock_hz = 1000000\nflash_bytes = 1024\nram_bytes = 1024\nrom = 1\n')
    with pytest.raises(FormatError, match="no board has rom"):
        boards.load(str(own))
    with pytest.raises(OptionError, match="stm32l4r9i-disco"):
        boards.load("stm32l4r9")


def test_command_line(capsys, tmp_path):
    assert main(["analyze", "base", "--compression", "high", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"parameters", "macc", "weights_bytes", "activations_bytes", "flash_bytes", "ram_bytes", "fits", "layers"} <= set(
        found
    )
    assert found["weights_bytes"] == sum(row["weights_bytes"] for row in found["layers"])
    assert main(["analyze", "light", "--rules", "tinyvgg"]) == 0
    assert "24,625,792" in capsys.readouterr().out
    assert main(["analyze", str(tmp_path / "no.h5")]) == 2 and "there is no" in capsys.readouterr().err
    assert main(["analyze", "--boards"]) == 0 and "STM32L4R9" in capsys.readouterr().out
    assert main(["analyze"]) == 2


def test_figure(tmp_path):
    pytest.importorskip("matplotlib")
    assert main(["analyze", "light", "--figure", str(tmp_path / "f.xyz")]) == 2
    assert main(["analyze", "light", "--figure", str(tmp_path / "f.svg"), "--quiet"]) == 0
    text = (tmp_path / "f.svg").read_text()
    assert text.startswith("<?xml") and "</svg>" in text


def test_an_integer_model_fits_or_not(tmp_path, capsys):
    """analyze takes a .tvq as it is; the board may be a folder with a board.toml."""

    from tinyvgg.quant.schemes import compress
    x = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    compress(models.resnet8(), "int8", x, calibration="minmax").save(tmp_path / "small.tvq")
    command = ["analyze", str(tmp_path / "small.tvq"), "--board"]
    assert main([*command, "nucleo-l476rg"]) == 0
    assert "fits on nucleo-l476rg" in capsys.readouterr().out
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "board.toml").write_text('name = "tiny"\npart = "X"\nfamily = "stm32l4"\nclock_hz = 1000\n'
                                                  "flash = { length = 50000 }\nram = { length = 10000 }\n")
    assert main([*command, str(tmp_path / "tiny")]) == 0
    assert "DOES NOT FIT on tiny" in capsys.readouterr().out
    (tmp_path / "tiny" / "board.toml").write_text("name = 1")
    assert main([*command, str(tmp_path / "tiny")]) == 2
    assert "does not describe a board" in capsys.readouterr().err


def test_boards_of_the_firmware_are_known_with_the_same_memory():
    from tinyvgg.firmware.facts import board_facts, known_boards
    assert "nucleo-l4r5zi" in known_boards()
    for name in known_boards():
        facts, board = board_facts(name), boards.load(name)
        assert (board.flash_bytes, board.ram_bytes, board.clock_hz) == (facts.flash["length"], facts.ram["length"], facts.clock_hz)
