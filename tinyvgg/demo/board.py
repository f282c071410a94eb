"""Run the images on a virtual board, over its serial line."""

import shlex

from tinyvgg.board import Board
from tinyvgg.board.evaluator import evaluate_board, model_beside, profile_board
from tinyvgg.errors import require

NEEDS, WISHES = ("firmware",), ()
FEW = 3  # test images for each firmware after the first: enough for its time, too few for an accuracy


def run(story):
    """Return accuracy, agreement with the simulation and time of each image built, and the first's profile by layer."""
    for module in ("unicorn", "capstone", "elftools"):
        require(module, "board")
    rows, profile, failed = [], None, []
    for built in story.results["firmware"]["rows"]:
        if "elf" in built:
            n = story.count(FEW if rows else story.sizes.board)
            row = _evaluate(story, built, n)
            rows.append(row)
            if row["agreement"] != 1:
                failed.append(f"the board with {row['name']} differs from the simulation: images {row['different']}")
    if rows:
        with Board(rows[0]["port"]) as board:
            profile = profile_board(board, story.images("test", 1)[0])
    return {
        "rows": rows,
        "profile": profile,
        "failed": failed,
        "profile_command": f"tinyvgg board profile --port {shlex.quote(rows[0]['port'])} --data {story.data} -n 1"
        if rows
        else "",
    }


def _evaluate(story, built, n):
    port, name = f"virtual:{built['elf']}", built["name"]
    x, y = story.images("test", n)
    with Board(port) as board:
        found = evaluate_board(
            board,
            x,
            y,
            model=model_beside(port),
            out=story.folder("board") / f"{name}.jsonl",
            classes=story.dataset.classes,
            seed=story.settings.seed,
            quiet=story.quiet,
        )
    kept = (
        "n",
        "accuracy",
        "interval",
        "agreement",
        "different",
        "instructions_per_image",
        "cycles_per_image",
        "ms_per_image",
        "wire_ms_per_image",
        "protocol",
        "sha256",
    )
    return {
        "name": name,
        "scheme": built["scheme"],
        "port": port,
        **{key: found[key] for key in kept},
        "command": f"tinyvgg board evaluate --port {shlex.quote(port)} --data {story.data} -n {n}",
    }
