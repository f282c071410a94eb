"""Weight sharing: indices into an optimal codebook, per layer or per channel, with float32 or int8 entries (see kmeans1d.py).

An int8 codebook has weights in units of each channel's scale. For a codebook of a whole layer, channels are first scaled to the
same standard deviation; weights beyond `REACH` deviations are clipped.
"""

import numpy as np

from tinyvgg.errors import OptionError
from tinyvgg.quant.kmeans1d import cheapest, nearest, optimal_codebook, optimal_integer_codebook
from tinyvgg.quant.ops import SharedWeights, along

REACH = 8.0
PER = ("layer", "channel")


def share_float(weights, bits, *, per="layer"):
    """Return float32 weights (F, ...) as SharedWeights with 2^bits float32 entries at most."""
    _check(bits, per)
    if per == "layer":
        book = _rounded_book(weights, bits)
        return SharedWeights(book, nearest(weights, book).astype(np.uint8), bits)
    books = [_rounded_book(row, bits) for row in weights]
    indices = np.stack([nearest(row, book) for row, book in zip(weights, books, strict=True)])
    return SharedWeights(_same_length(books), indices.astype(np.uint8), bits)


def _rounded_book(weights, bits):
    """Optimal entries as float32, ascending, each once."""
    return np.unique(optimal_codebook(weights, 2**bits).astype(np.float32))


def _same_length(books):
    """Stack codebooks, the shorter ones filled with their last entry."""
    longest = max(map(len, books))
    return np.stack([np.concatenate([b, np.repeat(b[-1:], longest - len(b))]) for b in books])


def sharer(bits, *, per="layer", entries=None):
    """Return a `quantise` for lower: weights (F, ...) become SharedWeights of int8, at most 2^bits entries.

    entries: codebooks that fine-tuning has learnt, {op: (codebook int8 (K,) or (F, K), scale (F,))}, used instead of new ones.
    """
    _check(bits, per)
    known = {}  # op -> (weights, other inputs, SharedWeights): calibrations lower the same weights again and again

    def quantise(op, floor):
        scale = scales(op.weights, floor, bits, per)
        if entries and op.name in entries:
            book, learnt = entries[op.name]
            scale = np.maximum(learnt, floor)
            return assign(op.weights, scale, book, bits), scale
        key = scale.tobytes() + (floor > 0).tobytes()
        weights, before, shared = known.get(op.name, (None, None, None))
        if weights is not op.weights or before != key:
            shared = share(op, floor, scale)
            known[op.name] = op.weights, key, shared
        return shared, scale

    def share(op, floor, scale):
        units = np.clip(op.weights / along(scale, op.weights), -127, 127)
        # A channel whose weights all round to 0 must be able to be 0: see lower_tail.
        silent = (np.abs(units.reshape(len(units), -1)).max(axis=1) < 0.5) & (floor > 0)
        return assign(op.weights, scale, _integer_book(units, 2**bits, per, silent), bits)

    return quantise


def assign(weights, scale, book, bits, costs=None):
    """Return weights (F, ...) as SharedWeights: the nearest entries of `book` (int8, ascending, (K,) or (F, K)) times scale (F,).
    With costs (K,), the entries with the least squared error plus cost."""
    units = weights / along(scale, weights)
    if book.ndim == 1:
        indices = nearest(units, book) if costs is None else cheapest(units, book, costs)
    else:
        indices = np.stack([nearest(row, entries) for row, entries in zip(units, book, strict=True)])
    return SharedWeights(book, indices.astype(np.uint8), bits)


def _integer_book(units, k, per, silent):
    if per == "layer":
        return optimal_integer_codebook(units, k, must_hold_zero=bool(silent.any()))
    return _same_length([optimal_integer_codebook(row, k, must_hold_zero=bool(s)) for row, s in zip(units, silent, strict=True)])


def scales(weights, floor, bits, per):
    """Return the unit of each channel (F,), at least floor (F,), with which the entries -127..127 cover the weights (F, ...)."""
    rows = weights.reshape(len(weights), -1).astype(np.float64)
    largest = np.abs(rows).max(axis=1)
    if per == "channel" or bits >= 8:
        return np.maximum(largest / 127, np.maximum(floor, 1e-30))
    deviation = np.sqrt((rows**2).mean(axis=1))
    reach = min(float((largest[deviation > 0] / deviation[deviation > 0]).max(initial=1.0)), REACH)
    return np.maximum(deviation * reach / 127, np.maximum(floor, 1e-30))


def _check(bits, per):
    if bits not in range(1, 9) or per not in PER:
        raise OptionError(f"codebooks of {bits} bits per {per} were asked for; expected 1..8 bits, per layer or channel")
