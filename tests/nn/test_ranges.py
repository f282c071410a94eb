"""The range of images that a network takes, and eps as parts of it."""
import json

import numpy as np
import pytest

import tinyvgg
from tinyvgg import attacks, data, images, nn, testing
from tinyvgg.attacks.norms import default_eps
from tinyvgg.cli import main
from tinyvgg.codegen.host import HostModel
from tinyvgg.nn import layers
from tinyvgg.quant.model import quantize
from tinyvgg.quant.schemes import compress
from tinyvgg.train.adversarial import AdversarialBatches

SHAPE = (8, 8, 3)
ROWS = [
    ((1 / 255,), (0, 255)), ((1 / 255.0, 0.0), (0, 255)), ((1 / 127.5, -1), (0, 255)), ((1 / 256,), (0, 255)),
    ((1 / 128, -1), (0, 255)), ((1 / 255, -0.5), (0, 255)), ((0.017,), (0, 255)), ((-1 / 255, 1), (0, 255)), ((2, -1), (0, 1)),
    ((1,), (0, 1)), ((255,), (0, 1)), ((0.5, 0.5), (-1, 1)), ((127.5, 127.5), (-1, 1)), ((1 / 1023,), (0, 1023)),
    ((1 / 65535,), (0, 65535)),
]


def behind(*first, seed=0, **settings):
    return nn.Sequential([layers.InputLayer(SHAPE), *first, layers.Conv2D(8, 3, activation="relu"), layers.Flatten(),
                          layers.Dense(4)], seed=seed, **settings)


@pytest.mark.parametrize(("first", "bounds"), ROWS, ids=lambda v: str(v))
def test_a_first_rescaling_sets_the_range(first, bounds):
    cls, options = layers.Rescaling, first
    assert behind(cls(*options)).bounds == bounds
    assert behind(cls(*options), input_range=(0, 7)).bounds == (0, 7)
    assert behind(layers.Dropout(0.1), layers.ZeroPadding2D(1), cls(*options)).bounds == bounds
    start = nn.Input(SHAPE)
    y = cls(*options)(start)
    assert nn.Model(start, layers.Flatten()(layers.Add()([y, layers.Conv2D(3, 1)(y)]))).bounds == bounds
    assert nn.Model(start, layers.Flatten()(layers.Add()([start, cls(*options)(start)]))).bounds == (0, 1)      # two ways from the start


@pytest.mark.parametrize("before", [
    layers.Cropping2D(1), layers.MaxPooling2D(2), layers.AveragePooling2D(2), layers.UpSampling2D(2), layers.Permute((2, 1, 3)),
    layers.Activation("linear")], ids=lambda layer: type(layer).__name__)
def test_layers_that_keep_the_range_may_come_first(before):
    start = nn.Input(SHAPE)
    y = layers.Rescaling(1 / 255)(before(start))
    assert nn.Model(start, layers.Flatten()(y)).bounds == (0, 255)


def test_an_activation_that_changes_values_tells_nothing():
    assert behind(layers.Activation("tanh"), layers.Rescaling(1 / 255)).bounds == (0, 1)


@pytest.mark.parametrize(("second", "bounds"), [(1 / 255, (0, 255)), (1 / 127.5, (0, 255)), (2.0, (0, 1)), (None, (0, 1))])
def test_branches_that_begin_alike_set_the_range(second, bounds):
    """Where they differ, nothing is known."""
    start = nn.Input(SHAPE)
    branch = start if second is None else layers.Rescaling(second, -1.0 if second == 1 / 127.5 else 0.0)(layers.Dropout(0.1)(start))
    one = layers.Conv2D(3, 1)(layers.Rescaling(1 / 255)(start))
    assert nn.Model(start, layers.Flatten()(layers.Concatenate()([one, layers.Conv2D(3, 1)(branch)]))).bounds == bounds


@pytest.mark.skipif(not hasattr(layers, "Normalization"), reason="no layer Normalization here")
@pytest.mark.parametrize(("mean", "variance", "bounds"), [
    ([125.3, 123.0, 113.9], [3969.0, 3856.0, 4450.0], (0, 255)), ([0.49, 0.48, 0.45], [0.061, 0.059, 0.068], (0, 1)),
    ([-0.02, -0.04, -0.1], [0.24, 0.24, 0.27], (-1, 1)),
    (33.3, 6172.0, (0, 255)), ([103.9, 116.8, 123.7], 1.0, (0, 255)), ([100.0, 110.0, 120.0], [50.0, 60.0, 70.0], (0, 255)),
    (0.0, 1.0, (0, 1)), (32000.0, 2.6e8, (0, 65535))])
def test_a_first_normalization_sets_the_range(mean, variance, bounds):
    assert behind(layers.Normalization(mean=mean, variance=variance)).bounds == bounds
    if bounds == (0, 1):
        twice = behind(layers.Rescaling(1 / 255), layers.Normalization(mean=mean, variance=variance))
        assert twice.bounds == (0, 255)


def test_a_later_rescaling_says_nothing():
    assert behind(layers.Conv2D(3, 1), layers.Rescaling(1 / 255)).bounds == (0, 1)


@pytest.fixture(scope="module")
def pair():
    """A network of images in 0..1 and the same network with its preprocessing inside; images and labels."""
    x = np.random.default_rng(0).integers(0, 256, (48, *SHAPE), dtype=np.uint8)
    plain, whole = behind(seed=3), behind(layers.Rescaling(1 / 255), seed=3)
    whole.set_weights(plain.get_weights())
    return plain, whole, x, plain.labels(x)


def test_it_answers_alike_everywhere(pair, tmp_path):
    plain, whole, x, y = pair
    whole.save(tmp_path / "whole.h5")
    loaded = tinyvgg.load_model(tmp_path / "whole.h5")
    assert loaded.bounds == whole.bounds == (0, 255)
    assert loaded.evaluate(x, y)["accuracy"] == 1 and np.allclose(loaded.logits(x), plain.logits(x), atol=1e-5)
    integer = quantize(whole, x)
    assert np.array_equal(integer.integer_logits(x), integer.integer_logits(x.astype(np.float32)))
    assert np.array_equal(integer.integer_logits(x), quantize(plain, x).integer_logits(x))
    testing.assert_bit_exact(integer, x.astype(np.float32))
    assert np.array_equal(HostModel(integer).raw_logits(x), integer.integer_logits(x))
    assert np.allclose(compress(whole, "none").logits(x), plain.logits(x), atol=1e-5)
    a = whole.fit(x, y, epochs=1, quiet=True)
    assert a[0]["accuracy"] > 0.5, "trained on bytes, not on bytes / 255^2"


def test_attacks_take_eps_in_the_unit_of_the_images(pair):
    plain, whole, x, y = behind(seed=3), behind(layers.Rescaling(1 / 255), seed=3), *pair[2:]
    whole.set_weights(plain.get_weights())
    a = attacks.pgd(plain, x, y, eps=default_eps(plain.bounds), steps=5)
    b = attacks.pgd(whole, x, y, eps=default_eps(whole.bounds), steps=5)
    assert default_eps(whole.bounds) == 8 and a.robust_accuracy == b.robust_accuracy
    small = attacks.pgd(whole, x, y, eps="8/255", steps=5)
    assert any("grey levels" in flag for flag in small.flags) and not any("grey levels" in flag for flag in a.flags + b.flags)
    for attack, settings in ((attacks.fgsm, {}), (attacks.noise, {}), (attacks.mifgsm, {"steps": 2}), (attacks.square, {"queries": 5}),
                             (attacks.ladder, {"budget": 30})):
        assert any("grey levels" in flag for flag in attack(whole, x[:2], y[:2], eps="8/255", **settings).flags), attack
    rows = attacks.eps_curve(whole, x[:2], y[:2], steps=2)
    assert max(row["eps"] for row in rows) == pytest.approx(64)


def test_adversarial_training_takes_parts_of_the_range(pair):
    for model, expected in ((behind(), 8 / 255), (behind(layers.Rescaling(1 / 255)), 8), (behind(input_range=(-1, 1)), 16 / 255)):
        hook = AdversarialBatches("fgsm_rs")
        hook.rng = np.random.default_rng(0)
        x = images.float_images(pair[2][:8], model.bounds)
        moved = np.abs(hook(model, x, pair[3][:8])[0] - x).max()
        assert 0 < moved <= expected * (1 + 1e-5) and hook.eps == pytest.approx(expected)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A network of bytes in m.h5 and the shapes' test images, in the working folder."""
    monkeypatch.chdir(tmp_path)
    shapes = data.load("shapes")
    model = nn.Sequential([layers.InputLayer(shapes.image_shape), layers.Rescaling(1 / 255), layers.MaxPooling2D(4), layers.Flatten(),
                           layers.Dense(shapes.n_classes, activation="softmax")])
    model.fit(shapes.x_train[:500], shapes.y_train[:500], epochs=2, quiet=True)
    model.save("m.h5")
    return model


def told(capsys, *argv):
    assert main([*argv, "--json", "--quiet"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_command_line_takes_parts_of_the_range(files, capsys):
    common = ("m.h5", "--data", "shapes", "-n", "20")
    usual = told(capsys, "attack", "pgd", *common, "--steps", "2")
    assert usual["config"]["eps"] == 8 and not any("grey levels" in flag for flag in usual["flags"])
    small = told(capsys, "attack", "pgd", *common, "--steps", "2", "--eps", "8/255")
    assert any("grey levels" in flag for flag in small["flags"])
    assert main(["attack", "pgd", *common, "--steps", "2", "--eps", "8/255", "--quiet"]) == 0
    assert "! eps 0.0313725 is 0.031 grey levels" in capsys.readouterr().out
    assert told(capsys, "look", "m.h5", "--data", "shapes", "--scheme", "none")["attack"]["eps"] == 8
    assert told(capsys, "attack", "steps", *common, "--eps", "8/255")["flags"]
    rows = told(capsys, "attack", "curve", *common, "--steps", "1")["rows"]
    assert max(row["eps"] for row in rows) == pytest.approx(64)
