"""Every row of tests/cases.py: shapes, gradients, fast == reference, configuration; and planted mistakes are caught."""
import contextlib
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tinyvgg import kernels, nn, rng, testing
from tinyvgg.nn import layers
from tinyvgg.nn.model import layer_config

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from cases import CASES  # noqa: E402

rows = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


def test_every_layer_has_a_row():
    assert {type(c.make()) for c in CASES} == set(layers.LAYERS.values())


@contextlib.contextmanager
def told(backend, training):
    """Use a set of kernels; what fails says which, and in which mode."""
    try:
        with kernels.use(backend):
            yield
    except AssertionError as error:
        error.add_note(f"{backend} kernels, training={training}")
        raise


@rows
def test_gradient(case):
    for backend, training in itertools.product(("reference", "fast"), (False, True)):
        with told(backend, training):
            testing.check_layer(case.make(), case.input_shape, training=training)


@rows
def test_fast_equals_reference(case):
    for training in (False, True):
        with told("fast", training):
            testing.compare_kernels(case.make(), case.input_shape, training=training, tolerance=1e-4 if "channels" in case.name else 1e-5)


@rows
def test_shape_and_configuration(case):
    layer = case.make()
    many = isinstance(case.input_shape, list)
    shapes = [s[1:] for s in case.input_shape] if many else case.input_shape[1:]
    layer.ensure_built(shapes, rng.generator(0, "t"))
    x = [np.ones(s, np.float32) for s in case.input_shape] if many else np.ones(case.input_shape, np.float32)
    y = layer.forward(x)
    assert y.shape[1:] == tuple(layer.output_shape(shapes)) and y.dtype == np.float32
    dx = layer.backward(np.ones_like(y))
    assert [d.shape for d in dx] == [tuple(s) for s in case.input_shape] if many else dx.shape == tuple(case.input_shape)
    config = json.loads(json.dumps(layer_config(layer)))
    twin = nn.layer_from_config(config)
    assert twin.get_config() == layer.get_config()


def conv2d_by_hand(x, kernel, strides, padding, dilation, groups):
    """The sum of the docstring, index by index."""
    (top, bottom), (left, right) = padding
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    kh, kw, c, f = kernel.shape
    oh = (x.shape[1] - dilation[0] * (kh - 1) - 1) // strides[0] + 1
    ow = (x.shape[2] - dilation[1] * (kw - 1) - 1) // strides[1] + 1
    y = np.zeros((len(x), oh, ow, f))
    for n, i, j, o, p, q, k in np.ndindex(len(x), oh, ow, f, kh, kw, c):
        channel = o // (f // groups) * c + k
        y[n, i, j, o] += x[n, i * strides[0] + p * dilation[0], j * strides[1] + q * dilation[1], channel] * kernel[p, q, k, o]
    return y


@pytest.mark.parametrize("strides, padding, dilation, groups", [
    ((1, 1), ((0, 0), (0, 0)), (1, 1), 1), ((2, 3), ((1, 0), (2, 1)), (1, 1), 2), ((1, 1), ((1, 1), (1, 1)), (2, 1), 1)])
@pytest.mark.parametrize("backend", ["reference", "fast"])
def test_conv2d_against_its_definition(strides, padding, dilation, groups, backend):
    generator = np.random.default_rng(0)
    x, kernel = generator.standard_normal((2, 6, 5, 4)), generator.standard_normal((3, 2, 4 // groups, 4))
    with kernels.use(backend):
        y = kernels.conv2d(x, kernel, strides=strides, padding=padding, dilation=dilation, groups=groups)
    np.testing.assert_allclose(y, conv2d_by_hand(x, kernel, strides, padding, dilation, groups), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("backend", ["reference", "fast"])
def test_average_pool_does_not_count_padding(backend):
    with kernels.use(backend):
        layer = layers.AveragePooling2D(2, strides=2, padding="same")
        y = layer.forward(np.ones((1, 3, 3, 1)))
    np.testing.assert_array_equal(y, np.ones((1, 2, 2, 1)))


@pytest.mark.parametrize("backend", ["reference", "fast"])
def test_max_pool_gradient_goes_to_the_first_of_equals(backend):
    with kernels.use(backend):
        layer = layers.MaxPooling2D()
        layer.forward(np.zeros((1, 2, 2, 1)))
        dx = layer.backward(np.full((1, 1, 1, 1), 3.0))
    np.testing.assert_array_equal(dx[0, :, :, 0], [[3, 0], [0, 0]])


@pytest.mark.parametrize("backend", ["reference", "fast"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_numbers_are_not_hidden(backend, bad):
    chain = nn.Sequential([layers.InputLayer((8, 8, 32)), layers.Conv2D(32, 3, padding="same"), layers.ReLU(),
                           layers.BatchNormalization(), layers.MaxPooling2D(), layers.Flatten(), layers.Dense(3)])
    x = np.zeros((1, 8, 8, 32), np.float32)
    x[0, 3, 3, 5] = bad
    with kernels.use(backend), np.errstate(invalid="ignore"):
        assert not np.isfinite(chain.forward_logits(x)).all()


class WrongGradient(layers.Dense):
    def backward(self, dy, *, parameters=True):
        dx = super().backward(dy, parameters=parameters)
        self.gradients["kernel"] = -self.gradients["kernel"]
        return dx


class ForgetsTheBatch(layers.BatchNormalization):
    def backward(self, dy, *, parameters=True):
        x, mean, variance, _ = self.saved
        self.saved = x, mean, variance, False
        return super().backward(dy, parameters=parameters)


class ShiftedByOne(layers.MaxPooling2D):
    def backward(self, dy, *, parameters=True):
        return np.roll(super().backward(dy, parameters=parameters), 1, axis=1)


@pytest.mark.parametrize("planted, shape",
                         [(WrongGradient(3), (2, 5)), (ForgetsTheBatch(), (2, 3, 3, 2)), (ShiftedByOne(), (1, 4, 4, 2))])
def test_planted_wrong_gradients_are_caught(planted, shape):
    with pytest.raises(AssertionError, match="gradient is wrong"):
        testing.check_layer(planted, shape, training=True)


def test_planted_wrong_fast_kernel_is_caught(monkeypatch):
    from tinyvgg.kernels import fast, reference
    monkeypatch.setattr(fast, "dense", lambda x, k, b=None: reference.dense(x, k, b) * 1.001, raising=False)
    with pytest.raises(AssertionError, match="y: fast differs"):
        testing.compare_kernels(layers.Dense(4), (3, 5))


def test_moving_statistics():
    x = np.random.default_rng(0).standard_normal((4, 3, 3, 2)).astype(np.float32)
    for unbiased, factor in ((False, 1.0), (True, 36 / 35)):
        layer = layers.BatchNormalization(momentum=0.9, unbiased_moving_variance=unbiased)
        layer.ensure_built((3, 3, 2), rng.generator(0, "t"))
        layer.forward(x, training=True)
        np.testing.assert_allclose(layer.state["moving_mean"], 0.1 * x.mean((0, 1, 2)), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(layer.state["moving_variance"], 0.9 + 0.1 * factor * x.var((0, 1, 2)), rtol=1e-5)


def test_dropout_keeps_the_mean_and_its_seed():
    layer = layers.Dropout(0.3)
    layer.rng = np.random.default_rng(5)
    first = layer.forward(np.ones((50, 200), np.float32), training=True)
    layer.rng = np.random.default_rng(5)
    assert (layer.forward(np.ones((50, 200), np.float32), training=True) == first).all()
    assert abs(first.mean() - 1) < 0.02 and set(np.unique(first)) == {np.float32(0), np.float32(1 / 0.7)}
    spatial = layers.SpatialDropout2D(0.5).forward(np.ones((4, 5, 5, 8), np.float32), training=True)
    assert (spatial == spatial[:, :1, :1]).all() and 0 < (spatial == 0).mean() < 1
