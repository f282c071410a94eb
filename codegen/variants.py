"""The kernels that can run a layer, and the flash and RAM that each needs: used by planners.

All variants of a layer give the same bytes as its simulation; they differ in time and memory only.
"""
from dataclasses import dataclass, replace

from tinyvgg.codegen.ops._common import is_shared
from tinyvgg.codegen.ops._fixed import refusal
from tinyvgg.codegen.program import Program, emit
from tinyvgg.quant.ops.conv2d import Conv2D
from tinyvgg.quant.ops.weighted import VARIANTS
from tinyvgg.quant.schedule import FACT
from tinyvgg.quant.tvq import graph_sha256


@dataclass(frozen=True)
class Cost:
    """Bytes that one layer needs: constants in flash (without code), and scratch in the arena while it runs."""
    constants: int
    scratch: int


def variants(op, input_shape):
    """Return those of VARIANTS that can run the op on an input of `input_shape` (H, W, C) or (n,); always includes "direct".

    direct_ram looks a codebook up into RAM, once a layer. The other "..._ram" variants keep int8 weights in flash, or one
    codebook for the layer with indices of up to 4 bits. They look up, widen or transform weights in RAM, four filters at a time.
    "..._rows" variants do so for a few rows of the map at a time, in less RAM. Variants without these suffixes store all weights
    wide, also those of a codebook; firmware copies the weights of "..._held" variants to RAM at the start.
    """
    if not (isinstance(op, Conv2D) and op.integer):
        return ("direct",)
    plain = ("direct", "direct_ram") if is_shared(op) else ("direct",)
    return (*plain, *(v for v in VARIANTS[2:] if refusal(op, input_shape, v) is None))


def layer_alone(graph, name, variant):
    """Return the op called `name` of a Graph as it runs as `variant`, a Program with its constants alone, and its Step."""
    import tinyvgg.codegen.ops  # noqa: F401  (registers the emitters)
    op = replace(graph[name], variant=variant) if variant != "direct" or hasattr(graph[name], "variant") else graph[name]
    program = Program(replace(graph, ops=tuple(op if o.name == name else o for o in graph.ops)), "cost")
    return op, program, emit(op, program)


def variant_cost(graph, name, variant):
    """Return the exact Cost of the layer called `name` of a Graph, if it runs as `variant`."""
    op, program, step = layer_alone(graph, name, variant)
    return Cost(program.constant_bytes(op), 0 if step is None else step.scratch)


def with_variants(graph, chosen):
    """Return the Graph with the variants of the dict {layer: variant}; other layers are unchanged."""
    return replace(graph, ops=tuple(replace(op, variant=chosen[op.name]) if op.name in chosen else op for op in graph.ops))


def plain_graph(graph):
    """Return a Graph with every layer direct and no stream."""
    graph = with_variants(graph, {op.name: "direct" for op in graph.ops if hasattr(op, "variant")})
    return replace(graph, facts={k: v for k, v in graph.facts.items() if k != FACT})


def plain_sha256(graph):
    """Return the SHA-256 of a Graph without its plan; it is the same for all plans of a graph."""
    return graph_sha256(plain_graph(graph))
