"""Figures, drawn with matplotlib (extra `plot`), which is imported when the first one is drawn."""

from tinyvgg.errors import require
from tinyvgg.report.record import atomic_path


def figure(width, height):
    """Return (figure, pyplot) without a window."""
    matplotlib = require("matplotlib", "plot")
    matplotlib.use("Agg")
    pyplot = require("matplotlib.pyplot", "plot")
    return pyplot.figure(figsize=(width, height), layout="constrained"), pyplot


def save(fig, path):
    """Write a figure to `path` (.png, .svg, .pdf), whole or not at all."""
    with atomic_path(path) as temporary:
        fig.savefig(temporary, dpi=150)
    fig.clear()


def layer_bars(names, sizes, operations, path, *, title=""):
    """Draw where the bytes and the operations are: one row a layer. sizes: bytes, operations: MACC, as many as names."""
    fig, _ = figure(9, 1.2 + 0.26 * len(names))
    left, right = fig.subplots(1, 2, sharey=True)
    for axis, values, label, colour in (
        (left, sizes, "weights, KB", "#4477aa"),
        (right, operations, "MACC, thousands", "#cc6677"),
    ):
        axis.barh(range(len(names)), [v / 1000 for v in values], color=colour)
        axis.set_xlabel(label)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.12)
        for i, value in enumerate(values):
            if value:
                axis.annotate(f"{value:,}", (value / 1000, i), (3, 0), textcoords="offset points", va="center", fontsize=6)
    left.set_yticks(range(len(names)), names, fontsize=7)
    left.invert_yaxis()
    fig.suptitle(title, fontsize=10)
    save(fig, path)
