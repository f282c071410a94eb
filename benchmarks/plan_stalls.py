"""Fit what the flash adds to each kind of kernel, for the planner: writes firmware/families/stm32l4/stalls.toml.

    python benchmarks/plan_stalls.py                       builds 7 plans of light and resnet8, untrained, kernels in SRAM2 and in flash

Every plan runs on the virtual board with the calibrated flash model, as two banks and as one; what a layer takes beyond its cycles at
zero wait states is fitted to the counts that its cycles are a sum of (benchmarks/plan_costs.py).
"""
import argparse
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from tinyvgg import models
from tinyvgg.board import Board
from tinyvgg.board.evaluator import profile_board
from tinyvgg.codegen.variants import variants, with_variants
from tinyvgg.firmware.costs import measure
from tinyvgg.firmware.facts import FAMILIES
from tinyvgg.firmware.network import build_network
from tinyvgg.quant.model import QuantizedModel
from tinyvgg.quant.ops.conv2d import Conv2D
from tinyvgg.quant.schemes import compress
from tinyvgg.report.record import append_line, read_lines, write_bytes

LARGEST = 100_000           # weights of a layer, 8 bytes each as winograd4
CLOCK_KHZ = 120_000
PLANS = [("light", ("winograd4", "winograd2")), ("light", ("direct",)), ("light", ("winograd4_ram",)), ("light", ("direct16_ram",)),
         ("resnet8", ("direct16",)), ("resnet8", ("winograd2", "direct16")), ("resnet8", ("winograd2_ram", "direct16_ram"))]
COUNTED = ("products", "results", "gathered", "expanded", "outputs")
READ = ("read",)            # what kernels made for their shape wait for where they run in SRAM2
HEAD = """# Cycles that the flash adds to a layer, for the planner: written by benchmarks/plan_stalls.py from the calibrated virtual board.
# [CODE.BANK] KIND: cycles for each of what is counted (firmware/costs.py); CODE: where kernels made for their shape run.
"""


def varied(graph, wanted):
    """The graph with the first of the wanted variants that each convolution can run as, else direct."""
    taken = {}
    for op in (op for op in graph.ops if isinstance(op, Conv2D)):
        there = [v for v in wanted if v in variants(op, graph[op.inputs[0]].shape) and not (v == "winograd4" and op.weights.size >= LARGEST)]
        taken[op.name] = there[0] if there else "direct"
    return with_variants(graph, taken)


def measured(samples):
    """Yield {"code", "bank", "kind", "counts", "stalls"} of every layer of every plan; keep them in a file, and take up what is there."""
    known = read_lines(samples) if samples else []
    done = {(tuple(map(tuple, [r["plan"][1]])), r["plan"][0], r["code"]) for r in known}
    yield from known
    x = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    for name, wanted in PLANS:
        graph = varied(compress(models.build(name), "int8", x, calibration="minmax").graph, wanted)
        for code in ("sram2", "flash"):
            if ((tuple(wanted),), name, code) in done:
                continue
            for row in run(graph, code, x[:1]):
                row = {"plan": [name, list(wanted)], "code": code, **row}
                if samples:
                    append_line(samples, row)
                yield row


def run(graph, code, x):
    """Yield {"bank", "kind", "counts", "stalls"} of each layer of a graph."""
    with tempfile.TemporaryDirectory() as folder:
        network = build_network(QuantizedModel(graph), folder, name="network", code=code, compiler="zig")
        for bank in ("dual", "single"):
            with Board(f"virtual:{network.image.elf}", two_banks=bank == "dual") as board:
                profile = profile_board(board, x)
            for row in profile["layers"][1:]:
                op = graph[row["layer"]]
                kind, counts = measure(graph, op.name, getattr(op, "variant", "direct"))[:2]
                yield {"bank": bank, "kind": kind, "counts": counts, "stalls": row["ms"] * CLOCK_KHZ - row["cycles"]}


def fit(rows):
    """{code: {bank: {kind: {count: cycles}}}} by non-negative least squares."""
    found, by = defaultdict(lambda: defaultdict(dict)), defaultdict(list)
    for row in rows:
        by[row["code"], row["bank"], row["kind"]].append(row)
    for (code, bank, kind), of in sorted(by.items()):
        own = kind.startswith(("direct16", "winograd"))
        names = [n for n in (READ if own and code == "sram2" else (*COUNTED, *READ) if own else COUNTED) if any(r["counts"].get(n) for r in of)]
        a = np.array([[r["counts"].get(n, 0) for n in names] for r in of], float).reshape(len(of), len(names))
        b = np.maximum([r["stalls"] for r in of], 0)
        weight = 1 / (b + 10_000)
        solution = nnls(a * weight[:, None], b * weight)[0] if names else []
        found[code][bank][kind] = {n: round(float(v), 4) for n, v in zip(names, solution, strict=True) if v > 0}
        off = (a @ np.array(solution) - b) / (b + 10_000) if names else np.zeros(1)
        print(f"{code} {bank} {kind}: {len(of)} layers, largest error {100 * np.abs(off).max():.1f} %", file=sys.stderr)
    return found


def main():
    """Measure, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", metavar="FILE", help="keep measurements here, and take up those that are there")
    found = fit(list(measured(parser.parse_args().samples)))
    lines = [HEAD]
    for code, banks in found.items():
        for bank, kinds in banks.items():
            lines.append(f"\n[{code}.{bank}]")
            lines += [f"{kind} = {{ {', '.join(f'{n} = {v}' for n, v in row.items())} }}" for kind, row in kinds.items()]
    write_bytes(Path(FAMILIES / "stm32l4" / "stalls.toml"), "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
