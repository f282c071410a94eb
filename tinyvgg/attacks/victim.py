"""The model as an attack sees it: queries are counted and limited, bounds are checked, probabilities are recognised."""
import math
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from tinyvgg.attacks import losses
from tinyvgg.attacks.checks import count, number
from tinyvgg.classifier import answers_of, labels_of
from tinyvgg.errors import BudgetError, DataError, GradientError, OptionError
from tinyvgg.types import AnyArray, Images, Labels, Range, Target

SMALLEST = 1e-30  # probabilities below this are taken as this when their logarithm is needed


class FunctionClassifier:
    """A classifier made of functions: see as_classifier."""

    def __init__(self, *, bounds: Range, n_classes, logits=None, scores=None, labels=None, vjp=None, name: str | None = None) -> None:
        self.bounds, self.n_classes, self.name = bounds, n_classes, name
        for name, function in {"logits": logits, "scores": scores, "labels": labels, "vjp": vjp}.items():
            if function is not None:
                setattr(self, name, function)


def as_classifier(logits: Callable[[AnyArray], Any] | None = None, *, bounds: Range, n_classes: int,
                  scores: Callable[[AnyArray], Any] | None = None, labels: Callable[[AnyArray], Any] | None = None,
                  vjp: Callable[[AnyArray, AnyArray], Any] | None = None, name: str | None = None) -> Any:
    """Make a classifier of functions of images x (N, ...).

    logits, scores: x -> (N, classes); labels: x -> (N,); vjp: (x, g) -> d sum(g * logits) / dx, where g is an array (N, classes)
    or a function that takes the logits and returns g. bounds: (low, high) of valid values. name: identifies these functions, so
    that a stopped run with out= can continue; without a name it starts again.
    """
    if logits is None and scores is None and labels is None:
        raise OptionError(
            "a classifier needs one of logits, scores and labels", "as_classifier(predict, bounds=(0, 1), n_classes=10)"
        )
    wrong = next((f for f in (logits, scores, labels, vjp) if f is not None and not callable(f)), None)
    if wrong is not None or name is not None and not isinstance(name, str):
        raise OptionError(f"a function is {wrong!r}; expected a function of images" if wrong is not None else f"name is {name!r}; expected text")
    return FunctionClassifier(logits=logits, scores=scores, labels=labels, vjp=vjp, bounds=bounds, n_classes=n_classes, name=name)


class Victim:
    """Counts an attack's queries and raises BudgetError after `budget` images or `minutes`.

    queries: images sent through the model; gradients: images whose gradient was computed. If the model returns probabilities,
    `logits` returns their logarithm (its cross-entropy has the same gradient), and `probabilities` is True.
    """

    def __init__(self, model: Any, *, budget=None, minutes=None) -> None:
        self.model, self.budget = model, None if budget is None else count(budget, "budget", least=0)
        self.minutes, self._began = None if minutes is None else number(minutes, "minutes"), time.perf_counter()
        self.bounds, self.n_classes = checked_bounds(model), checked_classes(model)
        answers_of(model)
        self.queries = self.gradients = 0
        self.probabilities = False

    @property
    def dtype(self):
        """dtype of the images: the model's own if that is a float, else float32."""
        dtype = np.dtype(getattr(self.model, "dtype", np.float32))
        return dtype if dtype.kind == "f" else np.dtype(np.float32)

    def logits(self, x: Images):
        """Return (N, classes) for x (N, ...): logits, the logarithm of probabilities, or unchanged scores."""
        self._count(len(x))
        function = getattr(self.model, "logits", None) or getattr(self.model, "scores", None)
        if function is None:
            raise GradientError(
                f"{type(self.model).__name__} tells only labels; this attack needs logits or scores",
                "hopskipjump or rays, which need labels only",
            )
        return self._checked(function(x), len(x))

    def labels(self, x: Images):
        """x (N, ...) -> (N,) predicted classes."""
        self._count(len(x))
        if hasattr(self.model, "labels"):
            return self._checked_labels(self.model.labels(x), len(x))
        return labels_of(self._checked(answers_of(self.model)[1](x), len(x)))

    def predictions(self, x: Images, batch_size: int = 128):
        """x (N, ...) -> (N,) predicted classes, in batches; not counted as queries: for checking results, not for attacks."""
        before, minutes, self.queries, self.minutes = self.queries, self.minutes, -len(x), None
        try:
            parts = [self.labels(np.clip(x[i : i + batch_size], *self.bounds)) for i in range(0, len(x), batch_size)]
        finally:
            self.queries, self.minutes = before, minutes
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def vjp(self, x: Images, g):
        """Return logits (N, classes) and d sum(g(logits) * logits) / dx for a function g of the logits: one forward and one
        backward pass."""
        if not has_gradients(self.model):
            raise GradientError(
                f"{type(self.model).__name__} has no gradients (no vjp); this attack needs them",
                getattr(self.model, "without_gradients", "square, hopskipjump or rays; or attacks.defended(model, backward=...) "
                        "for a stand-in gradient"),
            )
        self._count(len(x))
        self.gradients += len(x)
        seen = {}

        def pull(outputs):
            seen["logits"] = self._checked(outputs, len(x))
            direction = np.asarray(g(seen["logits"]))
            return direction / np.maximum(outputs, SMALLEST) if self.probabilities else direction

        dx = np.asarray(self.model.vjp(x, pull))
        if dx.shape != x.shape or dx.dtype.kind != "f":
            raise DataError(f"the model's gradient has shape {dx.shape} and dtype {dx.dtype}; expected floats of the images' shape {x.shape}")
        broken = ~np.isfinite(dx.reshape(len(dx), -1)).all(axis=1)
        if broken.any():
            raise DataError(f"the model's gradient is not finite for {int(broken.sum())} of {len(x)} images")
        return seen["logits"], dx

    def climb(self, x: Images, y: Labels | None, target: Target | None, loss: Literal["ce", "ce_plain", "margin", "dlr"]):
        """Return logits, values (N,), gradients of a loss with respect to x, and where a gradient was exactly 0.

        There the gradient of the scaled cross-entropy is used instead, which is rarely 0.
        """
        values = {}

        def gradient(z):
            values["loss"], g = loss(z, y, target)
            return g

        z, dx = self.vjp(x, gradient)
        dead = all_zero(dx)
        if dead.any() and loss is not losses.cross_entropy:
            at = None if target is None else target[dead]
            dx[dead] = self.vjp(x[dead], lambda z: losses.cross_entropy(z, y[dead], at)[1])[1]
        return z, values["loss"], dx, dead

    def _count(self, n):
        if self.budget is not None and self.queries + n > self.budget:
            raise BudgetError(f"the budget of {self.budget:,} queries is used up", "a larger budget=, or fewer images")
        if self.minutes is not None:
            spent = getattr(self.model, "line_seconds", None)           # those of the line, where it keeps them
            if (time.perf_counter() - self._began if spent is None else spent) >= 60 * self.minutes:
                raise BudgetError(f"the time of {self.minutes:g} minutes is used up", "more minutes=, or fewer images")
        self.queries += n

    def _checked_labels(self, answers, n):
        labels = np.asarray(answers)
        if labels.shape != (n,) or labels.dtype.kind not in "iub" or n and not 0 <= labels.min() <= labels.max() < self.n_classes:
            raise DataError(f"the model's labels have shape {labels.shape} and dtype {labels.dtype}; expected {n} whole numbers, "
                            f"0 to {self.n_classes - 1}")
        return labels.astype(np.int64)

    def _checked(self, outputs, n):
        outputs = np.asarray(outputs)
        if outputs.shape != (n, self.n_classes) or outputs.dtype.kind not in "iuf":
            raise DataError(f"the model answers {n} images with shape {outputs.shape} and dtype {outputs.dtype}; expected ({n}, {self.n_classes})")
        if not np.isfinite(outputs).all():
            raise DataError("the model's answers are not finite", "images within its bounds, or weights without NaN")
        if outputs.dtype.kind != "f":
            outputs = outputs.astype(np.float32)
        self.probabilities = self.probabilities or are_probabilities(outputs)
        return np.log(np.maximum(outputs, SMALLEST)) if self.probabilities else outputs


def all_zero(g):
    """Whether g (N, ...) is 0 everywhere, for each row. A value in the middle of a row tells most of them not to be."""
    rows = g.reshape(len(g), math.prod(g.shape[1:]))
    middle = rows.shape[1] // 2
    zero = (rows[:, middle:middle + 1] == 0).all(axis=1)
    if zero.any():
        zero[zero] = ~rows[zero].any(axis=1)
    return zero


def has_gradients(model: Any):
    """Whether a model can compute gradients."""
    return callable(getattr(model, "vjp", None))


def are_probabilities(outputs):
    """Whether each row of outputs (N, K) is a distribution: not below 0, sum 1 within 1e-3."""
    return len(outputs) > 0 and bool((outputs >= 0).all() and (np.abs(outputs.sum(axis=1) - 1) < 1e-3).all())


def checked_bounds(model: Any):
    """Return the model's (low, high), or raise OptionError: without bounds an eps has no meaning."""
    bounds = getattr(model, "bounds", None)
    try:
        low, high = (float(v) for v in bounds)
    except (TypeError, ValueError):
        low = high = 0.0
    if not (np.isfinite([low, high]).all() and low < high):
        raise OptionError(
            f"{type(model).__name__} has bounds {bounds!r}; expected (low, high) of valid images",
            "attacks.as_classifier(model.predict, bounds=(0, 1), n_classes=10)",
        )
    return low, high


def checked_classes(model: Any):
    """Return the number of classes, two or more, or raise OptionError."""
    n = getattr(model, "n_classes", None)
    if not isinstance(n, int | np.integer) or n < 2:
        raise OptionError(f"{type(model).__name__} has n_classes {n!r}; an attack needs two classes or more")
    return int(n)
