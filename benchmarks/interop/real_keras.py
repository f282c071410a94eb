"""Real Keras files out of public repositories, from file to board: how far each comes, by repository, commit and path.

    python benchmarks/interop/real_keras.py FOLDER [FOLDER ...] [--json OUT.json] [--limit-macc 200e6]

FOLDER holds clones of repositories: OWNER+NAME (a clone, bare or not) or OWNER+NAME/ANYTHING; each .h5, .hdf5 and .keras of their
HEAD is taken once. Stages: load (the network opens), float C (its C agrees with it within 1e-4 of the largest answer), int8 (the C of
the integer network gives the simulation's bytes), board (so does its ELF on the virtual STM32L4R9, with agreement 1.0). Inputs are
noise in the range that the file or its first layers tell, 0..1 else: what is counted is whether the bytes are right, not how well
a network does. Nothing of the repositories is kept.
"""
import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from tinyvgg.report.record import write_json

STAGES = ("load", "float C", "int8", "board")
FLAGS = ("-O1",)
SMALLEST, LARGEST = 1000, 64 << 20          # bytes: a pointer to a file that is not there, and what no board holds


def files(folders):
    """[(repository, commit, path, blob, git directory)] of each distinct file, the smallest first."""
    found, seen = [], set()
    for folder in folders:
        for place in sorted(p for p in folder.iterdir() if p.is_dir()):
            git = next((p for p in (place, place / ".git", *place.iterdir()) if (p / "HEAD").is_file()), None)
            commit = git and _git(git, "rev-parse", "HEAD").decode().strip()
            for line in _git(git, "ls-tree", "-r", "-l", "HEAD").decode(errors="replace").splitlines() if git else ():
                (_, kind, blob, size), path = line.split("\t", 1)[0].split(), line.split("\t", 1)[1]
                known = kind == "blob" and path.lower().endswith((".h5", ".hdf5", ".keras")) and blob not in seen
                if known and size.isdigit() and SMALLEST <= int(size) <= LARGEST:
                    seen.add(blob)
                    found.append((int(size), place.name.replace("+", "/", 1), commit, path, blob, git))
    return [row for _, *row in sorted(found, key=lambda row: (row[0], row[4]))]


def _git(git, *words):
    return subprocess.run(["git", "-C", str(git), *words], capture_output=True, check=False).stdout


def examine(path, folder, limit):
    """Return ({stage: True}, the sentence that stopped it or "")."""
    import tinyvgg
    from tinyvgg.codegen.host import HostModel
    from tinyvgg.errors import TinyVGGError
    from tinyvgg.nn import count_macc
    from tinyvgg.quant.model import quantize
    done = {}
    try:
        model = tinyvgg.open(str(path))
        done["load"] = True
        if count_macc(model) > limit:
            return done, f"{count_macc(model):,} MACC an image: more than --limit-macc"
        x = np.random.default_rng(0).uniform(*model.bounds, (8, *model.input_shape)).astype(np.float32)
        expected = model.outputs(x).reshape(len(x), -1)         # of a backbone without a head, too, as C has it
        found = HostModel(model, flags=FLAGS).outputs(x)
        if np.abs(found - expected).max() > 1e-4 * max(np.abs(expected).max(), 1e-6):
            return done, f"float C differs by {np.abs(found - expected).max():.2g}"
        done["float C"] = True
        q = quantize(model, x)
        if not np.array_equal(HostModel(q, flags=FLAGS).raw_logits(x), q.integer_logits(x)):
            return done, "C and simulation differ"
        done["int8"] = True
        done |= {"board": True} if _on_board(q, x[:2], folder) == 1.0 else {}
        return done, "" if "board" in done else "board and simulation differ"
    except TinyVGGError as error:
        return done, error.problem
    except Exception as error:              # what is counted as a failure of ours
        return done, f"{type(error).__name__}: {error}"


def _on_board(q, x, folder):
    """The agreement of the ELF on the virtual board with the simulation."""
    from tinyvgg.board import Board
    from tinyvgg.board.evaluator import evaluate_board
    from tinyvgg.firmware.network import build_network
    network = build_network(q, folder, name="real", code="flash", optimise="-O1")
    with Board(f"virtual:{network.image.elf}", flash_model="none") as board:
        return evaluate_board(board, x, np.zeros(len(x)), model=q)["agreement"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--json", type=Path, help="rows as JSON; an interrupted run goes on from it")
    parser.add_argument("--limit-macc", type=float, default=2e8, help="larger networks are not run on the board (default 2e8)")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = json.loads(arguments.json.read_text())["rows"] if arguments.json and arguments.json.exists() else []
    known = {row["blob"] for row in rows}
    for repository, commit, path, blob, git in files(arguments.folders):
        if blob in known:
            continue
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / f"model{Path(path).suffix.lower()}"
            copy.write_bytes(_git(git, "cat-file", "blob", blob))
            done, why = examine(copy, Path(folder) / "build", arguments.limit_macc)
        rows.append({"repository": repository, "commit": commit, "path": path, "blob": blob,
                     **{stage: stage in done for stage in STAGES}, "why": why.replace(str(copy), Path(path).name)})
        told = f" ({rows[-1]['why'][:110]})" if why else ""
        print(f"{repository} {commit[:8]} {path}: {', '.join(done) or 'nothing'}{told}", flush=True)
        if arguments.json:
            write_json(arguments.json, {"command": "python benchmarks/interop/real_keras.py FOLDER --json FILE", "rows": rows})
    counts = Counter(stage for row in rows for stage in STAGES if row[stage])
    print(f"{len(rows)} files: " + ", ".join(f"{counts[stage]} {stage}" for stage in STAGES))


if __name__ == "__main__":
    sys.exit(main())
