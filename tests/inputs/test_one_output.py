"""A network of one output is a classifier of two classes: losses, gradients, integers, C."""
import numpy as np
import pytest

from tinyvgg import attacks, nn
from tinyvgg.classifier import as_classes, classes_of, labels_of, of_outputs
from tinyvgg.codegen.host import HostModel
from tinyvgg.errors import DataError
from tinyvgg.nn import layers as L
from tinyvgg.quant.model import quantize
from tinyvgg.quant.schemes import compress
from tinyvgg.quant.straight import straight_through
from tinyvgg.testing.layers import check_gradient

X = np.random.default_rng(0).random((40, 7), np.float32)
Y = (X.sum(axis=1) > 3.5).astype(np.int64)


def network(last="sigmoid", units=1, layer=False):
    end = [L.Dense(units), L.Activation(last)] if layer else [L.Dense(units, activation=last)]
    return nn.Sequential([L.InputLayer((7,)), L.Dense(5, activation="relu"), *end], seed=3)


def test_two_classes_of_one_number():
    s = np.float32([[-2.5], [0.0], [3.0]])
    z = as_classes(s)
    assert z.shape == (3, 2) and np.array_equal(z[:, 1] - z[:, 0], s[:, 0]) and list(labels_of(z)) == [0, 0, 1] == list(labels_of(s))
    assert classes_of((1,)) == 2 and classes_of((10,)) == 10 and as_classes(np.ones((2, 3))).shape == (2, 3)
    g = np.float32([[0.25, -1.0]])
    assert np.vdot(g, as_classes(np.float32([[2]]))) == np.vdot(of_outputs(g, (1,)), [[2.0]])


@pytest.mark.parametrize("layer", [False, True])
def test_a_sigmoid_is_no_part_of_the_logits(layer):
    model = network(layer=layer)
    s = model.outputs(X)
    assert model.head == "sigmoid" and model.n_classes == 2 and model.n_outputs == 1 and model.predict(X).shape == (40, 1)
    assert np.allclose(model.predict(X), 1 / (1 + np.exp(-s)), atol=1e-7)
    assert np.array_equal(model.labels(X), (s[:, 0] > 0).astype(int)) and np.array_equal(model.logits(X), as_classes(s))
    assert np.allclose(model.forward(X), model.predict(X), atol=1e-7)


def test_the_loss_is_binary_cross_entropy():
    model, p = network(), network().predict(X)[:, 0].astype(np.float64)
    expected = -np.mean(Y * np.log(p) + (1 - Y) * np.log(1 - p))
    for labels in (Y, Y[:, None], Y.astype(np.float32)):
        found = model.evaluate(X, labels)
        assert abs(found["loss"] - expected) < 1e-6 and found["accuracy"] == np.mean((p > 0.5) == Y)
    history = model.fit(X, Y[:, None], epochs=30, batch_size=8, learning_rate=0.05, quiet=True)
    assert history[-1]["loss"] < 0.3 and history[-1]["accuracy"] > 0.9


@pytest.mark.parametrize("last, units", [("sigmoid", 1), (None, 1), ("sigmoid", 3)])
def test_gradients(last, units):
    model = network(last, units).astype(np.float64)
    x, g = X[:4].astype(np.float64), np.random.default_rng(1).standard_normal((4, model.n_classes))
    check_gradient(lambda z: np.asarray([np.vdot(g, model.logits(np.clip(z, 0, 1)))]), lambda dy: dy[0] * model.vjp(x, g), x,
                   np.random.default_rng(2))


@pytest.mark.parametrize("last, units", [("sigmoid", 1), (None, 1), ("sigmoid", 3)])
def test_integers_and_c(last, units):
    model = network(last, units)
    q, floats = quantize(model, X), HostModel(model)
    host = HostModel(q)
    assert np.array_equal(host.raw_logits(X), q.integer_logits(X)) and np.array_equal(host.scores(X), q.scores(X))
    assert q.n_classes == host.n_classes == model.n_classes and np.array_equal(q.logits(X), host.logits(X))
    assert np.abs(floats.scores(X) - (model.predict(X) if last else model.outputs(X))).max() < 1e-6
    assert np.abs(q.predict(X) - model.predict(X)).max() < 0.05 and q.logits(X).shape == (40, model.n_classes)
    if last:
        assert np.abs(q.scores(X) / 255 - q.predict(X)).max() < 1 / 255 and q.graph.head == "sigmoid"
        scaled = quantize(model, X, softmax="float")
        assert np.abs(HostModel(scaled).scores(X) - scaled.predict(X)).max() < 1e-6
    assert np.array_equal(compress(model, "none").labels(X), model.labels(X))


def test_extremes_of_the_integer_sigmoid():
    model = network()
    model.layers[-1].parameters["kernel"][:] *= 400
    q = quantize(model, X)
    host, p = HostModel(q), q.scores(X)[:, 0].astype(int)
    assert np.array_equal(host.scores(X)[:, 0], p) and p.min() == 0 and p.max() == 255


def test_attacks_by_labels_scores_and_gradients():
    model = network()
    model.fit(X, Y, epochs=40, batch_size=8, learning_rate=0.05, quiet=True)
    for victim in (model, straight_through(quantize(model, X))):
        for attack, settings in ((attacks.pgd, {"eps": 0.3}), (attacks.fgsm, {"eps": 0.3}), (attacks.square, {"eps": 0.3, "queries": 60}),
                                 (attacks.deepfool, {})):
            found = attack(victim, X, Y, **settings)
            assert found.clean_accuracy > 0.9 > found.robust_accuracy and found.within.all()


def test_labels_of_two_columns_are_refused():
    model = network()
    for call in (lambda: model.fit(X, np.eye(2)[Y], quiet=True), lambda: model.evaluate(X, np.eye(2)[Y])):
        with pytest.raises(DataError, match="have 2 columns; the network has one output"):
            call()
    with pytest.raises(DataError, match="label 2"):
        model.evaluate(X, Y + 1)


def test_several_labels_an_image_are_said(tmp_path):
    """A network of several sigmoids is trained and judged by one class an image, which is said; rows of several classes are refused."""
    from tinyvgg.data import npy
    rows = np.eye(3, dtype=np.float32)[np.arange(40) % 3]
    model = network(units=3)
    with pytest.warns(UserWarning, match="3 sigmoids; training takes their logits as those of one softmax"):
        model.fit(X, rows, epochs=1, quiet=True)
    rows[7, :2] = 1
    for y in (rows, np.zeros_like(rows)):
        with pytest.raises(DataError, match="several labels an image .multi-label. are not trained here"):
            model.fit(X, y, epochs=1, quiet=True)
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", rows)
    with pytest.raises(DataError, match="names several classes for an image, or none"):
        npy.load([str(tmp_path / "x.npy"), str(tmp_path / "y.npy")])


@pytest.mark.parametrize("which", range(11))
def test_nan_in_any_array_is_said(which):
    """No array of a network hides a NaN from whoever asks for a class."""
    model = nn.Sequential([L.InputLayer((6,)), L.Dense(4, activation="relu"), L.BatchNormalization(), L.Dense(4),
                           L.PReLU(), L.Dense(3)], seed=1)
    arrays = model.get_weights()
    arrays[which][...] = np.nan                         # all of it: a slope that no value falls below 0 for is not read
    model.set_weights(arrays)
    with pytest.raises(DataError, match="NaN or infinite for 5 of 5 images"):
        model.labels(np.random.default_rng(0).random((5, 6), dtype=np.float32))
