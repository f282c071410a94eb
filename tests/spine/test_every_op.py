"""Networks of the less usual layers: float graph == network, simulation == rational == C on this machine == the ELF on the board."""
import shutil

import numpy as np
import pytest

from tests.quant import rational
from tests.quant.networks import randomise
from tinyvgg import nn, testing
from tinyvgg.errors import NotYet
from tinyvgg.nn import layers as L
from tinyvgg.quant import load_tvq, quantize
from tinyvgg.quant.fuse import fuse
from tinyvgg.quant.simulate import run
from tinyvgg.quant.validate import validate


def series():
    """Layers along one axis."""
    return nn.Sequential([
        L.InputLayer((20, 5)), L.ZeroPadding1D((1, 2)), L.Conv1D(8, 3, padding="same", activation="relu"), L.BatchNormalization(),
        L.SpatialDropout1D(0.2), L.MaxPooling1D(2), L.Conv1D(6, 3, padding="causal", dilation_rate=2), L.Cropping1D(1),
        L.UpSampling1D(2), L.DepthwiseConv1D(3, padding="same"), L.SeparableConv1D(7, 3), L.AveragePooling1D(3, padding="same"),
        L.Softmax(axis=1), L.Permute((2, 1)), L.GlobalAveragePooling1D(), L.Dense(3, activation="softmax")])


def maps():
    """Two paths joined in every way, values moved in every way, a softmax along each axis."""
    image = nn.Input((6, 5, 4))
    path = L.Conv2D(4, 1)(image)
    gate = L.Conv2D(4, 1, activation="sigmoid")(L.GlobalAveragePooling2D(keepdims=True)(path))
    node = L.Average()([L.Multiply()([path, gate]), path])
    node = L.Subtract()([L.Maximum()([node, image]), path])
    node = L.Concatenate()([node, path, image])
    for layer in (L.Cropping2D(1), L.Permute((3, 1, 2)), L.ZeroPadding2D(((1, 0), (0, 2))), L.MaxPooling2D(2), L.Softmax(axis=1),
                  L.AveragePooling2D(3, strides=2, padding="same"), L.Softmax(axis=2), L.Dense(5, activation="softmax"), L.Flatten(),
                  L.BatchNormalization(), L.Activation("tanh"), L.Dense(40), L.PReLU(), L.Reshape((5, -1, 2)), L.Conv2D(3, 2),
                  L.PReLU(shared_axes=(1, 2)), L.GlobalMaxPooling2D(), L.Dense(3)):
        node = layer(node)
    return nn.Model(image, node)


def flattened():
    """Images without channels; flattened maps that are joined; a convolution of as many groups as channels; no Dense at the end."""
    image = nn.Input((8, 8))
    node = L.Conv2D(8, 3, groups=4)(L.Conv2D(4, 3)(L.Reshape((8, 8, 1))(image)))
    one, other = L.Flatten()(node), L.Flatten()(L.Conv2D(8, 1)(node))
    node = L.Multiply()([one, other, L.Add()([one, other])])
    return nn.Model(image, L.Flatten()(L.Dense(3, activation="softmax")(L.Reshape((-1, 4))(node))))


def vectors():
    vector = nn.Input((12,))
    node = L.Dense(6, activation="softmax")(vector)
    node = L.Concatenate()([node, L.Maximum()([node, L.Dense(6)(vector)])])
    return nn.Model(vector, L.Softmax()(L.Dense(4)(node)))


@pytest.fixture(scope="module", params=[series, maps, flattened, vectors])
def network(request):
    """(the network, images, its integer model)"""
    model = randomise(request.param(), np.random.default_rng(1), dead=0)
    images = np.random.default_rng(0).integers(0, 256, (12, *model.input_shape), dtype=np.uint8)
    return model, images, quantize(model, images)


def test_the_float_graph_is_the_network(network):
    model, images, quantised = network
    validate(quantised.float_graph, "float")
    x = (images / 255).astype(np.float32)
    assert np.allclose(run(quantised.float_graph, x), model.logits(x), atol=1e-5)


def test_integers_are_the_definition(network, tmp_path):
    _, images, quantised = network
    validate(quantised.graph, "integer")
    traced = quantised.trace(images[:1])
    for name, values in rational.run(quantised.graph, images[0]).items():
        assert np.array_equal(traced[name][0], values), name
    quantised.save(tmp_path / "m.tvq")
    again = load_tvq(tmp_path / "m.tvq")
    assert again.sha256 == quantised.sha256 and np.array_equal(again.integer_logits(images), quantised.integer_logits(images))


def test_c_on_this_machine(network):
    if not (shutil.which("cc") or shutil.which("gcc")):
        pytest.skip("no C compiler")
    from tinyvgg.codegen.host import HostModel
    model, images, quantised = network
    testing.assert_bit_exact(quantised, images)
    x = (images / 255).astype(np.float32)
    assert np.allclose(HostModel(quantised.float_graph).logits(x), model.logits(x), atol=1e-5)


def test_the_board(tmp_path):
    """One firmware of all the ops, as the planner places it."""
    pytest.importorskip("ziglang")
    pytest.importorskip("unicorn")
    from tinyvgg.board import Board
    from tinyvgg.firmware.network import build_network
    from tinyvgg.firmware.plan import apply_plan, make_plan
    model = randomise(maps(), np.random.default_rng(1), dead=0)
    images = np.random.default_rng(0).integers(0, 256, (4, *model.input_shape), dtype=np.uint8)
    quantised = quantize(model, images)
    built = build_network(apply_plan(quantised, make_plan(quantised, name="maps").plan), tmp_path, name="maps")
    with Board(f"virtual:{built.image.elf}") as board:
        assert np.array_equal(board.infer(images).raw, quantised.integer_logits(images))


@pytest.mark.parametrize("layers, what", [
    ([L.Conv2D(4, 1), L.Softmax()], r"no softmax of \(4, 4, 4\) at the end"), ([L.Conv2D(4, 1, groups=2)], "no Conv2D of 2 groups")])
def test_what_there_is_not_is_said(layers, what):
    model = nn.Sequential([L.InputLayer((4, 4, 4)), *layers])
    with pytest.raises(NotYet, match=what):
        fuse(model)
