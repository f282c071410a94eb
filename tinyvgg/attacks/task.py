"""An attack to be run, and what it found: plain holders."""
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Task:
    """What is attacked, and how.

    x (N, ...) checked images, y (N,) labels, target (N,) or None, clean (N,) the model's answers to x, eps as checks.checked_eps gives it.
    """

    name: str
    model: object
    x: np.ndarray
    y: np.ndarray
    target: np.ndarray | None
    clean: np.ndarray
    eps: float | np.ndarray | None
    norm: str
    config: dict
    seed: int = 0
    flags: list = field(default_factory=list)
    batch_size: int = 128
    free: np.ndarray | None = None          # which values of x may change


class Found:
    """For each image: adv, loss, queries, steps, vanished (a gradient was 0), done. For all together: seconds, gradients,
    probabilities."""

    arrays = ("adv", "loss", "queries", "steps", "vanished", "done")

    def __init__(self, x):
        n = len(x)
        self.adv, self.loss = x.copy(), np.full(n, np.nan)
        self.queries, self.steps = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.vanished, self.done = np.zeros(n, bool), np.zeros(n, bool)
        self.seconds, self.gradients, self.probabilities = 0.0, 0, False

    def put(self, part, other):
        """Take the arrays of a Batch or a dict of arrays for the images `part`."""
        for name in self.arrays:
            getattr(self, name)[part] = other[name] if isinstance(other, dict) else getattr(other, name)
