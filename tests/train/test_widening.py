"""A wider network starts with the answers of the narrow one, its copies of a channel part, and what cannot be widened is refused."""
import json

import numpy as np
import pytest

from tests.train import tiny
from tinyvgg import models, train
from tinyvgg.cli import main
from tinyvgg.errors import OptionError
from tinyvgg.nn import Input, Model, Sequential
from tinyvgg.nn.layers import Activation, Add, Conv2D, Dense, DepthwiseConv2D, Flatten, GlobalAveragePooling2D, InputLayer

X, Y = tiny.images(96)


def trained(build):
    """A network whose batch-norms are not at their first values."""
    model, rng = build(), np.random.default_rng(1)
    model.set_weights([w + rng.uniform(0, 0.1, w.shape).astype(w.dtype) for w in model.get_weights()])
    return model


@pytest.mark.parametrize("build, factor", [(models.light, 1.5), (models.notebook, 1.1), (tiny.model, 3), (tiny.model, 1), (
    lambda: Sequential([InputLayer((8, 8, 3)), Conv2D(4, 3), Conv2D(5, 1, activation="tanh"), GlobalAveragePooling2D(), Dense(3)]), 2.5), (
    lambda: Sequential([InputLayer((8, 8, 3)), Conv2D(4, 3), Conv2D(5, 6, activation="softmax"), Flatten()]), 2)])
def test_the_answers_stay(build, factor):
    model = trained(build)
    wide = train.widen(model, factor, seed=4)
    x = np.random.default_rng(0).uniform(*model.input_range, (5, *model.input_shape)).astype(np.float32)
    before = model.logits(x)
    np.testing.assert_allclose(wide.logits(x), before, atol=3e-6 * max(1, np.abs(before).max()), rtol=0)
    last = next(layer for layer in reversed(model.layers) if isinstance(layer, Conv2D | Dense))
    narrow = [layer.filters * (1 if layer is last else factor) for layer in model.layers if isinstance(layer, Conv2D)]
    assert [layer.filters for layer in wide.layers if isinstance(layer, Conv2D)] == [int(f) for f in narrow]


def test_channels_are_rounded_down_but_not_by_a_float_s_error():
    model = Sequential([InputLayer((4, 4, 1)), Conv2D(45, 1), Conv2D(10, 1), Flatten(), Dense(2)])
    assert [layer.filters for layer in train.widen(model, 1.4).layers[1:3]] == [63, 14]
    assert [layer.filters for layer in train.widen(model, 1.15).layers[1:3]] == [51, 11]


def test_copies_of_a_channel_part_in_training():
    wide = train.widen(trained(tiny.model), 2)
    kernel = next(layer for layer in wide.layers if isinstance(layer, Conv2D)).parameters["kernel"]

    def nearest():
        """How far each channel is from the one most like it."""
        return (np.abs(kernel[..., None] - kernel[..., None, :]).max((0, 1, 2)) + np.eye(12)).min(1)

    assert (nearest() == 0).all()
    wide.fit(X, Y, epochs=2, validation=0, quiet=True)
    assert (nearest() > 1e-4).all()


def test_the_seed_says_which_weights():
    first, same, other = (train.widen(trained(tiny.model), 1.5, seed=s).get_weights() for s in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def two_ways():
    start = Input((8, 8, 3))
    x = Conv2D(4, 3, padding="same")(start)
    return Model(start, Dense(3)(Flatten()(Add()([x, Conv2D(4, 3, padding="same")(x)]))), name="two_ways")


def chain(*layers):
    return Sequential([InputLayer((8, 8, 4)), *layers, Flatten(), Dense(3)], name="net")


@pytest.mark.parametrize("build, words", [
    (two_ways, "two_ways cannot be widened: it is no chain"),
    (lambda: chain(Conv2D(4, 3), DepthwiseConv2D(3)), "is a DepthwiseConv2D"),
    (lambda: chain(Conv2D(4, 3, groups=2)), "in groups"),
    (lambda: chain(Conv2D(4, 3), Activation("softmax")), "with a softmax"),
    (lambda: chain(Conv2D(4, 3, activation="softmax")), "with a softmax"),
    (lambda: chain(Conv2D(4, 3), GlobalAveragePooling2D(), Activation("softmax")), "with a softmax"),
    (lambda: chain(Conv2D(4, 3), Flatten(), Activation("softmax")), "with a softmax"),
    (lambda: chain(), "no Conv2D before"),
    (lambda: Sequential([InputLayer((8, 8, 4)), Conv2D(4, 8), Flatten()], name="net"), "no Conv2D before")])
def test_refused_networks(build, words):
    with pytest.raises(OptionError, match=words):
        train.widen(build(), 2)


@pytest.mark.parametrize("factor", [0.5, 9, float("nan"), float("inf")])
def test_refused_factors(factor):
    with pytest.raises(OptionError, match="expected 1 to 8"):
        train.widen(tiny.model(), factor)


def test_the_verb_resumes_to_the_same_bytes(tmp_path, capsys):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    (tmp_path / "net.json").write_text(json.dumps(tiny.model().get_config()), encoding="utf-8")
    common = ["--data", f"{tmp_path}/x.npy,{tmp_path}/y.npy", "--quiet", "--json"]
    start = ["train", "--arch", f"{tmp_path}/net.json", *common, "--epochs"]

    def run(*words):
        assert main([str(word) for word in words]) == 0
        return json.loads(capsys.readouterr().out)

    run(*start, 1, "--out", tmp_path / "narrow")
    wide = ["--weights", tmp_path / "narrow", "--widen", 2, "--out"]
    whole = run(*start, 3, *wide, tmp_path / "whole")
    run(*start, 2, *wide, tmp_path / "parts")
    assert run("train", "--resume", "--epochs", 3, "--out", tmp_path / "parts", "--json", "--quiet")["weights_sha256"] == whole["weights_sha256"]
    assert main(["train", "--arch", "resnet8", "--widen", "2", "--out", str(tmp_path / "no")]) == 2
    assert "cannot be widened" in capsys.readouterr().err
