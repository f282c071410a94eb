"""Fit the planner's costs to the virtual board: cycles of each kind of kernel, bytes of code; writes firmware/families/*/costs.toml.

    python benchmarks/plan_costs.py                        zig, and gcc where it is there
    python benchmarks/plan_costs.py --compiler gcc --limit 3 --samples runs/costs.jsonl     three builds more; resumes
    python benchmarks/plan_costs.py --layer UpSampling2D    a layer that none of these has: its own coefficients, beside the others
    python benchmarks/plan_costs.py --rare                  the same of all ops that none of these has, in one network of five shapes
    python benchmarks/plan_costs.py --layer tflite          the ops of TensorFlow Lite's arithmetic likewise

Every network is built once for each variant, on all layers that take it, and answers one image. Cycles do not depend on the
weights or the image but by a few branches, so networks are untrained and images are noise.
"""
import dataclasses
import tempfile
import tomllib
from collections import defaultdict
from functools import lru_cache

import numpy as np
from common import option_parser, say
from scipy.optimize import nnls

from tinyvgg import models, nn
from tinyvgg.board import Board
from tinyvgg.board.evaluator import profile_board
from tinyvgg.codegen.variants import variants, with_variants
from tinyvgg.errors import BuildError
from tinyvgg.firmware.build import find_compiler
from tinyvgg.firmware.costs import LAYER_RAM, OF_FLASH, measure
from tinyvgg.firmware.image import board_facts
from tinyvgg.firmware.network import build_network, float_place
from tinyvgg.nn import layers as L
from tinyvgg.quant.graph import Graph
from tinyvgg.quant.model import QuantizedModel
from tinyvgg.quant.ops.conv2d import Conv2D
from tinyvgg.quant.ops.image import Image
from tinyvgg.quant.ops.level_table import LevelTable
from tinyvgg.quant.ops.lite_add import LiteAdd
from tinyvgg.quant.ops.lite_average_pool2d import LiteAveragePool2D
from tinyvgg.quant.ops.lite_concatenate import LiteConcatenate
from tinyvgg.quant.ops.lite_softmax import LiteSoftmax, exponentials
from tinyvgg.quant.ops.lite_tail import LiteTail
from tinyvgg.quant.ops.weighted import VARIANTS
from tinyvgg.quant.schemes import compress
from tinyvgg.report.record import KeptRows, write_bytes
from tinyvgg.report.tables import table

BOARD = "stm32l4r9i-disco"
LARGEST = 100_000           # weights of a layer, 8 bytes each as winograd4
SHARED_CODE = 150           # bytes of a layer's struct and call, where layers share a kernel
SMALL = 30_000              # cycles below which a layer's share of error matters less
HEAD = """# What the planner knows of kernels on this board: written by benchmarks/plan_costs.py, from the virtual board's cycles.
# COMPILER.cycles.KIND: cycles for each of what is counted (firmware/costs.py). code: bytes of flash of a layer's code.
"""


def main():
    parser = option_parser(__doc__)
    parser.add_argument("--compiler", choices=("zig", "gcc"), help="default: both, where they are there")
    parser.add_argument("--samples", metavar="FILE", help="keep measurements here, and take up those that are there")
    parser.add_argument("--limit", type=int, metavar="N", help="measure at most N images, and fit only when all are there")
    parser.add_argument("--layer", metavar="CLASS", help="only what one layer's op costs, with the layer's defaults")
    parser.add_argument("--rare", action="store_true", help="only the ops that the fitted networks lack")
    arguments = parser.parse_args()
    path = board_facts(BOARD).sources / "costs.toml"
    found = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for compiler in [arguments.compiler] if arguments.compiler else ["zig", "gcc"]:
        try:
            find_compiler(compiler)
        except BuildError as error:
            say(f"{compiler}: {error.problem}")
            continue
        if arguments.layer:
            add_layer(found[compiler], compiler, arguments.layer)
        elif arguments.rare:
            add_rare(found[compiler], compiler)
        else:
            rows, complete = collect(compiler, arguments.samples, arguments.limit)
            if not complete:
                continue
            fitted, before = fit(rows), found.get(compiler, {})
            parts = {part: before.get(part, {}) | fitted[part] for part in ("cycles", "code")}
            found[compiler] = {"decoding": before.get("decoding", {})} | fitted | parts
        write_bytes(path, HEAD + "".join(as_toml(name, found[name]) for name in sorted(found)))


def mixed():
    """A network of what the others lack: odd sizes, no padding, strides, depthwise, pools of their own, leaky ReLU."""
    x = node = nn.Input((31, 27, 3))
    node = L.Conv2D(10, 3, strides=2, activation="relu")(node)
    node = L.BatchNormalization()(L.Conv2D(24, 3, padding="same", activation="relu6")(node))
    node = L.DepthwiseConv2D(3, padding="same", activation="leaky_relu")(node)
    node = L.Add()([node, L.Conv2D(24, 1)(node)])
    node = L.MaxPooling2D(2, strides=1, padding="same")(node)
    node = L.Conv2D(40, 3, activation="relu")(node)
    node = L.AveragePooling2D(2)(node)
    node = L.MaxPooling2D(2)(L.Conv2D(20, 3, padding="same")(node))
    node = L.Dense(33, activation="relu")(L.Flatten()(node))
    return nn.Model(x, L.Dense(7, activation="softmax")(node), name="mixed")


NETWORKS = {"light": models.light, "resnet8": models.resnet8, "mixed": mixed}
LOOKED_UP = ("direct", *(v for v in VARIANTS if v.endswith("_ram")))
VARIED = {"int8": tuple(v for v in VARIANTS if v != "direct_ram" and not v.endswith(("_held", "_rows"))), "shared4": LOOKED_UP, "shared3": LOOKED_UP}


@lru_cache
def integers(network, scheme):
    """The integer graph of a network of NETWORKS."""
    model = NETWORKS[network]()
    x = np.random.default_rng(0).integers(0, 256, (8, *model.input_shape), dtype=np.uint8)
    return compress(model, scheme, x, calibration="minmax").graph


def varied(graph, wanted):
    """The graph with the first of the wanted variants that each convolution can run as, as far as the flash goes; else direct."""
    taken = {}
    for op in (op for op in graph.ops if isinstance(op, Conv2D)):
        there = [v for v in wanted if v in variants(op, graph[op.inputs[0]].shape) and not (v == "winograd4" and op.weights.size >= LARGEST)]
        taken[op.name] = there[0] if there else "direct"
    return with_variants(graph, taken)


def collect(compiler, samples=None, limit=None):
    """Return (rows of `measured`, whether they are all)."""
    kept = KeptRows(samples)
    wanted = [{"what": [compiler, n, scheme, v]} for n in NETWORKS for scheme, row in VARIED.items() for v in row]
    for key in [key for key in wanted if key not in kept][:limit]:
        _, network, scheme, variant = key["what"]
        row = kept.get(key, lambda n=network, s=scheme, v=variant: measured(compiler, varied(integers(n, s), [v])))
        say(f"{' '.join(key['what'])}: {sum(c for _, _, c in row['layers']):,.0f} cycles")
    rows = [kept.get(key, dict) for key in wanted if key in kept]
    return rows, len(rows) == len(wanted)


def measured(compiler, graph):
    """Build a graph and run it: {"layers": [(kind, counts, cycles)], "code": flash without constants, "ram": without arena}."""
    with tempfile.TemporaryDirectory() as folder:
        network = build_network(QuantizedModel(graph), folder, name="network", compiler=compiler)
        x = np.random.default_rng(1).integers(0, 256, (1, *graph.input_shape), dtype=np.uint8)
        with Board(f"virtual:{network.image.elf}") as board:
            cycles = {row["layer"]: row["cycles"] for row in profile_board(board, x)["layers"]}
    layers = [(*measure(graph, op.name, getattr(op, "variant", "direct"))[:2], cycles[op.name]) for op in network.program.layers]
    return {"layers": layers, "code": network.image.flash_bytes - network.program.constant_bytes(),
            "ram": network.image.ram_bytes - float_place(network.program)[1]}


def add_layer(found, compiler, name):
    """Add the coefficients of what nn.layers' `name`, as it is by default, becomes: measured alone, on maps of several shapes."""
    rows, shapes = [], ((4, 4, 8), (6, 5, 3), (8, 8, 16), (5, 9, 24), (12, 12, 4), (3, 16, 33))
    if name == "tflite":
        rows = [measured(compiler, lite_graph(shape, k)) for k, shape in enumerate(shapes)]
        shapes = ()
    for shape, scheme, settings in drawn(name, shapes):
        layer = getattr(L, name)(**settings, name="alone")
        model = nn.Sequential([L.InputLayer(shape), L.Conv2D(shape[-1], 1), layer, L.Flatten(), L.Dense(3)])
        for array in layer.parameters.values():             # all 0 would be a ReLU
            array[...] = np.linspace(0.1, 0.4, array.size, dtype=np.float32).reshape(array.shape)
        x = np.random.default_rng(0).integers(0, 256, (8, *shape), dtype=np.uint8)
        graph = with_lite(compress(model, "int8", x, calibration="minmax").graph) if scheme == "tflite" else (
            compress(model, scheme, x, calibration="minmax").graph)
        names = [op.name for op in graph.ops[1:]]
        rows.append({"layers": [measured(compiler, graph)["layers"][names.index("alone")]]})
    cycles, worst, by_kind = fit_cycles(rows)
    found["cycles"] |= cycles
    found["code"] |= dict.fromkeys(by_kind, SHARED_CODE)
    found["tolerance"] = max(found["tolerance"], round(worst, 3))


def drawn(name, shapes):
    """(shape, scheme, settings) of each layer to measure: those of weights also as codebooks, and in two sizes of window."""
    if name != "DepthwiseConv2D":
        return [(shape, "int8", {}) for shape in shapes]
    more = (*shapes, (25, 5, 64), (6, 6, 128), (12, 12, 16), (9, 9, 6))
    return [(shape, scheme, {"kernel_size": 5 if k % 3 == 1 else 3, "padding": ("valid", "same")[k % 2]})
            for scheme in ("int8", "shared4", "tflite") for k, shape in enumerate(more)]


def with_lite(graph):
    """The graph whose layer "alone" ends in TensorFlow Lite's arithmetic."""
    op = graph["alone"]
    ones = np.ones(op.shape[-1], np.int32)
    tail = LiteTail(bias=0 * ones, multiplier=ones << 30, exponent=-7 * ones, zero=op.zero)
    return dataclasses.replace(graph, ops=tuple(dataclasses.replace(o, tail=tail) if o is op else o for o in graph.ops))


def rare(shape):
    """A network of the ops that the fitted networks lack, on maps of `shape`."""
    image = nn.Input(shape)
    node = L.Activation("tanh")(L.Conv2D(shape[-1], 1)(image))
    gate = L.Conv2D(shape[-1], 1, activation="sigmoid")(L.GlobalAveragePooling2D(keepdims=True)(node))
    node = L.Average()([L.Multiply()([node, gate]), node])
    node = L.Concatenate()([L.Maximum()([node, image]), L.Subtract()([node, image]), node])
    for layer in (L.Cropping2D(1), L.ZeroPadding2D(2), L.MaxPooling2D(2), L.Permute((2, 3, 1)), L.Softmax(),
                  L.AveragePooling2D(3, strides=2, padding="same")):
        node = layer(node)
    node = L.Conv1D(4, 1)(L.Reshape((-1, node.shape[-1]))(node))
    return nn.Model(image, L.Dense(3)(L.Flatten()(node)), name="rare")


def add_rare(found, compiler):
    """Add the coefficients of the ops of `rare` that the fitted networks lack."""
    fitted = {kind for network in NETWORKS for op in integers(network, "int8").ops[1:]
              for kind in [measure(integers(network, "int8"), op.name, "direct")[0]]}
    rows = []
    for shape in ((6, 6, 4), (9, 7, 3), (8, 8, 16), (5, 12, 24), (12, 12, 8)):
        x = np.random.default_rng(0).integers(0, 256, (8, *shape), dtype=np.uint8)
        row = measured(compiler, compress(rare(shape), "int8", x, calibration="minmax").graph)
        rows.append({"layers": [layer for layer in row["layers"] if layer[0] not in fitted]})
    cycles, worst, by_kind = fit_cycles(rows)
    found["cycles"] |= cycles
    found["code"] |= dict.fromkeys(by_kind, SHARED_CODE)
    found["tolerance"] = max(found["tolerance"], round(worst, 3))


def lite_graph(shape, k):
    """A graph of each op of TensorFlow Lite's arithmetic; k: by which the channels' table, window and classes differ."""
    levels, (h, w, c) = {"scale": 0.5, "zero": 128}, shape
    image = Image(name="image", inputs=(), shape=shape, **levels)
    table = LevelTable(name="table", inputs=("image",), shape=shape, table=np.arange(256, dtype=np.uint8)[None].repeat(c, 0), **levels)
    total = LiteAdd.between(image, table, name="sum", inputs=("image", "table"), shape=shape, **levels)
    size = (2, 2) if k % 2 else (h, w)
    windows = (h // size[0], w // size[1], 2 * c)
    joined = LiteConcatenate(name="joined", inputs=("sum", "table"), shape=(h, w, 2 * c), **levels)
    pool = LiteAveragePool2D(name="pool", inputs=("joined",), shape=windows, pool_size=size, strides=size, **levels)
    flat = LevelTable(name="flat", inputs=("pool",), shape=(int(np.prod(windows)),), table=np.arange(256, dtype=np.uint8)[None], **levels)
    softmax = LiteSoftmax(name="softmax", inputs=("flat",), shape=flat.shape, scale=1 / 256, exponentials=exponentials(0.05))
    return Graph(name="lite", ops=(image, table, total, joined, pool, flat, softmax), input_range=(-64.0, 63.5))


def fit(measurements):
    """Return the table as plain data, and say how well it fits."""
    cycles, worst, by_kind = fit_cycles(measurements)
    used = [[layer[0] for layer in row["layers"]] for row in measurements]
    own = sorted(k for k in by_kind if k.startswith(("direct16", "winograd")))       # kinds whose layers have code of their own
    shared = np.array([SHARED_CODE * sum(k not in own for k in kinds) for kinds in used])
    a = np.array([[1, *(kinds.count(k) for k in own)] for kinds in used], float)
    b = np.array([row["code"] for row in measurements], float) - shared
    solution = nnls(a, b)[0]
    off = a @ solution - b
    ram = [row["ram"] - LAYER_RAM * (len(row["layers"]) + 1) for row in measurements]
    say(f"code: base {solution[0]:,.0f} bytes, off by {off.min():,.0f} to {off.max():,.0f} bytes; "
        f"RAM beside the arena {min(ram)} to {max(ram)} bytes")
    code = dict.fromkeys(sorted(by_kind), SHARED_CODE) | {k: round(v) for k, v in zip(own, solution[1:], strict=True)}
    return {"base_flash": round(solution[0]), "base_ram": max(ram), "tolerance": round(worst, 3), "code": code, "cycles": cycles}


def fit_cycles(measurements):
    """Return {kind: coefficients}, the largest share by which a layer is off, {kind: its layers}; say how well it fits."""
    by_kind, cycles, worst, lines = defaultdict(list), {}, 0.0, []
    for kind, counted, took in (layer for row in measurements for layer in row["layers"]):
        by_kind[kind].append((counted, took))
    for kind, rows in sorted(by_kind.items()):
        names = [n for n in dict.fromkeys(n for counted, _ in rows for n in counted) if n not in OF_FLASH]
        cycles[kind], off = coefficients(names, *zip(*rows, strict=True), SMALL)
        worst = max(worst, float(off.max()))
        lines.append([kind, len(rows), f"{100 * off.mean():.1f}", f"{100 * off.max():.1f}"])
    say(table(["kind", "layers", "mean error %", "largest"], lines))
    return cycles, worst, by_kind


def coefficients(names, counted, took, small):
    """Return ({name: cycles each}, how far each is off as a share) of cycles that are sums of counts, none below 0; `small` cycles
    and less weigh alike."""
    a = np.array([[row.get(n, 0) for n in names] for row in counted], float).reshape(len(counted), len(names))
    b = np.array(took, float)
    weight = 1 / (b + small)
    solution = nnls(a * weight[:, None], b * weight)[0] if names else np.zeros(0)
    off = np.abs(a @ solution - b) / (b + small)
    return {n: round(float(v), 4) for n, v in zip(names, solution, strict=True)}, off


def as_toml(compiler, found):
    """A table of plain numbers as TOML."""
    lines = [f"\n[{compiler}]", *(f"{k} = {found[k]}" for k in ("base_flash", "base_ram", "tolerance"))]
    if "decoding" in found:
        lines.append("decoding = { " + ", ".join(f"{n} = {v}" for n, v in found["decoding"].items()) + " }")
    lines += [f"\n[{compiler}.code]", *(f"{k} = {v}" for k, v in sorted(found["code"].items())), f"\n[{compiler}.cycles]"]
    lines += [f"{k} = {{ " + ", ".join(f"{n} = {v}" for n, v in row.items()) + " }" for k, row in sorted(found["cycles"].items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
