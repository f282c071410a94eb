"""Sphinx: python -m sphinx -W docs docs/_build (extras `docs` and `all`).

With myst-nb the notebooks are pages, run in the build: the course with the teacher's pieces, which no page shows. Without it, or with
TINYVGG_NOTEBOOKS=off, nothing is run.
"""
import gc
import importlib.util
import os
import posixpath
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from tinyvgg import __version__  # noqa: E402

project, author, copyright = "tinyvgg", "the tinyvgg authors", "the tinyvgg authors, MIT licence"
version = release = __version__
NOTEBOOKS = importlib.util.find_spec("myst_nb") is not None
extensions = ["myst_nb" if NOTEBOOKS else "myst_parser", "sphinx.ext.autodoc"]
if importlib.util.find_spec("latex2mathml"):
    extensions.append("mathml")
    html_math_renderer = "mathml"
nb_execution_mode = os.environ.get("TINYVGG_NOTEBOOKS", "auto")
nb_execution_timeout = 900
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "deflist"]
if NOTEBOOKS and nb_execution_mode != "off":
    os.environ.setdefault("TINYVGG_PIECES", str(ROOT / "docs" / "course" / "teacher" / "mine.py"))
    os.environ.setdefault("TINYVGG_COURSE", str(ROOT / "docs" / "_build" / "course"))
    Path(os.environ["TINYVGG_COURSE"]).mkdir(parents=True, exist_ok=True)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
myst_heading_anchors = 4
exclude_patterns = ["_build", "course/colab.ipynb"]
html_theme = "furo"
html_title = f"tinyvgg {version}"
html_show_sphinx = False
templates_path, html_static_path, html_css_files = [], ["_static"], ["site.css"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_use_type_comments = False       # there are none, and each function would be parsed for them
gc.set_threshold(100_000, 50, 100)      # millions of nodes that stay: to look through them again and again takes a fifth of the time
python_maximum_signature_line_length = 90
highlight_language = "none"
pygments_style = "friendly"


def docstring_to_rst(lines):
    """Our docstrings are plain text: escape what reStructuredText would read as markup, keep indented blocks as they are."""
    indents = [len(line) - len(line.lstrip()) for line in lines]
    out, literal = [], False
    for line, indent in zip(lines, indents, strict=True):
        if line.strip() and indent >= 4 and not literal:
            out += ["", "::", ""]
            literal = True
        elif line.strip() and indent < 4 and literal:
            out.append("")
            literal = False
        out.append(line if literal else _escaped(line.strip()))
    return out


def _escaped(line):
    """One line of prose: `code` becomes ``code``, every other special character stands for itself."""
    parts = re.split(r"(`[^`]+`)", line)
    return "".join(f"`{part}`" if part[:1] == "`" and len(part) > 2 else re.sub(r"([\\*|_`])", r"\\\1", part) for part in parts)


def links_out_of_docs(app, docname, source):
    """A link to a file of the repository, outside this folder, becomes its path: the pages travel without the repository."""
    def shown(link):
        place = posixpath.normpath(posixpath.join(posixpath.dirname(docname), "..", link[2]))
        return f"{link[1]} (`{place.removeprefix('../')}`)" if place.startswith("../") else link[0]

    source[0] = re.sub(r"\[([^\]]+)\]\(\.\./([^)#\s]+)[^)]*\)", shown, source[0])
    if NOTEBOOKS and docname in ("course/index", "notebooks/index"):
        pages = sorted(path.stem for path in (ROOT / "docs" / posixpath.dirname(docname)).glob("[1-9]-*.ipynb"))
        source[0] += "\n```{toctree}\n:hidden:\n\n" + "\n".join(pages) + "\n```\n"
    if docname == "verbs":
        from verbs_page import verbs
        source[0] += verbs()


def setup(app):
    def on_docstring(app, what, name, thing, options, lines):
        lines[:] = docstring_to_rst(lines)
    app.connect("autodoc-process-docstring", on_docstring)
    app.connect("source-read", links_out_of_docs)
    return {"parallel_read_safe": True}
