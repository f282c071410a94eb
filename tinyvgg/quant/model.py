"""The integer model as a classifier."""

import numpy as np

from tinyvgg import kernels
from tinyvgg.errors import DataError, ShapeError
from tinyvgg.quant.graph import Graph
from tinyvgg.quant.simulate import run, simulate


class QuantizedModel:
    """A graph that answers: bit for bit what its C code answers.

    Images are uint8 as they are, (N, H, W, C); floats in `bounds` are rounded to the nearest of the 256 levels first.
    `float_graph` (optional) is what the graph was lowered from, kept for re-planning and for gradients.
    """

    def __init__(self, graph: Graph, *, float_graph: Graph | None = None):
        self.graph, self.float_graph, self.name = graph, float_graph, graph.name

    @property
    def input_shape(self):
        """Shape of one image."""
        return tuple(self.graph.input_shape)

    @property
    def input_range(self):
        """(low, high) of valid images, as floats: level q means low + q * (high - low) / 255."""
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
        """SHA-256 of the graph, in hexadecimal: what a board says in its HELLO."""
        from tinyvgg.quant.tvq import graph_sha256

        return graph_sha256(self.graph)

    def integer_logits(self, x, *, batch_size=256):
        """x (N, H, W, C) -> (N, classes) int16, or uint8 where the last layer is not a Dense: the bytes that C gives."""
        x = self.check_images(x)
        parts = [run(self.graph, x[i : i + batch_size]) for i in range(0, len(x), batch_size)]
        return np.concatenate(parts).reshape(len(x), -1) if parts else np.zeros((0, self.n_classes), np.int16)

    def logits(self, x, *, batch_size=256):
        """x (N, H, W, C) -> (N, classes) float32: scale * (q - zero)."""
        last = self.graph.logits
        return np.float32(last.scale) * (self.integer_logits(x, batch_size=batch_size).astype(np.float32) - np.float32(last.zero))

    def predict(self, x, *, batch_size=256):
        """x (N, H, W, C) -> (N, classes): probabilities (float softmax of the logits) where the network ends in a softmax."""
        logits = self.logits(x, batch_size=batch_size)
        return logits if self.graph.ops[-1] is self.graph.logits else kernels.softmax(logits)

    def scores(self, x, *, batch_size=256):
        """x (N, H, W, C) -> (N, classes): the last op's result as the board sends it, uint8 in 1/255 after an integer softmax."""
        q, last = self.integer_logits(x, batch_size=batch_size), self.graph.ops[-1]
        return q if last is self.graph.logits else simulate(last, q)

    def labels(self, x, *, batch_size=256):
        """x (N, H, W, C) -> (N,) int64, the class of the largest integer logit (the first of equal ones)."""
        return self.integer_logits(x, batch_size=batch_size).argmax(axis=-1)

    def trace(self, x):
        """x (N, H, W, C) -> {op: its integers (N, ...)} of every op, softmax included."""
        return run(self.graph, self.check_images(x), keep=True)

    def evaluate(self, x, y, *, batch_size=256, **_):
        """Return {"n", "accuracy", "loss"} on x and labels y (N,) or one-hot (N, classes)."""
        y = np.asarray(y)
        y = y.argmax(axis=-1) if y.ndim == 2 and y.shape[1] > 1 else y.reshape(-1)
        logits = self.logits(x, batch_size=batch_size).astype(np.float64)
        log_p = logits - logits.max(axis=1, keepdims=True)
        log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
        return {"n": len(y), "accuracy": float((logits.argmax(axis=1) == y).mean()),
                "loss": float(-log_p[np.arange(len(y)), y].mean())}

    def save(self, path, **_):
        """Write the model as one .tvq file."""
        from tinyvgg.quant.tvq import save_tvq

        save_tvq(self, path)

    def check_images(self, x):
        """Return x as uint8 levels, or raise an error that says what was expected."""
        x = np.asarray(x)
        if x.ndim != len(self.input_shape) + 1 or x.shape[1:] != self.input_shape:
            expected = ", ".join(map(str, ("N", *self.input_shape)))
            raise ShapeError(f"images have shape {x.shape}; expected ({expected}), channels last",
                             "x[None]" if x.shape == self.input_shape else "")
        if x.dtype == np.uint8:
            return x
        low, high = self.input_range
        if not np.issubdtype(x.dtype, np.floating) or not np.isfinite(x).all():
            raise DataError(
                f"images are {x.dtype}{'' if x.dtype.kind != 'f' else ' with NaN or infinity'}; expected uint8, or floats in "
                f"{low:g}..{high:g}",
                "x.astype(np.uint8)",
            )
        return np.clip(np.rint((x.astype(np.float64) - low) * (255 / (high - low))), 0, 255).astype(np.uint8)

    def __repr__(self):
        return f"<QuantizedModel {self.name!r}: {len(self.graph.ops)} ops, {self.graph.facts.get('scheme', 'int8')}>"


def quantize(model, x, *, method="minmax", softmax="integer"):
    """Return the int8 QuantizedModel of an nn.Model, calibrated on images x (N, H, W, C), uint8 or in its input range."""
    from tinyvgg.quant.calibrate import calibrate
    from tinyvgg.quant.fuse import fuse
    from tinyvgg.quant.lower import lower

    graph = fuse(model)
    ranges = calibrate(graph, x, method=method)
    return QuantizedModel(
        lower(graph, ranges, softmax=softmax, facts={"scheme": "int8", "calibration": {"method": method, "images": len(x)}}),
        float_graph=graph,
    )
