"""A light description of a network: kinds, shapes and parameters, enough to say what it costs, no arrays.

It is made from a model of this library, from the configuration in a Keras file (also of layers that this library cannot run),
or, in `xcubeai`, from the table of a report.
"""

import math
from dataclasses import dataclass, field

from tinyvgg.analyze.shapes import HANDLERS, Unknown
from tinyvgg.errors import FormatError, NotYet


@dataclass
class Operation:
    """One operation with its cost's ingredients.

    `kind`: input, conv, dense, batch_norm, activation, pool, add, concatenate, lstm, reshape or other. Shapes are without the
    batch, channels last. `parameters` maps a tensor's name to its shape: kernel and bias; scale and offset of a batch-norm.
    `settings`: kernel_size, strides, same (padding), groups, pool_size, function (of an activation). A Keras layer with a
    fused activation becomes two operations that share `layer`.
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

    @property
    def elements(self):
        """Elements of the output of one image."""
        return math.prod(self.output_shape)

    @property
    def parameter_count(self):
        """Elements of all parameters."""
        return sum(math.prod(shape) for shape in self.parameters.values())


@dataclass
class Record:
    """A layer as a configuration names it."""

    name: str
    class_name: str
    config: dict
    inputs: tuple = ()


def describe(model):
    """Describe a model of this library, or a list of Operation (returned as it is) -> list of Operation."""
    if isinstance(model, list | tuple):
        return list(model)
    if not hasattr(model, "get_config"):
        raise FormatError(f"a {type(model).__name__} cannot be described; expected a model or a list of operations")
    config = model.get_config()
    layers = {layer["config"]["name"]: layer for layer in config["layers"]}
    if config["class_name"] == "Sequential":
        names = [layer["config"]["name"] for layer in config["layers"]]
        inputs = [(), *((name,) for name in names)][: len(names)]
    else:
        nodes = config["nodes"]
        names = [node["layer"] for node in nodes]
        inputs = [tuple(names[i] for i in node["inputs"]) for node in nodes]
    records = [Record(n, layers[n]["class_name"], layers[n]["config"], i) for n, i in zip(names, inputs, strict=True)]
    return describe_records(records, tuple(model.input_shape))


def describe_records(records, input_shape=None):
    """Follow the shapes through the layers -> list of Operation. Raises NotYet for a layer whose cost is not known here."""
    shapes, last, operations = {}, {}, []
    if not records:
        raise FormatError("the model holds no layers")
    if records[0].class_name != "InputLayer" and not records[0].inputs:
        shape = tuple(input_shape or _input_shape(records[0].config) or ())
        operations.append(_checked(Operation("input", "input", "input", (), shape, shape)))
        shapes["input"], last["input"] = shape, "input"
        records = [Record(records[0].name, records[0].class_name, records[0].config, ("input",)), *records[1:]]
    for record in records:
        if record.class_name == "InputLayer":
            shape = tuple(_input_shape(record.config) or input_shape or ())
            found = [Operation(record.name, "input", record.name, (), shape, shape, class_name="InputLayer")]
        else:
            found = _operations(record, [shapes[last[i]] for i in record.inputs], [last[i] for i in record.inputs])
        for operation in map(_checked, found):
            shapes[operation.name] = operation.output_shape
        last[record.name] = found[-1].name if found else last[record.inputs[0]]
        operations += found
    return operations


def _checked(operation):
    """Return an operation whose sizes are all whole numbers from 1; a cost of anything else would be nonsense."""
    shapes = {"shape": operation.output_shape, **operation.parameters}
    for name, shape in shapes.items():
        if not shape or not all(type(n) is int and n > 0 for n in shape):
            what = "input" if operation.kind == "input" else f"{operation.layer!r} ({operation.class_name}): its {name}"
            raise FormatError(
                f"{what} has the sizes {tuple(shape)}; expected whole numbers from 1",
                "a model of a fixed input size, such as (32, 32, 3)",
            )
    return operation


def _operations(record, shapes, inputs):
    """The one or two operations of a layer; none for a layer that does nothing at inference."""
    handler = HANDLERS.get(record.class_name)
    if handler is None:
        raise NotYet(
            f"layer {record.name!r} is a {record.class_name!r}, whose cost is not known here",
            "a handler in tinyvgg/analyze/shapes.py, or tinyvgg.analyze.Operation by hand",
        )
    if record.config.get("data_format") == "channels_first":
        raise NotYet(f"layer {record.name!r} ({record.class_name}) has its channels first", "the model with channels last")
    try:
        parts = handler(record.config, shapes)
    except Unknown as error:
        raise NotYet(f"layer {record.name!r} ({record.class_name}): {error}") from error
    except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError) as error:
        raise FormatError(
            f"the settings of layer {record.name!r} ({record.class_name}) do not fit: {type(error).__name__} {error}"
        ) from error
    found, source, shape = [], tuple(inputs), shapes[0] if shapes else ()
    for i, part in enumerate(parts):
        name = record.name if i == len(parts) - 1 else f"{record.name}/{part['kind']}"
        found.append(
            Operation(
                name,
                part["kind"],
                record.name,
                source,
                shape,
                tuple(part["output_shape"]),
                part.get("parameters", {}),
                part.get("settings", {}),
                record.class_name,
                part.get("keras_parameters", 0),
            )
        )
        source, shape = (name,), tuple(part["output_shape"])
    return found


def _input_shape(config):
    """Keras 2 writes batch_input_shape, Keras 3 batch_shape, this library shape or input_shape."""
    for key in ("batch_input_shape", "batch_shape"):
        if config.get(key):
            return tuple(config[key])[1:]
    return tuple(config.get("shape") or config.get("input_shape") or ())
