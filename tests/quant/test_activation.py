"""Activations as tables of levels and as C: each level by Python's own mathematics, integers byte for byte, floats to 1e-6."""
import math
import shutil

import numpy as np
import pytest

from tinyvgg import nn, quant, testing
from tinyvgg.nn import layers as L
from tinyvgg.nn.activations import ACTIVATIONS
from tinyvgg.nn.activations import Activation as ActivationFunction
from tinyvgg.quant.fuse import fuse
from tinyvgg.quant.ops.activation import FUNCTIONS, Activation
from tinyvgg.quant.simulate import run

BY_HAND = {
    "relu": lambda x: -0.2 * (0.3 - x) if x < 0.3 else min(x, 1.0), "elu": lambda x: x if x > 0 else 0.7 * math.expm1(x),
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * math.expm1(x)),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)), "hard_sigmoid": lambda x: min(max(x / 6 + 0.5, 0), 1), "tanh": math.tanh,
    "linear": lambda x: x, "hard_silu": lambda x: x * min(max(x / 6 + 0.5, 0), 1),
    "silu": lambda x: x / (1 + math.exp(-x)), "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "mish": lambda x: x * math.tanh(math.log1p(math.exp(x))), "softplus": lambda x: math.log1p(math.exp(x)),
    "softsign": lambda x: x / (1 + abs(x)), "exponential": math.exp,
}
HARD_SILU = ActivationFunction("hard_silu", "hard_silu")        # which Keras 2 has not, but TensorFlow Lite's files have
needs_compiler = pytest.mark.skipif(not (shutil.which("cc") or shutil.which("gcc")), reason="no C compiler")


@pytest.fixture(scope="module")
def model():
    """Every function of the same values, added up."""
    image = nn.Input((9, 8, 3))
    layers = {"relu": L.ReLU(1.0, 0.2, 0.3, name="relu"), "elu": L.ELU(0.7, name="elu")}
    layers["hard_silu"] = L.Activation(HARD_SILU, name="hard_silu")
    values = [layers.get(name, L.Activation(name if name in ACTIVATIONS else None, name=name))(image)
              for name in FUNCTIONS if name not in ("exponential", "linear")]
    added = L.Add()([*values, L.Activation("exponential", name="exponential")(L.Rescaling(0.5)(image))])
    return nn.Model(image, L.Dense(3)(L.Flatten()(added)), input_range=(-7, 9))


def test_every_function_is_here():
    assert set(BY_HAND) == set(FUNCTIONS)


def test_tables_by_hand(model):
    x = np.random.default_rng(0).integers(0, 256, (4, 9, 8, 3), dtype=np.uint8)
    graph = quant.quantize(model, x).graph
    ops = {op.function: op for op in graph.ops if isinstance(op, Activation)}
    assert set(ops) | {"linear"} == set(FUNCTIONS)
    for name, op in ops.items():
        before = graph[op.inputs[0]]
        for q in range(256):
            level = BY_HAND[name](before.scale * (q - before.zero) + op.start) / op.scale + op.zero
            assert abs(int(op.table[q]) - min(max(level, 0), 255)) <= 0.5 + 1e-9, (name, q)


@needs_compiler
def test_integers_in_c(model):
    x = np.arange(9 * 8 * 3 * 2, dtype=np.uint32).astype(np.uint8).reshape(2, 9, 8, 3)         # every level there is
    testing.assert_bit_exact(quant.quantize(model, x), x)


@needs_compiler
def test_floats_in_c(model):
    from tinyvgg.codegen.host import HostModel
    graph = fuse(model)
    x = np.concatenate([np.linspace(-7, 9, 9 * 8 * 3), np.linspace(-0.4, 0.4, 9 * 8 * 3)]).reshape(2, 9, 8, 3).astype(np.float32)
    got, expected = HostModel(graph).trace(x), run(graph, x.astype(np.float64), keep=True)
    for op in graph.ops:
        if isinstance(op, Activation):
            error = np.abs(got[op.name] - expected[op.name]) / np.maximum(1, np.abs(expected[op.name]))
            assert error.max() < 1e-6, (op.function, error.max())
