"""What is done with each damaged file of test_keras_fuzz.py, in a process that imports this file alone."""
import os

import tinyvgg
from tinyvgg import nn
from tinyvgg.errors import TinyVGGError
from tinyvgg.io import keras_h5


def opened(path):
    """Open a file in every way there is; the last one's error counts."""
    error = None
    weights = path.name.endswith(".weights.h5")
    for way in (keras_h5.summary, keras_h5.read, _load_weights if weights else lambda p: valid(tinyvgg.load_model(p))):
        try:
            way(path)
            error = None
        except TinyVGGError as raised:
            error = raised
    if error is not None:
        raise error


def _load_weights(path):
    tinyvgg.load_model(os.environ["TINYVGG_FUZZ_MODEL"]).load_weights(path)


def valid(model):
    """A model that loads must be whole: its summary can be made and every array has its shape."""
    assert sum(row["parameters"] for row in nn.summary_rows(model)) == model.count_params()
    assert nn.summary_text(model) and model.get_config()
