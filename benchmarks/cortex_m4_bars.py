"""The plans of light and ResNet-8 held against an earlier commit's and other vendors' times, under the same calibrated flash model.

    tinyvgg compress light_cifar10 --scheme int8 --data cifar10 --out light.tvq         # and resnet8_cifar10 to resnet8.tvq
    tinyvgg compress light_cifar10 --scheme coded --flash 142500 --data cifar10 --out coded.tvq
    git worktree add /tmp/before ca20f1d
    python benchmarks/cortex_m4_bars.py light.tvq resnet8.tvq --coded coded.tvq --before /tmp/before --json benchmarks/results/cortex_m4_bars.json

The earlier commit plans and builds its fastest image, kernels in SRAM2, and that of the least RAM, with its own code; all run on this
virtual board. Each row says the milliseconds, what they are held against, the ratio, flash, RAM and arena, and how many of --images N
test images have the simulation's logits, byte for byte (on a board without the flash's model, which changes no byte). --kept FILE keeps what was
measured of these files and takes it up again. "ST's memory" is what X-CUBE-AI 9.0's submission of ResNet-8 to MLPerf Tiny takes: 193 KB of
binary; 57 KB of RAM are ours in all, ST's activations alone; its flash is one bank. --compiler zig|gcc, zig unless given.
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from common import option_parser, rows_in, say, write_result
from cortex_m4 import least, same

from tinyvgg import data, load_model
from tinyvgg.board import Board
from tinyvgg.board.evaluator import profile_board
from tinyvgg.firmware.network import build_network
from tinyvgg.firmware.plan import apply_plan, make_plan
from tinyvgg.report.record import KeptRows, sha256_file
from tinyvgg.report.tables import table

ST_MS = 165.1               # X-CUBE-AI 9.0, MLPerf Tiny v1.2, measured on the NUCLEO-L4R5ZI
# (model, what, bank, budgets or None for the least RAM)
CODED = ("light", "coded", "dual", {"flash": 185_000})
PLANS = [("light", "fastest", "dual", {}), ("light", "fastest", "single", {}),
         ("light", "480 KB of flash", "dual", {"flash": 480_000}), ("light", "smallest RAM", "dual", None),
         CODED,
         ("resnet8", "fastest", "dual", {}), ("resnet8", "fastest", "single", {}),
         ("resnet8", "ST's memory", "single", {"flash": 193_000, "ram": 57_000})]
BEFORE = """
import sys
from tinyvgg import load_model
from tinyvgg.firmware.costs import load_table
from tinyvgg.firmware.network import build_network
from tinyvgg.firmware.plan import apply_plan, make_plan
from tinyvgg.firmware.planner import Planner
model, out, compiler = sys.argv[1:]
model = load_model(model)
least = min(p.ram_bytes for p in Planner(model.graph, load_table("stm32l4r9i-disco", compiler)).front())
for name, budget, code in (("before", {}, "sram2"), ("least", {"ram": least + 512}, "flash")):
    build_network(apply_plan(model, make_plan(model, compiler=compiler, **budget).plan), out, name=name, compiler=compiler, code=code)
"""
COMMAND = "python benchmarks/cortex_m4_bars.py light.tvq resnet8.tvq --coded coded.tvq --before CHECKOUT"


def main():
    """Measure every plan; print the table, keep the rows."""
    parser = option_parser(__doc__, data="cifar10")
    parser.add_argument("light", type=Path, help="the light net as int8 .tvq")
    parser.add_argument("resnet8", type=Path, help="ResNet-8 as int8 .tvq")
    parser.add_argument("--coded", type=Path, metavar="FILE", help="the light net as coded .tvq (default: no such row)")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="checkout of the commit to compare with (default: no ratios)")
    parser.add_argument("--compiler", default="zig", choices=("zig", "gcc"))
    parser.add_argument("--images", type=int, default=500, metavar="N", help="images whose answers are compared (default 500)")
    parser.add_argument("--kept", type=Path, metavar="FILE", help="keep rows here, and take up those that are there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="rows that FILE gets; those of the other compiler stay")
    arguments = parser.parse_args()
    x, _ = data.load(arguments.data).part("test", arguments.images)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("light", "resnet8"):
            rows += rows_of(name, arguments, Path(folder), x)
    print(table(["plan", "bank", "ms", "before", "ratio", "flash", "RAM", "arena", "as simulated"], [cells(r) for r in rows]))
    rows += [r for r in rows_in(arguments.json) if r["compiler"] != arguments.compiler]
    write_result(arguments.json, COMMAND, facts={"st_ms": ST_MS}, rows=rows)


def rows_of(name, arguments, folder, x):
    """The rows of one network's plans."""
    path, compiler, rows = getattr(arguments, name), arguments.compiler, []
    kept = KeptRows(arguments.kept, {"model": sha256_file(path), "compiler": compiler, "data": arguments.data})
    before = {}
    if arguments.before:
        before = kept.get({"before": name}, lambda: earlier(arguments.before, path, folder, compiler, x[:2]))
    for plan in [plan for plan in PLANS if plan[0] == name]:
        model = arguments.coded if plan == CODED else path
        if model is None:
            continue
        key = {"plan": plan, "file": sha256_file(model), "images": len(x)}
        row = kept.get(key, lambda m=model, p=plan: {"row": measured(load_model(m), p, compiler, folder, x, before)})["row"]
        rows.append(row)
        say(json.dumps(row))
    return rows


def earlier(checkout, model, folder, compiler, x):
    """{bank: milliseconds} of the fastest image that the checkout builds of a model, "least": of its image of the least RAM."""
    out = folder / f"before_{model.stem}"
    subprocess.run([sys.executable, "-P", "-c", BEFORE, str(model.resolve()), str(out), compiler], check=True, cwd=folder,
                   env={**os.environ, "PYTHONPATH": str(checkout.resolve())})
    images = {"dual": "before", "single": "before", "least": "least"}
    return {what: profiled(out / f"{image}.elf", what.replace("least", "dual"), x)["ms_per_image"] for what, image in images.items()}


def profiled(elf, bank, x):
    """The profile of one image of an ELF on the calibrated board."""
    with Board(f"virtual:{elf}", two_banks=bank == "dual") as board:
        return profile_board(board, x[:1])


def answers(elf, x):
    """The logits (N, classes) of an ELF, as bytes; the flash's model is left out: it changes times alone."""
    with Board(f"virtual:{elf}", flash_model="none") as board:
        return board.infer(x).raw


def measured(model, plan, compiler, folder, x, before):
    """Plan, build, run: one row."""
    name, what, bank, budgets = plan
    made = make_plan(model, compiler=compiler, bank=bank, **({"ram": least(model.graph, compiler)} if budgets is None else budgets))
    planned = apply_plan(model, made.plan)
    network = build_network(planned, folder / "now", name="now", compiler=compiler, code=made.plan.code)
    profile = profiled(network.image.elf, bank, x)
    network.tvq.unlink()
    against = None if "ST" in what else before.get("least" if "RAM" in what else bank)
    row = {"model": name, "plan": what, "compiler": compiler, "bank": bank,
           "ms": profile["ms_per_image"], "ms_error": profile["ms_error"], "cycles": profile["cycles_per_image"],
           "before_ms": against, "ratio": against and profile["ms_per_image"] / against,
           "st_ratio": ST_MS / profile["ms_per_image"] if name == "resnet8" else None, "code": made.plan.code,
           "flash_bytes": network.image.flash_bytes, "ram_bytes": network.image.ram_bytes, "arena_bytes": network.program.arena_bytes,
           "held_bytes": network.program.held_bytes(), "variants": made.plan.variants, "images": len(x),
           "as_simulated": same(planned.integer_logits(x), answers(network.image.elf, x))}
    return {k: v for k, v in row.items() if v is not None}


def cells(r):
    """A row of the printed table."""
    return [f"{r['model']}, {r['plan']}", r["bank"], f"{r['ms']:.1f} +- {r['ms_error']} %",
            f"{r['before_ms']:.1f}" if "ratio" in r else "", f"{r['ratio']:.3f}" if "ratio" in r else "", f"{r['flash_bytes']:,}",
            f"{r['ram_bytes']:,}", f"{r['arena_bytes']:,}",
            f"{r['as_simulated']} of {r['images']}"]


if __name__ == "__main__":
    main()
