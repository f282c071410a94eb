"""The scheme coded: 8-bit integers whose weights are a few values with a prefix code, with the fewest bits for the loss that they
cause.

A layer's values are chosen by entropy-constrained scalar quantisation (Chou, Lookabaugh and Gray, 1989): in turn, each weight is
assigned to the value with the smallest (error^2 + price * bits of its code), each value becomes the mean of its weights, and code
lengths follow the frequencies. The whole network has one price of a bit, measured in divergence of the answers. A layer's own
price is that price divided by its sensitivity: the divergence (Kullback-Leibler, in nats) per squared error, measured with only
this layer coded. A bisection of the price then meets a budget of bytes. Sensitivities depend a little on the prices, so they are
measured twice. Of both, and of their mean, the one is used that diverges least after biases are corrected for the mean error of
the coded weights.
"""
import math
from dataclasses import dataclass, replace

import numpy as np

from tinyvgg.classifier import as_classes
from tinyvgg.errors import BudgetError
from tinyvgg.quant.blob import constant_bytes, weight_bytes
from tinyvgg.quant.calibrate import as_float_images
from tinyvgg.quant.equalize import correct_biases
from tinyvgg.quant.kmeans1d import cheapest
from tinyvgg.quant.lower import lower, per_channel_int8
from tinyvgg.quant.model import QuantizedModel
from tinyvgg.quant.ops import CodedWeights, Weighted, along
from tinyvgg.quant.prefix import LONGEST, code_lengths
from tinyvgg.quant.prepare import divergence, prepare
from tinyvgg.quant.sharing import assign, scales
from tinyvgg.quant.simulate import run
from tinyvgg.report.progress import Progress

JUDGED = 512        # training images by which sensitivities are measured
MOST = 127          # values of a layer
ROUNDS = 12         # of weights, values and codes in turn
STEPS = 40          # of a bisection
COARSE = 0.1        # price of a bit, in variances of a layer's weights, at which sensitivities are measured first: about two bits a weight
REFINED = 2         # how often prices are found from sensitivities at the prices before


def code(graph, x, y, options):
    """Return the QuantizedModel of a float Graph whose constants fit `options.flash` bytes, calibrated on training images x.

    With epochs it is first fine-tuned to labels y, with the values and prices already found. Raises BudgetError, which names the
    smallest possible size, if the bytes are too few.
    """
    prepared = prepare(graph, x[: options.calibration_images], calibration=options.calibration)
    search, prices = Search(prepared, x, options.quiet).best(options.flash)
    facts = {"scheme": "coded", "flash": options.flash, "seed": options.seed, "calibration": prepared.record, "prices": prices}
    if not options.epochs:
        return QuantizedModel(search.lowered(prices, facts), float_graph=search.prepared.graph)
    from tinyvgg.quant.finetune import finetune, start_codebooks

    settings = {"epochs": options.epochs, "learning_rate": options.learning_rate, "seed": options.seed}
    books = start_codebooks(search.prepared.graph, search.coder(prices))
    for name, book in books.items():
        book.costs = prices[name] * search.layers[name].book(prices[name])[1]
    learnt, _ = finetune(search.prepared.graph, prepared.ranges, x, y, books=books, quiet=options.quiet, **settings)
    after = Search(replace(prepared, graph=learnt), x, options.quiet)
    facts |= {"fine_tuning": {**settings, "images": len(x)}, "prices": (prices := after.scaled(prices, options.flash))}
    return QuantizedModel(after.lowered(prices, facts), float_graph=learnt)


class Search:
    """Prices of a bit for each layer of a Prepared graph: {op: price}, in squares of its int8 steps (see sharing.scales)."""

    def __init__(self, prepared, x, quiet=True):
        self.prepared, self.quiet = prepared, quiet
        self.ops = [op for op in prepared.graph.ops if isinstance(op, Weighted)]
        self.x, self.floats = x[:JUDGED], as_float_images(x[:JUDGED], prepared.graph)
        self.layers = {op.name: Layer.of(op) for op in self.ops}
        self.fixed = sum(constant_bytes(self.lowered({})).values()) - sum(op.weights.size for op in self.ops)

    def best(self, flash):
        """Return the Search with the biases, and the prices, at which the network diverges least within `flash` bytes of constants."""
        reference = as_classes(run(self.prepared.graph, self.floats))
        found = [self.corrected(prices, flash) for prices in self.candidates(reference, flash)]
        return min(found, key=lambda f: divergence(reference, QuantizedModel(f[0].lowered(f[1])).logits(self.floats)))

    def candidates(self, reference, flash):
        """Prices within `flash` bytes: by sensitivities at coarse prices, at those prices, and by the mean of both."""
        prices = [{name: COARSE * layer.variance for name, layer in self.layers.items()}]
        progress = Progress(REFINED * len(self.layers), "sensitivity", "trials", quiet=self.quiet)
        for _ in range(REFINED):
            shares = {}
            for name, price in prices[-1].items():
                diverged = divergence(reference, QuantizedModel(self.lowered({name: price})).logits(self.floats))
                shares[name] = self.layers[name].error(price) / max(diverged, 1e-12)
                progress.advance()
            prices.append(self.scaled(shares, flash))
        progress.close()
        mean = {name: math.sqrt(prices[-2][name] * prices[-1][name]) for name in self.layers}
        return [*prices[1:], self.scaled(mean, flash)]

    def corrected(self, prices, flash):
        """Return a Search with biases corrected for the mean error of the weights at these prices, and new prices (biases that
        were 0 now take bytes)."""
        graph = correct_biases(self.prepared.graph, self.x, self.coder(prices))
        search = Search(replace(self.prepared, graph=graph), self.x, self.quiet)
        return search, search.scaled(prices, flash)

    def scaled(self, shares, flash):
        """Return {op: share * price} for the least price at which the constants fit `flash` bytes."""
        low, high = -60.0, 60.0
        at = {p: sum(self.layers[n].bytes(s * 2.0**p) for n, s in shares.items()) + self.fixed for p in (low, high)}
        if at[high] > flash:
            raise BudgetError(f"the constants cannot fit {flash:,} bytes, coded; the least is {at[high]:,}", f"--flash {at[high]}")
        for _ in range(STEPS):
            middle = (low + high) / 2
            size = sum(self.layers[n].bytes(s * 2.0**middle) for n, s in shares.items()) + self.fixed
            low, high = (low, middle) if size <= flash else (middle, high)
        return {name: float(share * 2.0**high) for name, share in shares.items()}

    def coder(self, prices):
        """A `quantise` for lower: the ops of {op: price} coded where that is smaller, the others int8."""
        def quantise(op, floor):
            if op.name not in prices or not self.layers[op.name].gains(prices[op.name]):
                return per_channel_int8(op, floor)
            scale = scales(op.weights, floor, bits=4, per="layer")
            book, lengths = self.layers[op.name].book(prices[op.name])
            shared = assign(op.weights, scale, book, 8, prices[op.name] * lengths)
            return CodedWeights.from_indices(book, shared.indices), scale
        return quantise

    def lowered(self, prices, facts=None):
        """The Graph of integers at {op: price}."""
        return lower(self.prepared.graph, self.prepared.ranges, quantise=self.coder(prices), facts=facts)


@dataclass(frozen=True)
class Layer:
    """One layer's weights in int8 steps of their channel's scale, ascending, and sums over them."""
    units: np.ndarray
    sums: np.ndarray
    known: dict

    @classmethod
    def of(cls, op):
        """From an op of a float graph."""
        scale = scales(op.weights, np.zeros(len(op.weights)), bits=4, per="layer")
        return cls.of_units(op.weights / along(scale, op.weights))

    @classmethod
    def of_units(cls, units):
        """From weights in int8 steps, of any shape."""
        flat = np.sort(np.clip(units, -127, 127).astype(np.float64), axis=None)
        return cls(flat, np.concatenate([[0.0], np.cumsum(flat)]), {})

    @property
    def variance(self):
        """Mean square of the weights."""
        return float((self.units**2).mean())

    def error(self, price):
        """Squared error of all weights at a price."""
        book, lengths = self.book(price)
        return float(((self.units - book[cheapest(self.units, book, price * lengths)]) ** 2).sum())

    def bytes(self, price):
        """Return the bytes of the constants for the weights at a price: of int8 if that is less."""
        return min(self._coded(price), len(self.units))

    def gains(self, price):
        """Whether coded weights are smaller than int8."""
        return self._coded(price) < len(self.units)

    def _coded(self, price):
        if (key := ("bytes", price)) not in self.known:
            book, lengths = self.book(price)
            self.known[key] = weight_bytes(CodedWeights.from_indices(book, cheapest(self.units, book, price * lengths)))
        return self.known[key]

    def book(self, price):
        """Return the values (K,) int8, ascending, 0 among them, and the lengths of their codes at a price: see this module."""
        if price not in self.known:
            self.known[price] = self._book(price)
        return self.known[price]

    def _book(self, price):
        step = max(2.0 * 127 / (MOST - 1), 2.5 * math.sqrt(price))
        reach = int(max(-self.units[0], self.units[-1]) // step) + 1
        values = np.unique(np.clip(step * np.arange(-reach, reach + 1), -127, 127))
        bits = np.zeros(len(values))
        for _ in range(ROUNDS):
            counts, means = self._parts(values, price * bits)
            values, counts = means[counts > 0], counts[counts > 0]
            bits = np.minimum(np.log2(len(self.units) / counts), LONGEST)
        values = np.unique(np.append(np.rint(np.delete(values, np.abs(values).argmin())), 0).astype(np.int8))
        if len(values) < 2:
            values = np.array([0, np.clip(np.rint(self.units[-1]), 1, 127)], np.int8)
        lengths = code_lengths(self._parts(values.astype(np.float64), np.zeros(len(values)))[0])
        counts = self._parts(values.astype(np.float64), price * lengths)[0]
        keep = (counts > 0) | (values == 0)
        if keep.sum() >= 2:
            values, counts = values[keep], counts[keep]
        return values, code_lengths(counts)

    def _parts(self, values, costs):
        """How many weights each value gets, and their mean."""
        ends = np.bincount(cheapest(self.units, values, costs), minlength=len(values)).cumsum()
        counts, sums = np.diff(ends, prepend=0), np.diff(self.sums[ends], prepend=0)
        return counts, np.where(counts > 0, sums / np.maximum(counts, 1), values)

