"""What each layer costs on the Cortex-M4, plan by plan, beside CMSIS-NN's recorded figures.

    python benchmarks/cortex_m4.py                                       the light and resnet8 nets, untrained
    python benchmarks/cortex_m4.py --model light.tvq --plan direct --data cifar10 --host 5000 --board 500
    python benchmarks/cortex_m4.py --model light.tvq --model resnet8 --data cifar10 --accuracy 5000 \
        --json benchmarks/results/cortex_m4.json --docs docs/cortex-m4.md

A plan is a kernel for each layer. For each plan and compiler: flash and RAM of the whole image, exact instructions and modelled
cycles of each layer at zero wait states; for the fastest plan then the time with the flash as silicon runs it, its kernels in flash
and in SRAM2, the flash as two banks and as one. The answers of the board, and with --host N of the C on this machine, are compared with the
simulation's: all bytes, or for a model of floats (--scheme none; it has no plans) within 1e-5 of the largest logit. CMSIS-NN 99f736a6 was
recorded once on the light net's shapes (gcc -O3, random weights, without batch-norm).

--json FILE gets {"work", "batch", "ours_ms", "peer", "peer_ms", "ratio", "cycles", ...} for each row; rows of the same model,
plan and compiler in it are replaced, others stay, so that it may be filled in parts. --docs FILE fills that page from results/, as fill_docs.py does.
"""
import json
import tempfile
import time
from pathlib import Path

import fill_docs
import numpy as np
from common import compilers, option_parser, say, write_result

from tinyvgg import data, models
from tinyvgg.board import Board
from tinyvgg.board.evaluator import profile_board
from tinyvgg.codegen import HostModel, variants, with_variants
from tinyvgg.firmware.costs import load_table
from tinyvgg.firmware.network import build_network
from tinyvgg.firmware.plan import apply_plan, make_plan
from tinyvgg.firmware.planner import Planner
from tinyvgg.open import open_model
from tinyvgg.quant.model import QuantizedModel
from tinyvgg.quant.schedule import schedule_of
from tinyvgg.quant.schemes import compress
from tinyvgg.report.tables import table

CLOCK_KHZ = 120_000
# Cycles of arm_convolve_s8, arm_max_pool_s8, arm_fully_connected_s8, arm_softmax_s8 on random weights: (instructions, cycles).
CMSIS_NN = {"conv2d": (3_678_426, 4_709_936), "conv2d_1": (18_165_623 + 317_340, 23_266_954 + 381_691),
            "conv2d_2": (4_542_440, 5_817_082), "conv2d_3": (8_753_126 + 149_164, 11_145_977 + 177_051),
            "conv2d_4": (8_177_662 + 72_372, 10_387_897 + 85_387), "conv2d_5": (3_987_162 + 18_280, 5_066_253 + 21_643),
            "dense": (258_601, 328_052), "dense_1": (34_095, 43_358), "dense_2": (1_919, 2_548),
            "dense_2_softmax": (5_315, 6_228)}
CMSIS = "CMSIS-NN 99f736a6, without batch-norm (recorded)"
LEAST = "least"             # a budget that is a little more than the least that can be met
# One variant wherever it can run, or the budgets of firmware.plan.make_plan.
PLANS = {"direct": "direct", "direct16": "direct16", "fastest": {}, "fastest in 640 KiB": {"flash": 640 * 1024},
         "smallest RAM": {"ram": LEAST}}
LEEWAY = 512
COMMAND = "python benchmarks/cortex_m4.py --model light.tvq --model resnet8 --data cifar10 --accuracy 5000"


def main():
    parser = option_parser(__doc__, data="shapes")
    parser.add_argument("--model", action="append", default=[],
                        help="a model file, or the name of an untrained net (default: light and resnet8)")
    parser.add_argument("--scheme", default="int8", help="for a float model (default int8)")
    parser.add_argument("--host", type=int, default=0, metavar="N", help="images on this machine, in C (default none)")
    parser.add_argument("--plan", action="append", choices=PLANS, help="default: all")
    parser.add_argument("--compiler", action="append", choices=("zig", "gcc"), help="default: those that are there")
    parser.add_argument("--board", type=int, default=2, metavar="N", help="images on the virtual board (default 2)")
    parser.add_argument("--accuracy", type=int, default=0, metavar="N", help="accuracy on so many test images")
    parser.add_argument("--calibrated", default="fastest", choices=(*PLANS, "all", "none"),
                        help="plan to run with the flash as silicon runs it, too (default fastest)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="rows that FILE gets")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="page to fill from benchmarks/results")
    arguments = parser.parse_args()
    saved = json.loads(arguments.json.read_text()) if arguments.json and arguments.json.exists() else {"rows": []}
    dataset, rows, facts = data.load(arguments.data), [], saved.get("facts", {})
    for model, trained in opened(arguments.model, dataset, arguments.scheme):
        say(f"\n=== {model.graph.name}")
        if arguments.host:
            compare_host(model, dataset.part("test", arguments.host)[0])
        if arguments.accuracy and trained and model.graph.integer:
            facts.setdefault("accuracy", {})[model.graph.name] = accuracy(model, dataset, arguments.accuracy)
        x, _ = dataset.part("test", arguments.board)
        for plan in (arguments.plan or PLANS) if model.graph.integer else ["direct"]:
            for compiler in arguments.compiler or compilers():
                rows += measure(model, plan, compiler, x, calibrated=arguments.calibrated in ("all", plan))
    rows = merged(saved["rows"], rows)
    if arguments.json:
        write_result(arguments.json, COMMAND, facts=facts, rows=rows)
    else:
        print(json.dumps(rows))
    if arguments.docs:
        fill_docs.fill(arguments.docs)


def merged(old, new):
    """Rows with the new ones in place of those of the same model, plan and compiler, ordered by these."""
    def about(row):
        return row["model"], row["plan"], row["compiler"]
    again, order = {about(r) for r in new}, list(PLANS)
    found = [*(r for r in old if "line" not in r and about(r) not in again), *new]
    return sorted(found, key=lambda r: (r["model"], order.index(r["plan"]), r["compiler"] != "zig"))


def opened(names, dataset, scheme):
    """Yield (compressed model, whether it is trained): files, and untrained nets calibrated on a few training images."""
    x, _ = dataset.part("train", 64)
    for name in names or ["light", "resnet8"]:
        if Path(name).exists():
            model = open_model(name)
            yield compress(model, scheme, *dataset.part("train", 512)) if hasattr(model, "layers") else model, True
        else:
            yield compress(models.build(name), scheme, x, calibration="minmax"), False


def simulated(model, x):
    """The simulation's raw logits."""
    return model.integer_logits(x) if model.graph.integer else model.logits(x)


def same(a, b):
    """How many rows of logits agree: all bytes, or for floats within 1e-5 of the largest."""
    if a.dtype.kind == "f":
        return int((np.abs(a - b).max(axis=1) <= 1e-5 * np.abs(a).max(axis=1)).sum())
    return int((a == b).all(axis=1).sum())


def compare_host(model, x):
    """Say how many images get the simulation's answer from C on this machine, and the milliseconds of both."""
    host, start = HostModel(model), time.perf_counter()
    expected = simulated(model, x)
    middle = time.perf_counter()
    got = host.raw_logits(x)
    spent = [1000 * seconds / len(x) for seconds in (middle - start, time.perf_counter() - middle)]
    say(f"host: {same(expected, got)} of {len(x)} images have the simulation's {'logits' if got.dtype.kind == 'f' else 'bytes'} "
        f"({spent[0]:.1f} ms an image simulated, {spent[1]:.1f} ms in C)")


def accuracy(model, dataset, n):
    """Return a sentence: what share of n test images the integer model (so every plan) and its float graph get right."""
    from tinyvgg.quant.compressed import CompressedModel
    x, y = dataset.part("test", n)
    right = [100 * float((m.labels(x) == np.asarray(y).reshape(-1)).mean()) for m in (CompressedModel(model.float_graph), model)]
    text = (f"Accuracy of {model.graph.name} on {len(x):,} test images: the floats it was lowered from {right[0]:.2f} %, "
            f"integers, whatever the plan, {right[1]:.2f} %.")
    say(text)
    return text


def planned(model, plan, compiler):
    """The model as a plan of PLANS has it run; one of floats as it is."""
    wanted = PLANS[plan]
    if not model.graph.integer:
        return model
    if isinstance(wanted, str):
        taken = {op.name: wanted for op in model.graph.ops[1:] if wanted in variants(op, model.graph[op.inputs[0]].shape)}
        graph = with_variants(model.graph, {name: v for name, v in taken.items() if hasattr(model.graph[name], "variant")})
        return QuantizedModel(graph, float_graph=model.float_graph)
    if LEAST in wanted.values():
        wanted = {what: least(model.graph, compiler, what) for what in wanted}
    return apply_plan(model, make_plan(model, compiler=compiler, **wanted).plan)


def least(graph, compiler, what="ram"):
    """A little more than the least bytes of RAM, or of flash, that a plan can do with."""
    return min(getattr(p, f"{what}_bytes") for p in Planner(graph, load_table("stm32l4r9i-disco", compiler)).front()) + LEEWAY


def measure(model, plan, compiler, x, *, calibrated):
    """Build and run one plan: print its table, return its rows."""
    changed = planned(model, plan, compiler)
    graph = changed.graph
    with tempfile.TemporaryDirectory() as folder:
        networks = {code: build_network(changed, folder, name=f"network_{code}", compiler=compiler, code=code)
                    for code in (("flash", "sram2") if calibrated else ("flash",))}
        images = {code: network.image for code, network in networks.items()}
        with Board(f"virtual:{images['flash'].elf}", flash_model="none") as board:
            right = same(simulated(model, x), board.infer(x).raw)
            profile = profile_board(board, x[:1])
        rows = show(graph, plan, compiler, networks["flash"], profile, f"{right} of {len(x)}")
        if calibrated:
            rows += show_calibrated(graph, plan, compiler, images, x[:1])
    return rows


def show(graph, plan, compiler, network, profile, right):
    image, arena = network.image, network.program.arena_bytes
    say(f"\n{graph.name} ({graph.facts.get('scheme')}), {plan}, {compiler}: {image.flash_bytes:,} bytes of flash, "
        f"{image.ram_bytes:,} of RAM (arena {arena:,}); {right} images have the simulation's answer")
    light = set(CMSIS_NN) <= {op.name for op in graph.ops}
    lines, rows, about = [], [], {"model": graph.name, "plan": plan, "compiler": compiler, "batch": 1}
    for row in profile["layers"][1:]:
        members = schedule_of(graph).stream_of(row["layer"]) or (row["layer"],)
        peer = [sum(counts) for counts in zip(*(CMSIS_NN[name] for name in members), strict=True)] if light else None
        variant = getattr(graph[row["layer"]], "variant", "") + (f", {len(members)} row by row" if len(members) > 1 else "")
        theirs = [f"{peer[0]:,}", f"{peer[1]:,}", f"{peer[1] / row['cycles']:.2f}"] if peer else ["", "", ""]
        lines.append([row["layer"], variant, f"{row['instructions'] or 0:,.0f}", f"{row['cycles']:,.0f}", *theirs])
        rows.append({"work": f"{graph.name} {row['layer']} ({variant}), {plan}, {compiler}", **about, "layer": row["layer"],
                     "variant": variant, "instructions": row["instructions"], "cycles": row["cycles"], "ours_ms": row["ms"],
                     **against(CMSIS if peer else None, peer and peer[1], row["cycles"])})
    say(table(["layer", "kernel", "instructions", "cycles", "CMSIS-NN instr.", "CMSIS-NN cycles", "ratio"], lines))
    cycles = profile["cycles_per_image"]
    peers = {CMSIS: sum(c for _, c in CMSIS_NN.values())} if light else {None: None}
    for peer, theirs in peers.items():
        rows.append({"work": f"{graph.name}, {plan}, {compiler}", **about, "cycles": cycles, "ours_ms": profile["ms_per_image"],
                     "flash_bytes": image.flash_bytes, "ram_bytes": image.ram_bytes, "arena_bytes": arena,
                     "scheme": graph.facts.get("scheme"), **against(peer, theirs, cycles)})
        beside = f"; {peer}: {theirs:,} ({theirs / cycles:.2f})" if peer else ""
        say(f"whole network: {cycles:,.0f} cycles, {profile['ms_per_image']:.1f} ms at zero wait states{beside}")
    return rows


def against(peer, theirs, cycles):
    """The columns of a row that are about the peer."""
    if peer is None:
        return {"peer": None, "peer_ms": None, "ratio": None}
    return {"peer": peer, "peer_ms": theirs / CLOCK_KHZ, "ratio": theirs / cycles}


def show_calibrated(graph, plan, compiler, images, x):
    """The same with the flash as silicon runs it: kernels in flash and in SRAM2, the flash as two banks and as one."""
    rows, lines = [], []
    for code, image in images.items():
        for bank in ("dual", "single"):
            with Board(f"virtual:{image.elf}", two_banks=bank == "dual") as board:
                machine = board.link.machine
                board.infer(x)
                before = machine.flash_model.stalls
                found = profile_board(board, x)
                stalls = {k: v - before[k] for k, v in machine.flash_model.stalls.items()}
            lines.append([code, bank, f"{stalls['instruction_stalls']:,}", f"{stalls['data_stalls']:,}",
                          f"{found['ms_per_image']:.1f} +- {found['ms_error']} %"])
            rows.append({"work": f"{graph.name}, {plan}, {compiler}, calibrated, {bank} bank, code in {code}", "model": graph.name,
                         "plan": plan, "compiler": compiler, "batch": 1, "cycles": found["cycles_per_image"], "code": code,
                         "bank": bank, "ours_ms": found["ms_per_image"], "ms_error": found["ms_error"],
                         **against(None, None, 1), **stalls})
    say(table(["code in", "bank", "instruction stalls*", "data stalls*", "ms"], lines))
    say("* of everything that the board did for the image, the line's protocol included")
    return rows


if __name__ == "__main__":
    main()
