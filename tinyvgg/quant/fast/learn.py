"""A float graph on the fused float kernels: its logits, and a step of fine-tuning in which results are rounded.

Each op becomes primitive calls of nn/fused, like a layer. An op without a rule in CALLS runs by its definition between the steps.
"""
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinyvgg.kernels.fast.threads import pool
from tinyvgg.nn.fused.convolution import Geometry
from tinyvgg.nn.fused.lowering import Call, relu_with
from tinyvgg.nn.fused.matching import match
from tinyvgg.nn.plan import Instance
from tinyvgg.quant.graph import Graph
from tinyvgg.quant.ops import Add, AveragePool2D, Conv2D, Dense, DepthwiseConv2D, MaxPool2D, Op, UpSample2D, Weighted, weights_of
from tinyvgg.types import Floats

BATCH = 64                              # images at a time if nothing is kept for a backward pass
CHANGE_NOTHING = 1e-30                  # epsilon that is added to a variance of 1


@dataclass
class Stand:
    """A stand-in for a layer: an op's arrays in the form in which layers hold them, and the arrays of their gradients."""
    name: str
    parameters: dict = field(default_factory=dict)
    gradients: dict = field(default_factory=dict)
    state: dict = field(default_factory=dict)
    use_bias, trainable, epsilon, momentum, unbiased_moving_variance = True, False, CHANGE_NOTHING, 1.0, False

    def put(self, **arrays):
        """Set parameters in place; their addresses do not change."""
        for name, array in arrays.items():
            if name not in self.parameters:
                self.parameters[name] = np.empty(array.shape, np.float32)
                self.gradients[name] = np.zeros(array.shape, np.float32)
            self.parameters[name][...] = array


class Affine(Stand):
    """A tail's gain and shift, as a batch-norm with constant statistics."""

    def __init__(self, name, channels):
        super().__init__(name, state={"moving_mean": np.zeros(channels, np.float32),
                                      "moving_variance": np.ones(channels, np.float32)})


class Defined(Stand):
    """An op that runs by its definition, as a layer for the stage of arbitrary layers."""

    def __init__(self, op):
        super().__init__(op.name)
        self.op, self.joins, self.saved, self.found = op, len(op.inputs) > 1, None, {}

    def forward(self, x, training=False):
        """x: an array, or a list of them."""
        self.saved = list(x) if self.joins else [x]
        return self.op.forward(*self.saved)

    def backward(self, dy, parameters=True):
        """Return the gradient with respect to each input; `found` then has the gradients of the op's arrays."""
        back, self.found = self.op.backward(dy, *self.saved, parameters=parameters)
        return back if self.joins else back[0]


class Network:
    """A float Graph as a program.

    levels: {op: (scale, first, last)}; the results of these ops are rounded to whole numbers from first to last, times scale.
    Rounding passes the gradient on, saturation passes none. given: these results are supplied by the caller, and only `pulled`
    can be used.
    """

    def __init__(self, graph: Graph, levels: dict[str, tuple[float, int, int]] | None = None, *, given: bool = False) -> None:
        self.graph, self.levels, self.given = graph, levels or {}, given
        self._results: dict[str, Floats] = {}
        self._calls, self._place, self._stands = [], {graph.ops[0].name: -1}, {}
        for op in graph.ops[1:graph.ops.index(graph.logits) + 1]:
            self._lower(op)
        self.load(graph)
        self._instances: dict[bool, Any] = {}

    def describe(self) -> str:
        """Return the kernel of each op, as text."""
        return "\n".join(stage.describe() for stage in self._instance(True, 1).stages)

    def load(self, graph: Graph) -> None:
        """Replace the arrays by those of a graph with the same ops."""
        for op in graph.ops:
            stands = self._stands.get(op.name)
            if stands is None:
                continue
            if isinstance(stands[0], Defined):
                stands[0].op = op
                continue
            stands[0].put(kernel=np.moveaxis(weights_of(op), 0, -1), bias=op.tail.bias)
            if len(stands) > 1:
                stands[1].put(gamma=op.tail.gain, beta=op.tail.shift)

    def logits(self, x: Floats) -> Floats:
        """x (N, H, W, C) float32 in the graph's input range -> logits; nothing is kept for `gradients`."""
        x = self.graph.ops[0].forward(x)
        batches = [x[i:i + BATCH] for i in range(0, len(x), BATCH)]
        parts = [self._instance(False, len(part)).forward(pool(), part, "infer") for part in batches]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def forward(self, x: Floats) -> Floats:
        """Like `logits`, but keep what `gradients` needs."""
        return self._forward(self.graph.ops[0].forward(x))

    def _forward(self, image):
        self._count = len(image)
        return self._instance(True, len(image)).forward(pool(), image, "gradient")

    def gradients(self, dlogits: Floats) -> dict[tuple[str, str], Floats]:
        """Return {(op, array): gradient} for the images of the last `forward`; arrays are weights, bias, gain and shift."""
        self._instance(True, self._count).backward(pool(), dlogits, "gradient", self._count, True, False)
        found = {}
        for name, stands in self._stands.items():
            if isinstance(stands[0], Defined):
                found.update({(name, array): g for array, g in stands[0].found.items()})
                continue
            shape = self.graph[name].weights.shape
            found[name, "weights"] = np.moveaxis(stands[0].gradients["kernel"], -1, 0).reshape(shape)
            found[name, "bias"] = stands[0].gradients["bias"]
            if len(stands) > 1:
                found[name, "gain"], found[name, "shift"] = stands[1].gradients["gamma"], stands[1].gradients["beta"]
        return found

    def pulled(self, images: int, batch_of: Any, dlogits: Floats) -> dict[tuple[str, str], Floats]:
        """Like `gradients`, but in float64, for dlogits (N, classes) and N images whose results are given: batch_of(slice of the
        images) -> {op: its results}, including the image op."""
        sums: dict[tuple[str, str], Floats] = {}
        for i in range(0, images, BATCH):
            self._results = batch_of(slice(i, i + BATCH))
            self._forward(self._results[self.graph.ops[0].name])
            for key, g in self.gradients(dlogits[i:i + BATCH]).items():
                sums[key] = sums[key] + g if key in sums else g.astype(np.float64)
        return sums

    def _instance(self, keeps, count):
        held = self._instances.get(keeps)
        if held is None or held.capacity < count:
            matched = match(self._calls, tuple(self.graph.input_shape), False)
            self._instances[keeps] = held = Instance(matched, count, keeps, pool())
        return held

    # --- from ops to calls ---

    def _lower(self, op):
        shapes = [self._shape(i) for i in op.inputs]
        self._inputs = tuple(self._place[i] for i in op.inputs)
        rule = CALLS.get(type(op))
        calls = rule(op, shapes) if rule else None
        if calls is None:
            calls = [Call("layer", Defined(op), (), tuple(shapes), tuple(op.shape), why="no fast stage")]
        if op.name in self.levels:
            about = (*self.levels[op.name], (lambda count: self._results[op.name][:count]) if self.given else None)
            calls.append(Call("round", Stand(op.name), (), (tuple(op.shape),), tuple(op.shape), about=about))
        if isinstance(op, Weighted):
            self._stands[op.name] = [c.layer for c in calls if c.kind in ("convolution", "dense", "norm", "layer")]
        for i, call in enumerate(calls):
            self._calls.append(replace(call, inputs=(len(self._calls) - 1,) if i else self._inputs))
        self._place[op.name] = len(self._calls) - 1

    def _shape(self, name):
        return tuple(self.graph[name].shape)


def _activation(about, name, shape):
    """Return the call, if any, for the activation of a FloatTail or an Add."""
    settings = {"none": None, "relu": {}, "leaky": {"negative_slope": float(about.slope)},
                "clamp": {"max_value": float(about.high)}}[about.activation]
    return [] if settings is None else [Call("activation", Stand(name), (), (shape,), shape, relu_with(**settings))]


def _tail(op, before):
    """Return the calls for an op's tail and pool, after sums of the shape `before`."""
    tail, name = op.tail, op.name
    found = _activation(tail, name, before)
    if tail.gain is not None:
        found.append(Call("norm", Affine(name, len(tail.gain)), (), (before,), before))
    if getattr(op, "pool", None):
        about = {"pool_size": op.pool[:2], "strides": op.pool[2:], "padding": ((0, 0), (0, 0))}
        found.append(Call("max pool", Stand(name), (), (before,), tuple(op.shape), about))
    return found


def _convolution(op, shapes):
    source = shapes[0] if len(shapes[0]) == 3 else (1, *shapes[0]) if len(shapes[0]) == 2 else (1, 1, *shapes[0])
    filters, taps = op.weights.shape[0], op.weights.shape[1:3]
    stand, out = Stand(op.name), (*op.size, filters)
    groups = source[2] if type(op) is DepthwiseConv2D else 1
    about = Geometry(stand, "kernel", "bias", taps, op.strides, op.padding, op.dilation, groups, filters)
    return [Call("convolution", stand, (), (source,), out, about), *_tail(op, out)]


def _dense(op, shapes):
    flat, out = (int(np.prod(shapes[0])),), tuple(op.shape)
    stand = Stand(op.name)
    stand.put(kernel=np.zeros((flat[0], out[0])))
    view = [Call("view", Stand(op.name), (), tuple(shapes), flat)] if len(shapes[0]) > 1 else []
    return [*view, Call("dense", stand, (), (flat,), out), *_tail(op, out)]


def _pool(kind):
    def calls(op, shapes):
        if len(shapes[0]) != 3:
            return None
        whole = kind == "average pool" and tuple(op.pool_size) == tuple(shapes[0][:2])
        return [Call("mean" if whole else kind, Stand(op.name), (), tuple(shapes), tuple(op.shape), op.geometry)]
    return calls


def _plain(kind):
    def calls(op, shapes):
        shape = tuple(op.shape)
        return [Call(kind, Stand(op.name), (), tuple(shapes), shape), *(_activation(op, op.name, shape) if kind == "add" else [])]
    return calls


CALLS: dict[type[Op], Any] = {
    Conv2D: _convolution, DepthwiseConv2D: _convolution, Dense: _dense, Add: _plain("add"), UpSample2D: _plain("repeat"),
    AveragePool2D: _pool("average pool"), MaxPool2D: _pool("max pool"),
}
