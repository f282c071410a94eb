"""A model from its simulation to the board: the same bytes, and what each layer costs beside CMSIS-NN.

    python benchmarks/spine.py                               the light net, untrained, on the generated set
    python benchmarks/spine.py --model light.tvq --data cifar10 --host 5000 --board 500 --json

Prints, for each compiler at hand: flash, RAM, exact instructions and modelled cycles of each layer (zero wait states) beside the
recorded ones of CMSIS-NN 99f736a6 on the light net's shapes (gcc -O3, without batch-norm), and how many of the images get the
same bytes from simulation, C on this machine and ELF. --json prints rows {"work", "batch", "ours_ms", "peer", "peer_ms",
"ratio"}.
"""
import argparse
import importlib.util
import json
import shutil
import sys
import tempfile
import time

import numpy as np

from tinyvgg import data, models
from tinyvgg.board import Board
from tinyvgg.board.evaluator import profile_board
from tinyvgg.codegen import HostModel
from tinyvgg.firmware.network import build_network
from tinyvgg.open import open_model
from tinyvgg.quant.schemes import compress
from tinyvgg.report.progress import Progress
from tinyvgg.report.tables import table

CLOCK_KHZ = 120_000
# Cycles of arm_convolve_s8, arm_max_pool_s8, arm_fully_connected_s8, arm_softmax_s8 on random weights: (instructions, cycles).
CMSIS_NN = {"conv2d": (3_678_426, 4_709_936), "conv2d_1": (18_165_623 + 317_340, 23_266_954 + 381_691),
            "conv2d_2": (4_542_440, 5_817_082), "conv2d_3": (8_753_126 + 149_164, 11_145_977 + 177_051),
            "conv2d_4": (8_177_662 + 72_372, 10_387_897 + 85_387), "conv2d_5": (3_987_162 + 18_280, 5_066_253 + 21_643),
            "dense": (258_601, 328_052), "dense_1": (34_095, 43_358), "dense_2": (1_919, 2_548),
            "dense_2_softmax": (5_315, 6_228)}
PEER = "CMSIS-NN 99f736a6, without batch-norm (recorded)"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="model file (default: an untrained light net); a float model is compressed")
    parser.add_argument("--scheme", default="int8", help="for a float model (default int8)")
    parser.add_argument("--data", default="shapes", help="default shapes")
    parser.add_argument("--host", type=int, default=50, metavar="N", help="images on this machine (default 50)")
    parser.add_argument("--board", type=int, default=5, metavar="N", help="images on the virtual board (default 5)")
    parser.add_argument("--json", action="store_true", help="rows as JSON")
    arguments = parser.parse_args()
    dataset = data.load(arguments.data)
    model = open_model(arguments.model) if arguments.model else models.light()
    if hasattr(model, "layers"):
        model = compress(model, arguments.scheme, *dataset.part("train", 512))
    x, _ = dataset.part("test", max(arguments.host, arguments.board))
    rows = []
    expected = compare_host(model, x[:arguments.host])
    for compiler in compilers():
        with tempfile.TemporaryDirectory() as folder:
            network = build_network(model, folder, name="network", compiler=compiler)
            rows += compare_board(model, network, compiler, x[:arguments.board], expected)
    if arguments.json:
        print(json.dumps(rows))


def say(text):
    print(text, file=sys.stderr, flush=True)


def compilers():
    found = ["zig"] if importlib.util.find_spec("ziglang") else []
    return found + (["gcc"] if shutil.which("arm-none-eabi-gcc") else [])


def raw(model, x):
    """The simulation's raw logits."""
    return model.integer_logits(x) if hasattr(model, "integer_logits") else model.logits(x)


def same(a, b):
    """How many rows of logits agree: all bytes, or for floats within 1e-5 of the largest."""
    if a.dtype.kind == "f":
        return int((np.abs(a - b).max(axis=1) <= 1e-5 * np.abs(a).max(axis=1)).sum())
    return int((a == b).all(axis=1).sum())


def compare_host(model, x):
    start = time.perf_counter()
    expected = raw(model, x)
    simulated = time.perf_counter() - start
    host, start = HostModel(model), time.perf_counter()
    got = host.raw_logits(x)
    seconds = time.perf_counter() - start
    say(f"host: {same(expected, got)} of {len(x)} images have the simulation's {'logits' if got.dtype.kind == 'f' else 'bytes'} "
        f"({1000 * simulated / len(x):.1f} ms an image simulated, {1000 * seconds / len(x):.1f} ms in C)")
    return expected


def compare_board(model, network, compiler, x, expected):
    image = network.image
    with Board(f"virtual:{image.elf}") as board:
        progress = Progress(len(x), f"virtual board, {compiler}")
        answers = board.infer(x, on_answer=lambda *_: progress.advance())
        progress.close()
        profile = profile_board(board, x[:1])
    expected = expected[:len(x)] if len(expected) >= len(x) else raw(model, x)
    say(f"\n{compiler}: {image.flash_bytes:,} bytes of flash, {image.ram_bytes:,} of RAM; "
        f"{same(expected, answers.raw)} of {len(x)} images have the simulation's answer; "
        f"{profile['cycles_per_image']:,.0f} cycles, {profile['ms_per_image']:.1f} ms")
    lines, rows, light = [], [], set(CMSIS_NN) <= {row["layer"] for row in profile["layers"]}
    for row in profile["layers"]:
        peer = CMSIS_NN.get(row["layer"]) if light else None
        theirs = [f"{peer[0]:,}", f"{peer[1]:,}", f"{peer[1] / row['cycles']:.2f}"] if peer else ["", "", ""]
        lines.append([row["layer"], f"{row['instructions'] or 0:,.0f}", f"{row['cycles']:,.0f}", *theirs])
        if peer:
            rows.append({"work": f"{row['layer']}, {compiler}", "batch": 1, "ours_ms": row["ms"], "peer": PEER,
                         "peer_ms": peer[1] / CLOCK_KHZ, "ratio": peer[1] / row["cycles"]})
    say(table(["layer", "instructions", "cycles", "CMSIS-NN instr.", "CMSIS-NN cycles", "ratio"], lines))
    total = sum(c for _, c in CMSIS_NN.values())
    if light:
        rows.append({"work": f"whole network, {compiler}", "batch": 1, "ours_ms": profile["ms_per_image"], "peer": PEER,
                     "peer_ms": total / CLOCK_KHZ, "ratio": total / profile["cycles_per_image"]})
        say(f"whole network: {profile['cycles_per_image']:,.0f} cycles against {total:,} ({rows[-1]['ratio']:.2f})")
    return rows


if __name__ == "__main__":
    main()
