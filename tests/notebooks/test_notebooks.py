"""The notebooks run on their small settings; their blanks fail, their solutions pass, and near misses do not."""
import json

import numpy as np
import pytest

from tests.notebooks.runner import NOTEBOOKS, cells, run, solutions
from tinyvgg.testing import exercises

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


def test_every_exercise_stands_in_a_notebook():
    assert {name for path in NOTEBOOKS for name in solutions(path)} == set(exercises.EXERCISES)
    assert {path.stem for path in NOTEBOOKS} == set(exercises.NOTEBOOKS)


def answer(name):
    """The solution of an exercise, as a function."""
    path = next(p for p in NOTEBOOKS if name in solutions(p))
    names = {"np": np}
    exec(solutions(path)[name], names)
    return names[name]


NEAR_MISSES = {                 # exercise: a mistake that people make, from the right answer
    "conv_forward": lambda right: lambda x, k, b: right(x, k[::-1, ::-1], b),
    "conv_gradient": lambda right: lambda dy, x, k: (right(dy, x, k[::-1, ::-1])[0], *right(dy, x, k)[1:]),
    "same_padding": lambda right: lambda *a: right(*a)[::-1],
    "winograd_1d": lambda right: lambda d, g: tuple(sum((d[i + j] * g[j] for j in range(3)), 0) for i in range(2)),
    "gain_and_shift": lambda right: lambda g, b, m, v, e: (g / (np.sqrt(v) + e), b - m * g / (np.sqrt(v) + e)),
    "fold_before": lambda right: lambda k, b, g, s: (k * g, b + s),
    "fold_forward": lambda right: lambda k, b, g, s: (k * g[:, None], b + k.sum() * s.sum()),
    "border_value": lambda right: lambda g, s: -s,
    "pool_then_norm": lambda right: lambda x, g, s: right(x, abs(g), s),
    "eps_in_units": lambda right: lambda n, low, high: n / 255,
    "pgd_step": lambda right: lambda z, x, g, step, eps, low, high: np.clip(z + np.clip(step * np.sign(g), -eps, eps), low, high),
    "cross_entropy_gradient": lambda right: lambda z, y: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) - np.eye(z.shape[1])[y],
    "scaled_gradient": lambda right: lambda z, y: right(z, y) * 0.5,
    "robust_accuracy": lambda right: lambda y, clean, adversarial: np.mean(adversarial == y),
    "scale_and_zero": lambda right: lambda low, high: ((high - low) / 255, round(-low / ((high - low) / 255))),
    "smmulr": lambda right: lambda a, b: np.rint(a.astype(np.float64) * b / 2**32).astype(np.int64),
    "multiplier": lambda right: lambda factor, shift: round(factor * 2**32),
    "folded_bias": lambda right: lambda bias, w, zero: bias + zero * w.sum(axis=1),
    "nearest_entry": lambda right: lambda v, book: np.clip(np.searchsorted(book, v), 0, len(book) - 1),
    "best_centres": lambda right: lambda v, i, k: np.array([v[i == j].max(initial=0) for j in range(k)]),
    "flip_int8": lambda right: lambda value, bit: value ^ (1 << bit),
    "flip_float32": lambda right: lambda value, bit: np.float32(int(value) ^ (1 << bit)),
    "hamming_encode": lambda right: lambda d: np.concatenate([d, right(d)[:4]]),
    "hamming_decode": lambda right: lambda w: (right(w)[0], "corrected" if right(w)[1] == "detected" else right(w)[1]),
    "wire_seconds": lambda right: lambda n, baud: 8 * n / baud,
    "cobs": lambda right: lambda data: data.replace(b"\0", b"\1"),
    "checksum": lambda right: lambda data: right(data) ^ 0xFFFFFFFF,
    "arena_bytes": lambda right: lambda sizes: max(sizes),
    "milliseconds": lambda right: lambda cycles, hz: cycles / hz,
}


@pytest.mark.parametrize("name", exercises.EXERCISES)
def test_a_near_miss_is_told(name, capsys):
    right = answer(name)
    exercises.check(name, right)
    assert capsys.readouterr().out == f"{name}: right\n"
    with pytest.raises(exercises.NotYetRight), np.errstate(all="ignore"):
        exercises.check(name, NEAR_MISSES[name](right))
    with pytest.raises(exercises.NotYetRight, match="fill in the blank"):
        exercises.check(name, lambda *arguments: None)


def test_the_value_that_is_told_is_the_wrong_one():
    """A NaN, where there is one: the largest difference of the rest may be none at all."""
    def overflows(z, y):
        return np.exp(z) / np.exp(z).sum(1, keepdims=True) - np.eye(3)[y]
    with pytest.raises(exercises.NotYetRight, match="it is nan; expected"), np.errstate(all="ignore"):
        exercises.check("cross_entropy_gradient", overflows)


def test_an_unknown_exercise_is_named():
    with pytest.raises(ValueError, match="there is no exercise 'conv'"):
        exercises.check("conv", None)
