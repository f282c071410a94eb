"""Ranges of activations, measured with images in the float graph.

minmax       the smallest and largest value
percentile   leave out the outermost 0.01 % on either side
error        the range whose 256 levels give the smallest squared error (also called MSE calibration)
steady       percentile over all images; each end is rounded to the nearest of two steps an octave, so other images usually
             give the same ranges, and with them the same integers
"""

from dataclasses import dataclass

import numpy as np

from tinyvgg.errors import OptionError, ShapeError
from tinyvgg.images import float_images
from tinyvgg.quant.simulate import run

METHODS = ("minmax", "percentile", "error")  # those that "best" chooses among
STEADY = "steady"
BINS = 2048
OUTERMOST = 1e-4
STEPS = 2  # an octave, of steady
COUNTED = 128  # images that histograms are of
BATCH = 64


@dataclass(frozen=True)
class Histogram:
    """Counts of a tensor's values: `counts[i]` fell into the i-th of equal parts of low..high."""

    low: float
    high: float
    counts: np.ndarray


def as_float_images(x, graph):
    """Return images (N, H, W, C), at least one, as float32 in the graph's input range: see tinyvgg.images."""
    if not len(x):
        raise ShapeError("there is no calibration image; expected (N, H, W, C) with N above 0")
    return float_images(x, graph.input_range, shape=graph.input_shape)


def calibrate(graph, x, *, method="minmax"):
    """Return {op: (low, high)} of every tensor of a float Graph, over images x (N, H, W, C), uint8 or in the input range."""
    if method not in (*METHODS, STEADY):
        raise OptionError(f"there is no calibration {method!r}; expected one of {', '.join((*METHODS, STEADY))}")
    return survey(graph, x, counted={"minmax": 0, STEADY: len(x)}.get(method, COUNTED)).by(method)


@dataclass(frozen=True)
class Survey:
    """The smallest and largest value of each tensor, and histograms of tensors whose range a method may reduce."""

    ranges: dict
    histograms: dict

    def by(self, method):
        """{op: (low, high)}"""
        search = {"percentile": percentile_range, "error": least_error_range, STEADY: steady_range}.get(method)
        return self.ranges if method == "minmax" else {**self.ranges, **{name: search(h) for name, h in self.histograms.items()}}


def survey(graph, x, *, counted=COUNTED):
    """Return the Survey of a float Graph over images x; histograms are of the first `counted` of them."""
    x = as_float_images(x, graph)
    ranges = observe(graph, x)
    return Survey(ranges, histograms(graph, x[:counted], ranges) if counted else {})


def observed(graph, x):
    """Yield {op: its values} batch by batch, for every op but the softmax."""
    skip = {op.name for op in graph.ops if op.probabilities}
    for i in range(0, len(x), BATCH):
        values = run(graph, x[i : i + BATCH], keep=True)
        yield {name: v for name, v in values.items() if name not in skip}


def observe(graph, x):
    """Return {op: (least, largest value)}."""
    ranges = {}
    for values in observed(graph, x):
        for name, v in values.items():
            low, high = ranges.get(name, (np.inf, -np.inf))
            ranges[name] = min(low, float(v.min())), max(high, float(v.max()))
    return ranges


def histograms(graph, x, ranges):
    """Return {op: Histogram} over ranges from `observe`, except for images, logits, and pools that keep their input's range."""
    counts = {}
    quiet = {op.name for op in graph.ops if not op.rounds} | {graph.logits.name}
    for values in observed(graph, x):
        for name in values.keys() - quiet:
            low, high = ranges[name]
            places = ((values[name].reshape(-1) - low) * (BINS / max(high - low, 1e-30))).astype(np.int32)
            counts[name] = counts.get(name, 0) + np.bincount(np.clip(places, 0, BINS - 1), minlength=BINS)
    return {name: Histogram(*ranges[name], c) for name, c in counts.items()}


def percentile_range(h, outermost=OUTERMOST):
    """Return the range that excludes the share `outermost` of the values at each end; an end at 0 (after a ReLU) stays."""
    cumulative = np.cumsum(h.counts) / max(h.counts.sum(), 1)
    edges = np.linspace(h.low, h.high, len(h.counts) + 1)
    low = edges[np.searchsorted(cumulative, outermost, side="right")] if h.low < 0 else h.low
    high = edges[np.searchsorted(cumulative, 1 - outermost) + 1]
    return (float(low), float(high)) if high > low else (h.low, h.high)


def steady_range(h):
    """Return percentile_range, with each end rounded to the nearest power of 2^(1/STEPS)."""
    return tuple(float(np.sign(end) * 2 ** (round(np.log2(abs(end)) * STEPS) / STEPS)) if end else 0.0 for end in percentile_range(h))


def least_error_range(h, steps=100):
    """Return the range with the least expected squared error of 256 levels; the full range is shrunk at either end in turn.

    The mean squared error of a value inside the range is scale^2 / 12; outside it is the squared distance to the end.
    """
    centres = h.low + (np.arange(len(h.counts)) + 0.5) * (h.high - h.low) / len(h.counts)

    def error(low, high):
        beyond = np.maximum(np.maximum(low - centres, centres - high), 0)
        return np.dot(h.counts, np.where(beyond > 0, beyond**2, ((high - low) / 255) ** 2 / 12))

    low, high = min(h.low, 0.0), max(h.high, 0.0)
    for _ in range(2):
        high = min((high * (1 - k / steps) for k in range(steps)), key=lambda end: error(low, end)) if high > 0 else high
        low = min((low * (1 - k / steps) for k in range(steps)), key=lambda end: error(end, high)) if low < 0 else low
    return float(low), float(high)
