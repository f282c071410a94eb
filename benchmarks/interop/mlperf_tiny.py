"""MLPerf Tiny's four networks, from .tflite to the virtual board: are the bytes the simulation's, and how long does it take?

    git clone https://github.com/mlcommons/tiny
    python benchmarks/interop/mlperf_tiny.py tiny --json benchmarks/results/mlperf_tiny.json

FOLDER is that checkout, or any folder that holds the four files. Inputs are random bytes: cycles do not depend on them but by a few
branches. Published times stand in benchmarks/results/peers.json.
"""
import argparse
import json
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:] = [place for place in sys.path if Path(place).resolve() != HERE]      # tflite.py here is not the package

import numpy as np  # noqa: E402

from tinyvgg import io  # noqa: E402
from tinyvgg.board import Board  # noqa: E402
from tinyvgg.board.evaluator import profile_board  # noqa: E402
from tinyvgg.errors import DataError  # noqa: E402
from tinyvgg.firmware.network import build_network  # noqa: E402
from tinyvgg.firmware.plan import apply_plan, make_plan  # noqa: E402
from tinyvgg.report.record import sha256_file, versions, write_json  # noqa: E402
from tinyvgg.report.tables import table  # noqa: E402

NETWORKS = {"image classification": "pretrainedResnet_quant.tflite", "visual wake words": "vww_96_int8.tflite",
            "keyword spotting": "kws_ref_model.tflite", "anomaly detection": "ad01_int8.tflite"}
PEERS = Path(__file__).resolve().parents[1] / "results" / "peers.json"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the rows here")
    parser.add_argument("-n", type=int, default=2, help="inputs on the board (default 2)")
    arguments = parser.parse_args()
    published = json.loads(PEERS.read_text(encoding="utf-8"))["mlperf_tiny"]
    rows = [measured(network, found(arguments.folder, name), arguments.n) | published[network] for network, name in NETWORKS.items()]
    if arguments.json:
        write_json(arguments.json, {"command": "python benchmarks/interop/mlperf_tiny.py tiny", "versions": versions(), "rows": rows})
    print(table(["network", "bytes", "ms", "flash", "RAM", "ST", "Bosch", "Plumerai"],
                [[r["network"], "equal" if r["equal"] else "DIFFER", f"{r['ms']:.1f}", r["flash"], r["ram"], r["st"], r["bosch"],
                  r["plumerai"]] for r in rows]))
    return 0 if all(r["equal"] for r in rows) else 1


def found(folder, name):
    places = sorted(folder.rglob(name))
    if not places:
        raise DataError(f"{folder} holds no {name}", "a checkout of https://github.com/mlcommons/tiny")
    return places[0]


def measured(network, path, n):
    """Build a network with its fastest plan and ask the virtual board."""
    model = io.load_model(path)
    x = np.random.default_rng(0).integers(0, 256, (n, *model.input_shape), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        planned = apply_plan(model, make_plan(model).plan)
        built = build_network(planned, folder, name="network")
        with Board(f"virtual:{built.image.elf}") as board:
            equal = bool((board.logits(x) == model.logits(x)).all())
            times = profile_board(board, x[:1])
        return {"network": network, "file": path.name, "sha256": sha256_file(path), "equal": equal, "inputs": n,
                "ms": times["ms_per_image"], "ms_error": times["ms_error"], "cycles": times["cycles_per_image"],
                "flash": built.image.flash_bytes, "ram": built.image.ram_bytes}


if __name__ == "__main__":
    raise SystemExit(main())
