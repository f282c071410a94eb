"""Runs a notebook's code cells in order in one namespace, as Jupyter would, without Jupyter.

At an exercise the blank cell is run first, and its check must fail; then the solution in its place, and the same check must pass.
"""
import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
CHECK = re.compile(r'exercises\.check\("(\w+)"')


def cells(path):
    """Return (source, exercise or None, tags) of each code cell."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [("".join(cell["source"]), cell["metadata"].get("exercise"), cell["metadata"].get("tags", []))
            for cell in notebook["cells"] if cell["cell_type"] == "code"]


def solutions(path):
    """Return {exercise: source} from the teacher's folder."""
    text = (ROOT / "docs" / "course" / "teacher" / f"{path.stem}.py").read_text(encoding="utf-8")
    parts = re.split(r"(?m)^# %% (\w+)\n", text)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def run(path, *, board=False):
    """Run a notebook, blanks and solutions; return the names of its exercises. Cells tagged "board" only where `board`."""
    from tinyvgg.testing.exercises import NotYetRight
    names, answers, blank, solved = {"__name__": "__main__"}, solutions(path), {}, []
    for number, (source, exercise, tags) in enumerate(cells(path), 1):
        if "board" in tags and not board:
            continue
        where, check = f"{path.name}, code cell {number}", CHECK.search(source)
        if exercise:
            execute(source, where, names)
            blank = {exercise: answers[exercise]}
        elif check:
            name = check[1]
            try:
                execute(source, where, names)
            except NotYetRight as error:
                assert "fill in the blank" in str(error), error
            else:
                raise AssertionError(f"{where}: the blank of {name} passes its check")
            execute(blank[name], f"the solution of {name}", names)
            execute(source, where, names)
            solved.append(name)
        else:
            execute(source, where, names)
    assert set(solved) == set(answers), f"{path.name}: {set(solved) ^ set(answers)}"
    return solved


def execute(source, where, names):
    """exec with a file name that a traceback can show."""
    exec(compile(source, where, "exec"), names)
