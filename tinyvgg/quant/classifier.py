"""Base of this package's classifiers: answers of a graph, and gradients through a float graph."""

import numpy as np

from tinyvgg.classifier import MadeFor, as_classes, classes_of, directions, of_outputs
from tinyvgg.images import float_images
from tinyvgg.nn.head import apply_head
from tinyvgg.quant.simulate import pull


class GraphClassifier:
    """A graph and, optionally, the float graph that it was lowered from. Subclasses give outputs(x): (N, K), before the head."""

    def __init__(self, graph, *, float_graph=None):
        self.graph, self.float_graph, self.name = graph, float_graph, graph.name

    @property
    def input_shape(self):
        """Shape of one image."""
        return tuple(self.graph.input_shape)

    @property
    def input_range(self):
        """(low, high) of valid images, as floats; a uint8 value q means low + q * (high - low) / 255."""
        return self.graph.input_range

    @property
    def bounds(self):
        """The same as input_range."""
        return self.graph.input_range

    @property
    def made_for(self):
        """The data that the network was trained on (tinyvgg.classifier.MadeFor), or None."""
        return MadeFor.read(self.graph.facts.get("made_for"))

    @property
    def n_outputs(self):
        """Number of outputs for an image: one for each class, or a single one for two classes."""
        return self.graph.logits.shape[-1]

    @property
    def n_classes(self):
        """Number of classes."""
        return classes_of(self.graph.logits.shape)

    @property
    def sha256(self):
        """SHA-256 of the graph, in hexadecimal; a board sends it in its HELLO."""
        from tinyvgg.quant.tvq import graph_sha256

        return graph_sha256(self.graph)

    def logits(self, x, *, batch_size=256):
        """x (N, *input_shape) -> (N, classes) float32, before the head."""
        return as_classes(self.outputs(x, batch_size=batch_size))

    def predict(self, x, *, batch_size=256):
        """Return the outputs (N, K) float32, after the softmax or sigmoid (in floats), of x (N, *input_shape)."""
        return apply_head(self.graph.head, self.outputs(x, batch_size=batch_size))

    def evaluate(self, x, y, **settings):
        """Return {"n", "accuracy", "loss", ...} on x and y: see tinyvgg.train.evaluate."""
        from tinyvgg.train import evaluate

        return evaluate(self, x, y, **settings)

    def save(self, path, **_):
        """Write the model as one .tvq file."""
        from tinyvgg.quant.tvq import save_tvq

        save_tvq(self, path)

    def __repr__(self):
        return f"<{type(self).__name__} {self.name!r}: {len(self.graph.ops)} ops, {self.graph.facts.get('scheme', 'int8')}>"


def vjp(graph, values_of, x, g, *, limits=None, batch_size=64):
    """Return d sum(g * logits(x)) / dx, float32, as x, through a float Graph.

    values_of: x -> what simulate.pull wants. g: (N, classes), or a function of the logits (then x is one batch).
    """
    x = float_images(x, graph.input_range, shape=graph.input_shape)
    if not callable(g):
        g = directions(g, (len(x), classes_of(graph.logits.shape)), np.float32)
    size = max(len(x), 1) if callable(g) else batch_size
    parts = [np.zeros((0, *x.shape[1:]), np.float32)]
    for i in range(0, len(x), size):
        values = values_of(x[i : i + size])
        outputs = values[graph.logits.name].reshape(len(values[""]), -1)
        rows = np.asarray(g(as_classes(outputs)) if callable(g) else g[i : i + size], np.float32)
        parts.append(pull(graph, values, of_outputs(rows, outputs.shape[1:]), parameters=False, limits=limits)[0])
    return np.concatenate(parts)
