"""The schemes of `compress`, by name.

none, low, medium, high   float32; X-CUBE-AI's levels: dense layers share 256 (low) or 16 entries by its own skip rule
int8                      8-bit weights by channel, 8-bit activations
shared8 ... shared2       256, 16, 8 or 4 entries of int8 on every layer, with 8-bit activations; or of float32
auto                      int8, shared4, shared3 or shared2 for each layer, by measured sensitivity, within a budget (auto.py)
"""

from dataclasses import dataclass, replace

import numpy as np

from tinyvgg.analyze.st import shared_layers
from tinyvgg.errors import DataError, OptionError
from tinyvgg.nn.losses import log_softmax
from tinyvgg.quant.blob import constant_bytes, weights_blob
from tinyvgg.quant.calibrate import COUNTED, METHODS, as_float_images, calibrate, survey
from tinyvgg.quant.compressed import CompressedModel
from tinyvgg.quant.equalize import correct_biases, equalize
from tinyvgg.quant.fuse import fuse
from tinyvgg.quant.graph import Graph
from tinyvgg.quant.lower import lower, per_channel_int8
from tinyvgg.quant.model import QuantizedModel
from tinyvgg.quant.ops.dense import Dense
from tinyvgg.quant.ops.weighted import Weighted
from tinyvgg.quant.sharing import share_float, sharer
from tinyvgg.quant.simulate import run
from tinyvgg.report.record import sha256_arrays

FLOAT = {"none": 0, "low": 8, "medium": 4, "high": 4}
SHARED = {"shared8": 8, "shared4": 4, "shared3": 3, "shared2": 2}
SCHEMES = (*FLOAT, "int8", *SHARED, "auto")
CALIBRATIONS = (*METHODS, "best")
JUDGED = 128  # images by which calibrations and bits are compared


@dataclass(frozen=True)
class Options:
    """What a scheme may be told."""

    codebook: str = "int8"  # entries of the shared schemes: int8 (integer model) or float (float model)
    per: str = "layer"  # one codebook a layer or a channel
    calibration: str = "best"  # minmax, percentile, error, or best, which also tries equalisation and bias correction
    calibration_images: int = 512  # the first so many of x
    epochs: int = 0  # of fine-tuning
    fixed_indices: bool = False  # fine-tuning: indices into codebooks stay as they are
    learning_rate: float = 1e-4  # by benchmarks/finetune_rate.py, on training images held out
    flash: int | None = None  # auto: bytes of constants
    max_drop: float | None = None  # auto: points of accuracy that may be lost, on training images
    seed: int = 0
    quiet: bool = True

    def __post_init__(self):
        if self.codebook not in ("int8", "float"):
            raise OptionError(f"there are no codebooks of {self.codebook!r}; expected int8 or float", "--codebook int8")
        if self.calibration not in CALIBRATIONS:
            allowed = ", ".join(CALIBRATIONS)
            raise OptionError(f"there is no calibration {self.calibration!r}; expected one of {allowed}", "--calibration best")
        if self.max_drop is not None and not np.isfinite(self.max_drop):
            raise OptionError(f"a drop of {self.max_drop} points was allowed; expected a number", "--max-drop 0.5")
        if not 0 < self.learning_rate < 1:
            raise OptionError(f"a learning rate of {self.learning_rate} was asked for; expected a number in 0..1",
                              "--learning-rate 1e-4")
        if self.fixed_indices and not self.epochs:
            raise OptionError("fixed indices were asked for without fine-tuning, which they are about", "--finetune 2")
        if self.calibration_images < 1 or self.epochs < 0:
            images, epochs = self.calibration_images, self.epochs
            raise OptionError(f"{images} calibration images and {epochs} epochs were asked for; expected 1 or more, 0 or more")


@dataclass(frozen=True)
class Prepared:
    """A float graph ready to lower: repaired or not, with its ranges, and what was done to it."""

    graph: Graph
    ranges: dict
    record: dict


def compress(model, scheme, x=None, y=None, **options):
    """Compress an nn.Model by the name of a scheme: return a CompressedModel (float32) or a QuantizedModel (integers).

    x, y: training images and labels, for all but the float schemes; labels are needed to fine-tune and by auto. options: see
    Options. The result remembers what data the model was made for.
    """
    compressed = _compress(fuse(model), scheme, x, y, Options(**options))
    if model.made_for is not None:
        compressed.graph.facts["made_for"] = model.made_for.plain()
    return compressed


def _compress(graph, scheme, x, y, options):
    check_scheme(scheme, options)
    if scheme in FLOAT:
        return CompressedModel(share_dense(graph, scheme))
    if scheme in SHARED and options.codebook == "float":
        return CompressedModel(share_all(graph, SHARED[scheme], options.per, scheme))
    x, y = _images(x, y, options.epochs or scheme == "auto")
    if scheme == "auto":
        from tinyvgg.quant.auto import automatic

        return automatic(graph, x, y, options)
    quantise = per_channel_int8 if scheme == "int8" else sharer(SHARED[scheme], per=options.per)
    prepared = prepare(graph, x[: options.calibration_images], calibration=options.calibration, quantise=quantise)
    facts = {"scheme": scheme, **({} if scheme == "int8" else {"codebook_per": options.per})}
    return finished(prepared, x, y, quantise, facts, options)


def check_scheme(scheme, options):
    """Raise OptionError for a scheme that there is not, or Options that mean nothing to it."""
    if scheme not in SCHEMES:
        raise OptionError(f"there is no scheme {scheme!r}; expected one of {', '.join(SCHEMES)}")
    if (options.flash is not None or options.max_drop is not None) and scheme != "auto":
        raise OptionError(f"a budget was given with the scheme {scheme}; only auto takes one", "--scheme auto --flash 256K")
    if options.codebook == "float" and scheme in ("int8", "auto"):
        raise OptionError(f"codebooks of floats were asked for with the scheme {scheme}, which is of integers",
                          "--scheme shared4 --codebook float")
    if options.epochs and not needs_images(scheme, options):
        raise OptionError(f"fine-tuning was asked for with the scheme {scheme} of floats; only integers are fine-tuned",
                          "--scheme shared4 --finetune 2")


def needs_images(scheme, options):
    """Whether a scheme calibrates: all but those of floats."""
    return scheme not in FLOAT and options.codebook != "float"


def _images(x, y, labelled):
    if x is None or (labelled and y is None):
        raise DataError("the scheme needs training images" + (" and their labels" if x is not None else ""), "--data cifar10")
    if y is not None and len(x) != len(y):
        raise DataError(f"{len(x)} images and {len(y)} labels; expected one label an image")
    return x, None if y is None else np.asarray(y).reshape(-1)


def share_dense(graph, level):
    """Return the float Graph with X-CUBE-AI's codebooks of a level on the dense layers that its rule takes."""
    bits = FLOAT[level]
    dense = {op.name: op.weights.size for op in graph.ops if isinstance(op, Dense)}
    chosen = set(shared_layers(dense, bits)) if bits else set()
    ops = tuple(replace(op, weights=share_float(op.weights, bits)) if op.name in chosen else op for op in graph.ops)
    return replace(graph, ops=ops, facts={"scheme": level, "bits": {name: bits for name in sorted(chosen)}})


def share_all(graph, bits, per, scheme):
    """Return the float Graph with codebooks of float32 on every layer of weights."""
    ops = tuple(
        replace(op, weights=share_float(op.weights, bits, per=per)) if isinstance(op, Weighted) else op for op in graph.ops
    )
    return replace(graph, ops=ops, facts={"scheme": scheme, "codebook": "float", "codebook_per": per})


def finished(prepared, x, y, quantise, facts, options):
    """Lower, after fine-tuning if asked: return the QuantizedModel. quantise: per_channel_int8, sharing.sharer's or auto's."""
    facts = {**facts, "seed": options.seed, "calibration": prepared.record}
    if not options.epochs:
        graph = lower(prepared.graph, prepared.ranges, quantise=quantise, facts=facts)
        return QuantizedModel(graph, float_graph=prepared.graph)
    from tinyvgg.quant.finetune import finetune, start_codebooks

    settings = {"epochs": options.epochs, "learning_rate": options.learning_rate, "seed": options.seed}
    books = start_codebooks(prepared.graph, quantise, fixed=options.fixed_indices)
    graph, entries = finetune(prepared.graph, prepared.ranges, x, y, books=books, quiet=options.quiet, **settings)

    def learnt(op, floor):
        return sharer(books[op.name].bits, entries=entries)(op, floor) if op.name in entries else quantise(op, floor)

    facts["fine_tuning"] = {**settings, "images": len(x), "fixed_indices": options.fixed_indices}
    return QuantizedModel(lower(graph, prepared.ranges, quantise=learnt, facts=facts), float_graph=graph)


def prepare(graph, x, *, calibration="best", quantise=per_channel_int8):
    """Calibrate a float Graph on images x; "best" takes the method and repairs whose integers diverge least from the floats."""
    record = {"images": len(x), "images_sha256": sha256_arrays(np.asarray(x))}
    if calibration != "best":
        return Prepared(graph, calibrate(graph, x, method=calibration), {**record, "method": calibration})
    floats = as_float_images(x[:JUDGED], graph)
    reference, best = run(graph, floats), None
    for repairs, candidate in (((), graph), (("equalised",), equalize(graph, x[:COUNTED]))):
        found = survey(candidate, x)
        corrected = correct_biases(candidate, x[:COUNTED], quantise)
        for repaired, done in ((candidate, repairs), (corrected, (*repairs, "biases corrected"))):
            for method in METHODS:
                ranges = found.by(method)
                error = divergence(reference, QuantizedModel(lower(repaired, ranges, quantise=quantise)).logits(floats))
                if best is None or error < best[0]:
                    record |= {"method": method, "repairs": list(done), "divergence": error}
                    best = error, Prepared(repaired, ranges, dict(record))
    return best[1]


def divergence(reference, logits):
    """Mean Kullback-Leibler divergence, in nats, of softmax(logits) from softmax(reference), both (N, K)."""
    p, q = log_softmax(reference.astype(np.float64)), log_softmax(logits.astype(np.float64))
    return float((np.exp(p) * (p - q)).sum(axis=1).mean())


def constants(model):
    """Return the bytes of a model's constants in C: the blob of a float graph, weights, codebooks and tails of an integer one."""
    graph = model.graph
    if isinstance(model, CompressedModel) and graph.facts.get("codebook") != "float":
        return len(weights_blob(graph)[0])
    return sum(constant_bytes(graph).values())
