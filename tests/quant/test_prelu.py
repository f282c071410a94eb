"""PReLU and LayerNormalization: their ops beside the layers, integers by the definition, C on this machine."""
import shutil

import numpy as np
import pytest

from tests.quant import rational
from tests.quant.networks import randomise
from tinyvgg import nn, quant, testing
from tinyvgg.errors import FormatError, NotYet, QuantError
from tinyvgg.nn import layers as L
from tinyvgg.quant.fuse import fuse
from tinyvgg.quant.ops.prelu import PRelu
from tinyvgg.quant.simulate import run
from tinyvgg.quant.validate import validate

needs_compiler = pytest.mark.skipif(not (shutil.which("cc") or shutil.which("gcc")), reason="no C compiler")


@pytest.fixture(scope="module")
def prelus():
    """(network, images, its integers): one on the image itself, one a channel, one a value, one on a flattened map, all alphas unlike."""
    generator = np.random.default_rng(3)
    model = nn.Sequential([L.InputLayer((6, 5, 3)), L.PReLU(name="first"), L.Conv2D(4, 3), L.PReLU(shared_axes=(1, 2), name="channel"),
                           L.BatchNormalization(), L.PReLU(name="value"), L.Flatten(), L.PReLU(name="flat"), L.Dense(3)], seed=1,
                          input_range=(-1, 1))
    randomise(model, generator, dead=0)
    for layer in model.layers:
        if "alpha" in layer.parameters:
            layer.parameters["alpha"][...] = generator.uniform(-0.5, 1.5, layer.parameters["alpha"].shape)
    images = generator.integers(0, 256, (8, 6, 5, 3), dtype=np.uint8)
    return model, images, quant.quantize(model, images)


def test_prelu_in_integers_is_its_definition(prelus, tmp_path):
    model, images, quantised = prelus
    assert [op.slopes.shape for op in quantised.graph.ops if isinstance(op, PRelu)] == [(6, 5, 3), (1, 1, 4), (4, 3, 4), (48,)]
    validate(quantised.graph, "integer")
    validate(quantised.float_graph, "float")
    x = (images / 127.5 - 1).astype(np.float32)
    assert np.allclose(run(quantised.float_graph, x), model.logits(x), atol=1e-5)
    traced = quantised.trace(images[:2])
    for k in range(2):
        for name, values in rational.run(quantised.graph, images[k]).items():
            assert np.array_equal(traced[name][k], values), name
    exact, found = model.logits(x), quantised.logits(images)
    assert np.abs(found - exact).max() < 0.06 * np.abs(exact).max()
    quantised.save(tmp_path / "m.tvq")
    assert quant.load_tvq(tmp_path / "m.tvq").sha256 == quantised.sha256


def test_its_constants_are_counted(prelus):
    """As code generation lays them out."""
    from tinyvgg.codegen.program import build_program
    from tinyvgg.quant.blob import constant_bytes, weights_blob
    quantised = prelus[2]
    program = build_program(quantised.graph, "net")
    found = {op.name: program.constant_bytes(op) for op in quantised.graph.ops if isinstance(op, PRelu)}
    assert len(found) == 4 and found.items() <= constant_bytes(quantised.graph).items()
    floats = fuse(nn.Sequential([L.InputLayer((4, 3)), L.LayerNormalization(), L.Flatten(), L.PReLU("glorot_uniform"), L.Dense(2)], seed=1))
    assert len(weights_blob(floats)[0]) == build_program(floats, "net").constant_bytes() == 4 * (6 + 12 + 26)


@needs_compiler
def test_prelu_in_c(prelus):
    from tinyvgg.codegen.host import HostModel
    model, images, quantised = prelus
    testing.assert_bit_exact(quantised, images)
    x = (images / 127.5 - 1).astype(np.float32)
    assert np.allclose(HostModel(model).logits(x), model.logits(x), atol=1e-5)


def test_one_slope_is_a_leaky_tail():
    model = nn.Sequential([L.InputLayer((4, 4, 2)), L.Conv2D(3, 1), L.PReLU("zeros"), L.Flatten(), L.Dense(2)])
    graph = fuse(model)
    assert graph["conv2d"].tail.activation in ("relu", "leaky") and not any(isinstance(op, PRelu) for op in graph.ops)


@pytest.mark.parametrize(("change", "error"), [
    ({"slopes": np.zeros((2, 1, 1), np.int32)}, FormatError), ({"slopes": np.zeros((1, 1, 4), np.float32)}, FormatError),
    ({"input_zero": 300}, FormatError), ({"slopes": np.full((1, 1, 4), 2**24, np.int32)}, QuantError), ({"shift": 0}, QuantError),
    ({"multiplier": 0}, QuantError)])
def test_a_file_that_does_not_fit_is_refused(prelus, change, error):
    from dataclasses import replace
    op = prelus[2].graph["channel"]
    before = prelus[2].graph[op.inputs[0]]
    with pytest.raises(error):
        changed = replace(op, **change)
        changed.output_shape(before)
        changed.check()


@pytest.mark.parametrize("shape", [(5, 4, 6), (7, 3), (9,)])
def test_layer_norm_in_float_c(shape):
    model = nn.Sequential([L.InputLayer(shape), L.LayerNormalization(name="norm"), L.Flatten(), L.Dense(6, activation="relu"),
                           L.LayerNormalization(scale=False, epsilon=1e-2), L.Dense(2)], seed=2)
    generator = np.random.default_rng(4)
    for layer in model.layers:
        for array in layer.parameters.values():
            array += generator.normal(0, 0.3, array.shape).astype(np.float32)
    x = np.concatenate([generator.uniform(0, 1, (4, *shape)), np.full((1, *shape), 0.5)]).astype(np.float32)       # one without variance
    graph = fuse(model)
    validate(graph, "float")
    assert np.allclose(run(graph, x), model.logits(x), atol=1e-5)
    if shutil.which("cc") or shutil.which("gcc"):
        from tinyvgg.codegen.host import HostModel
        assert np.abs(HostModel(model).logits(x) - model.logits(x)).max() < 1e-5
    with pytest.raises(NotYet, match="integer model has no LayerNormalization yet .'norm'"):
        quant.quantize(model, x)


@needs_compiler
def test_layer_norm_of_any_size():
    """The root without a library, over all magnitudes; no number hangs it."""
    from tinyvgg.codegen.host import HostModel
    model = nn.Sequential([L.InputLayer((8,)), L.LayerNormalization(epsilon=1e-12), L.Dense(8)], seed=0, input_range=(-1e17, 1e17))
    model.layers[2].parameters["kernel"][...] = np.eye(8)
    x = np.random.default_rng(0).normal(size=(30, 8)) * 10.0 ** np.arange(-14, 16)[:, None]
    away = x - x.mean(axis=1, keepdims=True)
    expected = away / np.sqrt((away ** 2).mean(axis=1, keepdims=True) + 1e-12)
    assert np.abs(HostModel(model).logits(x.astype(np.float32)) - expected).max() < 1e-5
