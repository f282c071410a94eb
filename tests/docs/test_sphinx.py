"""The pages build without a warning, and hold what they promise."""
import os
import subprocess
import sys

import pytest

from tests.docs.pages import ROOT


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """The folder of the built pages, in Sphinx's plainest theme: that of the pages takes half of the time."""
    for package in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(package, reason='the pages are built with the extra docs: pip install ".[docs]"')
    return built(tmp_path_factory.mktemp("html"), "-D", "html_theme=basic", program=("-c", FAST), TINYVGG_NOTEBOOKS="off")


# Without the words for its search, and without the lines on which things stand: they take a fifth of the time.
FAST = """
import sys
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.cmd.build import main
from sphinx.pycode.parser import Parser
StandaloneHTMLBuilder.search = False
Parser.parse_definition = lambda self: None
sys.exit(main(sys.argv[1:]))
"""


def built(out, *options, program=("-m", "sphinx"), **environment):
    command = [sys.executable, *program, "-W", "--keep-going", "-q", *options, "-d", out / "doctrees", ROOT / "docs", out / "html"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT), **environment})
    assert done.returncode == 0, done.stderr[-4000:]
    return out / "html"


def test_every_page_is_there(html):
    pages = {p.relative_to(ROOT / "docs").with_suffix(".html") for p in (ROOT / "docs").rglob("*.md")}
    assert pages and all((html / page).is_file() for page in pages)


def test_the_api_has_signatures_and_docstrings(html):
    text = "".join(path.read_text(encoding="utf-8") for path in (html / "api").glob("*.html"))
    for name in ("attacks.pgd.pgd", "quant.model.quantize", "analyze.maps.look", "nn.classifier.Classifier.vjp",
                 "board.classifier.Board", "testing.layers.check_layer"):
        assert f'id="tinyvgg.{name}"' in text, name
    assert "y[n,i,j,f] = b[f] + sum" in text.replace("<br/>", ""), "an equation of a docstring lost its form"


def test_every_verb_has_its_help(html):
    from tinyvgg import cli
    text = (html / "verbs.html").read_text(encoding="utf-8")
    assert all(f'<section id="{verb}">' in text for verb in cli.verbs())


@pytest.mark.slow
def test_notebooks_are_pages_with_outputs_and_without_solutions(tmp_path):
    """Run in the build: the course by the teacher's pieces in one folder; an exercise that is left open shows its sentence."""
    for package in ("myst_nb", "furo", "matplotlib", "unicorn", "ziglang"):
        pytest.importorskip(package, reason='notebooks are run with pip install ".[docs,all]"')
    html = built(tmp_path, TINYVGG_NOTEBOOKS="auto", TINYVGG_COURSE=str(tmp_path))
    pages = [path for name in ("course", "notebooks") for path in (html / name).glob("[1-9]-*.html")]
    text = {path.stem: path.read_text(encoding="utf-8") for path in pages}
    assert len(text) == 14 and all("Traceback" not in page for page in text.values())
    assert "fill in the blank" in text["1-convolution"] and "<img" in text["1-convolution"]
    assert "conv_forward: right" in text["1-tensors"] and "the board: [" in text["8-flips"]
    solutions = (ROOT / "docs" / "course" / "teacher" / "mine.py").read_text(encoding="utf-8").splitlines()
    lines = [line.strip() for line in solutions if line.startswith("    ") and "uint8_t *x" not in line]
    secret = [line for line in lines if len(line) > 40]
    assert secret and not any(line in page for line in secret for page in text.values())
