"""Fit what the flash adds to each kind of kernel, for the planner: writes firmware/families/stm32l4/stalls.toml.

    python benchmarks/plan_stalls.py                       builds 7 plans of light and resnet8, untrained, kernels in SRAM2 and in flash

Every plan runs on the virtual board with the calibrated flash model, as two banks and as one; what a layer takes beyond its cycles at
zero wait states is fitted to the counts that its cycles are a sum of (benchmarks/plan_costs.py).
"""
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from common import option_parser, say
from plan_costs import coefficients, integers, varied

from tinyvgg.board import Board
from tinyvgg.board.evaluator import profile_board
from tinyvgg.firmware.costs import measure
from tinyvgg.firmware.facts import FAMILIES
from tinyvgg.firmware.network import build_network
from tinyvgg.quant.model import QuantizedModel
from tinyvgg.report.record import KeptRows, write_bytes

SMALL = 10_000              # stalls below which a layer's share of error matters less
CLOCK_KHZ = 120_000
PLANS = [("light", ("winograd4", "winograd2")), ("light", ("direct",)), ("light", ("winograd4_ram",)), ("light", ("direct16_ram",)),
         ("resnet8", ("direct16",)), ("resnet8", ("winograd2", "direct16")), ("resnet8", ("winograd2_ram", "direct16_ram"))]
COUNTED = ("products", "results", "gathered", "expanded", "outputs")
READ = ("read",)            # what kernels made for their shape wait for where they run in SRAM2
HEAD = """# Cycles that the flash adds to a layer, for the planner: written by benchmarks/plan_stalls.py from the calibrated virtual board.
# [CODE.BANK] KIND: cycles for each of what is counted (firmware/costs.py); CODE: where kernels made for their shape run.
"""


def measured(samples):
    """Yield {"code", "bank", "kind", "counts", "stalls"} of every layer of every plan; keep them in a file, and take up what is there."""
    kept, x = KeptRows(samples), np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    for name, wanted in PLANS:
        graph = varied(integers(name, "int8"), wanted)
        for code in ("sram2", "flash"):
            plan = kept.get({"plan": [name, wanted], "code": code}, lambda g=graph, c=code: {"layers": list(run(g, c, x))})
            yield from ({"code": code, **row} for row in plan["layers"])


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
        each, off = coefficients(names, [r["counts"] for r in of], [max(r["stalls"], 0) for r in of], SMALL)
        found[code][bank][kind] = {n: cycles for n, cycles in each.items() if cycles > 0}
        say(f"{code} {bank} {kind}: {len(of)} layers, largest error {100 * off.max():.1f} %")
    return found


def main():
    """Measure, fit, write."""
    parser = option_parser(__doc__)
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
