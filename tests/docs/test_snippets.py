"""Every snippet and every command of README and docs runs, or says why it does not."""
import re
import subprocess
import sys

import numpy as np
import pytest

from tests.docs.conftest import write_cifar10
from tests.docs.pages import PAGES, REASONS, ROOT, blocks, commands, commands_of
from tests.docs.paste import SPLIT
from tinyvgg import cli

# Pages whose commands the usual suite runs: those of up to five seconds of one core, measured, and the README, of half a minute.
USUAL = ("README", "adding-a-board", "command-line", "cortex-m4", "integer-model", "keras-files", "x-cube-ai")
DIFFER = ("board", "validate"), ("crosscheck", "report.txt"), ("crosscheck", "App")     # a random network, another's report: 1
ALONE = ("examples",)               # pages whose snippets each stand alone
APART = ("README",)                 # pages whose commands need nothing of their snippets, which a new interpreter runs anyway
# Training and test images where those of `prepared` are many: the README shows a board all test images.
IMAGES = {"README": (50, 2), "cortex-m4": (80, 6), "integer-model": (80, 40)}


def named(pages):
    return pytest.mark.parametrize("path", pages, ids=lambda p: p.stem)


def snippets(path):
    return [block for block in blocks(path) if block.language == "python"]


WITH_SNIPPETS = [p for p in PAGES if any(block.reason is None for block in snippets(p))]
FRESH = [pytest.param(p, id=p.stem, marks=[] if p.stem == "README" else pytest.mark.slow) for p in WITH_SNIPPETS]


@pytest.mark.parametrize("path", FRESH)
def test_snippets_run_in_a_new_interpreter(path, tmp_path):
    """Pasted in order into a new process in an empty folder; on the pages of ALONE, each snippet into one of its own."""
    found = snippets(path)
    for numbers in [[str(i)] for i in range(len(found))] if path.stem in ALONE else [[]]:
        done = subprocess.run([sys.executable, ROOT / "tests" / "docs" / "paste.py", path, *numbers], cwd=tmp_path,
                              capture_output=True, text=True, encoding="utf-8", check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        for number, (block, printed) in enumerate(zip(found, done.stdout.split(SPLIT + "\n"), strict=False), 1):
            if not numbers or numbers == [str(number - 1)]:
                check_printed(path, number, block, printed)


@named([p for p in WITH_SNIPPETS if p.stem != "README"])
def test_snippets_run(path, tmp_path, monkeypatch, capsys):
    """The same in this process, which has compiled already, in an empty folder and namespace."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for number, block in enumerate(snippets(path), 1):
        if path.stem in ALONE:
            names = {"__name__": "__main__"}
        if block.reason is None:
            exec(compile(block.text, f"{path.name}, snippet {number}", "exec"), names)
            check_printed(path, number, block, capsys.readouterr().out)


def check_printed(path, number, block, printed):
    """Each `# prints:` of a snippet that is run is a line of what it printed, in order."""
    lines = printed.splitlines()
    for told in re.findall(r"(?m)^# prints: (.*)$", block.text) if block.reason is None else ():
        at = next((i for i, line in enumerate(lines) if same(told, line)), None)
        assert at is not None, f"{path.name}, snippet {number} says it prints {told}; it printed {lines}"
        lines = lines[at + 1:]


def same(told, line):
    """Whether a line is the one that a page tells: the same words, and numbers within 0.08 (below 1) or a tenth."""
    words, found = (re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?|\w+|[^\s\w,]", text) for text in (told.removeprefix("about "), line))
    return len(words) == len(found) and all(_close(a, b) for a, b in zip(words, found, strict=True))


def _close(told, found):
    try:
        a, b = float(told), float(found)
    except ValueError:
        return told == found
    return a == b if "." not in told else abs(a - b) <= max(0.08, 0.1 * abs(a))


def test_what_a_page_tells_is_compared():
    assert same("about 0.58, 0.38", "0.6123 0.4") and same("1.0 True", "0.97 True") and same("(8, 10) x", "(8, 10) x")
    assert not same("0.58", "0.4") and not same("1.0 True", "1.0 False") and not same("(8, 10)", "(8, 11)") and not same("1.0", "1.0 1.0")


@named(PAGES)
def test_what_is_not_run_has_a_known_reason(path):
    for block in blocks(path):
        assert block.reason is None or block.reason in REASONS, block.reason


@named(PAGES)
def test_python_is_marked_as_such(path):
    """An indented block would escape: imports of Python stand in ```python."""
    for block in blocks(path):
        assert block.language == "python" or not re.search(r"(?m)^(from|import) tinyvgg", block.text), block.text


def with_few_epochs(words):
    """The command with two epochs where it has more."""
    return ["2" if before == "--epochs" and int(word) > 2 else word for before, word in zip(["", *words], words, strict=False)]


@pytest.mark.parametrize("path", [pytest.param(p, id=p.stem, marks=[] if p.stem in USUAL else pytest.mark.slow)
                                  for p in PAGES if commands(p)])
def test_commands_run(path, place, capfd):
    """In order, snippets between them too, in a folder with what they name, on a small CIFAR-10."""
    pytest.importorskip("unicorn", reason="commands of firmware and boards need the extra board")
    if path.stem in IMAGES:
        n, shown = IMAGES[path.stem]
        write_cifar10(place / "data" / "cifar-10-batches-bin", np.random.default_rng(0), train=n, test=shown)
    names = {"__name__": "__main__"}
    for block in blocks(path):
        if block.language == "python" and block.reason is None and path.stem not in APART:
            exec(compile(block.text, path.name, "exec"), names)
        for words in commands_of(block):
            words = with_few_epochs(words) if path.stem in USUAL else words
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


def test_the_api_pages_cover_every_package():
    import configparser
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    pages = sorted((ROOT / "docs" / "api").glob("*.md"))
    listed = re.findall(r"automodule:: (\S+)", "".join(path.read_text(encoding="utf-8") for path in pages))
    assert all(f"api/{path.name}" in (ROOT / "docs" / "api.md").read_text(encoding="utf-8") for path in pages)
    for package in set(config["options"]["packages"].split()) - {"tinyvgg"}:
        found = any(name == package or name.startswith(package + ".") for name in listed)
        assert found, f"docs/api/ names nothing of {package}"
