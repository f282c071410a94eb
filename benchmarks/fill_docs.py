"""Copy results into the pages: every table and number that stands between marks comes from a file in benchmarks/results/.

    python benchmarks/fill_docs.py              fills README.md and docs/*.md
    python benchmarks/fill_docs.py --check      changes nothing; exit code 1 where a page says something else

A result file is JSON with "command", what printed it, and its figures. In a page, a table of the rows of quantize.json is

    <!-- table: quantize.json rows | scheme: {name} | bytes: {bytes:,} | accuracy: {accuracy:.2%} -->
    ...
    <!-- table end -->

one column for each "header: format" of a row's keys (columns of numbers stand right; "-" where a row has not the key). What takes
more than rows and formats is made by a function of a script here, from its rows and facts where it has a result file of its own:

    <!-- table: bitflip_tables.tables -->
    ...
    <!-- table end -->

A number is

    <!-- value: train_step.json memory.ours_mb {:,} -->283<!-- end -->
"""
import argparse
import importlib
import json
import re
import sys
from pathlib import Path

from tinyvgg.report.tables import markdown

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"
TABLE = re.compile(r"(<!-- table: (\S+) (\S+) \|(.*?) -->\n).*?(<!-- table end -->)", re.S)
MADE = re.compile(r"(<!-- table: (\w+)_tables\.(\w+) -->\n).*?(<!-- table end -->)", re.S)
VALUE = re.compile(r"(<!-- value: (\S+) (\S+) (`?\{[^}]*\}`?) -->).*?(<!-- end -->)", re.S)


def pages():
    """README.md and all pages."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def filled(text, results=RESULTS):
    """Return a page's text with every table and value as the result files have them."""
    text = MADE.sub(lambda m: f"{m[1]}{_made(results, m[2], m[3])}\n{m[4]}", text)
    text = TABLE.sub(lambda m: f"{m[1]}{_table(_look_up(results / m[2], m[3]), m[4])}\n{m[5]}", text)
    return VALUE.sub(lambda m: m[1] + _shown(m[4], (_look_up(results / m[2], m[3]),), {}) + m[5], text)


def fill(path):
    """Fill one page; return whether that changed it."""
    before = path.read_text(encoding="utf-8")
    after = filled(before)
    if after != before:
        path.write_text(after, encoding="utf-8")
    return after != before


def _made(results, name, function):
    """What a function of NAME_tables.py makes, of NAME.json if there is one."""
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    path, make = results / f"{name}.json", getattr(importlib.import_module(f"{name}_tables"), function)
    if not path.exists():
        return make()
    kept = json.loads(path.read_text(encoding="utf-8"))
    return make(kept["rows"], kept["facts"])


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
    return markdown(names, cells, right=numeric)


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
    check = parser.parse_args().check
    different = (lambda path: filled(text := path.read_text(encoding="utf-8")) != text) if check else fill
    differ = [str(path.relative_to(ROOT)) for path in pages() if different(path)]
    print("\n".join(differ) or "every page says what the result files say")
    return 1 if check and differ else 0


if __name__ == "__main__":
    sys.exit(main())
