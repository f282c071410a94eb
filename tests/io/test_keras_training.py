"""One training step, Adam's steps and steps resumed from saved slots, against what Keras 2 and 3 computed (dropout 0).

Keras' own rounding sets the tolerances: its batch statistics in float32 move the answers of the narrow net by up to 2e-4 of the
largest (in float64 the same Keras agrees with this library to 1e-13), and Adam's first steps are nearly signs, so weights are
compared by the fraction that agrees.
"""
import numpy as np
import pytest

import tinyvgg
from tests.io import fixtures
from tinyvgg import kernels
from tinyvgg.io import keras_h5
from tinyvgg.kernels.reference import softmax
from tinyvgg.nn.losses import cross_entropy
from tinyvgg.train import optimizers

pytestmark = pytest.mark.skipif(not fixtures.FOLDER.is_dir(), reason=fixtures.REASON)


def opened(path):
    model = tinyvgg.load_model(path)
    for layer in model.layers:
        if hasattr(layer, "rate"):
            layer.rate = 0.0
    return model


def vectors(version, stem):
    with np.load(fixtures.FOLDER / version / f"{stem}_train.npz") as file:
        return dict(file)


def distance(found, expected):
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def numbered(v, prefix):
    """(index in get_weights, array) of the vectors under a prefix."""
    return [(int(key.split("/")[1]), array) for key, array in v.items() if key.startswith(f"{prefix}/")]


def train(model, optimizer, v):
    losses = []
    for i in (1, 2, 3):
        loss, gradient = cross_entropy(model.forward_logits(v["x"][16 * i:16 * i + 16], training=True),
                                       v["y"][16 * i:16 * i + 16])
        model.backward_logits(gradient)
        optimizer.step(model)
        losses.append(loss)
    return np.array(losses)


def agreeing(model, expected):
    """The fraction of weights within 1e-4 of their array's largest value."""
    close = [np.abs(model.weights[i][1] - array).ravel() <= 1e-4 * np.abs(array).max() for i, array in expected]
    return np.concatenate(close).mean()


@pytest.mark.parametrize("version", ["keras2", "keras3"])
@pytest.mark.parametrize(("stem", "answers", "gradients"), [("light_slim", 3e-4, 1e-3), ("light", 1e-5, 2e-3)])
def test_one_step(version, stem, answers, gradients):
    v = vectors(version, stem)
    folder = fixtures.FOLDER / ("keras2" if stem == "light" else version)     # light: both began at Keras 2's
    model = opened(folder / f"{stem}.h5")
    for layer in model.layers:
        if layer.state:
            assert layer.unbiased_moving_variance == (version == "keras2" or stem == "light")      # read from the file
            layer.unbiased_moving_variance = version == "keras2"
    x, y = v["x"][:16], v["y"][:16]
    with kernels.use("reference"):
        logits = model.forward_logits(x, training=True)
        loss, gradient = cross_entropy(logits, y)
        dx = model.backward_logits(gradient)
    assert distance(softmax(logits), v["train_pred"]) < answers
    assert abs(loss / v["train_loss"] - 1) < 2e-5
    assert distance(dx, v["grad_x"]) < gradients
    for i, array in numbered(v, "bn1"):
        assert distance(model.weights[i][1], array) < 1e-6
    places = [(layer, name) for layer in model.layers for name, _ in layer.weights]
    for i, array in numbered(v, "grad"):
        layer, name = places[i]
        assert distance(layer.gradients[name], array) < gradients


@pytest.mark.parametrize("version", ["keras2", "keras3"])
def test_the_other_variance_would_be_seen(version):
    v = vectors(version, "light_slim")
    model = opened(fixtures.FOLDER / version / "light_slim.h5")
    for layer in model.layers:
        layer.unbiased_moving_variance = version != "keras2"
    model.forward_logits(v["x"][:16], training=True)
    assert max(distance(model.weights[i][1], array) for i, array in numbered(v, "bn1")) > 5e-6


@pytest.mark.parametrize("version", ["keras2", "keras3"])
def test_adam(version):
    v = vectors(version, "light_slim")
    model = opened(fixtures.FOLDER / version / "light_slim.h5")
    losses = train(model, optimizers.Adam(1e-3), v)
    assert np.abs(losses / v["adam_losses"] - 1).max() < 1e-3
    assert agreeing(model, numbered(v, "w3")) > {"keras2": 0.75, "keras3": 0.99}[version]


@pytest.mark.parametrize("version", ["keras2", "keras3"])
def test_training_resumed_from_the_slots(version):
    v, path = vectors(version, "light_slim"), fixtures.FOLDER / version / "light_slim.h5"
    state = keras_h5.load_optimizer(path)
    assert state.class_name == "Adam" and state.iterations == v["resume_iter0"] and not state.problem
    adam = optimizers.Adam(**{k: state.config[k] for k in ("learning_rate", "beta_1", "beta_2", "epsilon")})
    adam.load_state(state.arrays(), state.iterations)
    model = opened(path)
    losses = train(model, adam, v)
    assert np.abs(losses / v["resume_losses"] - 1).max() < 5e-4
    assert agreeing(model, numbered(v, "resume3")) > {"keras2": 0.85, "keras3": 0.99}[version]
    fresh = opened(path)
    assert np.abs(train(fresh, optimizers.Adam(1e-3), v) / v["resume_losses"] - 1).max() > 5e-3    # the slots matter
