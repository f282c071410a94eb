"""Labels that name no single class are refused by evaluate, as fit does: an argmax of them would be a class nobody named."""
import numpy as np
import pytest

from tinyvgg import kernels, nn
from tinyvgg.errors import DataError
from tinyvgg.nn import layers
from tinyvgg.train.predictions import save_predictions

X = np.random.default_rng(0).random((5, 6), np.float32)
ROWS = np.eye(4)[[0, 1, 2, 3, 0]]


@pytest.mark.parametrize("y, words", [
    (np.ones((5, 4), int), "row 0 of the labels names several classes alike"),
    (np.where(np.arange(5)[:, None] == 3, 0, ROWS), "row 3 of the labels names several classes alike"),
    (np.eye(2)[[0, 1, 0, 1, 0]], r"labels have shape \(5, 2\); expected \(N,\) whole numbers or one-hot \(N, 4\)"),
    (np.full((5, 4), "a"), "labels have shape"), (np.where(ROWS > 0, np.nan, ROWS), "labels have shape"),
    (np.array([0, 1, -1, 2, 3]), "label -1 of image 2")], ids=str)
def test_labels_that_name_no_single_class(y, words, tmp_path):
    model = nn.Sequential([layers.InputLayer((6,)), layers.Dense(4)])
    with kernels.use("reference"):
        with pytest.raises(DataError, match=words):
            model.evaluate(X, y)
        with pytest.raises(DataError, match=words):
            save_predictions(tmp_path / "p.csv", model, X, y)
        assert model.evaluate(X, 0.9 * ROWS + 0.025)["n"] == model.evaluate(X, np.array([0, 1, 2, 3, 0]))["n"] == 5
