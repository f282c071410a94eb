"""Copy results into the pages: every table and number that stands between marks comes from a file in benchmarks/results/.

    python benchmarks/fill_docs.py              fills README.md and docs/*.md
    python benchmarks/fill_docs.py --check      changes nothing; exit code 1 where a page says something else

A result file is JSON with "command", what printed it, and its figures. In a page, a table of the rows of quantize.json is

    <!-- table: quantize.json rows | scheme: {name} | bytes: {bytes:,} | accuracy: {accuracy:.2%} -->
    ...
    <!-- table end -->

one column for each "header: format" of a row's keys (columns of numbers stand right; "-" where a row has not the key), and a
number is

    <!-- value: train_step.json memory.ours_mb {:,} -->283<!-- end -->

Tables that take more than rows and formats have their own script: they stand between <!-- begin of benchmarks/bitflip.py --> and
<!-- end of benchmarks/bitflip.py -->, and bitflip_tables.py makes them from bitflip.json, by its function `tables` or by one that is
named in the first of the two marks: <!-- begin of benchmarks/cortex_m4.py direct -->.
"""
import argparse
import importlib
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"
TABLE = re.compile(r"(<!-- table: (\S+) (\S+) \|(.*?) -->\n).*?(<!-- table end -->)", re.S)
GENERATED = re.compile(r"(<!-- begin of (benchmarks/\w+\.py) ?(\w*) -->\n).*?(<!-- end of \2 -->)", re.S)
VALUE = re.compile(r"(<!-- value: (\S+) (\S+) (`?\{[^}]*\}`?) -->).*?(<!-- end -->)", re.S)


def pages():
    """README.md and all pages."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def filled(text, results=RESULTS):
    """Return a page's text with every table and value as the result files have them."""
    text = GENERATED.sub(lambda m: f"{m[1]}{_generated(results, Path(m[2]).stem, m[3] or 'tables')}\n{m[4]}", text)
    text = TABLE.sub(lambda m: m[1] + _table(_look_up(results / m[2], m[3]), m[4]) + m[5], text)
    return VALUE.sub(lambda m: m[1] + _shown(m[4], (_look_up(results / m[2], m[3]),), {}) + m[5], text)


def _generated(results, name, function):
    """What a function of NAME_tables.py makes of NAME.json."""
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    kept = json.loads((results / f"{name}.json").read_text(encoding="utf-8"))
    return getattr(importlib.import_module(f"{name}_tables"), function)(kept["rows"], kept["facts"])


def _look_up(path, place):
    """The value at "key.key.0" of a result file; "." is the whole."""
    value = json.loads(path.read_text(encoding="utf-8"))
    for key in filter(None, place.split(".")):
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


def _table(rows, columns):
    """A Markdown table of rows (dicts, or {name: dict}, whose name is then {key})."""
    if isinstance(rows, dict):
        rows = [{"key": key, **row} for key, row in rows.items()]
    names, formats = zip(*(column.strip().split(": ", 1) for column in columns.split("|")), strict=True)
    cells = [[_shown(form, (), row) for form in formats] for row in rows]
    numeric = [all(re.fullmatch(r"-|[-+]?[\d,.]+([eE]-?\d+)?( ?%)?", row[i]) for row in cells) for i in range(len(names))]
    lines = [names, ["--:" if right else "---" for right in numeric], *cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _shown(form, values, row):
    """A format filled in, "-" where the row lacks a key or has None for it; per cent signs stand apart from their number."""
    row = {key: {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value for key, value in row.items()}
    try:
        text = form.format(*values, **row)
    except (KeyError, TypeError, ValueError):
        return "-"
    return re.sub(r"(?<=\d)%", " %", text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing")
    check, differ = parser.parse_args().check, []
    for path in pages():
        before = path.read_text(encoding="utf-8")
        after = filled(before)
        if after != before:
            differ.append(str(path.relative_to(ROOT)))
            if not check:
                path.write_text(after, encoding="utf-8")
    print("\n".join(differ) or "every page says what the result files say")
    return 1 if check and differ else 0


if __name__ == "__main__":
    sys.exit(main())
