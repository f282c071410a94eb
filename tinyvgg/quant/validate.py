"""Check that a graph, integer or float, is well formed (names, shapes, dtypes), for graphs from files."""

import math

from tinyvgg.errors import FormatError, TinyVGGError
from tinyvgg.quant.ops import OPS, Image
from tinyvgg.quant.ops.weighted import LARGEST


def check_graph(graph):
    """Raise QuantError if any value of a Graph of integers can leave int32: Op.check of every op."""
    for op in graph.ops:
        op.check()


def validate(graph, kind):
    """Raise FormatError unless `graph` is a well-formed graph of `kind` "integer" or "float"; check_graph included."""
    low, high = graph.input_range
    if not graph.ops or not isinstance(graph.ops[0], Image) or not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise FormatError("the graph does not begin with an image of a sensible range")
    done = {}
    for op in graph.ops:
        known = OPS.get(type(op).__name__) is type(op) and op.integer == (kind == "integer")
        if not known or op.name in done or any(i not in done for i in op.inputs):
            raise FormatError(
                f"op {op.name!r} ({type(op).__name__}) is unknown, occurs twice or reads something that is not before it"
            )
        if any(n < 1 for n in op.shape) or len(op.shape) not in ((1, 2, 3) if isinstance(op, Image) else (1, 3)) or math.prod(op.shape) > LARGEST:
            raise FormatError(f"op {op.name!r} has the shape {op.shape}")
        if (op is graph.ops[0]) != isinstance(op, Image):
            raise FormatError(f"op {op.name!r} is a second image")
        op.check_levels()
        try:
            expected = op.output_shape(*(done[i] for i in op.inputs))
        except TinyVGGError:
            raise
        except (TypeError, ValueError, IndexError, AttributeError) as error:
            raise FormatError(f"op {op.name!r} does not fit its inputs: {error}") from error
        if tuple(expected) != tuple(op.shape):
            raise FormatError(f"op {op.name!r} has the shape {op.shape}; its inputs give {tuple(expected)}")
        done[op.name] = op
    if len(graph.logits.shape) != 1:
        raise FormatError(f"the logits have the shape {graph.logits.shape}; expected a vector")
    if kind == "integer":
        check_graph(graph)
