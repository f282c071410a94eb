"""Figures from plain data, drawn with matplotlib (extra `plot`), which is imported when the first figure is drawn."""
from pathlib import Path

from tinyvgg.errors import OptionError, require
from tinyvgg.report.record import atomic_path


def figure(width, height):
    """Return an empty figure, without matplotlib's global state: no window, nothing to close, safe in threads."""
    return require("matplotlib.figure", "plot").Figure(figsize=(width, height), layout="constrained")


def check_figure(path):
    """Raise OptionError unless `path` ends in .png, .svg or .pdf."""
    path = Path(path)
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise OptionError(f"{path} does not end like a figure; expected .png, .svg or .pdf", f"{path.stem}.png")


def save(fig, path):
    """Write a figure to `path` (.png, .svg, .pdf), whole or not at all; equal figures give equal bytes."""
    check_figure(path)
    with atomic_path(path) as temporary:
        dated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
        fig.savefig(temporary, dpi=150, metadata=dated.get(temporary.suffix))


def layer_bars(names, sizes, operations, path, *, title=""):
    """Draw the bytes and operations of each layer, one row a layer. sizes: bytes; operations: MACC; one of each for each name."""
    fig = figure(9, 1.2 + 0.26 * len(names))
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


def plan_front(rows, chosen, path, *, title=""):
    """Draw firmware plans: time against flash, coloured by RAM. rows: all plans, chosen: one; dicts with ms, flash_bytes,
    ram_bytes."""
    fig = figure(6.5, 4.2)
    axes = fig.subplots()
    points = axes.scatter([r["flash_bytes"] / 1000 for r in rows], [r["ms"] for r in rows], s=22,
                          c=[r["ram_bytes"] / 1000 for r in rows], cmap="viridis")
    axes.scatter([chosen["flash_bytes"] / 1000], [chosen["ms"]], s=120, facecolors="none", edgecolors="#cc3311", linewidths=1.8)
    axes.annotate("the plan", (chosen["flash_bytes"] / 1000, chosen["ms"]), (8, 6), textcoords="offset points", color="#cc3311")
    axes.set(xlabel="flash, KB", ylabel="inference, ms", title=title, ylim=(0, None))
    axes.grid(alpha=0.3)
    fig.colorbar(points, label="RAM, KB")
    save(fig, path)


def training_curves(history, path):
    """Draw training and validation loss and accuracy by epoch, from the rows of a run's history."""
    fig = figure(8, 3.2)
    epochs = [row["epoch"] for row in history]
    for axis, name, factor, unit in zip(fig.subplots(1, 2), ("loss", "accuracy"), (1, 100), ("", " (%)"), strict=True):
        for prefix, label in (("", "training"), ("val_", "validation")):
            values = [row.get(prefix + name) for row in history]
            if None not in values:
                axis.plot(epochs, [factor * v for v in values], marker="." if len(epochs) < 30 else None, label=label)
        axis.set(xlabel="epoch", ylabel=name + unit)
        axis.grid(alpha=0.3)
        axis.legend()
    save(fig, path)


def confusion_matrix(counts, classes, path, *, title=""):
    """Draw a confusion matrix: counts (K, K); rows: true class, columns: predicted class, colours: share of the row."""
    import numpy as np
    counts = np.asarray(counts)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    fig = figure(1.5 + 0.55 * len(classes), 1.2 + 0.5 * len(classes))
    axes = fig.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            if count:
                axes.text(j, i, str(count), ha="center", va="center", fontsize=7, color="white" if share[i, j] > 0.5 else "black")
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("answer")
    axes.set_ylabel("true class")
    axes.set_title(title)
    save(fig, path)
