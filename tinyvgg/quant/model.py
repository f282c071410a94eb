"""The integer model as a classifier."""

from dataclasses import is_dataclass
from typing import Any

import numpy as np

from tinyvgg import kernels
from tinyvgg.classifier import labels_of
from tinyvgg.images import byte_images
from tinyvgg.nn.model import Model
from tinyvgg.quant.classifier import GraphClassifier
from tinyvgg.quant.graph import Graph
from tinyvgg.quant.ops.base import plain
from tinyvgg.quant.simulate import run
from tinyvgg.types import AnyArray, Floats, Images, Integers


class QuantizedModel(GraphClassifier):
    """An integer graph as a classifier; its C code gives the same answers, bit for bit. Images are uint8 (N, H, W, C), used
    unchanged, or floats in `bounds`, first rounded to the nearest of the 256 levels. `float_graph` (optional): the graph from
    which it was lowered, for new plans and for gradients.
    The graph's arrays become read-only, because the fast kernels have packed them: other weights make another graph
    (dataclasses.replace) and another model.
    """

    def __init__(self, graph: Graph, *, float_graph: Graph | None = None):
        super().__init__(graph, float_graph=float_graph)
        for op in graph.ops:
            freeze(op)

    without_gradients = ("square, hopskipjump or rays, which need none; or quant.straight.straight_through(model), on the command "
                         "line --gradients straight-through")
    takes_bytes = True      # floats are rounded to levels before anything else

    def integer_logits(self, x: Images, *, batch_size: int = 256) -> AnyArray:
        """Return (N, K) int16, or uint8 if the last layer is not a Dense, for x (N, *input_shape): the same bytes as from the
        C."""
        x, plan = self.check_images(x), self._fast_plan()
        if plan is not None:
            return plan.infer(x).reshape(len(x), -1 if len(x) else self.n_outputs)
        parts = [run(self.graph, x[i : i + batch_size]) for i in range(0, len(x), batch_size)]
        return np.concatenate(parts).reshape(len(x), -1) if parts else np.zeros((0, self.n_outputs), self.graph.logits.dtype)

    def outputs(self, x: Images, *, batch_size: int = 256) -> Floats:
        """x (N, *input_shape) -> (N, K) float32: scale * (q - zero), before the head."""
        last = self.graph.logits
        return np.float32(last.scale) * (self.integer_logits(x, batch_size=batch_size).astype(np.float32) - np.float32(last.zero))

    def scores(self, x: Images, *, batch_size: int = 256) -> Floats:
        """x (N, *input_shape) -> (N, K): the last op's result as in the C, uint8 in steps of 1/255 after an integer softmax."""
        q, last = self.integer_logits(x, batch_size=batch_size), self.graph.ops[-1]
        return q if last is self.graph.logits else last.simulate(q)

    def labels(self, x: Images, *, batch_size: int = 256) -> Integers:
        """x (N, H, W, C) -> (N,) int64, the class of the largest integer logit (the first of equal ones)."""
        return labels_of(self.integer_logits(x, batch_size=batch_size).astype(np.int32) - self.graph.logits.zero)

    def trace(self, x: Images) -> Any:
        """x (N, H, W, C) -> {op: its integers (N, ...)} of every op, softmax included."""
        x, plan = self.check_images(x), self._fast_plan()
        if not len(x):
            return {name: values[:0] for name, values in self.trace(np.zeros((1, *self.input_shape), np.uint8)).items()}
        return run(self.graph, x, keep=True) if plan is None else plan.trace(x)

    def plan(self):
        """Return the plan by which this network runs. `print(model.plan().describe())` shows the kernel of each op, which ops are
        slow, and why."""
        return self._fast_plan() or Simulated()

    def _fast_plan(self):
        """Return this thread's plan of fast kernels (see quant/fast), or None if the reference kernels are active."""
        if kernels.active() != "fast":
            return None
        from tinyvgg.quant.fast.plan import plan_for

        return plan_for(self.graph)

    def check_images(self, x: Images) -> AnyArray:
        """Return x, uint8 or floats in `bounds`, as uint8 levels, or raise ShapeError or DataError: see tinyvgg.images."""
        return byte_images(x, self.bounds, shape=self.input_shape)


def freeze(data):
    """Make all arrays of a dataclass read-only, including those of nested dataclasses."""
    for value in plain(data).values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
        elif is_dataclass(value):
            freeze(value)


class Simulated:
    """Replaces the plan if there is none; it can only describe itself."""

    def describe(self):
        """Return the reason as text."""
        return "op by op in NumPy, slow: the reference kernels were asked for"


def quantize(model: Model, x: Images, *, method: str = "minmax", softmax: str = "integer") -> "QuantizedModel":
    """Return the int8 QuantizedModel of an nn.Model, calibrated on images x (N, H, W, C), uint8 or in its input range."""
    from tinyvgg.quant.calibrate import calibrate
    from tinyvgg.quant.fuse import fuse
    from tinyvgg.quant.lower import lower

    graph = fuse(model)
    ranges, facts = calibrate(graph, x, method=method), {"scheme": "int8", "calibration": {"method": method, "images": len(x)}}
    if model.made_for is not None:
        facts["made_for"] = model.made_for.plain()
    return QuantizedModel(lower(graph, ranges, softmax=softmax, facts=facts), float_graph=graph)
