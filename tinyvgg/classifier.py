"""What answers "which class?": the contract of a network, its integers, its compiled C, a board, functions of one's own.

A classifier has `bounds` and `n_classes`, and one or more of `logits`, `scores` and `labels`; `vjp` where it has gradients,
`input_shape` where it takes images of one shape only, and `made_for` where it is known what data it was made for. It takes images
as tinyvgg.images says: (N, *input_shape), uint8 or floats within `bounds`.

A network of one output s tells two classes apart, as one with a sigmoid at its end does: s is the logit of class 1 against class
0, and its logits as a classifier are (-s/2, s/2), whose softmax is (1 - sigmoid(s), sigmoid(s)).
"""
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tinyvgg.errors import DataError, OptionError, ShapeError

ANSWERS = ("logits", "scores", "labels")    # from the most telling to the least


@runtime_checkable
class Classifier(Protocol):
    """What every classifier has: `bounds` (low, high) of valid floats, and the number of classes."""

    @property
    def bounds(self) -> tuple[float, float]: ...

    @property
    def n_classes(self) -> int: ...


@runtime_checkable
class WithLogits(Classifier, Protocol):
    """`logits(x)`: x (N, ...) -> (N, n_classes) before a softmax."""

    def logits(self, x: Any) -> np.ndarray: ...


@runtime_checkable
class WithScores(Classifier, Protocol):
    """`scores(x)`: x (N, ...) -> (N, n_classes), the larger the likelier."""

    def scores(self, x: Any) -> np.ndarray: ...


@runtime_checkable
class WithLabels(Classifier, Protocol):
    """`labels(x)`: x (N, ...) -> (N,) classes."""

    def labels(self, x: Any) -> np.ndarray: ...


@runtime_checkable
class WithGradients(WithLogits, Protocol):
    """`vjp(x, g)`: d sum(g * logits(x)) / dx, shaped as x; g (N, n_classes), or a function of the logits that gives it."""

    def vjp(self, x: Any, g: Any) -> np.ndarray: ...


@dataclass(frozen=True)
class MadeFor:
    """The data that a classifier was made for: name, names of the classes, range of its pixels in files, where it lay; and the mean
    and deviation, one or one a channel, by which it was standardised: then `range` is that of the standardised values."""

    name: str
    classes: tuple[str, ...] = ()
    range: tuple[float, float] = (0.0, 255.0)
    source: str = ""
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    @classmethod
    def read(cls, value):
        """Return the MadeFor of plain data (see `plain`), or None for what is none."""
        try:
            low, high = (float(v) for v in value["range"])
            return cls(str(value["name"])[:200], tuple(str(c)[:200] for c in value["classes"])[:65536], (low, high),
                       str(value.get("source", ""))[:4096], *(tuple(float(v) for v in value.get(key, ()))[:65536]
                                                              for key in ("mean", "deviation")))
        except (TypeError, ValueError, KeyError, AttributeError):
            return None

    def plain(self):
        """Return it as plain data, for a file."""
        data = {**asdict(self), "classes": list(self.classes), "range": list(self.range)}
        for key in ("mean", "deviation"):
            data[key] = list(data[key])
            if not data[key]:
                del data[key]
        return data


def classes_of(shape):
    """The number of classes that outputs of `shape`, without the batch, tell apart: one output tells two."""
    return 2 if tuple(shape) == (1,) else shape[-1]


def as_classes(outputs):
    """Return logits (N, classes) of a network's outputs (N, K) before its softmax or sigmoid: (-s/2, s/2) of one output s."""
    return np.concatenate([outputs * -0.5, outputs * 0.5], axis=1, dtype=outputs.dtype) if outputs.shape[1:] == (1,) else outputs


def of_outputs(g, shape):
    """Pull g (N, classes), gradients with respect to logits, back to a network's outputs (N, *shape): the backward pass of
    as_classes."""
    return (g[:, 1:] - g[:, :1]) * g.dtype.type(0.5) if tuple(shape) == (1,) else g


def answers_of(classifier):
    """Return ("logits", "scores" or "labels", the function that gives them); OptionError for what is no classifier."""
    for name in ANSWERS:
        if callable(getattr(classifier, name, None)):
            return name, getattr(classifier, name)
    raise OptionError(f"{type(classifier).__name__} is not a classifier: it has none of {', '.join(ANSWERS)}",
                      "attacks.as_classifier(function, bounds=(0, 1), n_classes=10)")


def labels_of(answers, *, broken=None):
    """Return the classes (N,) int64 of answers (N, K), the first of equal ones, or of labels (N,). One answer is 1 above 0.

    broken: the label of an image whose answer holds NaN, -1 for no class; None raises DataError instead.
    """
    answers = np.asarray(answers)
    if answers.ndim == 1:
        return answers.astype(np.int64)
    labels = (answers > 0).astype(np.int64)[:, 0] if answers.shape[1:] == (1,) else answers.argmax(axis=-1)
    if answers.dtype.kind == "f" and (rows := np.isnan(answers).any(axis=1)).any():
        if broken is None:
            raise not_finite(rows)
        labels[rows] = broken
    return labels


def check_finite(answers):
    """Return answers (N, K), or raise DataError where they hold NaN or infinity."""
    broken = ~np.isfinite(answers).all(axis=1)
    if broken.any():
        raise not_finite(broken)
    return answers


def directions(g, shape, dtype):
    """Return g of a vjp as an array of `dtype`: ShapeError unless its shape is `shape` (N, K), DataError for NaN or infinity."""
    g = np.asarray(g, dtype)
    if g.shape != shape:
        raise ShapeError(f"g has shape {g.shape}; expected {shape}, one value for each logit")
    if not np.isfinite(g).all():
        raise DataError("g has NaN or infinite values; expected numbers, one for each logit")
    return g


def not_finite(broken):
    """The error for answers that are not numbers, for images where `broken` (N,)."""
    return DataError(f"the network's answers are NaN or infinite for {int(broken.sum())} of {len(broken)} images: its training "
                     "diverged, or its weights are damaged", "a lower learning rate, or the model as it was before")
