"""The schemes of `compress`, by name.

none, low, medium, high   float32; X-CUBE-AI's levels: dense layers share 256 (low) or 16 entries by its own skip rule
int8                      8-bit weights by channel, 8-bit activations
shared8 ... shared2       256, 16, 8 or 4 entries of int8 on every layer, with 8-bit activations; or of float32
auto                      int8, shared4, shared3 or shared2 for each layer, by measured sensitivity, within a budget (auto.py)
coded                     int8 with a prefix code on the weights, within a budget of bytes (coded.py)
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyvgg.analyze.st import shared_layers
from tinyvgg.errors import DataError, OptionError
from tinyvgg.nn.model import Model
from tinyvgg.quant.auto import automatic
from tinyvgg.quant.blob import constant_bytes, weights_blob
from tinyvgg.quant.coded import code
from tinyvgg.quant.compressed import CompressedModel
from tinyvgg.quant.fuse import fuse
from tinyvgg.quant.lower import per_channel_int8
from tinyvgg.quant.ops import Dense, Weighted
from tinyvgg.quant.prepare import Options, finished, prepare
from tinyvgg.quant.sharing import share_float, sharer
from tinyvgg.types import Images, Labels
from tinyvgg.words import did_you_mean

if TYPE_CHECKING:
    from tinyvgg.quant.model import QuantizedModel

FLOAT = {"none": 0, "low": 8, "medium": 4, "high": 4}
SHARED = {"shared8": 8, "shared4": 4, "shared3": 3, "shared2": 2}
SCHEMES = (*FLOAT, "int8", *SHARED, "auto", "coded")
BUDGETED = ("auto", "coded")


def compress(model: Model, scheme: str, x: Images | None = None, y: Labels | None = None,
             **options: Any) -> "QuantizedModel | CompressedModel":
    """Compress an nn.Model by the name of a scheme: return a CompressedModel (float32) or a QuantizedModel (integers).

    x, y: training images and labels, not needed by the float schemes; labels are needed for fine-tuning and by auto. options: see
    Options. The result records the data that the model was trained on.
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
    if scheme in ("auto", "coded"):
        return (automatic if scheme == "auto" else code)(graph, x, y, options)
    quantise = per_channel_int8 if scheme == "int8" else sharer(SHARED[scheme], per=options.per)
    prepared = prepare(graph, x[: options.calibration_images], calibration=options.calibration, quantise=quantise)
    facts = {"scheme": scheme, **({} if scheme == "int8" else {"codebook_per": options.per})}
    return finished(prepared, x, y, quantise, facts, options)

OTHERS = {"int8": "8 8bit uint8 integer quantized", "shared4": "4 int4 4bit kmeans", "shared3": "3", "shared2": "2", "none": "float float32 fp32"}


def check_scheme(scheme, options):
    """Raise OptionError for an unknown scheme, or for Options that do not apply to it."""
    if scheme not in SCHEMES:
        raise OptionError(f"there is no scheme {scheme!r}; expected one of {', '.join(SCHEMES)}{did_you_mean(scheme, SCHEMES, OTHERS)}")
    if options.flash is not None and scheme not in BUDGETED or options.max_drop is not None and scheme != "auto":
        raise OptionError(f"a budget was given with the scheme {scheme}; only auto takes one, and coded one of flash", "--scheme auto --flash 256K")
    if scheme == "coded" and options.flash is None:
        raise OptionError("the scheme coded needs a budget of bytes for the constants", "--scheme coded --flash 165000")
    if scheme == "coded" and (options.per != "layer" or options.fixed_indices):
        raise OptionError("the scheme coded has one code a layer, and its indices are not fixed", "no --per and no --fixed-indices")
    if options.codebook == "float" and scheme in ("int8", *BUDGETED):
        raise OptionError(f"codebooks of floats were asked for with the scheme {scheme}, which is of integers",
                          "--scheme shared4 --codebook float")
    if options.epochs and not needs_images(scheme, options):
        raise OptionError(f"fine-tuning was asked for with the scheme {scheme} of floats; only integers are fine-tuned",
                          "--scheme shared4 --finetune 2")


def needs_images(scheme, options):
    """Return whether a scheme needs images to calibrate: all but the float schemes."""
    return scheme not in FLOAT and options.codebook != "float"


def _images(x, y, labelled):
    if x is None or (labelled and y is None):
        raise DataError("the scheme needs training images" + (" and their labels" if x is not None else ""), "--data cifar10")
    if y is not None and len(x) != len(y):
        raise DataError(f"{len(x)} images and {len(y)} labels; expected one label an image")
    return x, None if y is None else np.asarray(y).reshape(-1)


def share_dense(graph, level):
    """Return the float Graph with X-CUBE-AI's codebooks of a level, on the dense layers chosen by its rule."""
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


def constants(model):
    """Return the bytes of a model's constants in C: the blob of a float graph, weights, codebooks and tails of an integer one."""
    graph = model.graph
    if isinstance(model, CompressedModel) and graph.facts.get("codebook") != "float":
        return len(weights_blob(graph)[0])
    return sum(constant_bytes(graph).values())
