"""Figures of attacks, from arrays and plain rows: image grids, eps curves, step maps, targeted matrices, success by queries."""
import numpy as np

from tinyvgg.report.plots import figure, save


def grid(result, path=None, *, count=8, classes=None):
    """Draw `count` fooled images (then others) in three rows: clean, adversarial, perturbation, with labels and confidences.

    result: anything with x, x_adv, success, pred_clean, pred_adv, scores_clean, scores_adv, bounds. Images are drawn clipped to
    their bounds; a perturbation is drawn around grey, scaled so that its largest value is black or white. Returns the figure.
    """
    chosen = np.concatenate([np.flatnonzero(result.success), np.flatnonzero(~result.success)])[:count]
    fig = figure(1.35 * max(len(chosen), 2), 4.6)
    axes = fig.subplots(3, max(len(chosen), 1), squeeze=False)
    low, high = result.bounds
    for i, at in enumerate(chosen):
        d = result.x_adv[at].astype(np.float64) - result.x[at]
        largest = float(np.abs(d).max())
        shown = [(image[at] - low) / (high - low) for image in (result.x, result.x_adv)] + [0.5 + d / (2 * max(largest, 1e-12))]
        answers = ((result.pred_clean, result.scores_clean), (result.pred_adv, result.scores_adv))
        titles = [_name(labels[at], scores, at, classes) for labels, scores in answers]
        titles.append(f"largest {largest * 255 / (high - low):.1f}/255")
        for axis, image, title in zip(axes[:, i], shown, titles, strict=True):
            axis.imshow(picture(np.clip(image, 0, 1)), cmap="gray", vmin=0, vmax=1, interpolation="nearest",
                        aspect="equal" if image.ndim == 3 else "auto")
            axis.set_title(title, fontsize=7)
            axis.set_xticks([])
            axis.set_yticks([])
    for axis, label in zip(axes[:, 0], ("clean", "adversarial", "perturbation"), strict=True):
        axis.set_ylabel(label, fontsize=8)
    if path is not None:
        save(fig, path)
    return fig


def picture(x):
    """Return an input as an array for matplotlib, (H, W, 3) or (H, W).

    A series (W, C) becomes one row for each channel, a vector one row. An image with neither one nor three channels becomes the
    mean of its channels.
    """
    if x.ndim < 3:
        return np.atleast_2d(x.T)
    return x if x.shape[-1] == 3 else x.mean(axis=-1)


def _name(label, scores, at, classes):
    name = classes[label] if classes is not None and label < len(classes) else f"class {label}"
    return name if scores is None else f"{name} {scores[at, label]:.0%}"


def eps_curve(curves, path):
    """Draw robust accuracy against eps, with its 95 % band. curves: {name: rows with eps, robust_accuracy, interval}."""
    fig = figure(6, 3.8)
    axis = fig.subplots()
    for name, rows in curves.items():
        eps = [row["eps"] for row in rows]
        line, = axis.plot(eps, [100 * row["robust_accuracy"] for row in rows], marker="o", markersize=4, label=name)
        axis.fill_between(eps, *([100 * row["interval"][k] for row in rows] for k in (0, 1)), alpha=0.2, color=line.get_color())
    axis.set(xlabel="eps (unit of the images)", ylabel="robust accuracy (%)", ylim=(0, 100))
    axis.grid(alpha=0.3)
    axis.legend()
    save(fig, path)


def step_map(rows, path):
    """Draw robust accuracy by step length (rows' `share` of eps) and number of `steps` as a heat map."""
    shares, steps = sorted({row["share"] for row in rows}), sorted({row["steps"] for row in rows})
    values = np.full((len(shares), len(steps)), np.nan)
    for row in rows:
        values[shares.index(row["share"]), steps.index(row["steps"])] = 100 * row["robust_accuracy"]
    _heat(values, [f"{s:g}" for s in shares], steps, "step / eps", "steps", "robust accuracy (%)", path)


def target_matrix(matrix, classes, path):
    """Draw success rates (K, K) as a heat map: rows are the true class, columns the target class."""
    names = classes if classes is not None and len(classes) == len(matrix) else list(map(str, range(len(matrix))))
    _heat(100 * np.asarray(matrix, float), names, names, "from", "to", "success (%)", path)


def _heat(values, down, across, ylabel, xlabel, label, path):
    fig = figure(2.5 + 0.55 * len(across), 1.8 + 0.42 * len(down))
    axis = fig.subplots()
    image = axis.imshow(values, vmin=0, vmax=100, cmap="viridis", aspect="auto")
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            if np.isfinite(value):
                axis.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=7, color="white" if value < 60 else "black")
    axis.set_xticks(range(len(across)), across, rotation=45 if any(len(str(a)) > 4 for a in across) else 0, fontsize=7)
    axis.set_yticks(range(len(down)), down, fontsize=7)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    fig.colorbar(image, label=label)
    save(fig, path)


def queries(curves, path):
    """Draw the share of fooled images against the number of queries. curves: {name: (queries, shares)}."""
    fig = figure(6, 3.8)
    axis = fig.subplots()
    for name, (used, shares) in curves.items():
        axis.step(used, 100 * np.asarray(shares), where="post", label=name)
    axis.set(xlabel="queries for an image", ylabel="fooled (%)", ylim=(0, 100), xscale="log")
    axis.grid(alpha=0.3)
    axis.legend()
    save(fig, path)
