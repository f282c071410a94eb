"""Graphs of layers: nodes that remember which layer made them from which nodes."""
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tinyvgg.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Node:
    """The result of one call of a layer. `shape` is without the batch; `inputs` are the nodes that the layer was called on."""
    layer: Any
    inputs: tuple[Any, ...]
    shape: tuple[int, ...]

    @property
    def input_shape(self):
        """The argument of the layer's `output_shape` and `macc`: a shape, or a list of shapes for a layer with several inputs."""
        shapes = [node.shape for node in self.inputs] or [self.shape]
        return shapes if self.layer.joins else shapes[0]


def input_node(layer):
    """Return the node of an InputLayer."""
    return Node(layer, (), layer.shape)


def connect(layer, inputs):
    """Call `layer` on a node or a list of nodes and return its output node."""
    nodes = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    if not nodes or not all(isinstance(n, Node) for n in nodes):
        raise ShapeError(f"{type(layer).__name__} was called on {type(inputs).__name__}; expected a node of a graph",
                         "nn.Input((32, 32, 3)) for a graph, layer.forward(x) for arrays")
    shapes = [n.shape for n in nodes]
    return Node(layer, tuple(nodes), tuple(layer.output_shape(shapes if isinstance(inputs, list | tuple) else shapes[0])))


def call_names(nodes):
    """Return {node: its layer's name}; a layer's second use gets "_use2" appended, its third "_use3"."""
    uses, names = Counter(), {}
    for node in nodes:
        uses[id(node.layer)] += 1
        use = uses[id(node.layer)]
        names[node] = node.layer.name if use == 1 else f"{node.layer.name}_use{use}"
    return names


def as_calls(nodes):
    """Return [(layer, places of its inputs in `nodes`, shape)] for nodes that stand each after its inputs."""
    place = {node: i for i, node in enumerate(nodes)}
    return [(node.layer, tuple(place[n] for n in node.inputs), node.shape) for node in nodes]


def from_calls(calls):
    """Return the nodes that `as_calls` described: its inverse."""
    nodes = []
    for layer, places, shape in calls:
        nodes.append(Node(layer, tuple(nodes[i] for i in places), shape))
    return nodes


def topological(output):
    """Return all nodes that `output` depends on, in order of computation; `output` is the last."""
    order, seen, stack = [], set(), [(output, False)]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((n, False) for n in reversed(node.inputs))
    return order


def layer_order(calls, outputs):
    """Return the keys of layers as Keras lists them: by their longest distance to an output; equal ones in the order of a walk
    from the output.

    calls: (key, indices of the calls that it takes its inputs from), each after its inputs; outputs: indices. Files match
    weights to layers by this order.
    """
    depth, first = {}, {}
    walk = _walk(calls, outputs)
    for index in walk:
        first.setdefault(calls[index][0], len(first))
    distance = dict.fromkeys(walk, 0)
    for index in sorted(walk, reverse=True):
        key, inputs = calls[index]
        depth[key] = distance[index] = max(distance[index], depth.get(key, 0))
        for source in inputs:
            distance[source] = max(distance[source], distance[index] + 1)
    return sorted(depth, key=lambda key: (-depth[key], first[key]))


def _walk(calls, outputs):
    """Indices of the calls that the outputs depend on, each when it is first met from an output backwards."""
    order, stack = {}, list(reversed(outputs))
    while stack:
        index = stack.pop()
        if index not in order:
            order[index] = None
            stack.extend(reversed(calls[index][1]))
    return list(order)
