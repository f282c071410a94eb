"""A network's stored numbers, as arrays whose bits can be changed; one class for each form of storage.

A store's `arrays` are named "op/array", exactly as stored: "conv2d/weights", "dense/bias", "conv2d_1/multiplier", "dense/indices".
    FileStore     a .tvq graph, of integers or floats: the arrays of the file
    ImageStore    the constants of the generated C, as stored in flash (image.py)
    KerasStore    an nn.Model: the arrays of its .h5, kernels, biases and batch-norms' four (keras.py)
"""
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tinyvgg.classifier import labels_of
from tinyvgg.errors import FormatError, NotYet, OptionError
from tinyvgg.faults import bits
from tinyvgg.images import byte_images, float_images
from tinyvgg.quant.ops.base import plain
from tinyvgg.quant.ops.tail import Tail
from tinyvgg.quant.ops.weighted import Weighted
from tinyvgg.quant.ops.weights import CodedWeights, SharedWeights
from tinyvgg.types import AnyArray, Images, Integers, Labels

KINDS = {"weights": ("weights",), "codebook": ("codebook",), "index": ("indices",), "bias": ("bias",),
         "requantisation": ("offset", "multiplier", "high", "tail_shift"), "batchnorm": ("gain", "shift", "gamma", "beta", "moving_mean",
                                                                                "moving_variance")}
SHIFT_BITS = 5              # of an op's shift: beyond 31 C does not say what happens


class Store:
    """Arrays whose bits can be flipped, and the network that they form. Subclasses fill `arrays` and define `logits` and
    `sha256`."""

    form = "file"

    def __init__(self, name: str, n_classes: int) -> None:
        self.name, self.n_classes, self.arrays = name, n_classes, {}

    def bits(self, key: Any) -> int:
        """How many bits of each number of an array are stored: all of its dtype, fewer for indices and shifts."""
        return SHIFT_BITS if key.endswith("/tail_shift") else bits.width(self.arrays[key])

    def usable(self, key: Any):
        """Return which numbers (n,) of an array are used: all but padding."""
        return np.ones(self.arrays[key].size, bool)

    def kind(self, key: Any):
        """The kind of an array: one of KINDS."""
        name = key.rsplit("/", 1)[1]
        return next((kind for kind, names in KINDS.items() if name in names), "weights")

    def select(self, tensors: str | Sequence[str] = "weights"):
        """Return the keys of `tensors`: "all", a kind, a key, or several of them separated by commas (or a sequence)."""
        wanted = [t.strip() for t in tensors.split(",")] if isinstance(tensors, str) else list(tensors)
        found = [key for key in self.arrays if "all" in wanted or key in wanted or self.kind(key) in wanted
                 or self.kind(key) == "codebook" and wanted == ["weights"] or key.rsplit("/", 1)[0] in wanted]
        known = {"all", *KINDS, *self.arrays, *(key.rsplit("/", 1)[0] for key in self.arrays)}
        strange = [t for t in wanted if t not in known]
        if strange or not found:
            have = sorted({self.kind(key) for key in self.arrays})
            raise OptionError(f"{self.name} stores no {strange[0] if strange else ', '.join(wanted)!r}; it has {', '.join(have)}",
                              "--tensors all, a kind, or an array such as " + next(iter(self.arrays)))
        return found

    def select_bits(self, keys: Sequence[str], only_bits: Sequence[int] | None):
        """Return only_bits as a list, or None for all; raise OptionError for a bit that no number of the arrays `keys` has."""
        if only_bits is None:
            return None
        chosen, most = [int(bit) for bit in only_bits], max(self.bits(key) for key in keys)
        strange = [bit for bit in chosen if not 0 <= bit < most]
        if strange:
            raise OptionError(f"bit {strange[0]} was chosen; these numbers have bits 0 to {most - 1}", f"--bits {most - 2},{most - 1}")
        return chosen

    def count_bits(self, keys: Any) -> int:
        """Return the stored bits of some arrays."""
        return sum(int(self.usable(key).sum()) * self.bits(key) for key in keys)

    def check(self, key: Any, index: Any, bit: int):
        """Raise OptionError unless (key, index, bit) is a stored bit."""
        if key not in self.arrays:
            near = ", ".join(k for k in self.arrays if k.split("/")[0] == key.split("/")[0]) or ", ".join(list(self.arrays)[:4])
            raise OptionError(f"{self.name} stores no array {key!r}; it has {near}")
        if not 0 <= index < self.arrays[key].size:
            raise OptionError(f"index {index} is outside {key} of {self.arrays[key].size} numbers")
        if not 0 <= bit < self.bits(key):
            raise OptionError(f"bit {bit} is outside {key}, whose numbers have {self.bits(key)} bits")

    def toggle(self, flips: Any):
        """Invert the bits (key, index, bit) of `flips`; all are checked first. A second toggle undoes the first."""
        flips = list(flips)
        for flip in flips:
            self.check(*flip)
        for key, index, bit in flips:
            flat = self.arrays[key].reshape(-1)
            flat[index] = bits.flipped(flat[index:index + 1], bit)[0]
        self.changed({key for key, _, _ in flips})

    def changed(self, keys: Any):
        """Called with the keys whose arrays have changed."""

    def labels(self, x: Images, *, batch_size: int = 250) -> Integers:
        """x (N, H, W, C) -> (N,) int64; -1 (not a class) if flipped weights make an answer NaN."""
        with np.errstate(all="ignore"):
            return labels_of(self.logits(x, batch_size=batch_size), broken=-1)

    def accuracy(self, x: Images, y: Labels) -> float:
        """Return the share of images x whose label is y (N,)."""
        return float((self.labels(x) == np.asarray(y)).mean())


class GraphStore(Store):
    """A store whose network is a Graph: `op(name)` builds one op from the current arrays."""

    def __init__(self, graph: Any) -> None:
        super().__init__(graph.name, graph.logits.shape[-1])
        refuse_coded(graph)
        self.original = graph
        self._built = {}

    def changed(self, keys: Any):
        for key in keys:
            self._built.pop(key.rsplit("/", 1)[0], None)

    def op(self, name: str):
        """Return the op called `name`, with the current arrays."""
        if name not in self._built:
            self._built[name] = self.build(self.original[name], self.arrays)
        return self._built[name]

    @property
    def graph(self):
        """Return the Graph of the current arrays. It may fail check_graph."""
        return replace(self.original, ops=tuple(self.op(op.name) for op in self.original.ops))

    @property
    def sha256(self):
        """SHA-256 of the graph before any flip: the model that a plan is for; the board sends it in its HELLO."""
        from tinyvgg.quant.tvq import graph_sha256
        return graph_sha256(self.original)

    @property
    def is_integer(self) -> bool:
        return self.original.integer

    def logits(self, x: Images, *, batch_size: int = 250) -> AnyArray:
        """x (N, H, W, C) -> (N, classes) float32, with overflow modulo 2^32 as in C."""
        from tinyvgg.faults.execute import run
        x = self.check_images(x)
        parts = [run(self, x[i:i + batch_size]) for i in range(0, len(x), batch_size)]
        return self.real(np.concatenate(parts))

    def check_images(self, x: Images):
        """Return images as the graph takes them."""
        return (byte_images if self.is_integer else float_images)(x, self.original.input_range, shape=self.original.input_shape)

    def real(self, raw: Any):
        """The last op's result as float32 logits (N, classes)."""
        last, raw = self.original.logits, raw.reshape(len(raw), -1)
        return raw if raw.dtype == np.float32 else np.float32(last.scale) * (raw.astype(np.float32) - np.float32(last.zero))


class FileStore(GraphStore):
    """The arrays of a graph as in its .tvq file. (An attacker would update the file's hash.)"""

    def __init__(self, graph: Any) -> None:
        super().__init__(graph)
        for op in graph.ops:
            if isinstance(op, Weighted):
                self.arrays.update({f"{op.name}/{name}": np.array(a) for name, a in _stored(op)})

    def bits(self, key: Any):
        if key.endswith("/indices"):
            return self.original[key.rsplit("/", 1)[0]].weights.bits
        return super().bits(key)

    def build(self, op: Any, arrays: Any):
        """Return `op` with its arrays taken from `arrays` {key: array}."""
        if not isinstance(op, Weighted):
            return op
        mine = {name: arrays[f"{op.name}/{name}"] for name, _ in _stored(op)}
        if isinstance(op.weights, SharedWeights):
            book = mine["codebook"]                    # an index beyond the codebook meets what C keeps there: the last entry
            missing = 2 ** op.weights.bits - book.shape[-1]
            full = np.concatenate([book, np.repeat(book[..., -1:], missing, axis=-1)], axis=-1)
            weights = SharedWeights(full, mine["indices"], op.weights.bits)
        else:
            weights = mine["weights"]
        tail = {n: mine[n] for n in plain(op.tail) if n in mine}
        if "tail_shift" in mine:
            tail["shift"] = int(mine["tail_shift"][0])
        return replace(op, weights=weights, tail=replace(op.tail, **tail))


def refuse_coded(graph):
    """Raise NotYet if weights of the Graph are stored with a prefix code."""
    for op in graph.ops:
        if isinstance(getattr(op, "weights", None), CodedWeights):
            raise NotYet(f"{op.name!r} stores its weights by a prefix code, where one flipped bit changes all weights after it: such flips are "
                         "not simulated", "the same network with --scheme int8 or shared4")


def _stored(op):
    """(name, array) of what an op stores; the integer tail's shift as one number."""
    found = [("weights", op.weights)]
    if isinstance(op.weights, SharedWeights):
        found = [("codebook", op.weights.codebook), ("indices", op.weights.indices)]
    found += [(n, v) for n, v in plain(op.tail).items() if isinstance(v, np.ndarray)]
    return found + ([("tail_shift", np.array([op.tail.shift], np.uint8))] if isinstance(op.tail, Tail) else [])


def check_model(store: Any, sha256: Any, what: str = "the plan"):
    """Raise FormatError unless `sha256` is the store's."""
    if store.sha256 != sha256:
        raise FormatError(f"{what} is for another model (SHA-256 {str(sha256)[:12]}...); this one is {store.sha256[:12]}...",
                          "the model that the search ran on")
