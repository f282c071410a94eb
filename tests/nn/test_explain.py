"""Values of layers and Grad-CAM, against the definition by differences; Keras' words for fit."""
import numpy as np
import pytest

from tinyvgg import nn
from tinyvgg.errors import OptionError, ShapeError
from tinyvgg.nn import layers as L


@pytest.fixture(scope="module")
def model():
    image = nn.Input((8, 8, 3))
    a = L.Conv2D(4, 3, padding="same", activation="relu", name="first")(image)
    b = L.Conv2D(4, 1, name="side")(image)
    z = L.Add(name="sum")([a, b])
    z = L.Conv2D(5, 3, strides=2, activation="relu", name="maps")(z)
    return nn.Model(image, L.Dense(3, activation="softmax", name="end")(L.GlobalAveragePooling2D()(z)), seed=2)


@pytest.fixture
def x():
    return np.random.default_rng(1).random((3, 8, 8, 3), np.float32)


def test_activations_are_those_of_the_layers(model, x):
    values = model.activations(x)
    assert list(values)[-1] == "end" and values["maps"].shape == (3, 3, 3, 5) and values["sum"].shape == (3, 8, 8, 4)
    assert np.allclose(values["end"], model.logits(x), atol=1e-5)
    first = model.get_layer("first")
    assert np.allclose(values["first"], first.forward(x), atol=1e-6)


def test_grad_cam_weighs_maps_by_the_logits_slope(model, x):
    """For the last maps before a mean and a Dense, the weight of a map is the Dense's over the number of pixels."""
    maps, kernel = model.activations(x)["maps"], model.get_layer("end").parameters["kernel"]
    for c in range(3):
        cam = np.maximum((maps * kernel[:, c]).sum(-1), 0)
        top = cam.max(axis=(1, 2), keepdims=True)
        got = model.grad_cam(x, c)
        assert got.shape == (3, 8, 8) and got.min() >= 0 and got.max() <= 1 + 1e-6
        assert np.allclose(got[:, [0, 7]][:, :, [0, 7]], (cam / np.where(top > 0, top, 1))[:, [0, 2]][:, :, [0, 2]], atol=1e-5)
    assert np.array_equal(model.grad_cam(x), model.grad_cam(x, model.labels(x)))
    assert model.grad_cam(x, 0, layer="sum").shape == (3, 8, 8)


def test_what_is_not_there(model, x):
    with pytest.raises(OptionError, match="no layer 'frist'.*first"):
        model.get_layer("frist")
    with pytest.raises(OptionError, match="no layer 'nine'"):
        model.grad_cam(x, layer="nine")
    with pytest.raises(ShapeError, match="gives .*expected maps"):
        model.grad_cam(x, layer="end")
    with pytest.raises(OptionError, match="from 0 to 2"):
        model.grad_cam(x, 3)
    assert model.get_layer(index=0) is model.layers[0]


def test_fit_takes_keras_words(model, x, capfd):
    y = np.array([0, 1, 2])
    history = model.fit(x, y, epochs=1, verbose=0, validation_data=(x, y))
    assert "val_accuracy" in history[0] and capfd.readouterr().err == ""
    assert "val_accuracy" in model.fit(np.repeat(x, 4, 0), np.repeat(y, 4), verbose=0, validation_split=0.25)[0]
    with pytest.raises(OptionError, match="shuffle.*always"):
        model.fit(x, y, shuffle=True)
    with pytest.raises(OptionError, match="validation_split and validation"):
        model.fit(x, y, validation_split=0.1, validation=0.1)
