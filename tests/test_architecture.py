"""The house keeps its shape: imports go one way, functions and modules stay small, every package is listed."""
import ast
import configparser
import functools
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = [
    {"_version", "errors", "words", "rng", "types", "images", "classifier", "changes"},
    {"report"},                              # record, tables, plots, progress know only arrays; report.html stands at the end
    {"kernels"},
    {"nn", "models", "testing"},
    {"io", "data", "train", "quant", "analyze", "attacks"},
    {"zoo", "interop", "codegen", "faults", "xcubeai"},
    {"firmware", "board"},
    {"open"},
    {"demo"},                                # and report.html
    {"cli", "__main__", "__init__"},
]
# (importer, imported): why an import inside a function goes against the columns, or round in a circle.
EXCEPTIONS = {
    ("nn.classifier", "train"): "Model.fit and Model.evaluate are conveniences of the user's",
    ("nn.classifier", "io"): "Model.save and Model.load_weights are conveniences of the user's",
    ("__init__", "io"): "tinyvgg.load_model",
    ("testing.bit_exact", "codegen"): "the one check that compares with C",
    ("testing.exercises.chain", "codegen"): "a student's C is compiled as ours is",
    ("testing.integer_networks", "codegen"): "random networks for the checks of code, with their kernels' variants",
    ("testing.integer_networks", "quant"): "random networks for the checks of the integer model",
    ("quant.classifier", "quant.tvq"): "a model saves itself and knows its hash: conveniences like Model.save",
}


def module_name(path):
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] == "tinyvgg":
        parts = parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


PATHS = sorted(p for folder in ("tinyvgg", "codegen", "firmware") for p in (ROOT / folder).rglob("*.py") if "build" not in p.parts)
MODULES = {module_name(path): path for path in PATHS}


KINDS = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.Expr | ast.Raise


@functools.cache
def trees():
    """{path: its nodes of KINDS}, read when the first test asks: every process of pytest-xdist imports this file."""
    return {path: [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, KINDS)] for path in PATHS}


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
    for node in tree:
        if isinstance(node, ast.Import):
            yield from (a.name.removeprefix("tinyvgg.") for a in node.names if a.name.startswith("tinyvgg."))
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "tinyvgg":
                yield from (a.name for a in node.names)
            elif node.module.startswith("tinyvgg."):
                yield from (f"{node.module.removeprefix('tinyvgg.')}.{a.name}" for a in node.names)


def excepted(name, imported):
    return any((name, ".".join(imported.split(".")[:n])) in EXCEPTIONS for n in range(1, imported.count(".") + 2))


def test_imports_go_one_way():
    wrong = [f"{name} imports {imported}, which stands to its right"
             for name, path in MODULES.items() for imported in imports(trees()[path])
             if imported != "__version__" and not excepted(name, imported) and column(imported) > column(name)]
    assert not wrong, "\n".join(wrong)


@functools.cache
def offered(package):
    """{name: module that defines it} of what a package's __init__ imports for its users."""
    return {name.rsplit(".", 1)[-1]: defined(name) for name in imports(trees()[MODULES[package]])
            if name.startswith(f"{package}.")}


def defined(name):
    """The module that an imported name means: itself, the one that it lies in, or the one from which its package has it; None for
    a package, and for what its own __init__ defines.
    """
    module, _, last = name.rpartition(".")
    if name in MODULES:
        return name if MODULES[name].name != "__init__.py" else None
    if module not in MODULES:
        return None
    return module if MODULES[module].name != "__init__.py" else offered(module).get(last)


def circle(edges):
    """A circle of a graph {node: nodes}, as the list of its nodes, or None."""
    state = {}

    def visit(node, path):
        state[node] = "open"
        for other in sorted(edges[node]):
            if state.get(other) == "open":
                return [*path[path.index(other):], other]
            if other not in state and (found := visit(other, [*path, other])):
                return found
        state[node] = "done"
        return None

    return next((found for node in sorted(edges) if node not in state and (found := visit(node, [node]))), None)


def test_no_import_goes_round_in_a_circle():
    """Of any length, imports inside functions too; an __init__ stands for the modules from which it takes its names."""
    edges = {}
    for name, path in MODULES.items():
        if path.name != "__init__.py":
            found = (defined(imported) for imported in imports(trees()[path]) if not excepted(name, imported))
            edges[name] = {other for other in found if other not in (None, name)}
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert sum(map(len, edges.values())) > 800
    found = circle(edges)
    assert not found, " -> ".join(found)


def test_small():
    wrong = []
    for path, tree in trees().items():
        where, lines = path.relative_to(ROOT), path.read_text(encoding="utf-8").count("\n")
        wrong += [f"{where} has {lines} lines; expected up to 500"] if lines > 500 else []
        wrong += [f"{where}: {node.name} has over 60 lines" for node in tree
                  if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno >= 60]
    assert not wrong, "\n".join(wrong)


def test_no_lost_strings():
    """A second f-string outside the parentheses of a message is never shown; a raise of a tuple loses its type."""
    wrong = [f"{path.relative_to(ROOT)}:{node.lineno}" for path, tree in trees().items() for node in tree
             if isinstance(node, ast.Expr) and isinstance(node.value, ast.JoinedStr)
             or isinstance(node, ast.Raise) and isinstance(node.exc, ast.Tuple)]
    assert not wrong, "\n".join(wrong)


def test_every_package_is_listed():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    found = {".".join(p.parent.relative_to(ROOT).parts) for p in PATHS if p.name == "__init__.py"}
    found = {name if name.startswith("tinyvgg") else f"tinyvgg.{name}" for name in found}
    assert listed == found


def test_the_design_page_knows_every_package():
    """Its line of imports is COLUMNS, its table has a row for each folder."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    line = text.split("never imports one to its right:")[1].split("`Model.fit`")[0]
    told = [{name.strip() for name in names.split(",")} for names in line.split("|")]
    private = {"_version", "__main__", "__init__"}
    assert told == [(names | ({"report.html"} if "demo" in names else set())) - private for names in (
        COLUMNS[0] - private, *COLUMNS[1:])]
    rows = "".join(row.split("|")[1] for row in text.splitlines() if row.startswith("| `"))
    assert all(f"{name}/`" in rows or f"{name}.py`" in rows for names in COLUMNS for name in names - private)


def test_import_is_light():
    code = ("import sys, time; t = time.process_time(); import tinyvgg; print(time.process_time() - t);"
            "assert not {'numba', 'h5py', 'serial', 'matplotlib'} & set(sys.modules)")
    times = [float(subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout)
             for _ in range(3)]
    assert min(times) < 0.5


def test_speaks_of_itself_alone():
    """No path of the machine that it was written on."""
    words, wrong = ["/work" + "/", ".library" + "/", "/root" + "/"], []
    for path in [*PATHS, ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")]:
        text = path.read_text(encoding="utf-8")
        wrong += [f"{path.relative_to(ROOT)} holds {word}" for word in words if word in text]
    assert not wrong, "\n".join(wrong)
