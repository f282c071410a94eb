"""How well a classifier does: accuracy with its interval, loss, calibration, per class."""
import time

import numpy as np

from tinyvgg.data.batches import batches
from tinyvgg.data.dataset import check_labels, check_values, model_input
from tinyvgg.errors import DataError, OptionError, ShapeError
from tinyvgg.kernels.reference import softmax
from tinyvgg.nn import losses
from tinyvgg.report.interval import wilson
from tinyvgg.report.progress import Progress


def evaluate(classifier, x, y, *, batch_size=256, classes=None, quiet=True):
    """Classify images x (N, H, W, C) and compare with labels y, (N,) or one-hot (N, K).

    classifier: anything with `logits(x)`, `scores(x)` or `labels(x)`. Bytes are mapped to its `input_range`, if it has one.
    Returns {"n", "accuracy", "interval": [low, high] (Wilson, 95 %), "loss", "ece", "per_class", "confusion", "seconds"}; loss
    and ece (expected calibration error) are None for a classifier without logits.
    """
    x, y = np.asarray(x), as_labels(y)
    if len(x) == 0:
        raise DataError("there is no image to classify; expected at least one")
    if len(x) != len(y):
        raise ShapeError(f"{len(x)} images and {len(y)} labels; expected one label an image")
    n_classes = classifier.n_classes
    check_labels(y, n_classes, "labels")
    if getattr(classifier, "input_range", None) is not None:
        check_values(x, classifier.input_range)
    if classes is not None and len(classes) != n_classes:
        raise OptionError(f"{len(classes)} names of classes were given for {n_classes} classes")
    started = time.perf_counter()
    predicted, logits = _classify(classifier, x, batch_size, quiet)
    seconds = time.perf_counter() - started
    right = int((predicted == y).sum())
    confusion = np.zeros((n_classes, n_classes), np.int64)
    np.add.at(confusion, (y, predicted), 1)
    return {"n": len(y), "accuracy": right / len(y), "interval": list(wilson(right, len(y))),
            "loss": None if logits is None else losses.cross_entropy(logits.astype(np.float64), y)[0],
            "ece": None if logits is None else calibration_error(softmax(logits.astype(np.float64)), y),
            "per_class": _per_class(confusion, classes or tuple(map(str, range(n_classes)))),
            "confusion": confusion.tolist(), "seconds": round(seconds, 3)}


def as_labels(y):
    """Return labels (N,) int64 for whole numbers (N,) or (N, 1) or one-hot rows (N, K)."""
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] > 1:
        return y.argmax(axis=1)
    if y.ndim not in (1, 2) or y.dtype.kind not in "biuf" or not (y == np.floor(y)).all():
        raise DataError(f"labels have shape {y.shape} and type {y.dtype}; expected whole numbers (N,) or one-hot (N, K)")
    return y.reshape(-1).astype(np.int64)


def calibration_error(p, y, bins=15):
    """Return the expected calibration error of probabilities p (N, K) (Guo et al., 2017, arXiv:1706.04599, equation 3)."""
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = np.bincount(place, right - confidence, bins)
    return float(np.abs(gap).sum() / len(y))


def _classify(classifier, x, batch_size, quiet):
    """Return predicted labels (N,) and logits (N, K) or None."""
    function = next(getattr(classifier, name) for name in ("logits", "scores", "labels") if hasattr(classifier, name))
    value_range, parts = getattr(classifier, "input_range", None), []
    progress = Progress(len(x), "evaluate", quiet=quiet)
    for index in batches(len(x), batch_size):
        parts.append(np.asarray(function(model_input(x[index[0]:index[-1] + 1], value_range))))
        progress.advance(len(index))
    progress.close()
    answers = np.concatenate(parts)
    predicted = answers if answers.ndim == 1 else answers.argmax(axis=1)
    return predicted.astype(np.int64), answers if hasattr(classifier, "logits") else None


def _per_class(confusion, classes):
    rows = zip(classes, confusion, strict=True)
    return [{"class": name, "n": int(row.sum()), "accuracy": int(row[i]) / int(row.sum()) if row.sum() else None}
            for i, (name, row) in enumerate(rows)]
