"""Tables and numbers of the pages are those of the result files that they name; each result file names its command."""
import importlib.util
import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from tests.docs.measurements import unproven
from tests.docs.pages import ROOT
from tinyvgg import cli, zoo


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fill_docs, record = script("fill_docs"), script("record")
ALL_PAGES = [*(p for p in fill_docs.pages() if "_build" not in p.parts), ROOT / "CHANGELOG.md"]
PAGES = [p for p in ALL_PAGES if re.search("<!-- (table|value): ", p.read_text(encoding="utf-8"))]
NOT_MEASURED = tomllib.loads(Path(__file__).with_name("not_measured.toml").read_text(encoding="utf-8"))
EVERYWHERE = NOT_MEASURED.pop("every page")
RESULTS = sorted((ROOT / "benchmarks" / "results").iterdir())
# The story's commands stand beside its figures; peers.json has a source for each figure.
WITHOUT_COMMAND = ("demo_cifar10.json", "peers.json")


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_a_page_says_what_the_files_say(path):
    text = path.read_text(encoding="utf-8")
    assert fill_docs.filled(text) == text, f"{path.name} differs from benchmarks/results: python benchmarks/fill_docs.py"


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_every_mark_is_understood(path):
    """A mark that is mistyped would guard nothing."""
    text = path.read_text(encoding="utf-8")
    tables = len(fill_docs.TABLE.findall(text)) + len(fill_docs.MADE.findall(text))
    assert text.count("<!-- table: ") == tables == text.count("<!-- table end -->")
    assert text.count("<!-- value: ") == len(fill_docs.VALUE.findall(text)) == text.count("<!-- end -->")


@pytest.mark.parametrize("path", ALL_PAGES, ids=lambda p: p.stem)
def test_marks_of_one_page_stand_in_no_other(path):
    """Elsewhere nothing would fill them, nor compare."""
    marks = set(re.findall(r"<!-- (table: readme_tables\.\w+) -->", path.read_text(encoding="utf-8")))
    names = {"README.md": ("three", "limits", "the_zoo"), "docs/figures.md": ("beside", "figures"), "docs/zoo.md": ("entries",)}
    assert marks == {f"table: readme_tables.{name}" for name in names.get(path.relative_to(ROOT).as_posix(), ())}


def allowed(path):
    """The exact words that excuse numbers of a page."""
    return [*EVERYWHERE, *NOT_MEASURED.get(path.relative_to(ROOT).as_posix(), {})]


@pytest.mark.parametrize("path", ALL_PAGES, ids=lambda p: p.stem)
def test_what_looks_measured_comes_from_a_result_file(path):
    excused = allowed(path)
    found = [] if "whole_page" in excused else unproven(path.read_text(encoding="utf-8"), excused)
    assert not found, (f"{path.name}: {', '.join(f'{number!r} in line {line}' for line, number in found)}: put a measured figure into a "
                       "mark (benchmarks/fill_docs.py), one that is not measured into tests/docs/not_measured.toml")


def test_every_excuse_is_needed():
    texts = {path: path.read_text(encoding="utf-8") for path in ALL_PAGES}
    for exact in EVERYWHERE:
        assert any(needed(exact, text, allowed(path)) for path, text in texts.items()), f"nothing needs {exact!r}"
    for name, own in NOT_MEASURED.items():
        for exact in own:
            found = needed(exact, texts[ROOT / name], allowed(ROOT / name))
            assert found, f"not_measured.toml: nothing in {name} needs {exact!r}"


def needed(exact, text, excused):
    if exact == "whole_page":
        return bool(unproven(text))
    return len(unproven(text, [other for other in excused if other != exact])) > len(unproven(text, excused))


PLANTED = ["It takes 3.2 ms.", "It is 2.18 times as fast.", "| conv2d | 1.02 |", "The image has 431,744.", "A share of 88 %",
           "It differs by 5.8e-06.", "`tinyvgg x` printed `+0.55 points`.", "It needs 12 KB more.", "22 of 35 files", "    PGD: 133 ms"]


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_figure_is_found(planted):
    page = f"# A page\n\nIn 2019 three of 36 layers, version 2.15.0, F(4x4, 3x3).\n\n{planted}\n"
    (found,) = unproven(page)
    assert found[0] == 5
    for begin, end in (("<!-- table: r.json rows | a: {a} -->\n", "\n<!-- table end -->"),
                       ("<!-- value: r.json a {} -->", "<!-- end -->")):
        assert not unproven(page.replace(planted, begin + planted + end))
    assert not unproven(page, [planted])


@pytest.mark.parametrize("path", RESULTS, ids=lambda p: p.stem)
def test_a_result_names_its_command(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"/(tmp|opt|home|work|root|mnt)/", text), "a path of a machine"
    if path.name not in WITHOUT_COMMAND:
        told = shlex.split(json.loads(text)["command"])
        assert told[0] == "tinyvgg" and told[1] in cli.verbs() or told[0] == "python" and (ROOT / told[1]).is_file()


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


@pytest.mark.parametrize("page", ["bit-flips", "cortex-m4", "c-code"])
def test_a_changed_number_of_a_generated_table_is_found(page):
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    block = fill_docs.MADE.search(text)[0]
    wrong = text.replace(block, re.sub(r"\d,\d{3}", "9,999", block, count=1))
    assert wrong != text and fill_docs.filled(wrong) == text


def test_the_recorder_keeps_command_and_result(tmp_path):
    kept = record.record("small", {"light": "tinyvgg analyze light --compression none"}, tmp_path)
    assert kept == json.loads((tmp_path / "small.json").read_text()) and kept["rows"]["light"]["macc"] > 1e7
    again = record.record("small", {"base": "tinyvgg analyze base --compression none"}, tmp_path)
    assert set(again["rows"]) == {"light", "base"} and again["rows"]["light"] == kept["rows"]["light"]
    assert again["command"].startswith("python benchmarks/record.py small light='tinyvgg analyze light")


def measured_on(node):
    """Yield (command, SHA-256 of the weights or None) of every result that a command on an entry of the zoo gave."""
    if isinstance(node, list):
        for value in node:
            yield from measured_on(value)
    elif isinstance(node, dict):
        command = node.get("command")
        models = [word for word in shlex.split(command)[2:] if word in zoo.names()] if isinstance(command, str) else []
        if models and "rows" not in node:
            yield models[0], node.get("model_sha256")
        for value in node.values():
            yield from measured_on(value)


@pytest.mark.parametrize("name", ["accuracy", "adversarial_training", "attacks", "student"])
def test_figures_of_the_zoo_are_of_its_present_weights(name):
    """A network that was trained anew under its old name makes its figures stale."""
    found = list(measured_on(json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))))
    assert found and all(sha256 == zoo.card(entry)["weights_sha256"] for entry, sha256 in found)


def test_the_schemes_are_of_the_present_network():
    kept = json.loads((ROOT / "benchmarks" / "results" / "quantize.json").read_text(encoding="utf-8"))
    entry = re.search(r"--model (\w+)", kept["command"])[1]
    assert kept["model_sha256"] == zoo.card(entry)["weights_sha256"]


def test_what_can_be_repeated_in_seconds_is():
    """The analysis is arithmetic: the same on every machine."""
    kept = json.loads((ROOT / "benchmarks" / "results" / "analyze_base.json").read_text(encoding="utf-8"))
    for row in kept["rows"].values():
        assert {"command": row["command"], **record.result_of(row["command"])} == row
