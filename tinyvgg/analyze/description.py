"""A light description of a network, without arrays: kinds, shapes and parameters, enough to compute its cost.

It is made from the nodes of a model, which may include layers that this library cannot run (see io/keras_h5/lacking.py). In
`xcubeai` it is made from the table of a report.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from tinyvgg.analyze.lite import describe_graph
from tinyvgg.analyze.operations import parts_of
from tinyvgg.errors import FormatError
from tinyvgg.nn.graph import Node, call_names

LARGEST = 2**63  # a file that claims a larger network is refused


@dataclass
class Operation:
    """One operation with everything that its cost depends on.

    `kind`: input, conv, dense, batch_norm, activation, pool, add, concatenate, lstm, gru, simple_rnn, embedding, reshape, pad or
    other. Shapes are without the batch, channels last. `parameters` maps a tensor's name to its shape: kernel and bias; scale and
    offset of a batch-norm. `settings`: kernel_size, strides, same (padding), groups, pool_size, function (of an activation). A
    layer with a fused activation becomes two operations with the same `layer`. `macc` and `keras_parameters`: multiplications of
    weights, and values in all arrays, as the layer itself counts them. `shared`: a later use of a layer; its arrays are counted
    at the first use. `node`: the call of the layer, if there is one.
    """

    name: str
    kind: str
    layer: str
    inputs: tuple = ()
    input_shape: tuple = ()
    output_shape: tuple = ()
    parameters: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)
    class_name: str = ""
    keras_parameters: int = 0
    macc: int = 0
    shared: bool = False
    node: Any = field(default=None, repr=False, compare=False)

    @property
    def elements(self):
        """Elements of the output of one image."""
        return math.prod(self.output_shape)

    @property
    def parameter_count(self):
        """Elements of all parameters."""
        return sum(math.prod(shape) for shape in self.parameters.values())


def describe(model: Any) -> list[Operation]:
    """Describe a model of this library, a list of its nodes, or a list of Operation (returned unchanged) -> list of Operation.

    Of the integer models, only those from a .tflite can be described. Raises FormatError.
    """
    graph = getattr(model, "graph", None)
    if getattr(graph, "facts", {}).get("scheme") == "tflite":
        return describe_graph(graph, Operation)
    if isinstance(model, list | tuple) and not any(isinstance(item, Node) for item in model):
        return list(model)
    nodes = getattr(model, "nodes", model)
    if not isinstance(nodes, list | tuple):
        raise FormatError(f"a {type(model).__name__} cannot be described; expected a model or a list of operations",
                          "the .h5 or .tflite that X-CUBE-AI was given")
    names, last, seen, operations = call_names(nodes), {}, set(), []
    for node, name in names.items():
        found = _operations(node, name, [last[n] for n in node.inputs], id(node.layer) in seen)
        seen.add(id(node.layer))
        last[node] = found[-1].name if found else last[node.inputs[0]]
        operations += found
    return operations


def _operations(node, name, inputs, shared):
    """Return the operations of one call of a layer; none for a layer that does nothing at inference."""
    layer, parts = node.layer, parts_of(node.layer, node.input_shape)
    macc = _shared_out(layer.macc(node.input_shape), [part.get("macc", 0) for part in parts])
    counted = _shared_out(_parameters(node), [part.get("keras_parameters", 0) for part in parts])
    found, source, shape = [], tuple(inputs), node.inputs[0].shape if node.inputs else node.shape
    for i, part in enumerate(parts):
        operation = Operation(name if i == len(parts) - 1 else f"{name}/{part['kind']}", part["kind"], layer.name, source,
                              tuple(shape), tuple(part["output_shape"]), part.get("parameters", {}), part.get("settings", {}),
                              layer.class_name or type(layer).__name__, 0 if shared else counted[i], macc[i], shared, node)
        if max(operation.elements, operation.parameter_count, operation.macc) >= LARGEST:
            raise FormatError(f"layer {layer.name!r} ({operation.class_name}) is larger than any machine",
                              "a model that fits into memory")
        found.append(operation)
        source, shape = (operation.name,), operation.output_shape
    return found


def _shared_out(total, parts):
    """Return the count of each part: the first gets what is left of the total after the others."""
    return [total - sum(parts[1:]), *parts[1:]]


def _parameters(node):
    return sum(map(math.prod, node.layer.weight_shapes(node.input_shape).values()))
