"""Images that count more than others, runs that go on for more epochs, predictions as CSV, what a notebook's bar is told."""
import csv
import sys
import types

import numpy as np
import pytest

from tests.train import tiny
from tinyvgg import train
from tinyvgg.errors import OptionError, ShapeError
from tinyvgg.nn.losses import CrossEntropy
from tinyvgg.report.progress import Progress
from tinyvgg.report.record import sha256_arrays
from tinyvgg.train.weights import image_weights, weighted

X, Y = tiny.images(96)


def digest(model):
    return sha256_arrays(*model.get_weights())


def test_a_weighted_loss_is_that_of_keras():
    """sum(w * loss) / N, as Keras' sum_over_batch_size; its gradient by differences."""
    rng = np.random.default_rng(0)
    z, y, w = rng.standard_normal((5, 4)), np.array([0, 1, 2, 3, 1]), np.array([1, 0, 2, 0.5, 3])
    loss = CrossEntropy(label_smoothing=0.1)
    value, gradient = weighted(loss, z, y, w)
    assert value == pytest.approx(sum(w[i] * loss(z[i:i + 1], y[i:i + 1])[0] for i in range(5)) / 5)
    for i, k in ((0, 1), (1, 1), (4, 3)):
        step = np.zeros_like(z)
        step[i, k] = 1e-6
        slope = (weighted(loss, z + step, y, w)[0] - weighted(loss, z - step, y, w)[0]) / 2e-6
        assert gradient[i, k] == pytest.approx(slope, abs=1e-7)


def test_class_and_sample_weights_multiply():
    assert image_weights([0, 1, 1], 2) is None
    assert image_weights([0, 1, 1], 2, {1: 5}, [1, 2, 0]).tolist() == [1, 10, 0]
    assert image_weights([0, 1, 1], 2, [3, 4]).tolist() == [3, 4, 4]


def test_training_follows_the_weights():
    """Two classes of four count: the others are never learnt; and weights of 1 are as good as none."""
    some, ones, none = tiny.model(dropout=0), tiny.model(dropout=0), tiny.model(dropout=0)
    some.fit(X, Y, epochs=8, batch_size=16, learning_rate=1e-2, class_weight={2: 0, 3: 0}, quiet=True)
    answers = some.labels(X)
    assert set(answers) <= {0, 1} and (answers == Y)[Y < 2].mean() > 0.8
    ones.fit(X, Y, sample_weight=np.ones(len(X)), quiet=True)
    none.fit(X, Y, quiet=True)
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(ones.get_weights(), none.get_weights(), strict=True))


@pytest.mark.parametrize(("settings", "error", "told"), [
    ({"class_weight": {7: 1}}, OptionError, "names the class 7"), ({"class_weight": 3}, OptionError, r"expected \{class: weight\}"),
    ({"class_weight": {0: -1}}, OptionError, "finite weights, 0 or more"), ({"sample_weight": [1, 2]}, ShapeError, "one number an image"),
    ({"sample_weight": "all"}, OptionError, "not numbers"), ({"class_weight": [0, 0, 0, 0]}, OptionError, "weighs 0"),
    ({"class_weight": {0: 1}, "batch_hook": lambda m, x, y: (x, y)}, OptionError, "one of them")])
def test_wrong_weights_are_told(settings, error, told):
    with pytest.raises(error, match=told):
        tiny.model().fit(X, Y, quiet=True, **settings)


def test_a_finished_run_goes_on_for_more_epochs(tmp_path):
    """With a constant schedule it ends in the bytes of a run that had them from the start."""
    whole, parts = tiny.model(), tiny.model()
    train.fit(whole, X, Y, epochs=3, quiet=True)
    train.fit(parts, X, Y, epochs=2, out=tmp_path / "run", quiet=True)
    again = tiny.model(seed=5)
    assert len(train.fit(again, X, Y, epochs=3, out=tmp_path / "run", resume=True, quiet=True)) == 3
    assert digest(again) == digest(whole)
    train.fit(tiny.model(), X, Y, epochs=1, schedule="cosine", out=tmp_path / "cosine", quiet=True)
    with pytest.raises(OptionError, match="ends with epoch 1; it cannot go on to 2"):
        train.fit(tiny.model(), X, Y, epochs=2, schedule="cosine", out=tmp_path / "cosine", resume=True, quiet=True)


def test_predictions_as_csv(tmp_path):
    model = tiny.model()
    train.save_predictions(tmp_path / "p.csv", model, X, Y, classes="abcd")
    rows = list(csv.DictReader(open(tmp_path / "p.csv", encoding="utf-8")))
    assert len(rows) == len(X) and list(rows[0]) == ["image", "predicted", "label", "right", "p_a", "p_b", "p_c", "p_d"]
    assert [row["predicted"] for row in rows] == ["abcd"[k] for k in model.labels(X)]
    assert np.mean([int(row["right"]) for row in rows]) == train.evaluate(model, X, Y)["accuracy"]
    assert np.allclose([[float(row[f"p_{k}"]) for k in "abcd"] for row in rows], model.predict(X), atol=2e-6)
    train.save_predictions(tmp_path / "q.csv", model, X[:3])
    assert (tmp_path / "q.csv").read_text().startswith("image,predicted,p_0,")


def test_a_notebook_gets_the_bar_of_tqdm(monkeypatch, capsys):
    class ZMQInteractiveShell:
        pass

    class Bar:
        told = []

        def __init__(self, total, desc, unit):
            self.told.append((total, desc, unit))

        def __getattr__(self, name):
            return lambda *args, **_: self.told.append((name, *args))
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=ZMQInteractiveShell))
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", types.SimpleNamespace(tqdm=Bar))
    tiny.model().fit(X, Y, epochs=1)
    assert Bar.told[0][0] == len(X) and ("update", 64) in Bar.told and any("compiles" in str(told) for told in Bar.told)
    assert Progress(3, "quiet", quiet=True).bar is None and "[" not in capsys.readouterr().err
