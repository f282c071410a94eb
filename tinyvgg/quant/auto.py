"""Bits for each layer by measured sensitivity, within a budget of bytes.

The sensitivity of a layer to a choice of bits is how far the network's answers diverge (Kullback-Leibler, in nats) if only that
layer is compressed this way. Divergences are assumed to add up, so the problem is a multiple-choice knapsack. It is solved
exactly: layer by layer, every (bytes, divergence) is kept that no other beats in both.
"""

from dataclasses import dataclass, replace

import numpy as np

from tinyvgg.classifier import as_classes
from tinyvgg.errors import BudgetError, CheckFailed
from tinyvgg.quant.blob import constant_bytes
from tinyvgg.quant.calibrate import as_float_images
from tinyvgg.quant.lower import lower, per_channel_int8
from tinyvgg.quant.model import QuantizedModel
from tinyvgg.quant.ops import Weighted
from tinyvgg.quant.prepare import JUDGED, Options, Prepared, divergence, finished, prepare
from tinyvgg.quant.sharing import sharer
from tinyvgg.quant.simulate import run
from tinyvgg.report.progress import Progress

CHOICES = (8, 4, 3, 2)  # 8: int8 by channel; else codebooks
CHECKED = 2000  # images on which a drop is measured


def automatic(graph, x, y, options):
    """Return the QuantizedModel of a float Graph with the bits that diverge least within `options.flash` bytes of constants.

    Without flash: the smallest model that loses at most max_drop points (default 0.5) of accuracy on training images x, y. With
    both: raises CheckFailed if the loss is larger. Raises BudgetError, which names the smallest possible size, if flash is too
    small.
    """
    prepared = prepare(graph, x[: options.calibration_images], calibration=options.calibration)
    work = _Work(prepared, x, y, sensitivities(prepared, x, per=options.per, quiet=options.quiet), options)
    front = knapsack(work.table)
    return work.smallest(front) if options.flash is None else work.within(best_within(front, options.flash))


def mixed(bits, per="layer"):
    """Return a `quantise` for lower that gives each op its own bits: {op: 8 | 4 | 3 | 2}."""
    sharers = {b: per_channel_int8 if b == 8 else sharer(b, per=per) for b in set(bits.values())}
    return lambda op, floor: sharers[bits[op.name]](op, floor)


def sensitivities(prepared, x, *, per="layer", quiet=True):
    """Return {op: {bits: (bytes, divergence)}}: each op compressed alone, the others int8."""
    floats = as_float_images(x[:JUDGED], prepared.graph)
    reference = as_classes(run(prepared.graph, floats))
    names = [op.name for op in prepared.graph.ops if isinstance(op, Weighted)]
    table, progress = {name: {} for name in names}, Progress(len(names) * len(CHOICES), "sensitivity", "trials", quiet=quiet)
    for name in names:
        for bits in CHOICES:
            choice = {**dict.fromkeys(names, 8), name: bits}
            graph = lower(prepared.graph, prepared.ranges, quantise=mixed(choice, per))
            table[name][bits] = constant_bytes(graph)[name], divergence(reference, QuantizedModel(graph).logits(floats))
            progress.advance()
    progress.close()
    return table


def knapsack(table):
    """Return every choice that no other beats in both bytes and divergence: (bytes, divergence, {op: bits}), bytes ascending."""
    front = [(0, 0.0, ())]
    for options in table.values():
        grown = [(size + s, error + e, (*bits, b)) for size, error, bits in front for b, (s, e) in options.items()]
        front = []
        for candidate in sorted(grown, key=lambda c: (c[0], c[1])):
            if not front or candidate[1] < front[-1][1]:
                front.append(candidate)
    return [(size, error, dict(zip(table, bits, strict=True))) for size, error, bits in front]


def best_within(front, budget):
    """Return the choice with the least divergence within `budget` bytes; raise BudgetError if there is none."""
    fitting = [entry for entry in front if entry[0] <= budget]
    if not fitting:
        raise BudgetError(
            f"the constants cannot fit {budget:,} bytes; the least is {front[0][0]:,}, with 2 bits in every layer where they help",
            f"--flash {-(-front[0][0] // 1024)}K, or fewer or smaller layers",
        )
    return fitting[-1][2]


@dataclass(frozen=True)
class _Work:
    """Everything that is needed to build a choice of bits."""

    prepared: Prepared
    x: np.ndarray
    y: np.ndarray
    table: dict
    options: Options

    def build(self, choice, *, epochs):
        """Return the model of a choice {op: bits}, and its measured drop in accuracy."""
        divergences = {name: {str(bits): error for bits, (_, error) in row.items()} for name, row in self.table.items()}
        auto = {"bits": choice, "divergence": divergences, "flash": self.options.flash, "max_drop": self.options.max_drop}
        facts = {"scheme": "auto", "codebook_per": self.options.per, "auto": auto}
        options = replace(self.options, epochs=epochs)
        model = finished(self.prepared, self.x, self.y, mixed(choice, self.options.per), facts, options)
        auto["drop_on_training_images"] = accuracy_drop(self.prepared.graph, model, self.x, self.y)
        return model, auto["drop_on_training_images"]

    def within(self, choice):
        """Return the model of a choice that meets the budget, after a check of max_drop."""
        model, drop = self.build(choice, epochs=self.options.epochs)
        allowed = self.options.max_drop
        if allowed is not None and drop > allowed:
            raise CheckFailed(
                f"within {self.options.flash:,} bytes the model loses {drop:.2f} points on training images; expected up to {allowed:g}",
                "a larger --flash, or --finetune 2",
            )
        return model

    def smallest(self, front):
        """Bisect the front (ascending in bytes) for the smallest choice whose measured drop is small enough."""
        allowed = 0.5 if self.options.max_drop is None else self.options.max_drop
        low, high, found, choice = 0, len(front) - 1, None, None
        while low <= high:
            middle = (low + high) // 2
            model, drop = self.build(front[middle][2], epochs=0)
            if drop <= allowed:
                found, choice, high = model, front[middle][2], middle - 1
            else:
                low = middle + 1
        if found is None:
            raise CheckFailed(f"even with 8 bits everywhere the model loses more than {allowed:g} points on training images",
                              "more calibration images, or a larger --max-drop")
        return self.build(choice, epochs=self.options.epochs)[0] if self.options.epochs else found


def accuracy_drop(graph, model, x, y):
    """Return the points of accuracy that an integer model loses against its float graph, on the last CHECKED images of x."""
    x, y = x[-CHECKED:], np.asarray(y)[-CHECKED:]
    floats = as_float_images(x, graph)
    reference = as_classes(np.concatenate([run(graph, floats[i : i + 128]) for i in range(0, len(floats), 128)]))
    return 100 * float((reference.argmax(axis=1) == y).mean() - (model.labels(x) == y).mean())
