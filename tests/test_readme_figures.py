"""The README's figures are those of the committed result files, which name their commands."""
import importlib.util
import json
import re
from pathlib import Path

import pytest

from tinyvgg import attacks

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def script(name):
    spec = importlib.util.spec_from_file_location(f"of_readme_{name}", ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def readme():
    return script("readme_tables")


@pytest.fixture(scope="module")
def filled():
    return script("fill_docs").filled


def test_text_and_files_agree(readme, filled):
    for page, names in ((readme.README, ("three", "limits", "the_zoo")), (readme.FIGURES, ("beside", "figures"))):
        text = page.read_text(encoding="utf-8")
        assert filled(text) == text, "run: python benchmarks/fill_docs.py"
        for name in names:
            assert f"<!-- table: readme_tables.{name} -->\n{getattr(readme, name)()}\n<!-- table end -->" in text


def test_the_readme_is_short(readme):
    """A stranger reads it to the end."""
    assert len(readme.README.read_text(encoding="utf-8").split()) < 1200


def test_another_figure_in_the_file_is_noticed(readme, filled, monkeypatch):
    changed = json.loads((RESULTS / "demo_cifar10.json").read_text(encoding="utf-8"))
    changed["results"]["attack"]["pgd"][1]["robust_accuracy"] = 0.12345
    real = json.loads
    monkeypatch.setattr(readme.json, "loads", lambda text: changed if '"stages"' in text else real(text))
    text = readme.FIGURES.read_text(encoding="utf-8")
    assert filled(text) != text and "12.35 %" in filled(text)


def test_the_files_are_of_whole_stories():
    """Every stage done, no check failed, no path of a machine, and the network is the zoo's."""
    from tinyvgg import demo, zoo
    for path in RESULTS.glob("demo_*.json"):
        text = path.read_text(encoding="utf-8")
        told = json.loads(text)
        assert all(stage["done"] for stage in told["stages"].values()) and told["failed"] == []
        assert set(told["results"]) == set(demo.STAGES) and '"/' not in text.replace('"/255', "")
    told = json.loads((RESULTS / "demo_cifar10.json").read_text(encoding="utf-8"))
    assert told["results"]["train"]["sha256"] == zoo.card("light_cifar10")["sha256"]
    assert told["results"]["evaluate"]["accuracy"] == pytest.approx(zoo.card("light_cifar10")["test"]["accuracy"], abs=0.0005)


def test_the_readme_can_be_followed_in_order(readme):
    """The story on CIFAR-10 does not land on that of the first command, and its figures are of its own folder."""
    text, page, told = (path.read_text(encoding="utf-8") for path in (readme.README, readme.FIGURES, RESULTS / "demo_cifar10.json"))
    (first,) = re.findall(r"\.venv/bin/tinyvgg demo --out (\S+)", text)
    (second,) = re.findall(r"`tinyvgg demo --data cifar10 --out (\S+)`", page)
    assert first != second == json.loads(told)["out"]
    assert set(re.findall(r"[ :]([\w-]+)/(?:compress|firmware|attack|bitflip)/", readme.figures())) == {second}
    assert text.index(". .venv/bin/activate") < text.index("## The flow, verb by verb")


def test_times_are_the_calibrated_ones(readme):
    """Milliseconds at zero wait states do not stand alone: the calibrated ones come first, with their error."""
    rows = json.loads((RESULTS / "cortex_m4.json").read_text(encoding="utf-8"))["rows"]
    times = {row["bank"]: row for row in rows if row["work"].startswith("light, fastest, zig, calibrated") and row["code"] == "sram2"}
    dual, single = times["dual"], times["single"]
    said = f"{dual['ours_ms']:,.0f} ms ± {dual['ms_error']} %, {single['ours_ms']:,.0f} ms with the flash as one bank"
    assert said in readme.beside()
    kept_out = json.loads((RESULTS / "silicon.json").read_text(encoding="utf-8"))["facts"]["kept_out"]
    assert kept_out["rms"] <= 3 and kept_out["largest"] <= 6 and kept_out["images"] >= 5
    assert f"{kept_out['rms']:.1f} %" in readme.limits()


def test_attacks_are_counted(readme):
    (count,) = re.findall(r"\| attacks on floats \| (\d+), ", readme.beside())
    assert int(count) == len([name for name in attacks.ATTACKS if name not in ("noise", "ladder")]) >= 10
