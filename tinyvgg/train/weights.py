"""Weights of images in training: by class, or one for each image."""
import numpy as np

from tinyvgg.errors import OptionError, ShapeError
from tinyvgg.train.evaluate import as_labels


def image_weights(y, n_classes, class_weight=None, sample_weight=None):
    """Return the weight (N,) float64 of each image with labels y; None without weights.

    class_weight: {class: weight}, 1 for a class that is not named, or a list of n_classes weights. sample_weight: (N,).
    """
    if class_weight is None and sample_weight is None:
        return None
    labels = as_labels(y)
    weights = np.ones(len(labels)) if sample_weight is None else _numbers("sample_weight", sample_weight)
    if weights.shape != (len(labels),):
        raise ShapeError(f"sample_weight has shape {weights.shape}; expected one number an image, ({len(labels)},)")
    if class_weight is not None:
        weights = weights * _by_class(class_weight, n_classes)[labels]
    if not weights.any():
        raise OptionError("every image weighs 0; expected some that count")
    return weights


def weighted(loss, logits, y, weights):
    """Return (value, gradient) of a loss with weighted images: sum(w * loss) / N."""
    n = len(weights)
    rows = [loss(logits[i:i + 1], y[i:i + 1]) for i in range(n)]
    value = sum(w * value for w, (value, _) in zip(weights, rows, strict=True)) / n
    gradient = np.concatenate([gradient for _, gradient in rows])
    return float(value), gradient * (weights[:, None] / n).astype(gradient.dtype)


def _by_class(class_weight, n_classes):
    """(K,) weights of the classes."""
    given = class_weight if isinstance(class_weight, dict) else dict(enumerate(class_weight)) if np.ndim(class_weight) == 1 else None
    if given is None or not isinstance(class_weight, dict) and len(given) != n_classes:
        raise OptionError(f"class_weight is {class_weight!r}; expected {{class: weight}}", "class_weight={0: 1, 1: 5}")
    strange = [name for name in given if isinstance(name, bool) or not isinstance(name, int | np.integer) or not 0 <= name < n_classes]
    if strange:
        raise OptionError(f"class_weight names the class {strange[0]!r}; expected whole numbers from 0 to {n_classes - 1}")
    weights = np.ones(n_classes)
    weights[list(map(int, given))] = _numbers("class_weight", list(given.values()))
    return weights


def _numbers(name, values):
    try:
        numbers = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        numbers = np.array([np.nan])
    if not (np.isfinite(numbers).all() and (numbers >= 0).all()):
        raise OptionError(f"{name} has values that are not numbers from 0; expected finite weights, 0 or more")
    return numbers
