"""The pages build without a warning, and hold what they promise."""
import os
import subprocess
import sys

import pytest

from tests.docs.pages import ROOT


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """The folder of the built pages."""
    for package in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(package, reason='the pages are built with the extra docs: pip install ".[docs]"')
    out = tmp_path_factory.mktemp("html")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", out / "doctrees", ROOT / "docs", out / "html"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr[-4000:]
    return out / "html"


def test_every_page_is_there(html):
    pages = {p.relative_to(ROOT / "docs").with_suffix(".html") for p in (ROOT / "docs").rglob("*.md")}
    assert pages and all((html / page).is_file() for page in pages)


def test_the_api_has_signatures_and_docstrings(html):
    text = (html / "api.html").read_text(encoding="utf-8")
    for name in ("attacks.pgd.pgd", "quant.model.quantize", "analyze.maps.look", "nn.classifier.Classifier.vjp",
                 "board.classifier.Board", "testing.layers.check_layer"):
        assert f'id="tinyvgg.{name}"' in text, name
    assert "y[n,i,j,f] = b[f] + sum" in text.replace("<br/>", ""), "an equation of a docstring lost its form"


def test_every_verb_has_its_help(html):
    from tinyvgg import cli
    text = (html / "command-line.html").read_text(encoding="utf-8")
    assert all(f'<section id="{verb}">' in text for verb in cli.verbs())
