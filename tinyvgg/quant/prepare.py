"""The steps of every integer scheme: calibrate, correct, fine-tune (optional), lower."""

from dataclasses import dataclass

import numpy as np

from tinyvgg.classifier import as_classes
from tinyvgg.errors import OptionError
from tinyvgg.nn.losses import log_softmax
from tinyvgg.quant.calibrate import COUNTED, METHODS, STEADY, as_float_images, calibrate, survey
from tinyvgg.quant.equalize import correct_biases, equalize
from tinyvgg.quant.graph import Graph
from tinyvgg.quant.lower import lower, per_channel_int8
from tinyvgg.quant.model import QuantizedModel
from tinyvgg.quant.sharing import sharer
from tinyvgg.quant.simulate import run
from tinyvgg.report.record import sha256_arrays

CALIBRATIONS = (*METHODS, STEADY, "best")
JUDGED = 128  # images by which calibrations and bits are compared


@dataclass(frozen=True)
class Options:
    """The options of a scheme."""

    codebook: str = "int8"  # entries of the shared schemes: int8 (integer model) or float (float model)
    per: str = "layer"  # one codebook a layer or a channel
    calibration: str = "best"  # a method of calibrate, or best, which also tries equalisation and bias correction
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
            raise OptionError("fixed indices were asked for without fine-tuning; they have an effect only there", "--finetune 2")
        for value, least, what, hint in ((self.calibration_images, 1, "calibration images", "--calibration-images 512"),
                                         (self.epochs, 0, "epochs of fine-tuning", "--finetune 2")):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise OptionError(f"{value} {what} were asked for; expected a whole number, {least} or more", hint)


@dataclass(frozen=True)
class Prepared:
    """A float graph ready to lower: corrected or not, with its ranges and a record of the steps."""

    graph: Graph
    ranges: dict
    record: dict


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
    """Calibrate a float Graph on images x; "best" uses the method and corrections whose integers diverge least from the
    floats."""
    record = {"images": len(x), "images_sha256": sha256_arrays(np.asarray(x))}
    if calibration != "best":
        return Prepared(graph, calibrate(graph, x, method=calibration), {**record, "method": calibration})
    floats = as_float_images(x[:JUDGED], graph)
    reference, best = as_classes(run(graph, floats)), None
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
