"""Figures of bit flips, from plain rows: accuracy against flips, and the damage by array and bit."""
import numpy as np

from tinyvgg.report.plots import figure, save


def flip_curves(curves, path, *, chance=None):
    """Draw accuracy against flips: median and range. curves: {name: rows of {"flips", "median", "lowest", "highest"}}."""
    fig = figure(6, 3.8)
    axis = fig.subplots()
    for name, rows in curves.items():
        flips = [row["flips"] for row in rows]
        line, = axis.plot(flips, [100 * row["median"] for row in rows], marker="o", markersize=3, label=name)
        axis.fill_between(flips, *([100 * row[k] for row in rows] for k in ("lowest", "highest")), alpha=0.2, color=line.get_color())
    if chance is not None:
        axis.axhline(100 * chance, color="grey", linestyle=":", label="guessing")
    axis.set(xlabel="bits flipped", ylabel="accuracy (%)", ylim=(0, 100))
    axis.grid(alpha=0.3)
    axis.legend()
    save(fig, path)


def heat_map(rows, path):
    """Draw the largest loss of accuracy by a single flip, from the rows of a sensitivity map: arrays down, bits across."""
    tensors, bits = list(dict.fromkeys(row["tensor"] for row in rows)), 1 + max(row["bit"] for row in rows)
    values = np.full((len(tensors), bits), np.nan)
    for row in rows:
        if row["worst_drop"] is not None:
            values[tensors.index(row["tensor"]), row["bit"]] = 100 * row["worst_drop"]
    fig = figure(3 + 0.28 * bits, 1.5 + 0.22 * len(tensors))
    axis = fig.subplots()
    image = axis.imshow(values, vmin=0, vmax=100, cmap="magma_r", aspect="auto")
    axis.set_xticks(range(bits), range(bits), fontsize=6)
    axis.set_yticks(range(len(tensors)), tensors, fontsize=6)
    axis.set(xlabel="bit")
    fig.colorbar(image, label="accuracy lost by the worst flip (points)")
    save(fig, path)
