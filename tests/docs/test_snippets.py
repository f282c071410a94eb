"""Every snippet and every command of README and docs runs, or says why it does not."""
import importlib.util
import re

import numpy as np
import pytest

from tests.docs.conftest import write_cifar10
from tests.docs.pages import PAGES, REASONS, ROOT, blocks, commands, commands_of
from tinyvgg import cli

# Pages whose commands the usual suite runs: those of up to five seconds of one core, measured, and the README, of half a minute.
USUAL = ("README", "adding-a-board", "command-line", "cortex-m4", "integer-model", "keras-files", "x-cube-ai")
DIFFER = ("board", "validate"), ("crosscheck", "report.txt"), ("crosscheck", "App")     # a random network, another's report: 1
# Training and test images: a command of attacks.md holds 1,000 out; the README trains 30 epochs, and shows a board all test images.
IMAGES = {"attacks": (1100, 40), "README": (160, 12)}


def named(pages):
    return pytest.mark.parametrize("path", pages, ids=lambda p: p.stem)


def snippets(path):
    return [block for block in blocks(path) if block.language == "python"]


def namespace():
    """What snippets find at hand: a model, images, labels."""
    import tinyvgg
    from tinyvgg import zoo
    model, images = zoo.load("light_cifar10"), np.load("x.npy")[:8]
    return {"__name__": "__main__", "np": np, "tinyvgg": tinyvgg, "model": model, "other_model": model, "images": images,
            "x": images.astype(np.float32) / 255, "y": model.labels(images / np.float32(255)), "g": np.ones((8, 10), np.float32)}


def with_commands(path):
    """Whether test_commands_run runs a page's snippets too, between its commands."""
    return path.stem in USUAL and bool(commands(path)) and importlib.util.find_spec("unicorn") is not None


@named([p for p in PAGES if any(block.reason is None for block in snippets(p)) and not with_commands(p)])
def test_snippets_run(path, place):
    """In order, in one namespace."""
    names = namespace()
    for number, block in enumerate(snippets(path), 1):
        if block.reason is None:
            exec(compile(block.text, f"{path.name}, snippet {number}", "exec"), names)


@named(PAGES)
def test_what_is_not_run_has_a_known_reason(path):
    for block in blocks(path):
        assert block.reason is None or block.reason in REASONS, block.reason


@named(PAGES)
def test_python_is_marked_as_such(path):
    """An indented block would escape: imports of Python stand in ```python."""
    for block in blocks(path):
        assert block.language == "python" or not re.search(r"(?m)^(from|import) tinyvgg", block.text), block.text


@pytest.mark.parametrize("path", [pytest.param(p, id=p.stem, marks=[] if p.stem in USUAL else pytest.mark.slow)
                                  for p in PAGES if commands(p)])
def test_commands_run(path, place, capfd):
    """In order, snippets between them too, in a folder with what they name, on a small CIFAR-10."""
    pytest.importorskip("unicorn", reason="commands of firmware and boards need the extra board")
    if path.stem in IMAGES:
        n, shown = IMAGES[path.stem]
        write_cifar10(place / "data" / "cifar-10-batches-bin", np.random.default_rng(0), train=n, test=shown)
    names = namespace()
    for block in blocks(path):
        if block.language == "python" and block.reason is None:
            exec(compile(block.text, path.name, "exec"), names)
        for words in commands_of(block):
            capfd.readouterr()
            code = cli.main(words[1:])
            said = capfd.readouterr()
            assert "Traceback" not in said.err, f"{' '.join(words)}\n{said.err[-1500:]}"
            done = code == 0 or code == 1 and tuple(words[1:3]) in DIFFER
            assert done, f"{' '.join(words)}\n{said.out[-800:]}{said.err[-800:]}"


@named(PAGES)
def test_scripts_that_commands_name_are_there(path):
    for block in blocks(path):
        for script in re.findall(r"python (?:-m pytest )?((?:benchmarks|tests)/[\w/.]+\.py)", block.text):
            assert (ROOT / script).is_file(), script


def test_the_api_page_covers_every_package():
    import configparser
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = re.findall(r"automodule:: (\S+)", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"))
    for package in set(config["options"]["packages"].split()) - {"tinyvgg"}:
        found = any(name == package or name.startswith(package + ".") for name in listed)
        assert found, f"docs/api.md names nothing of {package}"
