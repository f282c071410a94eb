"""Networks as graphs of layers; nn/sequential.py makes the graph of a plain chain."""
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tinyvgg import rng
from tinyvgg.errors import OptionError, ShapeError
from tinyvgg.images import check_range
from tinyvgg.nn.classifier import Classifier
from tinyvgg.nn.graph import Node, as_calls, from_calls, input_node, layer_order, topological
from tinyvgg.nn.head import head_of
from tinyvgg.nn.layers import InputLayer, Layer
from tinyvgg.nn.ranges import range_of
from tinyvgg.types import Floats, Images, Labels, Range, Shape


class Model(Classifier):
    """A network with one input and one output, made of a graph:

        x = nn.Input((32, 32, 3))
        model = nn.Model(x, nn.layers.Dense(10)(nn.layers.Flatten()(x)))

    It is a classifier: `logits(x)`, `vjp(x, g)`, `labels(x)`, `bounds`, `n_classes`. A final softmax or sigmoid (a layer or an
    activation, see nn.head) is never part of the logits. A network with one output has two classes (see tinyvgg.classifier).
    `seed` decides the initial weights. `input_range` (low, high) is the range of the images; by default the range that a first
    Rescaling or Normalization expects, else 0..1. A layer that is used twice shares its weights.
    """

    def __init__(self, inputs: Node | Sequence[Node], outputs: Node | Sequence[Node], *, name: str = "model", seed: int = 0,
                 input_range: Range | None = None) -> None:
        super().__init__()
        self.name, self.seed = name, seed
        self.input, self.output = _single(inputs, "inputs"), _single(outputs, "outputs")
        self.input_range = range_of(self.output) if input_range is None else check_range(input_range)
        self.nodes = topological(self.output)
        if [n for n in self.nodes if not n.inputs] != [self.input]:
            raise ShapeError("the outputs do not depend on the one input that was given, or on more than that")
        if self.output is self.input:
            raise ShapeError("the output is the input itself; expected a layer between them")
        self.layers = self._ordered_layers()
        self._name_layers()
        index = {id(layer): i for i, layer in enumerate(self.layers)}
        for node in self.nodes:                                             # a later use must fit what the first one built
            if id(node.layer) in index:
                node.layer.ensure_built(node.input_shape, rng.generator(seed, "init", index[id(node.layer)]))

    @property
    def input_shape(self) -> Shape:
        """Shape of one image."""
        return self.input.shape

    @property
    def output_shape(self) -> Shape:
        """Shape of the result for one image."""
        return self.output.shape

    @property
    def head(self) -> str | None:
        """The function after the logits: "softmax", "sigmoid" or None."""
        return head_of(self.output.layer, self.output.shape)[0]

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by its name or its index in `layers`; OptionError lists the layers that exist."""
        if index is not None:
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise OptionError(f"there is no layer {name!r}; expected one of {', '.join(layer.name for layer in self.layers)}")

    def activations(self, x: Images) -> dict[str, Floats]:
        """Return {name of a layer: its result (N, ...)} for images x: see nn.explain.activations."""
        from tinyvgg.nn.explain import activations
        return activations(self, x)

    def grad_cam(self, x: Images, classes: Labels | int | None = None, *, layer: str | None = None) -> Floats:
        """Return (N, H, W) in 0..1, how strongly each pixel supports a class: see nn.explain.grad_cam."""
        from tinyvgg.nn.explain import grad_cam
        return grad_cam(self, x, classes, layer=layer)

    @property
    def ends_in_softmax(self) -> bool:
        """Whether the last layer is a softmax or has one as its activation."""
        return self.head == "softmax"

    def _forward(self, x, training):
        """Run every node on x (N, ...) up to the logits."""
        values, tape = {self.input: x}, []
        for node, layer in self._logit_nodes():
            arguments = [values[n] for n in node.inputs]
            values[node] = layer.forward(arguments if layer.joins else arguments[0], training=training)
            tape.append((node, layer, layer.saved))
        self.saved = tape
        return values[tape[-1][0] if tape else self.input]

    def _backward(self, dy, parameters):
        """Pull dy back through the nodes of the last _forward; where a value went two ways, its gradients are summed."""
        tape, seen = self.saved, {}
        sums = {tape[-1][0] if tape else self.input: dy}
        for node, layer, saved in reversed(tape):
            layer.saved = saved
            dx = layer.backward(sums.pop(node), parameters=parameters)
            if parameters:
                seen[id(layer.gradients)] = _add_gradients(layer.gradients, seen.get(id(layer.gradients)))
            for source, part in zip(node.inputs, dx if layer.joins else [dx], strict=True):
                sums[source] = sums[source] + part if source in sums else part
        return sums[self.input]

    def _logit_nodes(self):
        """(node, layer) for every node but the input and the head."""
        pairs = [(node, node.layer) for node in self.nodes if node.inputs]
        node, last = pairs[-1]
        head, whole = head_of(last, node.shape)
        if whole:
            return pairs[:-1]
        return [*pairs[:-1], (node, last.without_activation())] if head else pairs

    def _ordered_layers(self):
        """The layers in Keras' order, which is not that of execution where branches differ in length."""
        layers = {id(n.layer): n.layer for n in self.nodes}
        calls = [(id(layer), places) for layer, places, _ in as_calls(self.nodes)]
        return [layers[key] for key in layer_order(calls, [len(calls) - 1])]

    def _name_layers(self):
        """Give each unnamed layer Keras' default name within this model, and insist that names differ."""
        named = Counter(layer.name for layer in self.layers if layer.name)
        doubles = [name for name, count in named.items() if count > 1]
        if doubles:
            raise OptionError(f"two layers are called {doubles[0]!r}; expected names that differ")
        counts = {}
        for layer in self.layers:
            base = snake_case(layer.class_name or type(layer).__name__)
            while layer.name is None:
                number = counts[base] = counts.get(base, -1) + 1
                name = f"{base}_{number}" if number else base
                if name not in named:
                    layer.name = name

    def get_config(self) -> dict[str, Any]:
        """Return the architecture as plain data, from which nn.model_from_config builds it again."""
        nodes = [{"layer": layer.name, "inputs": list(places)} for layer, places, _ in as_calls(self.nodes)]
        return {"class_name": "Model", "name": self.name, "input_range": list(self.input_range),
                "layers": [layer_config(layer) for layer in self.layers], "nodes": nodes}

    def __getstate__(self):
        """The nodes as a flat list: a chain of nodes would be copied by recursion, which ends after some hundred layers."""
        state = super().__getstate__()
        del state["input"], state["output"], state["nodes"]
        return {**state, "calls": as_calls(self.nodes)}

    def __setstate__(self, state):
        self.nodes = from_calls(state.pop("calls"))
        self.input, self.output = next(n for n in self.nodes if not n.inputs), self.nodes[-1]
        super().__setstate__(state)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}: {len(self.layers)} layers, {self.count_params():,} parameters>"


def Input(shape: Sequence[int], *, name: str | None = None) -> Node:  # noqa: N802 (Keras' name)
    """Return the node of an input of `shape`, without the batch: Input((32, 32, 3))."""
    return input_node(InputLayer(shape, name=name))


def _single(nodes, what):
    nodes = list(nodes) if isinstance(nodes, list | tuple) else [nodes]
    if len(nodes) != 1 or not isinstance(nodes[0], Node):
        raise ShapeError(f"a model here has one input and one output; got {len(nodes)} {what}", "nn.Input((32, 32, 3))")
    return nodes[0]


def _add_gradients(gradients, before):
    """Sum the gradients of a layer's earlier uses into the dict that its last backward filled; return a copy."""
    if before is not None:
        for name in gradients:
            gradients[name] = gradients[name] + before[name]
    return dict(gradients)


def layer_config(layer):
    """Return {"class_name", "config"} of one layer."""
    return {"class_name": layer.class_name or type(layer).__name__, "config": layer.get_config()}


def snake_case(name: str):
    """Return the name that Keras gives a layer of this class by default: Conv2D -> conv2d, BatchNormalization ->
    batch_normalization."""
    spaced = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", spaced).lower()
