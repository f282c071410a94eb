"""Measure a classifier: accuracy with its interval, loss, calibration, also for each class."""
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyvgg.classifier import answers_of, check_finite, labels_of
from tinyvgg.data.batches import batches
from tinyvgg.data.dataset import check_columns, check_labels
from tinyvgg.errors import DataError, OptionError, ShapeError
from tinyvgg.images import check_images, to_floats
from tinyvgg.kernels.reference import softmax
from tinyvgg.nn import losses
from tinyvgg.report.interval import wilson
from tinyvgg.report.progress import Progress
from tinyvgg.types import Images, Labels


def evaluate(classifier: Any, x: Images, y: Labels, *, batch_size: int = 256, classes: Sequence[str] | None = None,
             quiet: bool = True) -> dict[str, Any]:
    """Classify images x (N, H, W, C) and compare with labels y, (N,) or one-hot (N, K).

    classifier: see tinyvgg.classifier.Classifier; x: uint8, or floats in its bounds.
    Returns {"n", "accuracy", "interval": [low, high] (Wilson, 95 %), "loss", "ece", "per_class", "confusion", "seconds"}; loss
    and ece (expected calibration error) are None for a classifier without logits.
    """
    check_columns(np.shape(y)[1] if np.ndim(y) == 2 else 1, classifier, "these images")
    bounds, y = getattr(classifier, "bounds", None), true_labels(y, classifier.n_classes)
    x = check_images(x, getattr(classifier, "input_shape", None), bounds)
    if len(x) == 0:
        raise DataError("there is no image to classify; expected at least one")
    if len(x) != len(y):
        raise ShapeError(f"{len(x)} images and {len(y)} labels; expected one label an image")
    n_classes = classifier.n_classes
    check_labels(y, n_classes, "labels")
    if classes is not None and len(classes) != n_classes:
        raise OptionError(f"{len(classes)} names of classes were given for {n_classes} classes")
    started = time.perf_counter()
    predicted, logits = classify(classifier, x, bounds, batch_size, quiet)
    seconds = time.perf_counter() - started
    right = int((predicted == y).sum())
    confusion = np.zeros((n_classes, n_classes), np.int64)
    np.add.at(confusion, (y, predicted), 1)
    return {"n": len(y), "accuracy": right / len(y), "interval": list(wilson(right, len(y))),
            "loss": None if logits is None else losses.cross_entropy(logits.astype(np.float64), y)[0],
            "ece": None if logits is None else calibration_error(softmax(logits.astype(np.float64)), y),
            "per_class": _per_class(confusion, classes or tuple(map(str, range(n_classes)))),
            "confusion": confusion.tolist(), "seconds": round(seconds, 3)}


def true_labels(y: Labels, n_classes: int):
    """As as_labels, for rows (N, n_classes) that name one class each: DataError for any others."""
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] not in (1, n_classes):
        raise DataError(f"labels have shape {y.shape}; expected (N,) whole numbers or one-hot (N, {n_classes})")
    if y.ndim == 2 and y.shape[1] > 1 and y.dtype.kind in "biuf" and len(y):
        several = (y == y.max(axis=1, keepdims=True)).sum(axis=1) > 1
        if several.any():
            raise DataError(f"row {int(several.argmax())} of the labels names several classes alike; expected one class an image")
    return as_labels(y)


def as_labels(y: Labels):
    """Return labels (N,) int64 for whole numbers (N,) or (N, 1), or for rows (N, K): one-hot, or shares, of which the largest counts."""
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] > 1 and y.dtype.kind in "biuf" and np.isfinite(y).all():
        return y.argmax(axis=1)
    if y.ndim not in (1, 2) or y.ndim == 2 and y.shape[1] != 1 or y.dtype.kind not in "biuf" or not (y == np.floor(y)).all():
        raise DataError(f"labels have shape {y.shape} and type {y.dtype}; expected whole numbers (N,) or one-hot (N, K)")
    return y.reshape(-1).astype(np.int64)


def calibration_error(p, y: Labels, bins=15):
    """Return the expected calibration error of probabilities p (N, K) (Guo et al., 2017, arXiv:1706.04599, equation 3)."""
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = np.bincount(place, right - confidence, bins)
    return float(np.abs(gap).sum() / len(y))


def classify(classifier, x, bounds, batch_size, quiet):
    """Return predicted labels (N,) and logits (N, K) or None."""
    kind, function = answers_of(classifier)
    takes_bytes = bounds is None or hasattr(classifier, "check_images")        # a stranger need not know bytes
    parts, progress = [], Progress(len(x), "evaluate", quiet=quiet)
    for index in batches(len(x), batch_size):
        part = x[index[0]:index[-1] + 1]
        parts.append(np.asarray(function(part if takes_bytes else to_floats(part, bounds))))
        progress.advance(len(index))
    progress.close()
    answers = np.concatenate(parts)
    logits = check_finite(answers) if kind == "logits" else None
    return labels_of(answers), logits


def _per_class(confusion, classes):
    rows = zip(classes, confusion, strict=True)
    return [{"class": name, "n": int(row.sum()), "accuracy": int(row[i]) / int(row.sum()) if row.sum() else None}
            for i, (name, row) in enumerate(rows)]
