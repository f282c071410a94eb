"""The frame of every attack: check the input, go through the images in batches, keep what was found, look at it again."""

import time
from dataclasses import dataclass

import numpy as np

from tinyvgg.attacks.checkpoint import Checkpoint
from tinyvgg.attacks.evaluate import recheck
from tinyvgg.attacks.norms import parse_eps
from tinyvgg.attacks.streams import Streams
from tinyvgg.attacks.victim import Victim
from tinyvgg.errors import BudgetError, DataError, OptionError
from tinyvgg.report.progress import Progress


@dataclass
class Batch:
    """Some images under attack and the best that was found for each so far. `rows` below are indices into them."""

    victim: Victim
    x: np.ndarray
    y: np.ndarray
    target: np.ndarray | None
    streams: Streams

    def __post_init__(self):
        n = len(self.x)
        self.adv = self.x.copy()
        self.loss = np.full(n, -np.inf)
        self.fooled = np.zeros(n, bool)
        self.vanished = np.zeros(n, bool)
        self.queries = np.zeros(n, np.int64)
        self.steps = np.zeros(n, np.int64)

    def targets(self, rows):
        """Return the targets of some images, or None."""
        return None if self.target is None else self.target[rows]

    def logits(self, rows, z):
        """Return the logits of candidates z for the images `rows`."""
        self.queries[rows] += 1
        return self.victim.logits(z)

    def fools(self, rows, logits_or_labels):
        """Whether each answer reaches the goal: not y, or the target."""
        answers = np.asarray(logits_or_labels)
        labels = answers.argmax(axis=1) if answers.ndim == 2 else answers
        return labels != self.y[rows] if self.target is None else labels == self.target[rows]

    def asks(self, rows, z):
        """Return whether each candidate z fools, from labels alone."""
        self.queries[rows] += 1
        return self.fools(rows, self.victim.labels(z))

    def climb(self, rows, z, loss, *names):
        """Return logits, values and gradients of `loss` at candidates z; a gradient that stays 0 becomes a random direction."""
        self.queries[rows] += 1
        logits, values, g, dead = self.victim.climb(z, self.y[rows], self.targets(rows), loss)
        self.vanished[rows] |= dead
        still = dead & ~g.reshape(len(g), -1).any(axis=1)
        if still.any():
            g[still] = self.streams.take(rows[still]).normal(z.shape[1:], "lost", *names)
        return logits, values, g

    def offer(self, rows, z, logits, values, *, keep="best"):
        """Keep candidates that fool, or climb higher than the ones before; with keep="last", all. Return which ones fool."""
        fools = self.fools(rows, logits)
        better = (fools & ~self.fooled[rows]) | ((fools == self.fooled[rows]) & (values > self.loss[rows]))
        chosen = np.ones(len(rows), bool) if keep == "last" else better
        at = rows[chosen]
        self.adv[at], self.loss[at], self.fooled[at] = z[chosen], values[chosen], fools[chosen]
        return fools

    def shrink(self, rows, z, fools, distances, best):
        """Minimum-norm attacks: keep candidates that fool from nearer than `best` (N,), which is updated."""
        nearer = fools & (distances < best[rows])
        at = rows[nearer]
        self.adv[at], best[at], self.fooled[at] = z[nearer], distances[nearer], True


def run(
    name,
    attack,
    model,
    x,
    y,
    *,
    eps=None,
    norm="linf",
    target=None,
    settings=None,
    flags=(),
    seed=0,
    batch_size=128,
    budget=None,
    labels="true",
    out=None,
    quiet=True,
    callback=None,
):
    """Run `attack(batch)` over images x (N, ...) with labels y (N,) and return an AttackResult.

    The last line of every attack; these of its settings are every attack's: seed (results depend on it and on each image, not
    on order or batches), batch_size, budget (queries in all; what was found until then is kept and marked), labels ("true", or
    "predicted" to use the model's own where y is None), out (a folder: finished batches are kept there, a stopped run goes on,
    and the result is saved), quiet (no progress), callback(batch) after each batch.
    target: None, one class (its own images are left out), or labels (N,).
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise OptionError(f"batch_size is {batch_size!r}; expected a positive whole number")
    victim = Victim(model, budget=budget)
    x = checked_images(x, victim)
    pred_clean = victim.predictions(x, batch_size)
    y = checked_labels(y, x, victim.n_classes, pred_clean if labels == "predicted" else None)
    target = checked_target(target, y, victim.n_classes)
    flags = [*flags, *_eps_flags(eps, norm, victim.bounds, x)]
    streams = Streams.of(seed, name, x)
    config = {"attack": name, "eps": eps, "norm": norm, **(settings or {}), "batch_size": batch_size, "budget": budget}
    store = Checkpoint(out, config, seed, model, x, y, target)
    found = _through(attack, victim, x, y, target, streams, store, batch_size, quiet, callback, flags, name, eps)
    result = recheck(
        model,
        x,
        y,
        found,
        pred_clean=pred_clean,
        name=name,
        eps=eps,
        norm=norm,
        target=target,
        config=config,
        seed=seed,
        flags=flags,
        batch_size=batch_size,
    )
    store.finish(result)
    return result


def _through(attack, victim, x, y, target, streams, store, batch_size, quiet, callback, flags, name, eps):
    """Attack batch after batch; return the arrays of all images, and what it cost."""
    n, started = len(x), time.perf_counter()
    found = {
        "adv": x.copy(),
        "loss": np.full(n, np.nan),
        "queries": np.zeros(n, np.int64),
        "steps": np.zeros(n, np.int64),
        "vanished": np.zeros(n, bool),
        "done": np.zeros(n, bool),
    }
    progress = Progress(n, name, quiet=quiet)
    fooled = 0
    for start in range(0, n, batch_size):
        part = slice(start, min(start + batch_size, n))
        stored = store.read(start, part, found)
        if not stored:
            batch = Batch(victim, x[part], y[part], None if target is None else target[part], streams.take(part))
            if not _attack(attack, batch, found, part, eps, flags):
                break
            store.write(start, part, found)
            fooled += int(batch.fooled.sum())
            if callback is not None:
                callback(batch)
        progress.advance(part.stop - start, f"fooled {fooled}")
    progress.close(f"fooled {fooled}")
    found["seconds"] = time.perf_counter() - started + store.seconds
    found["gradients"], found["probabilities"] = victim.gradients + store.gradients, victim.probabilities
    return found


def _attack(attack, batch, found, part, eps, flags):
    """Run the attack on one batch and note what it found; return False if the budget ended it."""
    try:
        if eps != 0 and len(batch.x):
            attack(batch)
        done = np.ones(len(batch.x), bool)
    except BudgetError as error:
        done = batch.fooled
        flags.append(f"stopped in the middle: {error.problem}; the images not attacked to the end count as they were left")
    found["adv"][part], found["loss"][part], found["done"][part] = batch.adv, batch.loss, done
    found["queries"][part], found["steps"][part], found["vanished"][part] = batch.queries, batch.steps, batch.vanished
    return bool(done.all()) or not flags or not flags[-1].startswith("stopped")


def checked_images(x, victim):
    """Return x as the model's float dtype, or raise DataError: too few axes, not finite, outside the bounds."""
    x = np.asarray(x)
    if x.ndim < 2:
        raise DataError(f"images have shape {x.shape}; expected (N, ...), one row an image", "x[None]")
    low, high = victim.bounds
    if x.dtype == np.uint8 and high <= 1:
        raise DataError(f"images are uint8; expected floats in {low:g}..{high:g}", "x / 255" if low == 0 else "x / 127.5 - 1")
    x = np.ascontiguousarray(x, victim.dtype)
    if not np.isfinite(x).all():
        raise DataError("images hold NaN or infinite values")
    if len(x) and (x.min() < low - 1e-6 or x.max() > high + 1e-6):
        raise DataError(
            f"images have values in {x.min():g}..{x.max():g}, outside the model's bounds {low:g}..{high:g}",
            "scale them as the model was trained, or give the model its bounds",
        )
    return np.clip(x, low, high)


def checked_labels(y, x, n_classes, predicted=None):
    """Return y as (N,) int64, or raise: missing, one-hot, of another length, out of range."""
    if y is None:
        if predicted is None:
            raise DataError(
                "there are no labels (y=None): an attack pushes images away from their true class",
                'y=labels, or labels="predicted" to attack the model\'s own answers',
            )
        return predicted
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == n_classes:
        raise DataError(f"labels have shape {y.shape}; expected ({len(x)},) whole numbers", "y.argmax(axis=1)")
    if y.shape != (len(x),) or y.dtype.kind not in "iu":
        raise DataError(f"labels have shape {y.shape} and dtype {y.dtype}; expected ({len(x)},) whole numbers")
    if len(y) and (y.min() < 0 or y.max() >= n_classes):
        raise DataError(f"labels go from {y.min()} to {y.max()}; the model has classes 0 to {n_classes - 1}")
    return y.astype(np.int64)


def checked_target(target, y, n_classes):
    """Return targets as (N,) int64 or None. One class for all may meet its own images; a row of labels may not."""
    if target is None:
        return None
    given = np.asarray(target)
    if given.dtype.kind not in "iu" or given.shape not in ((), y.shape):
        raise OptionError(
            f"target has shape {given.shape} and dtype {given.dtype}; expected a class or one for each of {len(y)} images"
        )
    if given.size and (given.min() < 0 or given.max() >= n_classes):
        raise OptionError(
            f"target is {given.max() if given.max() >= n_classes else given.min()}; the model has classes 0 to {n_classes - 1}"
        )
    same = given == y
    if len(y) and (same.all() if given.shape == () else same.any()):
        first = int(np.argmax(same))
        raise OptionError(
            f"image {first} is of class {int(y[first])} already, the target it was given", "targets that differ from y"
        )
    return np.broadcast_to(given, y.shape).astype(np.int64)


def _eps_flags(eps, norm, bounds, x):
    width = bounds[1] - bounds[0]
    farthest = {"linf": width, "l2": width * np.sqrt(x[:1].size), "l1": width * x[:1].size}[norm]
    if eps is not None and len(x) and eps > farthest:
        return [f"eps {eps:g} is beyond {farthest:g}, the whole range {bounds[0]:g}..{bounds[1]:g} of the images in {norm}"]
    return []


def parse_length(value, default, name="step"):
    """Return a step length: a number, a fraction as text, or `default` for None."""
    return default if value is None else parse_eps(value, name)


def count(value, name, *, least=1):
    """Return a whole number of at least `least`, or raise OptionError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise OptionError(f"{name} is {value!r}; expected a whole number, {least} or more")
    return int(value)
