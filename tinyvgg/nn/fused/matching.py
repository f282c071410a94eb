"""Cuts a network's graph into fused stages: groups of calls that run together.

A stage begins with one call and includes the calls after it, as far as the table FUSIONS allows and no other call reads the
values between. A call that is in no line runs by itself. Every kind of call has a stage in STAGES, so every network has a plan.
"""
import copy
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from tinyvgg.changes import Arrays
from tinyvgg.kernels.fast import activations
from tinyvgg.kernels.fast.arena import whole_vectors
from tinyvgg.kernels.fast.elementwise import LEAK_AFTER
from tinyvgg.nn.fused.convolution import LINEAR, PLAIN_RELU, Convolution
from tinyvgg.nn.fused.fallback import Fallback
from tinyvgg.nn.fused.fully_connected import FullyConnected
from tinyvgg.nn.fused.lowering import links, lower
from tinyvgg.nn.fused.others import (
    Activated,
    Addition,
    Branch,
    Concatenation,
    Largest,
    Masking,
    Mean,
    Normalization,
    Padded,
    Pooling,
    Repeated,
    Rescaled,
    Reshaped,
    Rounded,
)
from tinyvgg.nn.fused.values import Value, grid_of

__all__ = ["links", "match"]


def is_relu(call):
    return call.kind == "activation" and call.about.code == activations.RELU


def is_bent(call):
    """Whether a call is a ReLU with a slope below 0, a ceiling, or both."""
    return call.kind == "activation" and call.about.code in (activations.LEAKY, activations.CLIPPED) and call.about.threshold == 0


def is_plain_pool(call):
    """Whether a call is a 2x2 max-pool without overlap or padding."""
    about = call.about
    return call.kind == "max pool" and about["pool_size"] == about["strides"] == (2, 2) and about["padding"] == ((0, 0), (0, 0))


def is_kind(kind):
    return lambda call: call.kind == kind


NORM, MASK, CHANNEL_MASK = is_kind("norm"), is_kind("dropout"), is_kind("channel dropout")

# kind of the first call -> lines of (field of the stage, test). The line that includes the most calls wins, the first one if
# several are equal. An entry of a line is included if it follows, else it is left out.
FUSIONS = {
    "convolution": [
        [("relu", is_relu), ("dropout", CHANNEL_MASK), ("norm", NORM), ("pool", is_plain_pool)],
        [("norm", NORM), ("after", is_relu), ("pool", is_plain_pool)],
        [("norm", NORM), ("after", is_bent), ("pool", is_plain_pool)],
    ],
    "dense": [[("relu", is_relu), ("dropout", MASK)], []],
    "norm": [[("after", is_relu)], [("after", is_bent)]],
    "add": [[("relu", is_relu)]],
}


@dataclass
class Matched:
    """A network's stages, the values of its images and its logits, and the shapes of one image and its logits."""
    stages: list
    input: Value
    output: Value
    shapes: tuple


def match(calls, input_shape, precise):
    """Return the Matched of a list of primitive calls."""
    matcher = Matcher(calls, tuple(input_shape), precise)
    return Matched(matcher.stages, matcher.input, matcher.values[len(calls) - 1],
                   (tuple(input_shape), calls[-1].shape if calls else tuple(input_shape)))


class Matcher:
    """Goes through the calls in order. values: {index of a call: its Value}."""

    def __init__(self, calls, input_shape, precise):
        self.calls, self.precise = calls, precise
        self.readers = {i: [k for k, call in enumerate(calls) for j in call.inputs if j == i] for i in range(-1, len(calls))}
        self.stages, self.done = [], set()
        self.input = self._input(input_shape)
        self.values = {-1: self.input}
        for i, call in enumerate(calls):
            if i not in self.done:
                STAGES[call.kind](self, i, call)

    def _input(self, shape):
        """Return the Value of the images: exact if only one convolution reads them, one row if they are read as one row."""
        readers = [self.calls[i] for i in self.readers[-1]]
        first = readers[0] if len(readers) == 1 else None
        row = first is not None and first.kind == "view" and len(first.shape) == 1
        if row and self._all(self.readers[-1][0], is_kind("dense")):
            return Value((1, 1, first.shape[0]))
        exact = first is not None and first.kind == "convolution" and len(shape) == 3 and not (
            first.about.groups == shape[2] > 1) and shape[2] != whole_vectors(shape[2])
        return Value(grid_of(shape), exact=exact)

    def _all(self, i, test):
        """Whether all readers of call i pass the test; dropout between them is skipped."""
        return all(test(self.calls[k]) or (self.calls[k].kind == "dropout" and self._all(k, test)) for k in self.readers[i])

    # --- what stages are made from ---

    def read(self, i, k=0, *, adds=False):
        """Return the Value of the k-th input of call i. If it has several readers, return a twin of it, unless the stage adds its
        gradient."""
        source = self.calls[i].inputs[k]
        value = self.values[source]
        if self._count(source) > 1 and not adds:
            twin = Value(value.grid, value.exact, twin=value)
            self.stages.append(Branch(value, twin, self.calls[i].layer))
            return twin
        return value

    def _count(self, source):
        """Count the stages that read a value, also by views of it."""
        value = self.values[source]
        return sum(len([k for k in self.readers[i] if self.calls[k].kind != "view" or self.values.get(k) is not value])
                   for i, v in self.values.items() if v is value)

    def add(self, end, stage):
        """Add a stage whose result is the result of call `end`."""
        self.stages.append(stage)
        self.values[end] = stage.target

    def fused(self, i):
        """Return the fields of a stage that begins with call i, by the best line of FUSIONS, and the last call that it
        includes."""
        found = [self._follow(i, line) for line in FUSIONS[self.calls[i].kind]]
        end, taken, fields = max(found, key=lambda result: len(result[1]))
        self.done.update(taken)
        return end, fields

    def _follow(self, i, line):
        taken, fields = [], {}
        for name, test in line:
            readers = self.readers[i]
            if len(readers) == 1 and len(self.calls[readers[0]].inputs) == 1 and test(self.calls[readers[0]]):
                i = readers[0]
                taken.append(i)
                fields[name] = self.calls[i]
        return i, taken, fields

    def flat(self, i, k=0):
        """Return an input unchanged if it is a list of numbers without gaps, else such a copy of it."""
        value = self.read(i, k)
        shape = self.calls[i].shapes[k]
        if value.grid == grid_of(shape):
            return value
        return self.place(value, shape, self.calls[i].layer)

    def place(self, value, shape, layer):
        """Return a copy of a value in another shape; if both shapes have several pixels, it goes through a flat list of
        numbers."""
        grid = grid_of(shape)
        row = (1, 1, int(np.prod(grid)))
        for step in [grid] if (1, 1) in (value.grid[:2], grid[:2]) else [row, grid]:
            target = Value(step)
            self.stages.append(Reshaped(value, target, layer))
            value = target
        return value


def _after(call):
    """Return (gate, numbers) of the activation after a normalisation."""
    if call is None:
        return LINEAR
    return PLAIN_RELU if call.about.code == activations.RELU else (LEAK_AFTER, {"leak": call.about.leak,
                                                                               "ceiling": call.about.ceiling})


def _layer_of(call):
    return None if call is None else call.layer


def convolution(matcher, i, call):
    end, fields = matcher.fused(i)
    source = matcher.read(i, adds=True)
    source.readers = matcher._count(call.inputs[0])
    matcher.add(end, Convolution(source, Value(grid_of(matcher.calls[end].shape)), call.about, grid_of(call.shape),
                                 relu="relu" in fields, dropout=_layer_of(fields.get("dropout")),
                                 norm=_layer_of(fields.get("norm")), after=_after(fields.get("after")), pool="pool" in fields,
                                 precise=matcher.precise))


def dense(matcher, i, call):
    end, fields = matcher.fused(i)
    matcher.add(end, FullyConnected(matcher.read(i), Value(grid_of(call.shape)), call.layer, "relu" in fields,
                                    _layer_of(fields.get("dropout"))))


def norm(matcher, i, call):
    end, fields = matcher.fused(i)
    matcher.add(end, Normalization(matcher.flat(i), Value(grid_of(call.shape)), call.layer, _after(fields.get("after"))))


def add(matcher, i, call):
    end, fields = matcher.fused(i)
    sources = [matcher.values[j] for j in call.inputs]
    if any(value.grid != grid_of(call.shape) for value in sources):
        sources = [matcher.flat(i, k) for k in range(len(sources))]
    matcher.add(end, Addition(sources, Value(grid_of(call.shape)), call.layer, "relu" in fields))


def concatenate(matcher, i, call):
    sources = [matcher.flat(i, k) for k in range(len(call.inputs))]
    matcher.add(i, Concatenation(sources, Value(grid_of(call.shape)), call.layer))


def view(matcher, i, call):
    """The same memory in another shape, without a copy if the readers are dense layers or the pixels have no gaps."""
    source = matcher.values[call.inputs[0]]
    grid, alone = grid_of(call.shape), len(matcher.readers[call.inputs[0]]) == 1
    if grid == source.grid and len(call.shape) == len(call.shapes[0]):
        matcher.values[i] = source
    elif len(call.shape) == 1 and alone and not source.exact and matcher._all(i, is_kind("dense")) and matcher.readers[i]:
        matcher.values[i] = source
    else:
        matcher.values[i] = matcher.place(matcher.read(i), call.shape, call.layer)


def activation(matcher, i, call):
    value = matcher.read(i)
    matcher.add(i, Activated(value, Value(value.grid), call.layer, call.about))


def rounded(matcher, i, call):
    value = matcher.read(i)
    matcher.add(i, Rounded(value, Value(value.grid), call.layer, *call.about))


def dropout(matcher, i, call):
    """In place, unless another stage reads the value, or the stage before needs it for its own gradient."""
    value = matcher.read(i)
    maker = next((stage for stage in reversed(matcher.stages) if stage.target is value), None)
    apart = isinstance(maker, Branch | Pooling | Largest) or (isinstance(maker, Activated)
                                                              and maker.function.code in activations.FROM_VALUE)
    matcher.add(i, Masking(value, Value(value.grid) if apart else value, call.layer, call.shape))


def pool(matcher, i, call):
    matcher.add(i, Pooling(matcher.read(i), Value(grid_of(call.shape)), call.layer, call.about, call.kind == "max pool"))


def of_one(stage):
    """Return a function that adds a stage with one input, whose result has the call's shape."""
    def begin(matcher, i, call):
        matcher.add(i, stage(matcher.flat(i), Value(grid_of(call.shape)), call.layer))
    return begin


def fallback(matcher, i, call):
    sources = [matcher.read(i, k) for k in range(len(call.inputs))]
    matcher.add(i, Fallback(sources, Value(grid_of(call.shape)), call))


STAGES = {
    "convolution": convolution, "dense": dense, "norm": norm, "activation": activation, "dropout": dropout,
    "channel dropout": dropout, "max pool": pool, "average pool": pool, "mean": of_one(Mean), "largest": of_one(Largest),
    "add": add, "concatenate": concatenate, "view": view, "round": rounded, "pad": of_one(Padded), "rescale": of_one(Rescaled),
    "repeat": of_one(Repeated), "layer": fallback,
}


def unshared(found):
    """Give each call of a shared layer its own copy of the layer, with the same weights; gradients are summed afterwards.

    Return (links, [(layer, its copies)]).
    """
    uses = Counter(id(link.layer) for link in found)
    changed, copies = [], {}
    for link in found:
        if uses[id(link.layer)] > 1 and link.layer.parameters:
            twin = copy.copy(link.layer)
            twin.gradients = Arrays()
            copies.setdefault(id(link.layer), (link.layer, []))[1].append(twin)
            link = replace(link, layer=twin)
        changed.append(link)
    return changed, list(copies.values())


def calls_of(model):
    """Return (primitive calls, [(layer, copies)]) of a network."""
    changed, copies = unshared(links(model))
    return lower(changed), copies
