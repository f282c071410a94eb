"""What a layer costs on a board: cycles by a calibrated formula, constants and scratch as code generation lays them out.

Cycles are a sum of counts (products, values gathered, results ...) times coefficients, a set for each kind of kernel, fitted to
the virtual board's cycles (zero wait states) by benchmarks/plan_costs.py, which writes boards/*/costs.toml; so is the size of code.
"""
import math
import re
import tomllib
from dataclasses import dataclass, replace

from tinyvgg.codegen.ops._common import UNROLL, map_shape, round_up
from tinyvgg.codegen.program import Program, emit
from tinyvgg.firmware.image import board_facts
from tinyvgg.quant.graph import Add, AveragePool2D, Conv2D, Dense, DepthwiseConv2D, MaxPool2D, SharedWeights, Softmax

LAYER_RAM = 8               # bytes that firmware keeps for a layer: its cycles and its checksum
PLACES = {"winograd2": 16, "winograd4": 36}


@dataclass(frozen=True)
class Cost:
    """One layer as one variant: cycles an image, bytes of flash (constants and code), bytes of scratch in the arena."""
    cycles: float
    flash: int
    scratch: int


@dataclass(frozen=True)
class Table:
    """The fitted coefficients of a board and compiler; `tolerance`: the largest share by which a fitted layer is off."""
    cycles: dict
    code: dict
    base_flash: int
    base_ram: int
    tolerance: float


def load_table(board, compiler="zig"):
    """Return the Table of a board for "zig" or "gcc"; zig's where the compiler has none."""
    tables = tomllib.loads((board_facts(board).folder / "costs.toml").read_text(encoding="utf-8"))
    return Table(**tables.get(compiler, tables["zig"]))


def layer_cost(graph, name, variant, table):
    """Return the Cost of the layer called `name` of a Graph if it ran as `variant`."""
    kind, counted, constants, scratch = measure(graph, name, variant)
    cycles = sum(n * table.cycles[kind].get(what, 0.0) for what, n in counted.items()) if kind in table.cycles else 0.0
    return Cost(cycles, constants + table.code.get(kind, 0), scratch)


def measure(graph, name, variant):
    """Return (kind, {what is counted: how many}, bytes of constants, bytes of scratch) of a layer as `variant`."""
    import tinyvgg.codegen.ops  # noqa: F401  (registers the emitters)
    op = replace(graph[name], variant=variant) if hasattr(graph[name], "variant") else graph[name]
    program = Program(replace(graph, ops=tuple(op if o.name == name else o for o in graph.ops)), "cost")
    step = emit(op, program)
    return (kind_of(op), counts(op, graph[op.inputs[0]].shape, step), program.constant_bytes(op), step.scratch)


def kind_of(op):
    """Name of an op's set of coefficients: its variant, or its class, and whether it looks codebooks up."""
    looked_up = "_shared" if isinstance(getattr(op, "weights", None), SharedWeights) else ""
    if isinstance(op, Conv2D):
        return op.variant + (looked_up if op.variant in ("direct", "direct_ram") else "")
    return type(op).__name__.lower() + looked_up


def counts(op, input_shape, step):
    """Return {what: how many} of an op for one image: what its cycles are a sum of."""
    if isinstance(op, Conv2D):
        return _direct(op, input_shape, step) if not step.sources else _fixed(op, input_shape, step)
    size = math.prod(op.shape)
    if isinstance(op, Dense):
        k = round_up(op.weights.shape[1], UNROLL)
        return {"layer": 1, "inputs": k, "outputs": size, "products": size * k}
    if isinstance(op, DepthwiseConv2D):
        results = size * _area(op)
        return {"layer": 1, "outputs": size, "results": results, "products": results * math.prod(op.weights.shape[1:])}
    if isinstance(op, Add):
        return {"layer": 1, "outputs": size, "products": size * len(op.inputs)}
    if isinstance(op, AveragePool2D | MaxPool2D):
        return {"layer": 1, "outputs": size, "products": size * math.prod(op.pool_size)}
    if isinstance(op, Softmax):
        return {"layer": 1, "outputs": size}
    return {"layer": 1}


def _area(op):
    """Results of the convolution that become one of the output."""
    return math.prod((op.pool or (1, 1))[:2])


def _direct(op, input_shape, step):
    f, taps = op.weights.shape[0], math.prod(op.weights.shape[1:])
    k, outputs = round_up(taps, UNROLL), math.prod(op.shape) // f
    results = outputs * _area(op)
    found = {"layer": 1, "gathered": results * k, "lines": results * op.weights.shape[1], "results": results * f,
             "outputs": outputs * f, "products": round_up(results, 2) * round_up(f, 2) * k}
    if isinstance(op.weights, SharedWeights):
        block = int(re.search(r"\.block = (\d+)", step.declaration).group(1))
        times = 1 if op.variant == "direct_ram" else -(-outputs // block)
        found["looked_up"] = times * round_up(f, 2) * k
    return found


def _fixed(op, input_shape, step):
    """Counts of a kernel made for its shape, from the numbers that its C file defines."""
    text = next(iter(step.sources.values()))
    shape = {name: int(n) for name, n in re.findall(r"#define TV_(\w+) (\d+)u?\b", text)}
    f, size, copied = round_up(op.weights.shape[0], 4), math.prod(op.shape), math.prod(map_shape(input_shape)) * shape["COPY"]
    base = op.variant.removesuffix("_ram")
    if base in PLACES:
        tiles, places = shape["TILE_ROWS"] * shape["TILE_COLUMNS"], PLACES[base]
        times = -(-shape["TILE_ROWS"] // shape["BATCH"])
    else:
        tiles, places = size // op.shape[-1] * _area(op), 1
        times = -(-tiles // shape["BLOCK"])
    words = places * shape["DEPTH"]
    found = {"layer": 1, "copied": copied, "gathered": tiles * words, "results": tiles * places * f, "outputs": size,
             "products": round_up(tiles, 2) * f * words, "calls": round_up(tiles, 2) * f * places // 4}
    if op.variant.endswith("_ram"):
        found["expanded"] = times * f * words
        found["looked_up"] = times * f * math.prod(op.weights.shape[1:]) if shape["INDEX_BITS"] else 0
    return found
