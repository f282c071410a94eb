"""The frame of every attack: check the input, go through the images in batches, keep the results, check them from scratch."""
import inspect
import time

import numpy as np

from tinyvgg.attacks import checks
from tinyvgg.attacks.batch import Batch
from tinyvgg.attacks.checkpoint import Checkpoint
from tinyvgg.attacks.evaluate import recheck
from tinyvgg.attacks.norms import rows_of
from tinyvgg.attacks.streams import Streams
from tinyvgg.attacks.task import Found, Task
from tinyvgg.attacks.victim import Victim
from tinyvgg.errors import BudgetError, OptionError
from tinyvgg.report.progress import Progress
from tinyvgg.types import RunOptions
from tinyvgg.words import OPTIONS, did_you_mean

SWITCHES = {"early_stop", "random_start", "cycle_stop", "rescale"}


def run(name, attack, model, x, y, *, eps=None, norm="linf", target=None, settings=None, flags=(), eps_by_value=True, seed=0,
        batch_size=128, budget=None, minutes=None, mask=None, labels="true", out=None, quiet=True, callback=None, **unknown):
    """Run `attack(batch)` over images x (N, ...) with labels y (N,) and return an AttackResult.

    Every attack ends with this call. These settings are common to all attacks:

        seed          results depend on it and on each image, not on the order of images or the batches
        batch_size    images at a time
        budget        the largest number of queries in all; results until then are kept and marked
        minutes       the same in time (of the serial line for a model from `deployed`, else of this process)
        mask          True where an image may change: shape of one image, with or without channels, or of all images
        labels        "true", or "predicted": the model's own answers replace y (which is then None)
        out           a folder for finished batches and the result; a stopped run continues from there
        quiet         no progress bar
        callback      called as callback(batch) after each batch

    eps: a number or an array (see checks.checked_eps). eps_by_value: whether the attack accepts one for each value; it finds the
    radii of a batch in batch.eps. target: None, one class (images of this class are left out), or labels (N,).
    """
    for option in unknown:
        raise TypeError(f"{name}() got an unexpected keyword argument {option!r}" + _nearest(name, option))
    batch_size, settings = checks.count(batch_size, "batch_size"), settings or {}
    for option in SWITCHES & settings.keys():
        checks.switch(settings[option], option)
    if checks.one_of(labels, "labels", ("true", "predicted")) == "predicted" and y is not None:
        raise OptionError("labels are given twice: y, and the model's own answers", "y=None with labels=\"predicted\", or y alone")
    if callback is not None and not callable(callback):
        raise OptionError(f"callback is {callback!r}; expected a function of a batch")
    victim = Victim(model, budget=budget, minutes=minutes)
    x = checks.checked_images(x, victim)
    eps = checks.checked_eps(eps, x, norm, name, by_value=eps_by_value)
    clean = victim.predictions(x, batch_size)
    y = checks.checked_labels(y, x, victim.n_classes, clean if labels == "predicted" else None)
    target = checks.checked_target(target, y, victim.n_classes)
    config = {"attack": name, "eps": checks.told_eps(eps), "norm": norm, **settings, "batch_size": batch_size, "budget": budget}
    free = checks.checked_mask(mask, x)
    if free is not None:
        config["mask"] = checks.told_mask(free)
    flags = [*flags, *checks.eps_flags(eps, norm, victim.bounds, x)]
    task = Task(name, model, x, y, target, clean, eps, norm, config, seed, flags, batch_size, free)
    store = Checkpoint(out, task)
    found = _attack_all(attack, task, victim, store, quiet, callback)
    result = recheck(task, found)
    store.finish(result)
    return result


def _nearest(name, option):
    """Return "; did you mean ...?" for the option of an attack that is spelled most like `option`, or nothing."""
    from tinyvgg import attacks
    own = inspect.signature(attacks.ATTACKS[name]).parameters if name in attacks.ATTACKS else ()
    return did_you_mean(option, [*own, *RunOptions.__annotations__], OPTIONS)


def _attack_all(attack, task, victim, store, quiet, callback):
    """Attack batch after batch, but those that a stopped run has left; return what was Found."""
    n, found, fooled = len(task.x), Found(task.x), 0
    streams = Streams.of(task.seed, task.name, task.x)
    progress = Progress(n, task.name, quiet=quiet)
    for start in range(0, n, task.batch_size):
        part = slice(start, min(start + task.batch_size, n))
        kept = store.read(start, part, found)
        if kept is not None:
            victim.queries += kept
        else:
            started, gradients, asked = time.perf_counter(), victim.gradients, victim.queries
            target = None if task.target is None else task.target[part]
            free = None if task.free is None else task.free[part]
            batch = Batch(victim, task.x[part], task.y[part], target, streams.take(part), task.clean[part], free, rows_of(task.eps, part))
            whole = _attack_one(attack, batch, task)
            found.put(part, batch)
            found.seconds += time.perf_counter() - started
            found.gradients += victim.gradients - gradients
            found.probabilities |= victim.probabilities
            fooled += int(batch.fooled.sum())
            if not whole:
                break
            store.write(start, part, found, time.perf_counter() - started, victim.gradients - gradients, victim.queries - asked)
            if callback is not None:
                callback(batch)
        progress.advance(part.stop - start, f"fooled {fooled}")
    progress.close(f"fooled {fooled}")
    return found


def _attack_one(attack, batch, task):
    """Run the attack on one batch; return False if the budget ended it."""
    try:
        if batch.eps is None or np.any(batch.eps):
            attack(batch)
    except BudgetError as error:
        batch.done = batch.fooled.copy()
        task.flags.append(f"stopped in the middle: {error.problem}; images not attacked to the end count as they were left")
        return False
    return True
