"""A float graph with codebooks as a classifier: the schemes none, low, medium and high."""

import numpy as np

from tinyvgg import kernels
from tinyvgg.quant.calibrate import as_float_images
from tinyvgg.quant.simulate_float import run_float


class CompressedModel:
    """A float graph that answers. Images (N, H, W, C) are float32 in `bounds`; uint8 is taken as levels of that range."""

    def __init__(self, graph):
        self.graph, self.float_graph, self.name = graph, graph, graph.name

    @property
    def input_shape(self):
        """Shape of one image."""
        return tuple(self.graph.input_shape)

    @property
    def input_range(self):
        """(low, high) of valid images."""
        return self.graph.input_range

    @property
    def bounds(self):
        """The same as input_range."""
        return self.graph.input_range

    @property
    def n_classes(self):
        return self.graph.logits.shape[-1]

    @property
    def sha256(self):
        """SHA-256 of the graph, in hexadecimal."""
        from tinyvgg.quant.tvq import graph_sha256

        return graph_sha256(self.graph)

    def logits(self, x, *, batch_size=256):
        """x (N, H, W, C) -> (N, classes) float32, before a final softmax."""
        x = as_float_images(x, self.graph)
        return np.concatenate([run_float(self.graph, x[i : i + batch_size]) for i in range(0, len(x), batch_size)])

    def predict(self, x, *, batch_size=256):
        """x (N, H, W, C) -> (N, classes): probabilities where the network ends in a softmax, else logits."""
        logits = self.logits(x, batch_size=batch_size)
        return logits if self.graph.ops[-1] is self.graph.logits else kernels.softmax(logits)

    def labels(self, x, *, batch_size=256):
        """x (N, H, W, C) -> (N,) int64."""
        return self.logits(x, batch_size=batch_size).argmax(axis=-1)

    def save(self, path, **_):
        """Write the model as one .tvq file."""
        from tinyvgg.quant.tvq import save_tvq

        save_tvq(self, path)

    def __repr__(self):
        return f"<CompressedModel {self.name!r}: {len(self.graph.ops)} ops, {self.graph.facts.get('scheme', 'none')}>"
