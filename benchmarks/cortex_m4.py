"""What each layer costs on the Cortex-M4, plan by plan, beside CMSIS-NN's recorded figures.

    python benchmarks/cortex_m4.py                                       the light and resnet8 nets, untrained
    python benchmarks/cortex_m4.py --model light.tvq --data cifar10 --accuracy 2000 --json benchmarks/results/cortex_m4.json

Rows of --json: {"work", "batch", "ours_ms", "peer", "peer_ms", "ratio", "cycles", ...}.

A plan is a kernel for each layer. For each plan and compiler: flash and RAM of the whole image, exact instructions and modelled
cycles of each layer at zero wait states; for the fastest plan then the same with 5 wait states, its code in flash and in SRAM2, for
each assumed size of a cache line. The board's answers are compared with the simulation's. CMSIS-NN 99f736a6 was recorded once on the light
net's shapes (gcc -O3, random weights, without batch-norm), X-CUBE-AI and microTVM on resnet8 by MLPerf Tiny (v1.0,
NUCLEO-L4R5ZI, measured at 120 MHz).
"""
import argparse
import json
import sys
import tempfile

import numpy as np
from spine import CLOCK_KHZ, CMSIS_NN, compilers
from spine import PEER as CMSIS

from tinyvgg import data, load_model, models
from tinyvgg.board import Board
from tinyvgg.board.evaluator import profile_board
from tinyvgg.board.virtual.flash import WaitStates
from tinyvgg.codegen import variants, with_variants
from tinyvgg.firmware.network import build_network
from tinyvgg.quant.model import QuantizedModel
from tinyvgg.quant.schemes import compress
from tinyvgg.report.record import versions, write_json
from tinyvgg.report.tables import table

# Variants in order of preference, and those of single layers (of the light net) that go before.
PLANS = {
    "direct": (("direct",), {}),
    "direct16": (("direct16",), {}),
    "fastest": (("winograd4", "direct16"), {"conv2d_5": "winograd2"}),
    "fastest in 640 KiB": (("winograd4", "direct16"), {"conv2d_3": "winograd4_ram", "conv2d_4": "winograd4_ram",
                                                       "conv2d_5": "winograd2_ram"}),
}
MEASURED = {"resnet8": {"X-CUBE-AI 7.3, measured (MLPerf Tiny v1.0)": 27_228_000,
                        "microTVM with CMSIS-NN, measured (MLPerf Tiny v1.0)": 46_746_000}}
LINES = (8, 16, 32)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="an integer .tvq (default: light and resnet8, untrained)")
    parser.add_argument("--data", default="shapes", help="images (default shapes)")
    parser.add_argument("--plan", action="append", choices=PLANS, help="default: all")
    parser.add_argument("--compiler", action="append", choices=("zig", "gcc"), help="default: those that are there")
    parser.add_argument("--board", type=int, default=2, metavar="N", help="images on the virtual board (default 2)")
    parser.add_argument("--accuracy", type=int, default=0, metavar="N", help="accuracy on so many test images, float and integer")
    parser.add_argument("--wait-states", default="fastest", help="plans to run with wait states too: fastest (default), all or none")
    parser.add_argument("--json", metavar="FILE", help="write the rows to FILE")
    arguments = parser.parse_args()
    dataset, rows = data.load(arguments.data), []
    for model in opened(arguments.model, dataset):
        say(f"\n=== {model.graph.name}")
        accuracy(model, dataset, arguments.accuracy)
        x, _ = dataset.part("test", arguments.board)
        for plan in arguments.plan or PLANS:
            for compiler in arguments.compiler or compilers():
                rows += measure(model, plan, compiler, x, waits=arguments.wait_states in ("all", plan))
    if arguments.json:
        write_json(arguments.json, {"command": " ".join(["python", "benchmarks/cortex_m4.py", *sys.argv[1:]]),
                                    "versions": versions(), "rows": rows})
    else:
        print(json.dumps(rows))


def say(text):
    print(text, file=sys.stderr, flush=True)


def opened(paths, dataset):
    if paths:
        return [load_model(p) for p in paths]
    x, _ = dataset.part("train", 64)
    return [compress(models.build(name), "int8", x, calibration="minmax") for name in ("light", "resnet8")]


def accuracy(model, dataset, n):
    """Say what share of n test images the integer model and its float graph get right: every plan has the integers' share."""
    if not n:
        return
    from tinyvgg.quant.compressed import CompressedModel
    x, y = dataset.part("test", n)
    right = [100 * float((m.labels(x) == np.asarray(y).reshape(-1)).mean())
             for m in (CompressedModel(model.float_graph), model)]
    say(f"accuracy on {len(x)} test images: float {right[0]:.2f} %, integers (every plan) {right[1]:.2f} %")


def planned(graph, plan):
    """The Graph with the plan's variant of each layer."""
    preferred, single = PLANS[plan]
    chosen = {}
    for op in graph.ops[1:]:
        possible = variants(op, graph[op.inputs[0]].shape)
        wanted = (single.get(op.name), *preferred) if graph.name == "light" else preferred
        chosen[op.name] = next((v for v in wanted if v in possible), "direct")
    return with_variants(graph, {name: v for name, v in chosen.items() if hasattr(graph[name], "variant")})


def measure(model, plan, compiler, x, *, waits):
    """Build and run one plan: print its table, return its rows."""
    graph = planned(model.graph, plan)
    changed = QuantizedModel(graph, float_graph=model.float_graph)
    with tempfile.TemporaryDirectory() as folder:
        images = {code: build_network(changed, folder, name=f"network_{code}", compiler=compiler, code=code).image
                  for code in (("flash", "sram2") if waits else ("flash",))}
        with Board(f"virtual:{images['flash'].elf}") as board:
            same = int((board.infer(x).raw == model.integer_logits(x)).all(axis=1).sum())
            profile = profile_board(board, x[:1])
        rows = show(graph, plan, compiler, images["flash"], profile, f"{same} of {len(x)}")
        if waits:
            rows += show_waits(graph, plan, compiler, images, x[:1])
    return rows


def show(graph, plan, compiler, image, profile, same):
    say(f"\n{graph.name}, {plan}, {compiler}: {image.flash_bytes:,} bytes of flash, {image.ram_bytes:,} of RAM; "
        f"{same} images have the simulation's answer")
    light = set(CMSIS_NN) <= {row["layer"] for row in profile["layers"]}
    lines, rows, about = [], [], {"model": graph.name, "plan": plan, "compiler": compiler, "batch": 1}
    for row in profile["layers"][1:]:
        peer, variant = CMSIS_NN.get(row["layer"]) if light else None, getattr(graph[row["layer"]], "variant", "")
        theirs = [f"{peer[0]:,}", f"{peer[1]:,}", f"{peer[1] / row['cycles']:.2f}"] if peer else ["", "", ""]
        lines.append([row["layer"], variant, f"{row['instructions'] or 0:,.0f}", f"{row['cycles']:,.0f}", *theirs])
        rows.append({"work": f"{graph.name} {row['layer']} ({variant}), {plan}, {compiler}", **about, "layer": row["layer"],
                     "variant": variant, "instructions": row["instructions"], "cycles": row["cycles"], "ours_ms": row["ms"],
                     **against(CMSIS if peer else None, peer and peer[1], row["cycles"])})
    say(table(["layer", "kernel", "instructions", "cycles", "CMSIS-NN instr.", "CMSIS-NN cycles", "ratio"], lines))
    cycles = profile["cycles_per_image"]
    peers = {CMSIS: sum(c for _, c in CMSIS_NN.values())} if light else MEASURED.get(graph.name, {None: None})
    for peer, theirs in peers.items():
        rows.append({"work": f"{graph.name}, {plan}, {compiler}", **about, "cycles": cycles, "ours_ms": profile["ms_per_image"],
                     "flash_bytes": image.flash_bytes, "ram_bytes": image.ram_bytes, **against(peer, theirs, cycles)})
        beside = f"; {peer}: {theirs:,} ({theirs / cycles:.2f})" if peer else ""
        say(f"whole network: {cycles:,.0f} cycles, {profile['ms_per_image']:.1f} ms at zero wait states{beside}")
    return rows


def against(peer, theirs, cycles):
    """The columns of a row that are about the peer."""
    if peer is None:
        return {"peer": None, "peer_ms": None, "ratio": None}
    return {"peer": peer, "peer_ms": theirs / CLOCK_KHZ, "ratio": theirs / cycles}


def show_waits(graph, plan, compiler, images, x):
    """The same with 5 wait states behind caches of each assumed line."""
    rows, lines = [], []
    for code, image in images.items():
        for line in LINES:
            model = WaitStates(line)
            with Board(f"virtual:{image.elf}", wait_states=model) as board:
                board.infer(x)
                before = model.stalls
                cycles = int(board.infer(x).cycles[0])
                stalls = {k: v - before[k] for k, v in model.stalls.items()}
            lines.append([code, line, f"{stalls['instruction_stalls']:,}", f"{stalls['data_stalls']:,}", f"{cycles:,}",
                          f"{cycles / CLOCK_KHZ:.1f}"])
            rows.append({"work": f"{graph.name}, {plan}, {compiler}, 5 wait states, lines of {line} bytes, code in {code}",
                         "model": graph.name, "plan": plan, "compiler": compiler, "batch": 1, "cycles": cycles,
                         "ours_ms": cycles / CLOCK_KHZ, **against(None, None, cycles), **stalls})
    say(table(["code in", "line", "instruction stalls*", "data stalls*", "cycles", "ms"], lines))
    say("* of everything that the board did for the image, the line's protocol included")
    return rows


if __name__ == "__main__":
    main()
