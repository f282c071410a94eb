"""Tables and numbers of the pages are those of the result files that they name; each result file names its command."""
import importlib.util
import json
import re
import shlex

import pytest

from tests.docs.pages import ROOT
from tinyvgg import cli


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fill_docs, record = script("fill_docs"), script("record")
PAGES = [p for p in fill_docs.pages() if re.search("<!-- (table|value): ", p.read_text(encoding="utf-8"))]
NAMED = sorted({m[1] for p in PAGES for m in re.finditer(r"<!-- (?:table|value): (\S+) ", p.read_text(encoding="utf-8"))})


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_a_page_says_what_the_files_say(path):
    text = path.read_text(encoding="utf-8")
    assert fill_docs.filled(text) == text, f"{path.name} differs from benchmarks/results: python benchmarks/fill_docs.py"


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_every_mark_is_understood(path):
    """A mark that is mistyped would guard nothing."""
    text = path.read_text(encoding="utf-8")
    assert text.count("<!-- table: ") == len(fill_docs.TABLE.findall(text)) == text.count("<!-- table end -->")
    assert text.count("<!-- value: ") == len(fill_docs.VALUE.findall(text)) == text.count("<!-- end -->")


@pytest.mark.parametrize("name", NAMED)
def test_a_result_names_its_command(name):
    words = shlex.split(json.loads((ROOT / "benchmarks" / "results" / name).read_text(encoding="utf-8"))["command"])
    assert words[0] == "tinyvgg" and words[1] in cli.verbs() or words[0] == "python" and (ROOT / words[1]).is_file()


@pytest.mark.parametrize("damage", [("5,372,584", "5,372,585"), ("| none |", "| some |")])
def test_a_changed_number_is_found(damage, tmp_path):
    rows = {"none": {"bytes": 5372584, "share": 0.125}, "low": {"bytes": 7}}
    (tmp_path / "r.json").write_text(json.dumps({"command": "x", "rows": rows}))
    page = "<!-- table: r.json rows | level: {key} | B: {bytes:,} | share: {share:.1%} -->\n<!-- table end -->\nIn all " \
           "<!-- value: r.json rows.none.bytes {:,} --><!-- end --> bytes.\n"
    right = fill_docs.filled(page, tmp_path)
    assert "| none | 5,372,584 | 12.5 % |\n| low | 7 | - |\n" in right and "-->5,372,584<!-- end --> bytes" in right
    assert fill_docs.filled(right, tmp_path) == right
    wrong = right.replace(*damage)
    assert wrong != right and fill_docs.filled(wrong, tmp_path) == right


def test_the_recorder_keeps_command_and_result(tmp_path):
    kept = record.record("small", {"light": "tinyvgg analyze light --compression none"}, tmp_path)
    assert kept == json.loads((tmp_path / "small.json").read_text()) and kept["rows"]["light"]["macc"] > 1e7
    again = record.record("small", {"base": "tinyvgg analyze base --compression none"}, tmp_path)
    assert set(again["rows"]) == {"light", "base"} and again["rows"]["light"] == kept["rows"]["light"]
    assert again["command"].startswith("python benchmarks/record.py small light='tinyvgg analyze light")


def test_what_can_be_repeated_in_seconds_is():
    """The analysis is arithmetic: the same on every machine."""
    kept = json.loads((ROOT / "benchmarks" / "results" / "analyze_base.json").read_text(encoding="utf-8"))
    for row in kept["rows"].values():
        assert {"command": row["command"], **record.result_of(row["command"])} == row
