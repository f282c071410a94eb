"""Run tinyvgg commands and keep their results for the pages: benchmarks/results/NAME.json.

    python benchmarks/record.py analyze_base none="tinyvgg analyze base --compression none"

Each command is run with --json. The file holds "command" (this line), versions, and under "rows" each key's command and result.
Commands with the same key as before replace it; others stay.
"""
import argparse
import io
import json
import shlex
import sys
from contextlib import redirect_stdout
from pathlib import Path

from tinyvgg import cli, zoo
from tinyvgg.report.record import versions, write_json

RESULTS = Path(__file__).resolve().parent / "results"
LEFT_OUT = ("command", "seconds", "source", "layers", "per_class", "confusion", "changes", "versions", "norms", "median_norms")


def record(name, commands, folder=RESULTS):
    """Run {key: command line} and write each into folder/NAME.json as it is done; return its content."""
    path = folder / f"{name}.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else {}
    for key, line in commands.items():
        rows[key] = {"command": line, **result_of(line)}
        words = [f"{key}={shlex.quote(row['command'])}" for key, row in rows.items()]
        kept = {"command": " ".join(["python benchmarks/record.py", name, *words]), "versions": versions(), "rows": rows}
        write_json(path, kept)
    return kept


def result_of(line):
    """What a tinyvgg command prints with --json, without what differs from run to run and what no page shows.

    Beside it stands the SHA-256 of the weights, where the command's model is an entry of the zoo.
    """
    result = {key: value for key, value in printed(line, "--json", "--quiet").items() if key not in LEFT_OUT}
    models = [word for word in shlex.split(line)[2:] if word in zoo.names()]
    return {"model_sha256": zoo.card(models[0])["weights_sha256"], **result} if models else result


def printed(line, *more):
    """What a command line with some more words, --json among them, prints."""
    out = io.StringIO()
    with redirect_stdout(out):
        code = cli.main([*shlex.split(line)[1:], *more])
    if code:
        raise SystemExit(f"{line} ended with exit code {code}")
    return json.loads(out.getvalue())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("commands", nargs="+", metavar="KEY=COMMAND")
    arguments = parser.parse_args()
    record(arguments.name, dict(text.split("=", 1) for text in arguments.commands))


if __name__ == "__main__":
    sys.exit(main())
