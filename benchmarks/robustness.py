"""The campaign against bad luck and bad will, by target, with counts: benchmarks/results/robustness.json.

    python benchmarks/robustness.py                         every target, to its full count
    python benchmarks/robustness.py files serial --part 0.1 a tenth of it

Targets: files, interrupts, kills, serial, floats, integers. Counts are kept as they go, in parts; the same command again goes on
where it was. Nothing is hidden: what was wrong stands in "wrong" of each row, and the exit code is 1.
"""
import argparse
import json
import os
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
RESULTS = Path(__file__).resolve().parent / "results" / "robustness.json"
FILES, SECONDS, MEGABYTES = 20_000, 10, 1024
WORK = {"kills": {"board evaluate": 400, "train": 40, "attack": 40, "attack curve": 40, "bitflip random": 40, "bitflip map": 40,
                  "bitflip search": 40, "compress": 40, "firmware build": 40, "demo": 5},
        "interrupts": {"2 threads": 2000, "3 threads": 2000}, "serial": {f"{100 * share:g} %": 1000 for share in (0.001, 0.01, 0.05, 0.1)},
        "floats": {"graphs": 1000}, "integers": {"graphs": 500}}
PARTS = {"files": 50, "interrupts": 200, "kills": 10, "serial": 100, "floats": 50, "integers": 20}       # of a row, kept one by one


def rows_of(target):
    """{row: full count} of a target."""
    if target == "files":
        from benchmarks.campaign import readers
        return dict.fromkeys(readers.FORMATS, -(-FILES // len(readers.FORMATS)))
    return WORK[target]


def do(target, row, start, stop, folder):
    """Do start..stop of a row -> counts; "done" and "wrong" are among them."""
    return globals()[f"_{target}"](row, start, stop, folder)


def _files(row, start, stop, folder):
    from benchmarks.campaign import readers
    from tinyvgg.testing import fuzzer
    path, reader, ending = readers.make(folder)[row]
    os.environ["TINYVGG_CAMPAIGN"] = str(folder)
    found = fuzzer.fuzz(reader, path, start, stop, ending=ending, folder=ROOT)
    wrong = fuzzer.faults_of(found, SECONDS, MEGABYTES)
    return {"done": len(found), "wrong": len(wrong), "answers": sum(r["outcome"] == "answer" for r in found),
            "most_seconds": round(max(r["seconds"] for r in found), 2), "most_megabytes": round(max(r["megabytes"] for r in found)),
            "examples": [{k: r[k] for k in ("i", "kind", "outcome", "seconds", "megabytes")} for r in wrong[:5]]}


def _interrupts(row, start, stop, folder):
    from benchmarks.campaign.interrupts import interrupted
    found = interrupted(stop - start, int(row.split()[0]), seed=start)
    return {"done": found["interrupts"], "wrong": found["wrong"] + found["hangs"] + ("crash" in found), **found}


def _kills(row, start, stop, folder):
    from benchmarks.campaign.kills import killed
    found = killed(row, stop - start, folder, seed=start)
    return {"done": found["kills"], "wrong": found["different"] + found["leftovers"] + found["errors"], **found}


def _serial(row, start, stop, folder):
    from benchmarks.campaign import readers
    from benchmarks.campaign.serial import on_a_bad_line
    readers.make(folder)
    found = on_a_bad_line(Path(folder) / "small.elf", float(row.split()[0]) / 100, stop - start, seed=start)
    found |= {f"frames {kind}": count for kind, count in found.pop("frames").items()}
    return {"done": found["requests"], "wrong": found["wrong"] + (20 - found["again"]), **found}


def _floats(row, start, stop, folder, kind="floats"):
    from benchmarks.campaign import networks
    found = getattr(networks, kind)(start, stop)
    return {"done": stop - start, "wrong": found["different"], **found}


_integers = partial(_floats, kind="integers")


def together(before, found):
    """Counts add up, "most_..." and "largest" are the largest, examples and seeds are kept, the first twenty."""
    total = dict(before)
    for key, value in found.items():
        if isinstance(value, list):
            total[key] = (total.get(key, []) + value)[:20]
        elif key.startswith("most_") or key == "largest":
            total[key] = max(total.get(key, value), value)
        else:
            total[key] = total.get(key, 0) + value
    return total


def run(targets, part, folder, path=RESULTS):
    """Do what is left of the targets' rows, up to `part` of the full counts; keep and print each part's counts. Return what was wrong."""
    from tinyvgg.report.record import versions, write_json
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    rows = kept.get("rows", {})
    for target in targets:
        for row, full in rows_of(target).items():
            key, wanted = f"{target}: {row}", max(1, round(full * part))
            while rows.get(key, {}).get("done", 0) < wanted:
                start = rows.get(key, {}).get("done", 0)
                found = do(target, row, start, min(start + PARTS[target], wanted), folder)
                rows[key] = {"of": full, **together({k: v for k, v in rows.get(key, {}).items() if k != "of"}, found)}
                write_json(path, {"command": "python benchmarks/robustness.py", "versions": versions(), "rows": rows})
                print(key, json.dumps({k: v for k, v in rows[key].items() if k not in ("examples", "seeds")}), flush=True)
    return sum(row["wrong"] for key, row in rows.items() if key.split(":")[0] in targets)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="files, interrupts, kills, serial, floats, integers (all)")
    parser.add_argument("--part", type=float, default=1.0, help="share of the full counts (1)")
    parser.add_argument("--folder", type=Path, default=Path("runs/robustness"), help="where the files to damage lie")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    targets = arguments.targets or list(PARTS)
    unknown = [t for t in targets if t not in PARTS]
    if unknown:
        parser.error(f"there is no target {unknown[0]!r}; expected some of {', '.join(PARTS)}")
    return int(run(targets, arguments.part, arguments.folder.resolve(), arguments.results) > 0)


if __name__ == "__main__":
    sys.exit(main())
