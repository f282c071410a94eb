"""The README's figures are those of the committed result files, which name their commands."""
import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


@pytest.fixture(scope="module")
def readme():
    spec = importlib.util.spec_from_file_location("readme_figures", ROOT / "benchmarks" / "fill_readme.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_text_and_files_agree(readme):
    text = readme.README.read_text(encoding="utf-8")
    assert readme.filled(text) == text, "run: python benchmarks/fill_readme.py"
    for name, block in readme.blocks().items():
        assert f"<!-- {name} -->\n{block}\n<!-- /{name} -->" in text


def test_another_figure_in_the_file_is_noticed(readme, monkeypatch):
    changed = json.loads((RESULTS / "demo_cifar10.json").read_text(encoding="utf-8"))
    changed["results"]["attack"]["pgd"][1]["robust_accuracy"] = 0.12345
    real = json.loads
    monkeypatch.setattr(readme.json, "loads", lambda text: changed if '"stages"' in text else real(text))
    text = readme.README.read_text(encoding="utf-8")
    assert readme.filled(text) != text and "12.35 %" in readme.filled(text)


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
