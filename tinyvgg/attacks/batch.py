"""What an attack works on: some images, the model, and the best results so far."""
from dataclasses import dataclass, fields

import numpy as np

from tinyvgg.attacks.streams import Streams
from tinyvgg.attacks.victim import Victim, all_zero


class Rows:
    """The state of a search: the arrays of a dataclass, with a row for each image that is still searched."""

    def keep(self, going):
        """Leave out the rows where `going` (N,) is False."""
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name)[going])


@dataclass
class Batch:
    """Images under attack and the best result for each so far. `rows` below are indices of images.

    clean: the model's answers to x; images that already reach the goal count as fooled from the start. free: which values may
    change (shape of x), None for all. eps: the radii of these images. Before the model is asked, all values of a candidate that
    may not change are set back to x, in place.
    """

    victim: Victim
    x: np.ndarray
    y: np.ndarray
    target: np.ndarray | None
    streams: Streams
    clean: np.ndarray
    free: np.ndarray | None = None
    eps: float | np.ndarray | None = None

    def __post_init__(self):
        n = len(self.x)
        self.adv = self.x.copy()
        self.loss = np.full(n, -np.inf)
        self.fooled = self.fools(np.arange(n), self.clean)
        self.vanished, self.done = np.zeros(n, bool), np.ones(n, bool)
        self.queries = np.zeros(n, np.int64)
        self.steps = np.zeros(n, np.int64)

    def targets(self, rows):
        """Return the targets of some images, or None."""
        return None if self.target is None else self.target[rows]

    def masked(self, rows, z, elsewhere=None):
        """Set candidates back to x where nothing may change (gradients to 0, with elsewhere=0), in place; return them."""
        if self.free is not None:
            np.copyto(z, self.x[rows] if elsewhere is None else elsewhere, where=~self.free[rows], casting="same_kind")
        return z

    def logits(self, rows, z):
        """Return the logits of candidates z for the images `rows`."""
        z = self.masked(rows, z)
        logits = self.victim.logits(z)
        self.queries[rows] += 1
        return logits

    def fools(self, rows, logits_or_labels):
        """Return whether each answer reaches the goal: any class but y, or the target."""
        answers = np.asarray(logits_or_labels)
        labels = answers.argmax(axis=1) if answers.ndim == 2 else answers
        return labels != self.y[rows] if self.target is None else labels == self.target[rows]

    def asks(self, rows, z):
        """Return whether each candidate z fools the model, using only labels."""
        labels = self.victim.labels(self.masked(rows, z))
        self.queries[rows] += 1
        return self.fools(rows, labels)

    def climb(self, rows, z, loss, *names, toward=None):
        """Return logits, values and gradients of `loss` at candidates z; a gradient that stays 0 becomes a random direction.

        toward: the classes to climb to, if they are not the goal itself.
        """
        z = self.masked(rows, z)
        logits, values, g, dead = self.victim.climb(z, self.y[rows], self.targets(rows) if toward is None else toward, loss)
        self.queries[rows] += 1
        if dead.any():
            self.vanished[rows] |= dead
            still = dead & all_zero(g)
            if still.any():
                g[still] = self.streams.take(rows[still]).normal(z.shape[1:], "lost", *names)
        return logits, values, g if self.free is None else self.masked(rows, np.array(g), 0)

    def difference(self, rows, z, above, below):
        """Return z_above - z_below (N,) float64 and its gradient at candidates z. above, below: (N,) classes, or functions of logits."""
        index = np.arange(len(rows))

        def classes(logits):
            return (c(logits) if callable(c) else c for c in (above, below))

        def direction(logits):
            g = np.zeros_like(logits)
            up, down = classes(logits)
            g[index, up], g[index, down] = 1, -1
            return g

        logits, g = self.victim.vjp(self.masked(rows, z), direction)
        g = g if self.free is None else self.masked(rows, np.array(g), 0)
        self.queries[rows] += 1
        self.vanished[rows] |= all_zero(g)
        up, down = classes(logits)
        return logits[index, up].astype(np.float64) - logits[index, down], g

    def offer(self, rows, z, logits, values, *, keep="best"):
        """Keep candidates that fool, or have a higher loss than the previous best; with keep="last", all. Return which ones
        fool."""
        fools = self.fools(rows, logits)
        if keep == "last" and len(rows) == len(self.adv):       # rows are different images, in order: all of them
            self.adv[:], self.loss[:], self.fooled[:] = z, values, fools
            return fools
        better = (fools & ~self.fooled[rows]) | ((fools == self.fooled[rows]) & (values > self.loss[rows]))
        chosen = slice(None) if keep == "last" else better
        at = rows[chosen]
        self.adv[at], self.loss[at], self.fooled[at] = z[chosen], values[chosen], fools[chosen]
        return fools

    def shrink(self, rows, z, fools, distances, best):
        """For minimum-norm attacks: keep candidates that fool at a smaller distance than `best` (N,), and update `best`."""
        nearer, z = fools & (distances < best[rows]), self.masked(rows, z)
        at = rows[nearer]
        self.adv[at], best[at], self.fooled[at] = z[nearer], distances[nearer], True
