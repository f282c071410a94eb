"""Split an attack on many images into parts, compute these anywhere, and join the results. The result of an image does not depend
on the others (tests/attacks/test_independence.py), so the joined result is the same to the bit.
"""
from dataclasses import fields, replace

import numpy as np

from tinyvgg.attacks.checks import checked_eps, checked_mask, told_eps, told_mask
from tinyvgg.attacks.evaluate import replay, warnings_of
from tinyvgg.attacks.identity import unwrapped
from tinyvgg.attacks.norms import parse_radii, wide
from tinyvgg.attacks.result import AttackResult
from tinyvgg.errors import OptionError
from tinyvgg.report.record import sha256_arrays

FEWEST = 16                 # images of a part: fewer waste what a batch saves
PER_WORKER = 4              # parts for each worker, so that none waits long for another
BY_IMAGE = ("target", "start")          # settings that may have a row for each image


def attack_each(place, runs, model, x, y, victims=None):
    """Yield (k, results) as each run ends: the result of runs[k] on x, y, then its images shown to each of `victims`. place: see
    report.parallel. A run has `attack` (a function, or None for no attack) and `settings`.
    """
    tasks, of, parts = [], [], [[] for _ in runs]
    for k, run in enumerate(runs):
        if run.attack is None:
            yield k, None
            continue
        for part in _parts(run.attack, len(x), place.size, len(runs)):
            tasks.append((run.attack, part, _settings_of(run.settings, part, x)))
            of.append((k, len(parts[k])))
            parts[k].append(None)
    for i, results in place.each(_attacked, (model, x, y, victims or {}), tasks):
        k, at = of[i]
        parts[k][at] = results
        if all(part is not None for part in parts[k]):
            whole = [joined(list(each)) for each in zip(*parts[k], strict=True)]
            for result in whole if len(parts[k]) > 1 and runs[k].settings.get("mask") is not None else ():
                result.config = {**result.config, "mask": told_mask(checked_mask(runs[k].settings["mask"], np.asarray(x)))}
            yield k, whole
            parts[k] = []


def _parts(attack, n, workers, runs):
    """Return [(first, end)]: all images for one worker, and for an attack whose parts are not known to be independent."""
    from tinyvgg.attacks import ATTACKS
    attack = unwrapped(attack)
    name = getattr(attack, "__name__", None)
    if workers == 1 or name == "ladder" or ATTACKS.get(name) is not attack:
        return [(0, n)]
    count = min(-(-PER_WORKER * workers // runs), max(n // FEWEST, 1))
    ends = [n * (i + 1) // count for i in range(count)]
    return list(zip([0, *ends[:-1]], ends, strict=True))


def _settings_of(settings, part, x):
    """Return settings with those rows that are of the images of a part."""
    n, x = len(x), np.asarray(x)
    if part == (0, n):
        return settings
    if settings.get("budget") is not None:
        raise OptionError("a budget is of queries one after another; it cannot be shared between workers", "the same without budget, or one worker")
    of_images = {key: settings[key] for key in BY_IMAGE if np.ndim(settings.get(key)) and len(settings[key]) == n}
    of_images |= {"mask": checked_mask(settings["mask"], x)} if settings.get("mask") is not None else {}
    if np.ndim(settings.get("eps", 0)):
        of_images["eps"] = wide(checked_eps(parse_radii(settings["eps"]), x, "linf", "this attack"), x)
    return {**settings, **{key: np.asarray(value)[slice(*part)] for key, value in of_images.items()}}


def _attacked(shared, attack, part, settings):
    """Return [result of the attack, its images as each victim sees them]."""
    model, x, y, victims = shared
    rows = slice(*part)
    result = attack(model, x[rows], None if y is None else y[rows], **settings)
    return [result, *(result if victim is model else replay(victim, result) for victim in victims.values())]


def joined(results: list[AttackResult]) -> AttackResult:
    """Join the results of an attack's parts, in the order of the images."""
    if len(results) == 1:
        return results[0]
    first, whole = results[0], {}
    for item in fields(AttackResult):
        values = [getattr(result, item.name) for result in results]
        if isinstance(values[0], np.ndarray) and item.name != "bounds":
            whole[item.name] = np.concatenate(values)
    if first.eps is not None:
        whole["config"] = {**first.config, "eps": told_eps(whole["eps"])}
    whole["norms"] = {name: np.concatenate([r.norms[name] for r in results]) for name in first.norms}
    whole |= {name: sum(getattr(r, name) for r in results) for name in ("gradients", "seconds")}
    measured = {name: sum(r.measured[name] for r in results) for name in ("vanished", "changed")}
    measured |= {name: any(r.measured[name] for r in results) for name in ("probabilities", "moved")}
    before = list(dict.fromkeys(flag for r in results for flag in r.measured["before"]))
    result = replace(first, **whole, measured={**measured, "before": before}, data_sha256=sha256_arrays(whole["x"], whole["y"]))
    result.flags = before + warnings_of(result)
    return result
