"""Other people's reports of X-CUBE-AI, each checked by its own figures: how many are read, agree, differ, are not rebuilt.

    python benchmarks/interop/xcubeai.py DIR [--sources INDEX.json] [--json | --out FILE.json] [--list]

DIR is searched for text reports, console logs, JSON files and folders of generated C. A file agrees where every row, C layer and
total is explained; "in part" where some are and the others are listed as not rebuilt; it differs where that is proved, and the
proof is kept. INDEX.json names where the files are from: {file name: {"repo", "commit", "path"}}; the result keeps repository,
commit and path, never the file. --list prints every file that does not agree.
"""
import json
import sys
from collections import Counter
from pathlib import Path

from tinyvgg import xcubeai
from tinyvgg.errors import TinyVGGError
from tinyvgg.report.tables import table
from tinyvgg.xcubeai.rows import number_format

sys.path.append(str(Path(__file__).resolve().parents[1]))
from common import command_line, option_parser, write_result  # noqa: E402

STATES = ("agree", "agree in part", "differ", "not rebuilt", "not read", "traceback")
MARKS = (b"Exec/report summary", b"Neural Network Tools for STM32", b"ST Edge AI Core", b"STEdgeAI Core", b"json_schema_version",
         b"rom_n_macc", b"c_layers")


def main(argv=None):
    parser = option_parser(__doc__, json=bool)
    parser.add_argument("folder", type=Path, metavar="DIR", help="reports and generated C, in folders of any depth")
    parser.add_argument("--sources", type=Path, metavar="INDEX.json", help="where each file is from")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write counts and rows there")
    parser.add_argument("--list", action="store_true", help="print every file that does not agree, with the reason")
    arguments = parser.parse_args(argv)
    sources = json.loads(arguments.sources.read_text(encoding="utf-8")) if arguments.sources else {}
    rows = [examine(path, sources.get(path.name, {})) for path in inputs(arguments.folder)]
    others = [{k: row[k] for k in ("repo", "commit", "path", "kind", "version", "state", "reason") if k in row}
              for row in rows if row["state"] != "agree"]
    again = command_line(__file__, arguments, words=["DIR"], sources="INDEX.json" if sources else None)
    write_result(arguments.out, again, counts=counts(rows), activations=estimates(rows), by_version=grouped(rows, "version"),
                 projects=projects(rows), not_whole=others)
    print(json.dumps(rows) if arguments.json else summary(rows, arguments.list))
    return 1 if any(row["state"] == "traceback" for row in rows) else 0


def inputs(folder):
    """Reports by their words, and folders that hold the weights of a network in C."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix.lower() in (".txt", ".json", ".log") and any(m in head(path) for m in MARKS):
            found.append(path)
        elif path.is_dir() and any("AI_ARRAY_OBJ_DECLARE" in c.read_text("latin-1") for c in path.glob("*.c")):
            found.append(path)
    return found


def head(path):
    """The first bytes of a file, where a report names itself; nothing of what is none."""
    with open(path, "rb") as file:
        data = file.read(1 << 17)
    return data.replace(b"\x00", b"")


def kind(path):
    """c, text, c_info, c_graph or report: which of X-CUBE-AI's files this is."""
    if path.is_dir():
        return "c"
    data = head(path)
    if path.suffix.lower() != ".json":
        return "text"
    return "c_info" if b"json_schema_version" in data else "report" if b"rom_n_macc" in path.read_bytes() else "c_graph"


def examine(path, source):
    """Check one input -> {"file", "kind", "version", "state", "reason", ...}."""
    row = {"file": path.name, **{key: source[key] for key in ("repo", "commit", "path") if key in source}, "kind": kind(path)}
    try:
        if path.is_dir():
            return {**row, **examine_c(path)}
        found = xcubeai.crosscheck(path)
    except TinyVGGError as error:
        return {**row, "version": "", "state": "not read", "reason": str(error)}
    except Exception as error:  # the very thing that is counted here
        return {**row, "version": "", "state": "traceback", "reason": f"{type(error).__name__} {error}"}
    state = found.verdict
    if state == "agree" and found.not_rebuilt:
        state = "agree in part"
    reasons = found.differences or found.not_rebuilt
    unknown = Counter(reason_kind(pair) for pair in (*found.rows, *found.layers) if pair.unknown)
    return {**row, "version": found.report.version, "state": state, "compared": found.compared, "activations": activations(found),
            "unread_lines": len(found.report.unread), "reason": reasons[0][:300] if reasons else "", "not_rebuilt": dict(unknown),
            "total_unknown": [t.name for t in found.totals if t.unknown and not t.ok]}


def activations(found):
    """[number format, theirs, our estimate] of the activations, or nothing."""
    total = next((t for t in found.totals if t.name == "activations" and t.theirs), None)
    return [number_format(found.report), total.theirs, total.ours] if total else None


def estimates(rows):
    """[{"format", ...}] of the activations' estimates, each network once: exact, below, within 5 %, the extremes."""
    result, known = [], {tuple(row["activations"]) for row in rows if row.get("activations")}
    for name in ("float", "int8"):
        ratios = sorted(ours / theirs for format_, theirs, ours in known if format_ == name)
        if ratios:
            near = [r for r in ratios if 0.95 <= r <= 1.05]
            result.append({"format": name, "networks": len(ratios), "exact": ratios.count(1.0), "within_5_percent": len(near),
                           "below_by_more_than_5_percent": sum(r < 0.95 for r in ratios), "least": round(ratios[0], 3),
                           "median": round(ratios[len(ratios) // 2], 3), "most": round(ratios[-1], 3)})
    return result


def examine_c(path):
    """Generated C agrees where its tensors cover every byte of the weights that it holds."""
    code = xcubeai.read_generated(path)
    size = min(code.size_bytes or len(code.blob), len(code.blob))
    whole = size - code.covered < 8 * (len(code.tensors) + 1)
    notes = [note for note in code.notes if any(words in note for words in ("are of no tensor", "cut", "only the blob"))]
    return {"version": code.version, "state": "agree" if whole else "agree in part" if code.tensors else "not rebuilt",
            "compared": {"tensors": len(code.tensors), "bytes": code.covered}, "reason": notes[0] if notes else ""}


def reason_kind(pair):
    """Why a row was not rebuilt, without its figures."""
    return f"{pair.kind}: {' '.join(word for word in pair.unknown.split() if not any(c.isdigit() for c in word))}"


def counts(rows):
    """{state: files} of all, and the share of those that are rebuilt and agree."""
    found = Counter(row["state"] for row in rows)
    agree = found["agree"] + found["agree in part"]
    share = round(100 * agree / len(rows), 1) if rows else 0.0
    return {"files": len(rows), **{s.replace(" ", "_"): found[s] for s in STATES}, "agree_percent": share}


def projects(rows):
    """[{"repo", "commits", states}]: where the files are from, each project once."""
    found = {}
    for row in rows:
        if row.get("repo"):
            project = found.setdefault(row["repo"], {"repo": row["repo"], "commits": set(), "states": Counter()})
            project["commits"].add(row.get("commit", ""))
            project["states"][row["state"]] += 1
    return [{**p, "commits": sorted(p["commits"]), "states": dict(p["states"])} for _, p in sorted(found.items())]


def grouped(rows, key):
    """{kind: {value of key: {state: files}}}."""
    found = {}
    for row in rows:
        states = found.setdefault(row["kind"], {}).setdefault(row.get(key) or "?", Counter())
        states[row["state"]] += 1
    return {k: {value: dict(states) for value, states in sorted(v.items())} for k, v in sorted(found.items())}


def summary(rows, listed):
    """The counts by kind and version as a table, and what did not agree."""
    lines = []
    for what, group in grouped(rows, "version").items():
        for version, states in group.items():
            lines.append([what, version, sum(states.values()), *(states.get(s, 0) for s in STATES)])
    total = counts(rows)
    lines.append(["all", "", total["files"], *(total[s.replace(" ", "_")] for s in STATES)])
    guessed = ["activations: " + ", ".join(f"{k} {v}" for k, v in g.items()) for g in estimates(rows)]
    share = f"{total['agree_percent']} % are rebuilt and agree, whole or in part"
    others = [f"{r['state']}: {r['file']} ({r['version']}): {r['reason'][:160]}" for r in rows if r["state"] != "agree"]
    head = [table(["kind", "version", "files", *STATES], lines), "", share, *guessed]
    return "\n".join(head + ([""] + others if listed else []))


if __name__ == "__main__":
    sys.exit(main())
