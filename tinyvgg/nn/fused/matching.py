"""Which layers run together: a network's graph, cut into fused stages."""
import math
from dataclasses import dataclass
from typing import Any

from tinyvgg.kernels.fast.simd import WIDTH
from tinyvgg.nn.fused.convolution import Convolution
from tinyvgg.nn.fused.fully_connected import FullyConnected
from tinyvgg.nn.fused.others import Addition, Masking, Mean, Normalization
from tinyvgg.nn.fused.values import Value
from tinyvgg.nn.layers import (
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
    ReLU,
    SpatialDropout2D,
)


class NoMatch(Exception):
    """A network that the plan leaves to the layers; the message says why."""


@dataclass(frozen=True)
class Link:
    """One call of a layer: which calls it reads (-1: the images), and the shapes of one image going in and coming out."""
    layer: Any
    inputs: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    shape: tuple[int, ...]


def links(model):
    """Return the calls up to the logits, each after those that it reads."""
    place = {model.input: -1}
    found = []
    for node, layer in model._logit_nodes():
        found.append(Link(layer, tuple(place[n] for n in node.inputs), tuple(tuple(n.shape) for n in node.inputs),
                          tuple(node.shape)))
        place[node] = len(found) - 1
    return found


def match(calls, input_shape, precise):
    """Return (stages, input value, output value) for the calls of a network, or raise NoMatch."""
    matcher = Matcher(calls, input_shape, precise)
    return matcher.stages, matcher.values[-1], matcher.output


class Matcher:
    """Walks through the calls; each stage takes the calls behind it as long as nobody else reads what lies between."""

    def __init__(self, calls, input_shape, precise):
        self.calls, self.precise = calls, precise
        self.readers = {i: [k for k, call in enumerate(calls) if i in call.inputs] for i in range(-1, len(calls))}
        if len({id(call.layer) for call in calls}) < len(calls):
            raise NoMatch("a layer occurs twice")
        self.values, self.stages, self.done = {-1: Value(input_shape)}, [], set()
        for i, call in enumerate(calls):
            if i not in self.done:
                self._begin(i, call)
        self.output = self.values[len(calls) - 1]
        if not self.stages or not isinstance(self.stages[-1], FullyConnected):
            raise NoMatch("the network does not end in a dense layer")

    def _begin(self, i, call):
        """Begin a stage with call i."""
        layer, source = call.layer, self.values[call.inputs[0]]
        if isinstance(layer, Flatten) or (isinstance(layer, Activation) and layer.activation.name == "linear"):
            self.values[i] = source
        elif isinstance(layer, Conv2D):
            self._convolution(i, call, source)
        elif isinstance(layer, Dense):
            self._dense(i, call, source)
        elif isinstance(layer, BatchNormalization):
            self._only_reader(call)
            if call.shape[-1] % WIDTH:
                raise NoMatch(f"{layer.name} has {call.shape[-1]} channels, not whole vectors")
            end, relu = self._follow(i, is_relu)
            self._add(end, Normalization(source, Value(call.shape), layer, relu is not None))
        elif isinstance(layer, Add) and len(call.inputs) == 2:
            end, relu = self._follow(i, is_relu)
            self._add(end, Addition(source, self.values[call.inputs[1]], Value(call.shape), layer, relu is not None))
        elif is_mean(layer, call.shapes[0]):
            self._add(i, Mean(source, Value(call.shape[-1:]), layer))
        elif type(layer) is Dropout and self.stages and self.stages[-1].target is source:
            self._only_reader(call)
            self._add(i, Masking(source, layer))
        else:
            raise NoMatch(f"no fused kernel begins with {type(layer).__name__} ({layer.name})")

    def _add(self, end, stage):
        """Add a stage whose result is that of call `end`."""
        for value in (*stage.sources(), stage.target):
            if value.size[2] % WIDTH and value is not self.values[-1]:
                raise NoMatch(f"a value of shape {value.shape} is not whole vectors of channels")
        self.stages.append(stage)
        self.values[end] = stage.target

    def _follow(self, i, *tests):
        """Take, for each test in turn, the only reader of the call before it if that passes; return (last call, layers or
        None).
        """
        found = []
        for test in tests:
            readers = self.readers[i]
            if len(readers) == 1 and len(self.calls[readers[0]].inputs) == 1 and test(self.calls[readers[0]].layer):
                i = readers[0]
                self.done.add(i)
                found.append(self.calls[i].layer)
            else:
                found.append(None)
        return i, *found

    def _only_reader(self, call):
        if len(self.readers[call.inputs[0]]) > 1:
            raise NoMatch(f"{call.layer.name} changes a value that another layer reads too")

    def _convolution(self, i, call, source):
        conv = call.layer
        if conv.groups != 1 or conv.dilation_rate != (1, 1) or conv.activation.name not in ("linear", "relu"):
            raise NoMatch(f"{conv.name} has groups, dilation or an activation other than ReLU")
        relu, dropout, relu_after, pool = conv.activation.name == "relu", None, None, None
        end = i
        if not relu:
            end, layer = self._follow(end, is_relu)
            relu = layer is not None
        end, dropout, norm = self._follow(end, is_spatial_dropout, is_norm)
        if norm is not None and not relu and dropout is None:
            end, relu_after = self._follow(end, is_relu)
        if relu:
            end, pool = self._follow(end, is_plain_pool)
        self._add(end, Convolution(source, Value(self.calls[end].shape), conv, relu, dropout, norm, relu_after is not None,
                                   pool is not None, self.precise))

    def _dense(self, i, call, source):
        dense = call.layer
        self._only_reader(call)
        if len(call.shapes[0]) != 1 or dense.activation.name not in ("linear", "relu") or math.prod(source.size) % WIDTH:
            raise NoMatch(f"{dense.name} is not on a flat value of whole vectors, or has an activation other than ReLU")
        relu, dropout, end = dense.activation.name == "relu", None, i
        if not relu:
            end, layer = self._follow(end, is_relu)
            relu = layer is not None
        if relu:
            end, dropout = self._follow(end, lambda layer: type(layer) is Dropout)
        self._add(end, FullyConnected(source, Value(call.shape), dense, relu, dropout))


def is_relu(layer):
    """Whether a layer is max(x, 0) and nothing else."""
    plain = type(layer) is ReLU and layer.max_value is None and layer.negative_slope == 0 and layer.threshold == 0
    return plain or (isinstance(layer, Activation) and layer.activation.name == "relu")


def is_spatial_dropout(layer):
    return isinstance(layer, SpatialDropout2D)


def is_norm(layer):
    return isinstance(layer, BatchNormalization)


def is_plain_pool(layer):
    """Whether a layer is a 2x2 max-pool without overlap."""
    return isinstance(layer, MaxPooling2D) and layer.pool_size == layer.strides == (2, 2) and layer.padding == "valid"


def is_mean(layer, shape):
    """Whether a layer takes the mean over whole images of `shape`."""
    if isinstance(layer, GlobalAveragePooling2D):
        return True
    return isinstance(layer, AveragePooling2D) and layer.pool_size == tuple(shape[:2]) and layer.padding == "valid"
