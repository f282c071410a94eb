"""The goal of an attack on the weights, as a number to maximise: sum_i weight_i * cross-entropy(logits_i, class_i).

any        every image loses its label (Rakin, He, Fan: Bit-Flip Attack, ICCV 2019, equation 1)
class      every image becomes `target` (T-BFA, TPAMI 2021: N-to-1)
pair       images of class `source` become `target` (T-BFA: 1-to-1)
stealthy   the same, and the others keep their labels (T-BFA: 1-to-1 stealthy)
image      the first image of class `source` (or the first at all) becomes `target`, the others keep their labels
"""
from dataclasses import dataclass

import numpy as np

from tinyvgg.errors import OptionError
from tinyvgg.kernels.reference import softmax
from tinyvgg.nn.losses import log_softmax

GOALS = ("any", "class", "pair", "stealthy", "image")
LARGEST = 1e4               # the loss of an image whose logits are not numbers


@dataclass(frozen=True)
class Objective:
    """classes (N,) and weights (N,) of the cross-entropies; aim: (images (n,), class) that should become that class, or None."""
    classes: np.ndarray
    weights: np.ndarray
    aim: tuple | None = None

    def score(self, logits):
        """Return the number that the attack maximises, for logits (N, K)."""
        return float((self.weights * cross_entropy(logits, self.classes)).sum())

    def slope(self, logits):
        """d score / d logits, (N, K) float32."""
        with np.errstate(all="ignore"):
            z = np.nan_to_num(logits.astype(np.float64), nan=0.0, posinf=LARGEST, neginf=-LARGEST)
            p = softmax(z)
        p[np.arange(len(p)), self.classes] -= 1
        return (self.weights[:, None] * p).astype(np.float32)

    def success(self, labels):
        """The share of the aimed-at images that are now classified as the target; None without a target."""
        return None if self.aim is None else float((labels[self.aim[0]] == self.aim[1]).mean())


def cross_entropy(logits, classes):
    """Return (N,) float64 for logits (N, K), classes (N,); at most LARGEST, which also stands for NaN."""
    z = logits.astype(np.float64)
    with np.errstate(all="ignore"):
        loss = -log_softmax(z)[np.arange(len(z)), classes]
    return np.minimum(np.nan_to_num(loss, nan=LARGEST, posinf=LARGEST), LARGEST)


def objective(goal, y, n_classes, *, target=None, source=None, keep=1.0):
    """Return the Objective of `goal` for images with labels y (N,); keep: the weight of the images that keep their labels."""
    y, n = np.asarray(y).astype(np.int64), len(y)
    if goal not in GOALS:
        raise OptionError(f"there is no goal {goal!r}; expected one of {', '.join(GOALS)}", "--goal any")
    if goal == "any" and (target is not None or source is not None):
        raise OptionError("the goal any has no target or source class", "--goal class --target 5")
    if goal in ("pair", "stealthy") and target is not None and target == source:
        raise OptionError(f"source and target are both class {target}; expected two classes", "--source 3 --target 5")
    if goal == "any":
        return Objective(y, np.full(n, 1 / n))
    for name, value in (("target", target), ("source", source)):
        if value is not None and not 0 <= value < n_classes:
            raise OptionError(f"{name} is {value}; the model has classes 0 to {n_classes - 1}")
    if target is None or (source is None and goal in ("pair", "stealthy")):
        raise OptionError(f"the goal {goal} needs {'a target' if target is None else 'a source'} class", "--source 3 --target 5")
    aimed = np.full(n, goal == "class") if source is None or goal == "class" else y == source
    if goal == "image":
        first = np.flatnonzero(aimed if source is not None else y != target)[:1]
        aimed = np.zeros(n, bool)
        aimed[first] = True
    if not aimed.any():
        raise OptionError(f"none of the {n} images is of class {source}", "more images, or another source")
    others = keep / max(int((~aimed).sum()), 1) if goal in ("stealthy", "image") else 0.0
    return Objective(np.where(aimed, target, y), np.where(aimed, -1 / aimed.sum(), others * -1.0), (np.flatnonzero(aimed), target))
