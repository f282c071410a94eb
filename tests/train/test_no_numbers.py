"""A network whose answers are not numbers, and losses that are no functions, get a sentence."""
import numpy as np
import pytest

from tinyvgg import faults, nn
from tinyvgg.classifier import labels_of
from tinyvgg.cli import main
from tinyvgg.errors import DataError, OptionError
from tinyvgg.nn import layers

X, Y = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), dtype=np.uint8), np.arange(16) % 4


def network(broken=None):
    model = nn.Sequential([layers.InputLayer((8, 8, 3)), layers.Flatten(), layers.Dense(4)])
    if broken is not None:
        weights = model.get_weights()
        weights[0][:, 1] = broken
        model.set_weights(weights)
    return model


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_answers_that_are_no_numbers(broken):
    model = network(broken)
    with np.errstate(all="ignore"):
        assert not np.isfinite(model.logits(X)).all()                       # visible where they are asked for
        if np.isnan(broken):
            with pytest.raises(DataError, match="NaN or infinite for"):
                model.labels(X)
        with pytest.raises(DataError, match="NaN or infinite for 16 of 16 images"):
            model.evaluate(X, Y)


def test_flips_that_make_no_number_make_no_right_answer():
    store = faults.open_store(network(np.nan), "file")
    assert (store.labels(X) == -1).all() and store.accuracy(X, np.zeros(16)) == 0
    assert labels_of(np.array([[1, np.nan], [0, 1]]), broken=-1).tolist() == [-1, 1]


def test_a_training_that_diverges(tmp_path, capsys):
    for settings in ({"validation": 4}, {}):
        model = nn.Sequential([layers.InputLayer((8, 8, 3)), layers.Flatten(), layers.BatchNormalization(), layers.Dense(8),
                               layers.BatchNormalization(), layers.Dense(4)])
        with np.errstate(all="ignore"), pytest.raises(OptionError, match="the training diverged"):
            model.fit(X, Y, optimizer="sgd", learning_rate=1e38, epochs=3, quiet=True, batch_size=4, **settings)
    assert main(["train", "--arch", "resnet8", "--data", "shapes", "--epochs", "1", "--learning-rate", "1e30", "--limit", "60",
                 "--out", str(tmp_path / "r"), "--quiet"]) == 2
    assert "diverged" in capsys.readouterr().err


@pytest.mark.parametrize("settings", [{"loss": "mse"}, {"loss": 3}, {"batch_hook": "mixup"}])
def test_what_is_no_function(settings):
    with pytest.raises(OptionError, match="expected a function"):
        network().fit(X, Y, quiet=True, **settings)
