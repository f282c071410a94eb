"""Read and write Keras' files, using only h5py, zipfile and json.

    model = load_model("light.h5")              # Keras 2 or 3: .h5, .keras; ours
    load_weights(model, "light.weights.h5")     # weights alone, of either layout
    save_model(model, "light.h5")               # opens in Keras 2.15 and in Keras 3

The parts: archive.py (which kind of file), layers.py (settings of each layer class),
flatten.py (a graph without nesting), weights.py (arrays in two layouts), build.py (to and from a network here), optimizer.py,
writer.py, convert.py, describe.py.
"""
from tinyvgg.io.keras_h5.convert import convert
from tinyvgg.io.keras_h5.describe import summary
from tinyvgg.io.keras_h5.reader import load_model, load_optimizer, load_weights, model_from_json, read
from tinyvgg.io.keras_h5.writer import save_model

__all__ = ["convert", "load_model", "load_optimizer", "load_weights", "model_from_json", "read", "save_model", "summary"]
