"""How results are shown: one or two lines in a Python shell; a table and a strip of pictures in a notebook."""
import base64
import dataclasses
import html

import numpy as np

from tinyvgg.report.png import png

LONGEST = 160       # characters of a repr, 60 of one value


def brief(value):
    """Return a short text for a value: numbers and short texts unchanged, arrays as dtype and shape, collections as their
    size."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    text = repr(value) if not isinstance(value, list | tuple | dict) or len(value) <= 4 else ""
    if text and len(text) <= 60:
        return text
    if isinstance(value, list | tuple | dict):
        return f"{len(value)} {'entries' if isinstance(value, dict) else 'items'}"
    return f"{text[:57]}..."


def briefly(cls):
    """Class decorator for a dataclass: a repr of its fields in at most LONGEST characters, the first fields first."""
    def show(self):
        parts, length = [], len(type(self).__name__) + 5
        for field in dataclasses.fields(self):
            part = f"{field.name}={brief(getattr(self, field.name))}"
            if length + len(part) + 2 > LONGEST:
                parts.append("...")
                break
            parts.append(part)
            length += len(part) + 2
        return f"{type(self).__name__}({', '.join(parts)})"
    cls.__repr__ = show
    return cls


def preformatted(text):
    """Return text as HTML for a notebook's output."""
    return f"<pre>{html.escape(text)}</pre>"


def table(rows):
    """Return {name: value} as an HTML table; values with a long repr are shortened."""
    cells = "".join(f"<tr><th style='text-align:left'>{html.escape(str(name))}</th><td style='text-align:left'>"
                    f"{html.escape(value if isinstance(value, str) else brief(value))}</td></tr>" for name, value in rows.items())
    return f"<table>{cells}</table>"


def strip(rows, bounds, *, count=8, height=64):
    """Return an <img> of rows of images, each (N, H, W, 1 or 3) with values in bounds (low, high); "" if they are not pictures.

    The first `count` images of each row are shown side by side. No plotting package is needed.
    """
    rows = [np.asarray(row)[:count] for row in rows]
    if not rows or any(row.ndim != 4 or not len(row) or row.shape[1:] != rows[0].shape[1:] or row.shape[3] not in (1, 3) for row in rows):
        return ""
    low, high = bounds
    lines = []
    for row in rows:
        pixels = np.clip((row.astype(np.float64) - low) / (high - low), 0, 1) * 255
        pixels = np.repeat(np.rint(pixels).astype(np.uint8), 4 - row.shape[3], axis=3)[..., :3]
        spaced = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255)
        lines.append(np.concatenate(list(spaced), axis=1))
    wide = max(line.shape[1] for line in lines)
    whole = np.concatenate([np.pad(line, ((0, 0), (0, wide - line.shape[1]), (0, 0)), constant_values=255) for line in lines])
    data = base64.b64encode(png(whole)).decode()
    return f"<img alt='images' style='image-rendering:pixelated;height:{height * len(rows)}px' src='data:image/png;base64,{data}'>"


class Card(dict):
    """The card of a zoo entry: a dict with a repr of one line, shown as a table in a notebook."""

    def __repr__(self):
        test = self.get("test") or {}
        told = f": {test['accuracy']:.2%} of {test['n']:,} test images" if {"accuracy", "n"} <= set(test) else ""
        return f"<Card {self.get('name', '')}{told}, {len(self)} entries>"

    def _repr_html_(self):
        return table(self)
