"""Harm a running board with the searched flips, bare and with defences in its firmware."""

import numpy as np

from tinyvgg import faults
from tinyvgg.board import Board
from tinyvgg.errors import DeviceError, require
from tinyvgg.faults.elf import bases, patch_board
from tinyvgg.firmware.network import build_network

NEEDS, WISHES = ("firmware", "bitflip"), ()
SCHEME = "int8"
DEFENCES = {"none": "", "crc": "crc", "radar, replicas": "radar=128,replicas", "ranges, replicas": "ranges=32,replicas"}


def run(story):
    """Return one row a defence: what the board answers before and after the flips, what its check costs, finds and repairs."""
    require("unicorn", "board")
    model = story.compressed(SCHEME)
    store, plan = faults.open_store(model), faults.load_plan(story.folder("bitflip") / "search")
    x, y = story.images("test", story.count(story.sizes.replayed))
    rows = [_one(story, name, options, model, store, plan, x, y) for name, options in DEFENCES.items()]
    search = str(story.folder("bitflip") / "search")
    return {"rows": rows, "n": len(x), "flips": plan.hamming, "plan": search, "command": story.again("defence")}


def _one(story, name, options, model, store, plan, x, y):
    folder, file = (
        story.folder("defence"),
        f"{SCHEME}_{'_'.join(part.split('=')[0] for part in (options or 'bare').split(','))}",
    )
    network = build_network(model, folder, name=file, defence=options, weights="ram", memory_access=True, replace=True)
    with Board(f"virtual:{network.image.elf}") as board:
        before = board.infer(x)
        patch_board(plan, store, board, bases(store, network.image.elf))
        report = board.check_constants() if options else None
        try:
            after, refused = float((board.infer(x).raw.argmax(axis=1) == y).mean()), ""
        except DeviceError as error:
            after, refused = None, error.problem
    command = (
        f"tinyvgg firmware build {story.tvq_name(SCHEME)} --name {file} --plan direct --weights ram --memory-access "
        f"{f'--defence {options} ' if options else ''}--out {story.inside('defence')}"
    )
    return {
        "defence": name,
        "flash_bytes": network.image.flash_bytes,
        "ram_bytes": network.image.ram_bytes,
        "ms_per_image": 1000 * float(np.mean(before.cycles)) / board.info.clock_hz,
        "accuracy_before": float((before.raw.argmax(axis=1) == y).mean()),
        "accuracy_after": after,
        "refused": refused,
        "report": report,
        "check_ms": None if report is None else 1000 * report["cycles"] / board.info.clock_hz,
        "command": command,
    }
