"""Networks of other ranges than 0..1 on the virtual board: bytes, floats and the simulation give the same answers."""
import numpy as np
import pytest

from tinyvgg import nn
from tinyvgg.board import Board
from tinyvgg.firmware.network import build_network
from tinyvgg.images import byte_table
from tinyvgg.nn import layers
from tinyvgg.quant import quantize
from tinyvgg.quant.schemes import compress

SHAPE = (8, 8, 3)
X = np.random.default_rng(0).integers(0, 256, (4, *SHAPE), dtype=np.uint8)


def network(first=(), **settings):
    return nn.Sequential([layers.InputLayer(SHAPE), *first, layers.Conv2D(4, 3, activation="relu"), layers.Flatten(),
                          layers.Dense(4)], seed=2, **settings)


@pytest.mark.parametrize("model", [network(input_range=(-1, 1)), network([layers.Rescaling(1 / 255)]),
                                   network([layers.Rescaling(1 / 127.5, -1)])], ids=["-1..1", "0..255", "0..255 to -1..1"])
def test_integers(model, tmp_path):
    integer = quantize(model, X)
    elf = build_network(integer, tmp_path).image.elf
    low, high = model.bounds
    halves = (low + (high - low) * (X // 2 + 0.5) / 255).astype(np.float32)         # as far from two levels as can be
    for wire in ("uint8", "float32"):
        with Board(f"virtual:{elf}", wire=wire) as board:
            assert board.bounds == model.bounds
            for images in (X, byte_table(low, high)[X], halves):
                assert np.array_equal(board.infer(images).raw, integer.integer_logits(images)), wire


def test_floats(tmp_path):
    model = compress(network(), "none")
    elf = build_network(model, tmp_path).image.elf
    x = np.arange(192, dtype=np.uint8).reshape(1, *SHAPE)
    answers = []
    for wire in ("uint8", "float32"):
        with Board(f"virtual:{elf}", wire=wire) as board:
            answers += [board.infer(images).raw for images in (x, x + 63)]
    assert np.array_equal(answers[:2], answers[2:])
