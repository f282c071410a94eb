"""The notebooks run on their small settings; blanks fail, solutions pass, and wrong answers get sentences and hints."""
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from tests.notebooks.runner import NOTEBOOKS, ROOT, cells, run, solutions
from tests.notebooks.wrong_answers import WRONG
from tinyvgg.testing import exercises

MINE = ROOT / "docs" / "course" / "mine.py"
named = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib").use("Agg", force=True)
    monkeypatch.chdir(tmp_path)


@named
@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
def test_runs_with_solutions_and_not_with_blanks(path):
    import matplotlib.pyplot as plt
    try:
        assert len(run(path)) >= 4
    finally:
        plt.close("all")


@pytest.mark.slow
def test_the_board_answers():
    for package in ("unicorn", "ziglang"):
        pytest.importorskip(package, reason="the board's cell needs the extra board")
    path = next(p for p in NOTEBOOKS if p.stem == "6-on-the-board")
    assert any("board" in tags for _, _, tags in cells(path))
    run(path, board=True)


@named
def test_is_kept_without_outputs_and_listed(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in notebook["cells"])
    assert path.name in (path.parent / "index.md").read_text(encoding="utf-8")


def test_every_exercise_stands_in_a_notebook_or_in_the_course():
    assert {name for path in (*NOTEBOOKS, MINE) for name in solutions(path)} == set(exercises.EXERCISES)
    assert {path.stem for path in NOTEBOOKS} == set(exercises.NOTEBOOKS)


def solution_of(name):
    return next(solutions(p)[name] for p in (*NOTEBOOKS, MINE) if name in solutions(p))


def answer(name):
    """The solution of an exercise, as a function."""
    names = {"np": np}
    exec(solution_of(name), names)
    return names[name]


@pytest.fixture(autouse=True)
def forgotten():
    """No wrong answers of other tests are counted."""
    exercises._registry.WRONG.clear()


@pytest.mark.parametrize("name", exercises.EXERCISES)
def test_wrong_answers_get_a_sentence_and_three_grades_of_hints(name, capsys):
    """Five wrong answers each: what is wrong, then where to look, then how; no line of the solution, no traceback."""
    right = answer(name)
    exercises.check(name, right)
    assert capsys.readouterr().out == f"{name}: right\n"
    lines = [line.strip().removeprefix("return ") for line in solution_of(name).splitlines()]
    secrets = [re.sub(r"\s", "", line) for line in lines if len(line) > 12 and not line.startswith(("def ", "import ", "for "))]
    said = set()
    for make in WRONG[name]:
        for hints, count in ((None, 1), (None, 2), (None, 3), (2, 3)):
            with pytest.raises(exercises.NotYetRight) as caught:
                exercises.check(name, make(right), hints=hints)
            shown = str(caught.value).splitlines()
            assert shown == caught.value._render_traceback_() and len(shown) == count, shown
            assert shown[0].startswith(f"{name}: ") and "\n" not in shown[0] and len(shown[0]) < 260
            assert [line.split(":")[0] for line in shown[1:]] == ["Where to look", "How"][:count - 1]
            assert not any(secret in re.sub(r"\s", "", "".join(shown)) for secret in secrets), shown
            assert caught.value.__suppress_context__ or caught.value.__context__ is None
            assert len(caught.traceback) == 2, "frames of the check, whose lines hold the solution"
        said.add(shown[0])
        exercises.check(name, right)
    assert len(said) > 1 and len(WRONG[name]) == 5


@pytest.mark.parametrize("name", exercises.EXERCISES)
def test_anything_else_gets_a_sentence_too(name):
    """A blank, an exception, NaN, words, no function."""
    right = answer(name)
    for blank in (lambda *arguments: None, lambda *arguments: ..., None, ...):
        with pytest.raises(exercises.NotYetRight, match=f"^{name}: nothing was returned: fill in the blank$"):
            exercises.check(name, blank)
    for wrong, text in ((lambda *a: 1 / 0, "your function raised ZeroDivisionError: division by zero \\(line"),
                        (lambda *a, needed: 1, "your function raised TypeError: .*needed"), (7, "is an int; expected a function"),
                        (lambda *a: {"a": 1}, "."), (lambda *a: "0.4", "."), (lambda *a: object(), "."),
                        (lambda *a: sys.exit(3), "your function raised SystemExit: 3"),
                        (lambda *a: np.float64(np.nan), "."),
                        (lambda *a: nan_of(right(*a)), "."), (lambda *a: np.zeros((2, 0)), "."),
                        (lambda *a: (1, 2, 3, "x"), ".")):
        with pytest.raises(exercises.NotYetRight, match=text) as caught:
            exercises.check(name, wrong, hints=0)
        assert "\n" not in str(caught.value) and len(caught.traceback) == 2


def nan_of(found):
    """A right answer whose numbers are lost."""
    if isinstance(found, tuple):
        return tuple(f if isinstance(f, str) else nan_of(f) for f in found)
    return np.full(np.shape(found), np.nan)


def test_nan_is_named():
    def overflows(z, y):
        return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) - np.eye(3)[y]
    with pytest.raises(exercises.NotYetRight, match=r"it is nan at \[1, 0\], no number any more$"):
        exercises.check("cross_entropy_gradient", overflows, hints=0)


def test_two_numbers_that_look_alike_are_told_apart():
    with pytest.raises(exercises.NotYetRight, match="it is 368.692406; expected 368.692$"):
        exercises.check("milliseconds", lambda cycles, hz: 1000.0011 * cycles / hz, hints=0)


def test_a_script_ends_in_the_sentence_alone(tmp_path):
    script = tmp_path / "answer.py"
    script.write_text("from tinyvgg.testing import exercises\nexercises.check('milliseconds', lambda cycles, hz: cycles)\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 1
    script.write_text("from tinyvgg.testing import exercises\nexercises.pieces('none.py')\n")
    lost = subprocess.run([sys.executable, script], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert lost.returncode == 1 and lost.stderr.startswith("none.py is not there: copy") and lost.stderr.count("\n") == 1
    assert re.fullmatch("milliseconds: the time of 44,243,040 cycles .*; expected 368.692\n", done.stderr)


def test_an_unknown_exercise_is_named():
    with pytest.raises(ValueError, match="there is no exercise 'conv'"):
        exercises.check("conv", None)
    with pytest.raises(ValueError, match="3 hints; expected 0, 1 or 2"):
        exercises.check("cobs", None, hints=3)


def test_run_all_goes_on():
    """The tag tells Jupyter that the cells below a check that fails are run all the same."""
    for path in NOTEBOOKS:
        assert all("raises-exception" in tags for source, _, tags in cells(path) if "exercises.check(" in source), path.name
