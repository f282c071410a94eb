"""The house keeps its shape: imports go one way, functions and modules stay small, every package is listed."""
import ast
import configparser
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = [
    {"_version", "errors", "rng"},
    {"report"},                              # record, tables, plots, progress know only arrays; report.html stands at the end
    {"kernels"},
    {"nn", "models", "testing"},
    {"io", "data", "train", "quant", "analyze", "attacks"},
    {"zoo", "interop", "codegen", "faults", "xcubeai"},
    {"firmware", "board"},
    {"demo"},                                # and report.html
    {"cli", "__main__", "__init__"},
]
# (importer, imported): a convenience method that imports inside the function.
EXCEPTIONS = {("nn.classifier", "train"), ("nn.classifier", "io"), ("__init__", "io"), ("testing.bit_exact", "codegen"),
              ("testing.integer_networks", "codegen"), ("testing.integer_networks", "quant")}
SOURCES = sorted(p for folder in ("tinyvgg", "codegen", "firmware") for p in (ROOT / folder).rglob("*.py")
                 if "build" not in p.parts)


def module_name(path):
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] == "tinyvgg":
        parts = parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def column(name):
    if name.startswith("report.html"):
        return column("demo")
    top = name.split(".")[0]
    for i, names in enumerate(COLUMNS):
        if top in names:
            return i
    raise AssertionError(f"{name} stands in no column of tests/test_architecture.py")


def imports(tree):
    """Names below tinyvgg that a module imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name.removeprefix("tinyvgg.") for a in node.names if a.name.startswith("tinyvgg."))
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "tinyvgg":
                yield from (a.name for a in node.names)
            elif node.module.startswith("tinyvgg."):
                yield from (f"{node.module.removeprefix('tinyvgg.')}.{a.name}" for a in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_one_way(path):
    name = module_name(path)
    for imported in imports(ast.parse(path.read_text(encoding="utf-8"))):
        if (name, imported.split(".")[0]) in EXCEPTIONS or imported in ("__version__",):
            continue
        assert column(imported) <= column(name), f"{name} imports {imported}, which stands to its right"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_small(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 500, "a module over 500 lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            length = node.end_lineno - node.lineno + 1
            assert length <= 60, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_lost_strings(path):
    """A second f-string outside the parentheses of a message is never shown; a raise of a tuple loses its type."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        assert not (isinstance(node, ast.Expr) and isinstance(node.value, ast.JoinedStr)), f"line {node.lineno}: lost string"
        assert not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Tuple)), f"line {node.lineno}: raises a tuple"


def test_every_package_is_listed():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    found = {".".join(p.parent.relative_to(ROOT).parts) for p in SOURCES if p.name == "__init__.py"}
    found = {name if name.startswith("tinyvgg") else f"tinyvgg.{name}" for name in found}
    assert listed == found


def test_the_design_page_knows_every_package():
    """Its line of imports is COLUMNS, its table has a row for each folder."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    line = text.split("never imports one to its right:")[1].split("`Model.fit`")[0]
    told = [{name.strip() for name in names.split(",")} for names in line.split("|")]
    private = {"_version", "__main__", "__init__"}
    assert told == [(names | ({"report.html"} if "demo" in names else set())) - private for names in (
        {"errors", "rng"}, *COLUMNS[1:])]
    rows = "".join(row.split("|")[1] for row in text.splitlines() if row.startswith("| `"))
    assert all(f"{name}/`" in rows or f"{name}.py`" in rows for names in COLUMNS for name in names - private)


def test_import_is_light():
    code = ("import sys, time; t = time.perf_counter(); import tinyvgg; print(time.perf_counter() - t);"
            "assert not {'numba', 'h5py', 'serial', 'matplotlib'} & set(sys.modules)")
    times = [float(subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout)
             for _ in range(3)]
    assert min(times) < 0.5


def test_speaks_of_itself_alone():
    """No path of the machine that it was written on."""
    words = ["/work" + "/", ".library" + "/", "/root" + "/"]
    for path in [*SOURCES, ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")]:
        text = path.read_text(encoding="utf-8")
        assert not [w for w in words if w in text], path
