"""The state of fuse.py's rules: the ops so far, and batch-norms and paddings that wait to be merged into an op."""

from dataclasses import replace

import numpy as np

from tinyvgg.errors import NotYet
from tinyvgg.nn import layers as L
from tinyvgg.nn.graph import call_names
from tinyvgg.nn.layers.one_row import OneRow
from tinyvgg.quant.ops import Activation, Add, DepthwiseConv2D, FloatTail, Image, Pad2D, Permute, Reshape, Sigmoid, Softmax, Weighted
from tinyvgg.quant.ops.base import Keeps, f32

TAKING = (L.Conv2D, L.DepthwiseConv2D, L.SeparableConv2D, L.ZeroPadding2D)  # the padding before them
PASSING = (L.Dropout, L.SpatialDropout1D, L.SpatialDropout2D, L.GaussianNoise, L.TrainingOnly, L.Flatten, L.Reshape)


class Fusion:
    """The ops so far, and the op that holds each layer's result. rules: {class of layer: rule}."""

    def __init__(self, model, uses, rules):
        calls = call_names(model.nodes)
        self.uses, self.names, self.rules, self.ops, self.holder = uses, set(calls.values()), rules, {}, {}
        self.end, self.head = calls[model.output], model.head  # the head becomes the last op, even if it is part of a layer
        self.scaled = {}  # result -> (gain, shift) of a batch-norm that waits for the dense layer after it
        self.padded = {}  # result -> padding of a ZeroPadding2D that waits for its convolution
        self.shapes = {}  # result -> its shape in the layer

    def finished(self):
        for name in [*self.scaled, *self.padded]:
            self.settle(name)
        return tuple(self.ops.values())

    def add(self, layer, name, inputs, shape):
        """Add one step of the model; raise NotYet if its layer has no rule."""
        layer = layer.in_plane() if isinstance(layer, OneRow) else layer
        kind = next((cls for cls in type(layer).__mro__ if cls in self.rules), None)
        if kind is None:
            raise NotYet(
                f"the integer model has no {type(layer).__name__} ({name!r})",
                "a network of Conv2D, DepthwiseConv2D, SeparableConv2D, Dense, BatchNormalization, ReLU, LeakyReLU, Add, pools",
            )
        for i in inputs:
            takes = TAKING if i in self.padded else (L.Dense, *PASSING)
            if (i in self.padded or i in self.scaled) and (kind not in takes or self.uses[i] > 1):
                self.settle(i)                  # if one layer merged it into its weights, the other layer would lack it
            if kind not in PASSING:
                self.one_row(i)
        self.shapes[name] = tuple(shape)
        self.rules[kind](self, layer, name, inputs, tuple(shape) if kind is L.InputLayer else as_map(tuple(shape), name))

    def settle(self, name):
        """If a padding, or the batch-norm of a flattened map, is waiting to be merged into a layer, make it a separate op."""
        op = self.ops[self.holder[name]]
        if name in self.padded:
            padding = self.padded.pop(name)
            (h, w, c), ((top, bottom), (left, right)) = op.shape, padding
            self.put(Pad2D(name=name, inputs=(op.name,), shape=(h + top + bottom, w + left + right, c), padding=padding))
        elif name in self.scaled:
            gain, shift = self.scaled.pop(name)
            self.flatten(name, self.own(name, "flat"))
            self.identity(name, [name], gain=f32(gain), shift=f32(shift))

    def one_row(self, name):
        """If the result `name` has two axes, make it a map of one row."""
        op = self.ops[self.holder[name]]
        if len(op.shape) == 2:
            self.reshape(name, (1, *op.shape), self.own(op.name, "map"))

    def flatten(self, name, own):
        """Make the result `name` a vector, by an op called `own` if it is not one already."""
        op = self.ops[self.holder[name]]
        if len(op.shape) != 1:
            self.reshape(name, (int(np.prod(op.shape)),), own)

    def reshape(self, name, shape, own):
        """Add an op called `own` that holds the result `name` in another shape; if it exists already, use it again."""
        op = self.ops[self.holder[name]]
        if own not in self.ops:
            self.put(Reshape(name=own, inputs=(op.name,), shape=shape))
        self.holder[name] = own

    def own(self, name, what):
        """Return a name for an op that is not a layer's result: name_what, longer if a layer has that name."""
        found = f"{name}_{what}"
        while found in self.names:
            found += "_"
        return found

    def put(self, op, name=None):
        """Add or replace an op; `name` is the result that it holds."""
        self.ops[op.name] = op
        self.holder[name or op.name] = op.name

    def before(self, inputs):
        """Return the op that holds the only input."""
        return self.ops[self.holder[inputs[0]]]

    def private(self, op, name):
        """Whether only the step that makes `name` reads the result of `op`."""
        return all(self.uses.get(held, 0) <= 1 for held, by in self.holder.items() if by == op.name and held != name)

    def takes(self, op, name):
        """Whether the step that makes `name` can be merged into `op`: `op` has a tail, and no other step reads its result."""
        return isinstance(op, Weighted) and self.private(op, name)

    def alike(self, inputs):
        """Return the ops that hold `inputs`, each in the shape of its layer's result: flattened maps are vectors."""
        for i in inputs:
            shape = as_map(self.shapes[i], i)
            if self.ops[self.holder[i]].shape != shape:
                self.reshape(i, shape, self.own(i, "flat" if len(shape) == 1 else "map"))
        return [self.ops[self.holder[i]] for i in inputs]

    def levelled(self, op):
        """Return the op. If it only moves an image, whose 0 may lie between two levels, return a copy with its own levels."""
        source = op
        while isinstance(source, Keeps):
            source = self.ops[source.inputs[0]]
        if isinstance(source, Image):
            own = self.own(op.name, "levels")
            self.holder[own] = op.name
            self.identity(own, [own])
            return self.ops[own]
        return op

    def permute(self, op, axes, own):
        """Put a Permute of an op's axes, called `own`, and return it."""
        self.put(Permute(name=own, inputs=(op.name,), shape=tuple(op.shape[i] for i in axes), axes=tuple(axes)))
        return self.ops[own]

    def activate(self, name, inputs, activation):
        """Apply ("relu", {}), ("leaky", {"slope": a}), ("clamp", {"high": a}) or ("function", fields of it) to the only input."""
        kind, settings = activation
        op = self.before(inputs)
        if kind == "none":
            self.holder[name] = op.name
        elif kind == "function":
            own = self.own(name, settings["function"]) if op.name == name else name
            self.put(Activation(name=own, inputs=(op.name,), shape=op.shape, **settings), name)
        elif self.takes(op, name) and op.tail.activation == "none" and op.tail.gain is None and not op.pool:
            self.put(replace(op, tail=replace(op.tail, activation=kind, **settings)), name)
        elif isinstance(op, Add) and self.private(op, name) and op.activation == "none" and kind != "leaky":
            self.put(replace(op, activation=kind, **settings), name)
        else:
            self.identity(name, inputs, activation=kind, **settings)

    def put_head(self, name, inputs, shape):
        """Add the op of the head: probabilities of the only input, which are the result `name`."""
        if len(shape) != 1:
            raise NotYet(f"the integer model has no {self.head} of {shape} at the end ({name!r}), only of a vector",
                         "Flatten() or a global pool before it, or the network without it")
        own = self.own(name, self.head) if self.holder[inputs[0]] == name else name
        self.flatten(inputs[0], self.own(name, "flat"))
        self.put({"softmax": Softmax, "sigmoid": Sigmoid}[self.head](name=own, inputs=(self.holder[inputs[0]],), shape=shape), name)

    def identity(self, name, inputs, **settings):
        """Add a depthwise 1x1 convolution of ones, with the tail's `settings`."""
        op = self.before(inputs)
        channels = op.shape[-1]
        self.put(DepthwiseConv2D(name=name, inputs=(op.name,), shape=op.shape, weights=np.ones((channels, 1, 1), np.float32),
                                      tail=FloatTail(bias=np.zeros(channels, np.float32), **settings)))


def as_map(shape, name):
    """Return the shape of an op whose layer's result has `shape`."""
    if len(shape) > 3:
        raise NotYet(f"the integer model has no {len(shape)} axes ({name!r} has the shape {shape}); it has vectors, series and maps")
    return (1, *shape) if len(shape) == 2 else shape
