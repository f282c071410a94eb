"""A figure of the maps of a network: one row for each layer, in floats and integers, for a clean and an attacked image."""
import numpy as np

from tinyvgg.report.plots import figure, save

TITLES = {"float_clean": "floats", "integer_clean": "integers", "rounding": "integers − floats",
          "float_attacked": "floats, attacked", "integer_attacked": "integers, attacked", "attack": "attacked − clean"}
DIFFERENCES = {"rounding": ("float_clean", "integer_clean"), "attack": ("float_clean", "float_attacked")}
BAR_COLOURS = {"float_clean": "#4477aa", "integer_clean": "#88ccee", "float_attacked": "#cc6677", "integer_attacked": "#ddaa77"}
FEW = 16            # up to so many values are drawn as bars, not as a map
OUTERMOST = 0.5     # per cent of the values, at either end, that a colour scale leaves out
ROUNDING = 1e-6     # a difference this small, relative to the values, is float32 rounding and drawn as 0


def layer_maps(layers, path=None, *, title="", classes=None, channels=8):
    """Draw the maps of each layer; return the figure, and save it if `path` is given.

    layers: anything with name, kind, shape, maps ({column: array}) and numbers(). The `channels` maps with the largest spread
    over the clean image are shown, the same channels in every column. Each row has one colour scale, and each difference has its
    own; a scale leaves out the outermost 0.5 % of the values. A layer with few values is drawn as bars.
    """
    columns = [c for c in TITLES if c in layers[0].maps or set(DIFFERENCES.get(c, ("",))) <= set(layers[0].maps)]
    heights = [1.7 if _is_short(layer) else 1.25 for layer in layers]
    fig = figure(2.2 + 2.15 * len(columns), 0.8 + sum(heights))
    grid = fig.add_gridspec(len(layers), len(columns) + 1, width_ratios=[0.8, *[1] * len(columns)], height_ratios=heights)
    for i, layer in enumerate(layers):
        _caption(fig.add_subplot(grid[i, 0]), layer)
        if _is_short(layer):
            _bars(fig.add_subplot(grid[i, 1:]), layer, classes)
        else:
            _row([fig.add_subplot(grid[i, 1 + j]) for j in range(len(columns))], layer, columns, channels, heads=i == 0)
    fig.suptitle(title, fontsize=11)
    if path is not None:
        save(fig, path)
    return fig


def _is_short(layer):
    return len(layer.shape) == 1 and layer.shape[0] <= FEW


def _caption(axis, layer):
    """Write name, shape and numbers of a layer at the place of its first picture."""
    n = layer.numbers()
    lines = [" × ".join(map(str, layer.shape))]
    low, high = n["range"].get("float_clean") or n["range"]["integer_clean"]
    lines.append(f"{_short(low)} … {_short(high)}")
    if n["snr_db_clean"] is not None:
        lines.append(f"signal to noise {n['snr_db_clean']:.1f} dB")
    moved = n["distance_float"] or n["distance_integer"]
    if moved and moved["relative_l2"] is not None:
        lines.append(f"attack moves {moved['relative_l2']:.1%}")
    axis.text(1, 0.95, layer.name, ha="right", va="top", fontsize=9, weight="bold", transform=axis.transAxes)
    axis.text(1, 0.76, "\n".join(lines), ha="right", va="top", fontsize=7.5, linespacing=1.35, color="#333333",
              transform=axis.transAxes)
    axis.set_axis_off()


def _row(axes, layer, columns, channels, heads):
    plain = [layer.maps[c] for c in columns if c in layer.maps]
    chosen = _strongest(plain[0], channels)
    low, high = np.percentile(np.concatenate([v.reshape(-1) for v in plain]), (OUTERMOST, 100 - OUTERMOST))
    for axis, column in zip(axes, columns, strict=True):
        if column in DIFFERENCES:
            a, b = (layer.maps[name] for name in DIFFERENCES[column])
            values = b - a
            reach = max(np.percentile(np.abs(values), 100 - OUTERMOST), ROUNDING * max(abs(low), abs(high)), 1e-30)
            limits, colours, note = (-reach, reach), "RdBu_r", f"±{_short(reach)}"
        else:
            values, limits, colours, note = layer.maps[column], (low, high), "viridis", ""
        _draw(axis, values, chosen, limits, colours)
        if note:
            axis.set_xlabel(note, fontsize=7, labelpad=1)
        if heads:
            axis.set_title(TITLES[column], fontsize=9)


def _draw(axis, values, chosen, limits, colours):
    axis.set_xticks([])
    axis.set_yticks([])
    if values.ndim == 3 and values.shape[2] == 3:
        span = max(limits[1] - limits[0], 1e-12)
        axis.imshow(np.clip((values - limits[0]) / span, 0, 1), interpolation="nearest")
    else:
        axis.imshow(mosaic(values, chosen), cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    axis.spines[:].set_visible(False)


def mosaic(values, chosen):
    """Return one picture (rows, columns) of the chosen channels of (H, W, C), or of a vector folded; NaN between the tiles."""
    if values.ndim == 1:
        wide = 2 ** int(np.ceil(np.log2(np.sqrt(2 * len(values)))))
        folded = np.full(-(-len(values) // wide) * wide, np.nan)
        folded[: len(values)] = values
        return folded.reshape(-1, wide)
    h, w = values.shape[:2]
    gap, across = max(1, w // 16), -(-len(chosen) // 2)
    picture = np.full((2 * h + gap, across * (w + gap) - gap), np.nan)
    for i, channel in enumerate(chosen):
        top, left = i // across * (h + gap), i % across * (w + gap)
        picture[top : top + h, left : left + w] = values[..., channel]
    return picture


def _strongest(values, channels):
    """Return the channels of (H, W, C) with the largest spread, in ascending order."""
    if values.ndim == 1:
        return []
    return np.sort(np.argsort(-values.reshape(-1, values.shape[-1]).std(axis=0), kind="stable")[:channels])


def _bars(axis, layer, classes):
    columns = [c for c in TITLES if c in layer.maps]
    n, width = layer.shape[0], 0.8 / len(columns)
    for i, column in enumerate(columns):
        places = np.arange(n) - 0.4 + (i + 0.5) * width
        axis.bar(places, layer.maps[column], width, label=TITLES[column], color=BAR_COLOURS[column])
    axis.set_xticks(range(n), classes if classes is not None and len(classes) == n else range(n), fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(axis="y", labelsize=7)
    axis.legend(fontsize=7.5, frameon=False, ncols=len(columns), loc="lower right", bbox_to_anchor=(1, 1))


def _short(value):
    return f"{value:.3g}"
