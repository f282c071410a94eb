"""The whole story on a network of seconds: every stage, the page, resuming, each stage alone, what is missing, what is wrong."""
import importlib.util
import itertools
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.quant.networks import randomise
from tinyvgg import cli, data, demo, errors, nn
from tinyvgg.demo.story import read_json
from tinyvgg.firmware.elf import Elf
from tinyvgg.io import load_model
from tinyvgg.nn import layers as L

TIMES = ("seconds", "host_ms", "wire_ms_per_image", "total_ms_per_image")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A network of seconds, fitted a little, and a few generated images: (model file, --data)."""
    folder = tmp_path_factory.mktemp("inputs")
    shapes = data.load("shapes")
    model = nn.Sequential([L.InputLayer((32, 32, 3)), L.Conv2D(6, 3, strides=2, padding="same", activation="relu"),
                           L.BatchNormalization(), L.MaxPooling2D(), L.Conv2D(9, 3, padding="same", activation="relu"),
                           L.MaxPooling2D(), L.Flatten(), L.Dense(12, activation="relu"), L.Dense(10, activation="softmax")],
                          name="mini")
    randomise(model, np.random.default_rng(3), dead=0)
    model.fit(*shapes.part("train", 1000), epochs=2, quiet=True)
    model.save(folder / "mini net.h5")
    arrays = {"X": shapes.x_train[:600], "Y": shapes.y_train[:600], "XT": shapes.x_test[:60], "YT": shapes.y_test[:60]}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return str(folder / "mini net.h5"), ",".join(str(folder / f"{name}.npy") for name in arrays)


@pytest.fixture(scope="module")
def told(inputs, tmp_path_factory):
    """(folder, summary) of a story that was told whole."""
    pytest.importorskip("ziglang")
    pytest.importorskip("unicorn")
    out = tmp_path_factory.mktemp("story") / "the demo"
    return out, demo.demo(out, model=inputs[0], data=inputs[1], quick=True)


def timeless(value):
    """A result without what a clock measured."""
    if isinstance(value, dict):
        return {key: timeless(v) for key, v in value.items() if key not in TIMES}
    return [timeless(v) for v in value] if isinstance(value, list) else value


def results(out):
    return {name: read_json(out / name / "result.json") for name in demo.STAGES}


def test_every_stage_is_told(told):
    out, summary = told
    assert all(summary["stages"][name]["done"] for name in demo.STAGES) and summary["failed"] == []
    found = {name: record["result"] for name, record in results(out).items()}
    assert found["codegen"]["same"] == found["codegen"]["n"] > 0
    assert [row["agreement"] for row in found["board"]["rows"]] == [1.0, 1.0] and found["firmware"]["rows"][0]["plan"]["front"]
    assert found["attack"]["board"] and not any(row["different"] for row in found["attack"]["board"])
    assert {row["scheme"] for row in found["compress"]["rows"]} > {"none", "low", "medium", "high", "int8", "shared4"}
    check_map(found["firmware"]["map"], found["firmware"]["rows"][0])
    assert found["bitflip"]["search"]["rows"][0]["accuracy"] == found["bitflip"]["before"]
    defences = {row["defence"]: row for row in found["defence"]["rows"]}
    assert defences["none"]["accuracy_after"] is not None and defences["none"]["check_ms"] is None
    assert defences["crc"]["accuracy_after"] is None and "HARMED" in defences["crc"]["refused"]
    assert defences["crc"]["report"]["found"] > 0


def check_map(parts, built):
    """Every byte of the firmware is in one part of the map, and all weights, also those that are copied to RAM."""
    assert sum(part["bytes"] for part in parts) == built["flash_bytes"]
    assert all(a["start"] + a["bytes"] == b["start"] for a, b in itertools.pairwise(parts))
    assert all(part["bytes"] < 8 for part in parts if part["kind"] == "padding")
    elf = Elf(built["elf"])
    for symbol in elf.every_symbol:                          # local functions of several files may share a name
        stored = next((s.load + symbol.address - s.address for s in elf.segments if s.address <= symbol.address < s.address + len(s.data)), 0)
        if symbol.size and stored:
            assert [part for part in parts if part["start"] == stored - 0x08000000 and part["bytes"] >= symbol.size], symbol
    weights = {symbol for symbol in elf.symbols if re.fullmatch(rf"{built['name']}_\w+_weights", symbol)}
    assert weights and weights <= {part["name"] for part in parts}
    assert sum(part["bytes"] for part in parts if part["kind"] in ("convolutions", "dense layers", "tables")) >= 0.95 * built["constants_bytes"]


class Outline(HTMLParser):
    """What a page is made of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.opened = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in ("meta", "img"):
            self.opened.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.opened.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_is_whole_accessible_and_alone(told):
    out, summary = told
    text = (out / "report.html").read_text(encoding="utf-8")
    page = Outline(text)
    assert not page.opened and len(set(page.ids)) == len(page.ids)
    assert set(demo.STAGES) <= set(page.ids) and "Skipped" not in text
    assert not re.search(r"""(src|href)=["'](?!data:|#)|url\(|@import|<script|<link""", text)
    assert [tag for tag, _ in page.tags if tag in ("h1", "h2")] == ["h1"] + ["h2"] * (len(demo.STAGES) + 1)
    assert len(page.all("svg")) >= 10 and all(svg["role"] == "img" for svg in page.all("svg"))
    for svg in page.all("svg"):
        assert set(svg["aria-labelledby"].split()) <= set(page.ids)
    assert page.all("img") and all(len(image["alt"]) > 5 for image in page.all("img"))
    assert len(page.all("caption")) == len(page.all("table")) >= 8
    assert page.all("html")[0]["lang"] == "en" and "prefers-color-scheme: dark" in text and "width=device-width" in text
    for value in (summary["data_sha256"], read_json(out / "train" / "result.json")["result"]["sha256"],
                  summary["versions"]["numpy"]):
        assert value in text
    assert str(Path(__file__).parent.parent) not in text
    kept = read_json(out / "results.json")
    assert kept["results"] == {name: record["result"] for name, record in results(out).items()}


def test_told_again_nothing_is_done_again(told, inputs):
    out, _ = told
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/result.json")}
    summary = demo.demo(out, resume=True)
    assert summary["settings"]["model"] == inputs[0] and all(told["done"] for told in summary["stages"].values())
    assert before == {path: path.stat().st_mtime_ns for path in out.glob("*/result.json")} and len(before) == len(demo.STAGES)


@pytest.mark.parametrize("name", [name for name in demo.STAGES if name not in ("attack", "compress", "defence")])
def test_a_stage_alone_gives_the_same(told, name):
    out, _ = told
    kept = results(out)
    shutil.rmtree(out / name)
    demo.demo(out, stages=[name], resume=True)
    assert timeless(read_json(out / name / "result.json")) == timeless(kept[name])
    (out / name / "result.json").write_text(json.dumps(kept[name]))     # the same times for what comes after


def test_a_damaged_result_is_made_again(told):
    out, _ = told
    path = out / "analyze" / "result.json"
    whole = path.read_bytes()
    for damaged in (b"", whole[:-9], b"[1]", b"{}"):
        path.write_bytes(damaged)
        demo.demo(out, stages=["analyze"], resume=True)
        assert timeless(json.loads(path.read_bytes())) == timeless(json.loads(whole))


def test_it_goes_on_after_a_kill(inputs, told, tmp_path):
    """Killed within a stage: what was done before, and the schemes of that stage, are not done again."""
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "tinyvgg", "demo", "--model", inputs[0], "--data", inputs[1], "--quick", "--quiet",
               "--stage", "compress", "--out", str(out)]
    process = subprocess.Popen(command, cwd=Path(__file__).parent.parent.parent)
    rows, end = out / "compress" / "rows.jsonl", time.monotonic() + 120
    while not (rows.exists() and rows.read_text().count("\n") >= 2) and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait()
    assert not (out / "compress" / "result.json").exists()
    before = (out / "train" / "result.json").read_bytes()
    first = rows.read_text().splitlines()[:2]
    demo.demo(out, stages=["compress"], resume=True)
    assert (out / "train" / "result.json").read_bytes() == before and rows.read_text().splitlines()[:2] == first
    mine, whole = (read_json(folder / "compress" / "result.json")["result"]["rows"] for folder in (out, told[0]))
    for a, b in zip(mine, whole, strict=True):
        assert {**a, "command": "", "file_sha256": ""} == {**b, "command": "", "file_sha256": ""}


def test_an_interrupt_keeps_what_is_done(inputs, tmp_path, monkeypatch):
    from tinyvgg.demo import evaluate

    def stop(story):
        raise KeyboardInterrupt
    monkeypatch.setattr(evaluate, "run", stop)
    with pytest.raises(KeyboardInterrupt):
        demo.demo(tmp_path / "demo", model=inputs[0], data=inputs[1], quick=True)
    monkeypatch.undo()
    assert (tmp_path / "demo" / "train" / "result.json").exists()
    summary = demo.demo(tmp_path / "demo", stages=["evaluate"], resume=True)
    assert summary["stages"]["evaluate"]["done"] and "skipped" in summary["stages"]["board"]


@pytest.mark.parametrize("stages", [["bitflip"], pytest.param(["attack", "bitflip"], marks=pytest.mark.slow)], ids="-".join)
def test_another_network_under_the_same_name_is_told_anew(stages, inputs, told, tmp_path):
    model, out = tmp_path / "model.h5", tmp_path / "demo"
    shutil.copy(inputs[0], model)
    sizes = {"data": inputs[1], "model": str(model), "quick": True}
    demo.demo(out, stages=stages, **sizes)
    first = results(out)
    other = load_model(model)
    other.set_weights([1.02 * w for w in other.get_weights()])
    other.save(model)
    assert demo.demo(out, stages=stages, **sizes)["stages"]["bitflip"]["done"]
    second = results(out)
    assert second["bitflip"]["result"]["sha256"] != first["bitflip"]["result"]["sha256"]
    assert second["train"]["result"]["sha256"] != first["train"]["result"]["sha256"]


def test_the_commands_give_the_numbers_of_the_page(told, capsys):
    """Those that write nothing, or the same again."""
    out, _ = told
    found = {name: record["result"] for name, record in results(out).items()}
    for command, key, value in (
            (found["evaluate"]["command"], "accuracy", found["evaluate"]["accuracy"]),
            (found["compress"]["rows"][4]["command"], "constants_bytes", found["compress"]["rows"][4]["constants_bytes"]),
            (found["compress"]["rows"][4]["command"], "accuracy", found["compress"]["rows"][4]["accuracy"]),
            (found["attack"]["pgd"][1]["command"], "robust_accuracy", found["attack"]["pgd"][1]["robust_accuracy"]),
            (found["attack"]["transfer"][1]["command"], "accuracy", found["attack"]["transfer"][1]["robust_accuracy"]),
            (found["attack"]["board"][1]["command"], "accuracy", found["attack"]["board"][1]["robust_accuracy"]),
            (found["board"]["rows"][0]["command"], "cycles_per_image", found["board"]["rows"][0]["cycles_per_image"]),
            (found["bitflip"]["search"]["command"], "accuracy_after", found["bitflip"]["search"]["accuracy_after"]),
            (found["analyze"]["rows"][3]["command"], "weights_bytes", found["analyze"]["rows"][3]["weights_bytes"])):
        assert cli.main([*shlex.split(command)[1:], "--json", "--quiet"]) == 0, command
        assert json.loads(capsys.readouterr().out)[key] == pytest.approx(value), command


def shown_commands(text):
    """The commands of a page, as lists of words: those that repeat a figure, and those of the table of stages."""
    blocks = re.findall(r"<pre><code>(.*?)</code></pre>", text, re.S) + re.findall(r"<td>(tinyvgg .*?)</td>", text)
    return [shlex.split(line) for block in blocks for line in unescape(block).splitlines()]


def understood(words):
    """Whether the command line takes a command as it stands: nothing is left for a reader to fill in, no path falls apart."""
    parser = cli.parser_of(words[1])
    parser, rest = (parser.of_action[words[2]], words[3:]) if parser.of_action and words[2] in parser.of_action else (parser, words[2:])
    parser.parse_args(rest)
    return words[0] == "tinyvgg" and not [word for word in words if re.fullmatch("[A-Z]{2,}", word)]


def test_every_command_of_the_page_can_be_typed(told):
    """In a folder with a space. Each section names one; those of the defences are their stages."""
    out, _ = told
    text = (out / "report.html").read_text(encoding="utf-8")
    sections = dict(re.findall(r'<section id="(\w+)".*?>(.*?)</section>', text, re.S))
    assert all(shown_commands(section) for name, section in sections.items() if name != "train")
    found = shown_commands(text)
    assert len(found) >= 60 and all(understood(words) for words in found)
    assert any(str(out) in words for words in found)
    for stage in ("codegen", "bitflip", "defence"):
        assert f"--again --stage {stage} " in sections[stage]
    for command in ("tinyvgg train --data DATA --out RUN", "tinyvgg evaluate the demo/int8.tvq --data shapes"):
        with pytest.raises((AssertionError, SystemExit)):
            assert understood(shlex.split(command)), command


def test_the_command_of_a_card_is_filled_in(tmp_path):
    demo.demo(tmp_path / "a demo", model="light_cifar10", data="shapes", quick=True, stages=["train"])
    text = (tmp_path / "a demo" / "report.html").read_text(encoding="utf-8")
    (words,) = {tuple(words) for words in shown_commands(text) if words[1] == "train"}
    assert understood(list(words)) and words[words.index("--data") + 1] == "cifar10"


def test_again_does_a_stage_anew(inputs, tmp_path):
    out = tmp_path / "demo"
    common = {"model": inputs[0], "data": inputs[1], "quick": True, "stages": ["analyze"]}
    demo.demo(out, **common)
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/result.json")}
    demo.demo(out, stages=["analyze"], resume=True, again=True)
    after = {path: path.stat().st_mtime_ns for path in out.glob("*/result.json")}
    assert {path.parent.name for path in before if before[path] != after[path]} == {"analyze"} and len(before) == len(after) == 2


def test_results_of_other_code_are_not_kept(inputs, tmp_path, monkeypatch):
    from tinyvgg.demo import run
    common = {"model": inputs[0], "data": inputs[1], "quick": True, "stages": ["train"]}
    first = demo.demo(tmp_path / "demo", **common) and results(tmp_path / "demo")["train"]["key"]
    monkeypatch.setattr(run, "sources_sha256", lambda: "of other code")
    second = demo.demo(tmp_path / "demo", **common) and results(tmp_path / "demo")["train"]["key"]
    assert first != second


def test_the_code_that_counts_is_all_but_what_shows_it(tmp_path, monkeypatch):
    from tinyvgg.demo import sources
    for name, text in (("quant/lower.py", "a"), ("cli/demo.py", "b"), ("kernels/k.c", "c")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(sources.importlib, "import_module", lambda name: SimpleNamespace(__file__=str(tmp_path / "__init__.py")))
    found = []
    for name in ("quant/lower.py", "cli/demo.py", "quant/lower.py", "kernels/k.c"):
        found.append(sources.sources_sha256.__wrapped__())
        (tmp_path / name).write_text((tmp_path / name).read_text() + "d")
    found.append(sources.sources_sha256.__wrapped__())
    assert found[1] == found[2] and len(set(found)) == 4


def test_another_story_in_the_folder_is_told_by_name(inputs, tmp_path, capsys, monkeypatch):
    """Data and network as they were taken, also where they were not named; --resume would not give what was asked for."""
    from tinyvgg.demo import run
    monkeypatch.setattr(run.cifar10, "find", lambda: None)
    out = tmp_path / "demo"
    demo.demo(out, stages=["train"], quick=True, model="light_cifar10")
    monkeypatch.setattr(run.cifar10, "find", lambda: tmp_path)
    for arguments, words in ((["--model", "light_cifar10"], "holds a story with data shapes; this is one with cifar10"),
                             (["--data", "shapes"], "holds a story with model light_cifar10; this is one with trained by itself")):
        assert cli.main(["demo", "--quiet", "--quick", "--out", str(out), *arguments]) == 2
        said = capsys.readouterr().err
        assert words in said and "Try: another --out" in said and "--resume" not in said, said


def test_what_an_extra_lacks_is_said_and_made_up_for(inputs, told, tmp_path, monkeypatch, capsys):
    """A story that has yet to come to the firmware."""
    from tinyvgg.demo import firmware
    out = shutil.copytree(told[0], tmp_path / "demo", ignore=shutil.ignore_patterns("firmware", "board", "attack", "bitflip", "defence"))

    def missing(wanted="auto"):
        raise errors.BuildError("no compiler for the Cortex-M4 was found", 'pip install "tinyvgg[board]"')
    monkeypatch.setattr(firmware, "find_compiler", missing)
    assert cli.main(["demo", "--model", inputs[0], "--data", inputs[1], "--quick", "--quiet", "--stage", "board", "--out",
                     str(out)]) == 0
    shown = capsys.readouterr().out
    assert "no compiler" in shown and "tinyvgg[board]" in shown and "it needs the stage firmware" in shown
    page = (out / "report.html").read_text()
    assert page.count("Skipped: ") >= 2 and "tinyvgg[board]" in page
    pytest.importorskip("ziglang")
    pytest.importorskip("unicorn")
    monkeypatch.undo()
    assert demo.demo(out, stages=["board"], resume=True)["stages"]["board"]["done"]


def test_it_trains_where_no_network_is_named(inputs, tmp_path):
    out = tmp_path / "demo"
    demo.demo(out, data=inputs[1], stages=["train"], quick=True, seed=3)
    result = read_json(out / "train" / "result.json")["result"]
    assert result["trained"] and result["images"] == 600 and len(result["history"]) == 1 and "--seed 3" in result["command"]
    assert "accuracy by epoch" in (out / "report.html").read_text()


def test_wrong_input(inputs, told, tmp_path, capsys):
    out, _ = told
    file, compressed = tmp_path / "file", str(out / "compress" / "int8.tvq")
    file.write_text("")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "demo.json").write_text('{"colour": 1}')
    for name, value in (("data", 3), ("model", 3), ("seed", "0"), ("seed", -1), ("quick", "yes")):
        (tmp_path / f"wrong-{name}-{value}").mkdir()
        (tmp_path / f"wrong-{name}-{value}" / "demo.json").write_text(json.dumps({"data": None, name: value}))
    images = inputs[1].split(",")
    np.save(tmp_path / "small.npy", np.zeros((20, 8, 8, 3), np.uint8))
    np.save(tmp_path / "labels.npy", np.zeros(20, np.int64))
    small = f"{tmp_path / 'small.npy'},{tmp_path / 'labels.npy'}"
    common = ["--data", ",".join(images), "--model", inputs[0], "--quick"]
    for arguments, words in (
            (["--stage", "sing", "--out", str(tmp_path / "a"), *common], "there is no stage 'sing'"),
            (["--resume", "--out", str(tmp_path / "b")], "no story to go on with"),
            (["--resume", "--quick", "--out", str(out)], "--resume and --out alone"),
            (["--out", str(out), *common[:-1]], "holds a story with quick True"),
            (["--out", str(file), *common], "is a file"),
            (["--resume", "--out", str(damaged)], "not the settings of a story"),
            *((["--resume", "--out", str(folder)], "not the settings of a story: ") for folder in tmp_path.glob("wrong-*")),
            (["--data", "nowhere", "--out", str(tmp_path / "c")], "no data 'nowhere'"),
            (["--model", "no.h5", "--data", inputs[1], "--quick", "--out", str(tmp_path / "d")], "no.h5"),
            (["--model", compressed, "--data", inputs[1], "--quick", "--out", str(tmp_path / "e")], "compressed already"),
            (["--model", inputs[0], "--data", small, "--quick", "--out", str(tmp_path / "f")], "the model takes"),
            (["--seed", "-1", "--out", str(tmp_path / "g"), *common], "seed is -1")):
        assert cli.main(["demo", "--quiet", *arguments]) == 2, arguments
        told_error = capsys.readouterr().err
        assert words in told_error and "Traceback" not in told_error, (arguments, told_error)
    assert not (tmp_path / "c").exists()


@pytest.mark.slow
def test_the_whole_story_without_cifar10(tmp_path):
    """The usual sizes on the generated images, as the README's first command tells it."""
    pytest.importorskip("ziglang")
    pytest.importorskip("unicorn")
    summary = demo.demo(tmp_path / "demo", data="shapes")
    found = {name: record["result"] for name, record in results(tmp_path / "demo").items()}
    assert all(told["done"] for told in summary["stages"].values()) and summary["failed"] == []
    accuracy = found["evaluate"]["accuracy"]
    assert accuracy > 0.95 and found["compress"]["rows"][4]["accuracy"] > accuracy - 0.02
    assert found["attack"]["pgd"][0]["robust_accuracy"] < 0.5
    assert found["attack"]["curves"]["float"]["rows"][-1]["robust_accuracy"] < 0.3


def test_a_network_that_resists_is_drawn_beside_on_cifar10(tmp_path):
    from tinyvgg.demo import attack, sections_attacks
    x, y = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8), np.arange(4)
    part = SimpleNamespace(name="cifar10", part=lambda name, n=None: (x[:n], y[:n]))
    story = SimpleNamespace(dataset=part, chosen="light_cifar10", sizes=demo.story.QUICK, settings=SimpleNamespace(seed=0), seed="", data="cifar10",
                            quiet=True, count=lambda n: min(n, 4), folder=lambda stage: tmp_path / stage, inside=lambda *p: "/".join(p))
    curves = attack._resisting(story)
    assert curves["light_robust_8"]["command"].startswith("tinyvgg attack curve light_robust_8 --data cifar10")
    assert len(curves["light_robust_8"]["rows"]) == len(attack.RADII)
    assert "was trained on attacked images" in sections_attacks._curves({"curves": curves})
    story.chosen = "light_robust_8"
    assert attack._resisting(story) == {}
    story.chosen, part.name = None, "shapes"
    assert attack._resisting(story) == {}


def test_the_picture_of_a_page(told, tmp_path):
    """benchmarks/picture.py cuts images and charts out of the page, and refuses a page that has none."""
    spec = importlib.util.spec_from_file_location("picture", Path(__file__).parents[2] / "benchmarks" / "picture.py")
    spec.loader.exec_module(picture := importlib.util.module_from_spec(spec))
    page = (told[0] / "report.html").read_text(encoding="utf-8")
    drawn = ElementTree.fromstring(picture.picture(page))
    spaces = {"svg": "http://www.w3.org/2000/svg"}
    assert len(drawn.findall("svg:svg", spaces)) == len(picture.CHARTS)
    images = drawn.findall("svg:image", spaces)
    assert len(images) == 3 * min(picture.SHOTS, page.count('<div class="shot">')) > 0
    assert all(image.get("href") in page for image in images) and "--s0: #" in drawn.find("svg:style", spaces).text
    with pytest.raises(errors.FormatError, match="no chart 'Accuracy against eps'"):
        picture.picture(page.replace("Accuracy against eps", "Accuracy"))
