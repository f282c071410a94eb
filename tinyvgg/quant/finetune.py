"""Quantisation-aware training: the float graph learns with its weights and activations rounded as the integer graph rounds them.

Forward, every weight goes through `project` (int8 steps, or the entries of a codebook) and every activation through the levels of
its range; backward, rounding passes the gradient on and saturation passes none (Bengio et al., 2013, arXiv:1308.3432). Codebooks
learn too: an entry's gradient is the sum over its weights (Han et al., 2016, arXiv:1510.00149, section 3.3), each in units of
its channel's scale. Their indices are fixed, or assigned again at each step from weights that continue to learn. The loss
combines the labels with the answers of the original float graph (Hinton et al., 2015, arXiv:1503.02531).
"""

from dataclasses import dataclass, replace

import numpy as np

from tinyvgg import kernels, rng
from tinyvgg.classifier import as_classes, of_outputs
from tinyvgg.data.batches import batches
from tinyvgg.errors import OptionError
from tinyvgg.kernels.reference import softmax
from tinyvgg.nn import losses
from tinyvgg.quant.calibrate import as_float_images
from tinyvgg.quant.fixedpoint import scale_and_zero
from tinyvgg.quant.graph import Graph
from tinyvgg.quant.lower import per_channel_int8
from tinyvgg.quant.ops import SharedWeights, Weighted, along
from tinyvgg.quant.sharing import assign
from tinyvgg.quant.simulate import pull
from tinyvgg.report.progress import Progress
from tinyvgg.train.optimizers import Adam
from tinyvgg.train.schedules import Cosine

TAIL_ARRAYS = ("bias", "gain", "shift")


@dataclass
class Codebook:
    """The codebook of an op during fine-tuning.

    entries: float32 (K,) for the layer or (F, K), as weights of a channel whose scale is `unit` (a number, or (F, 1)), so that an
    optimizer sees them at the size of weights; scale: (F,); indices: fixed ones, or None where they are re-assigned; costs: (K,) of
    the entries' codes, in squares of int8 steps, where an index is stored by a code.
    """

    entries: np.ndarray
    unit: np.ndarray
    scale: np.ndarray
    bits: int
    indices: np.ndarray | None = None
    costs: np.ndarray | None = None

    def rounded(self):
        """The entries as int8."""
        return np.clip(np.rint(self.entries / self.unit), -127, 127).astype(np.int8)

    def by_entry(self, dweights, indices):
        """Sum the gradient of projected weights (F, ...) over the weights of each entry: as `entries`."""
        share = dweights.reshape(len(dweights), -1) * self.scale[:, None]
        k, flat = self.entries.shape[-1], indices.reshape(len(indices), -1).astype(np.int64)
        if self.entries.ndim == 1:
            return (np.bincount(flat.reshape(-1), share.reshape(-1), k) / self.unit).astype(np.float32)
        rows = flat + k * np.arange(len(flat))[:, None]
        sums = np.bincount(rows.reshape(-1), share.reshape(-1), k * len(flat))
        return (sums.reshape(self.entries.shape) / self.unit).astype(np.float32)


def start_codebooks(graph, quantise, *, fixed=False):
    """Return {op: Codebook} from the SharedWeights that `quantise` (sharing.sharer's) makes of a float Graph's weights."""
    books = {}
    for op in graph.ops:
        if isinstance(op, Weighted):
            shared, scale = quantise(op, np.zeros(len(op.weights)))
            if isinstance(shared, SharedWeights):
                unit = np.float32(scale.mean()) if shared.codebook.ndim == 1 else scale[:, None].astype(np.float32)
                books[op.name] = Codebook(shared.codebook * unit, unit, scale, shared.bits, shared.indices if fixed else None)
    return books


def finetune(
    graph, ranges, x, y, *, books=None, epochs=1, batch_size=64, learning_rate=1e-4, imitate=0.5, augment=None, seed=0, quiet=True
):
    """Train a float Graph so that its integer version gets better; return the new float Graph and {op: (int8 entries, scale)} for
    `sharer(entries=...)`.

    ranges: {op: (low, high)} from calibrate; they do not change. x: training images (N, H, W, C), uint8 or in the graph's input
    range; y: labels (N,). books: {op: Codebook} of start_codebooks; ops without one get int8 weights. imitate: share of the loss
    that compares with the answers before fine-tuning. augment: a function (x, generator) -> x on uint8 or float batches.
    """
    if not 0 <= imitate <= 1 or epochs < 1 or len(x) != len(y):
        raise OptionError(
            f"fine-tuning got imitate {imitate}, {epochs} epochs, {len(x)} images and {len(y)} labels; expected 0..1, "
            "1 or more epochs, one label an image"
        )
    trainer, teacher = _Rounded(graph, ranges, books or {}), network_of(graph)
    steps = -(-len(x) // batch_size) * epochs
    optimizer = Adam(Cosine(learning_rate, steps))
    progress = Progress(len(x) * epochs, "fine-tune", quiet=quiet)
    for epoch in range(epochs):
        generator = rng.generator(seed, "finetune", epoch)
        for index in batches(len(x), batch_size, seed=seed, epoch=epoch):
            images = x[index] if augment is None else augment(x[index], generator)
            images = as_float_images(images, graph)
            loss = trainer.step(images, y[index], teacher.logits(images) if imitate else None, imitate, optimizer)
            progress.advance(len(index), f"loss {loss:.3f}")
    progress.close()
    return trainer.result(), {name: (np.sort(book.rounded(), axis=-1), book.scale) for name, book in trainer.books.items()}


def levels_of(scale, zero):
    """Return (scale, first, last) of an op with uint8 results: its levels are scale times the whole numbers from first to
    last."""
    return scale, -zero, 255 - zero


def network_of(graph, levels=None):
    """Return an object for the forward and backward pass of a float Graph whose results are rounded to levels {op: (scale, first,
    last)}. It uses the fused kernels, or the definition of each op."""
    if kernels.active() == "fast":
        from tinyvgg.quant.fast.learn import Network

        return Network(graph, levels)
    return ByDefinition(graph, levels)


class ByDefinition:
    """Computes the same as quant.fast.learn.Network, op by op."""

    def __init__(self, graph, levels=None):
        self.graph, self.levels, self.values = graph, levels or {}, {}

    def load(self, graph):
        """Replace the arrays by those of a graph with the same ops."""
        self.graph = graph

    def logits(self, x):
        """x (N, H, W, C) in the graph's input range -> logits; nothing is kept for `gradients`."""
        return self._run(x)[self.graph.logits.name]

    def forward(self, x):
        """Like `logits`, but keep what `gradients` needs."""
        self.values = self._run(x)
        return self.values[self.graph.logits.name]

    def _run(self, x):
        values = {"": x}
        for op in self.graph.ops:
            y = op.forward(*([values[i] for i in op.inputs] or [x]))
            if op.name in self.levels:
                scale, first, last = self.levels[op.name]
                y = np.clip(np.rint(y * np.float32(1 / scale)), first, last) * np.float32(scale)
            values[op.name] = y
        return values

    def gradients(self, dlogits):
        """Return {(op, array): gradient} for the images of the last `forward`."""
        limits = {name: (scale * (first - 0.5), scale * (last + 0.5)) for name, (scale, first, last) in self.levels.items()}
        return pull(self.graph, self.values, dlogits, limits=limits)[1]


class _Rounded:
    """The graph being trained: master arrays, and passes through their rounded versions."""

    def __init__(self, graph, ranges, books):
        self.graph, self.books = graph, books
        rounded = (op.name for op in graph.ops if op.rounds and op is not graph.logits)
        self.levels = {name: levels_of(*scale_and_zero(*ranges[name])) for name in rounded}
        self.network, self.arrays = network_of(graph, self.levels), {}
        for op in graph.ops:
            if isinstance(op, Weighted):
                self.arrays[op.name, "weights"] = np.array(op.weights, np.float32)
                for name in TAIL_ARRAYS:
                    if getattr(op.tail, name) is not None:
                        self.arrays[op.name, name] = np.array(getattr(op.tail, name), np.float32)

    def project(self, op):
        """Return the weights nearest to the master weights that the integer graph can represent."""
        weights, book = self.arrays[op.name, "weights"], self.books.get(op.name)
        if book is None:
            q, scale = per_channel_int8(replace(op, weights=weights), np.full(len(weights), 1e-30))
            return _scaled(q, scale), None
        if book.indices is not None:
            shared = SharedWeights(book.rounded(), book.indices, book.bits)
        else:
            book.entries.sort(axis=-1)
            shared = assign(weights, book.scale, book.rounded(), book.bits, book.costs)
        return _scaled(shared.expand(), book.scale), shared.indices

    def rounded_graph(self):
        """Return the graph with projected weights, and {op: indices into its codebook}."""
        ops, indices = [], {}
        for op in self.graph.ops:
            if isinstance(op, Weighted):
                weights, indices[op.name] = self.project(op)
                op = replace(op, weights=weights, tail=self._tail(op))
            ops.append(op)
        return replace(self.graph, ops=tuple(ops)), indices

    def _tail(self, op):
        return replace(op.tail, **{name: self.arrays[op.name, name] for name in TAIL_ARRAYS if (op.name, name) in self.arrays})

    def step(self, x, labels, teacher, imitate, optimizer):
        """Run one step of the optimizer on a batch with the teacher's logits; return the loss."""
        graph, indices = self.rounded_graph()
        self.network.load(graph)
        logits = as_classes(self.network.forward(x))
        loss, dlogits = losses.cross_entropy(logits, labels)
        if imitate:
            soft_loss, soft = losses.cross_entropy(logits, softmax(as_classes(teacher)))
            loss, dlogits = (1 - imitate) * loss + imitate * soft_loss, (1 - imitate) * dlogits + imitate * soft
        gradients = self.network.gradients(of_outputs(dlogits.astype(np.float32), graph.logits.shape))
        updates = []
        for (op, name), g in gradients.items():
            book = self.books.get(op) if name == "weights" else None
            if book is not None:
                updates.append((f"{op}/codebook", book.entries, book.by_entry(g, indices[op])))
            if book is None or book.indices is None:
                updates.append((f"{op}/{name}", self.arrays[op, name], g))
        optimizer.apply(updates)
        return loss

    def result(self):
        """Return the float graph with the learnt arrays; weights with fixed indices have the values of their entries."""
        ops = []
        for op in self.graph.ops:
            if isinstance(op, Weighted):
                book = self.books.get(op.name)
                weights = self.arrays[op.name, "weights"] if book is None or book.indices is None else self.project(op)[0]
                op = replace(op, weights=weights, tail=self._tail(op))
            ops.append(op)
        return Graph(name=self.graph.name, ops=tuple(ops), input_range=self.graph.input_range, facts=self.graph.facts)


def _scaled(q, scale):
    return (q * along(scale, q)).astype(np.float32)
