"""Check attacked images from scratch: distances in float64, new predictions, 8-bit images, warnings."""
from typing import Any

import numpy as np

from tinyvgg.attacks import norms as measure
from tinyvgg.attacks.checks import count
from tinyvgg.attacks.identity import model_identity, model_sha256
from tinyvgg.attacks.result import AttackResult
from tinyvgg.attacks.task import Found, Task
from tinyvgg.attacks.victim import Victim
from tinyvgg.errors import DataError
from tinyvgg.kernels.reference import softmax
from tinyvgg.report import record
from tinyvgg.types import Eps, Images, Norm, Range

ONE_STEP = ("fgsm", "noise")            # attacks that know no early stop
NEAREST = ("deepfool", "fab", "cw", "fmn", "hopskipjump", "rays")      # whose images lie at the boundary
ROUNDED = 5e-5              # levels that float32 rounds away where bytes were scaled in another order, as u / 127.5 - 1
PART = 64                   # images that are held in float64 at a time


def recheck(task, found):
    """Measure found.adv against task.x and ask the model again; return an AttackResult. None of its numbers are the attack's own.

    An image counts as fooled if the answer was right before and reaches the goal now, all values are within the model's bounds
    and, if eps is given, within eps of x (tolerance: relative 1e-6). With a mask, values outside the mask must be unchanged.
    """
    victim = Victim(task.model)
    x, adv, y, target = task.x, found.adv, task.y, task.target
    adv_u8, near_u8, same = to_uint8(x, adv, task.eps, task.norm, victim.bounds)
    pred_adv, scores_adv = answers(victim, adv, task.batch_size)
    pred_u8 = _answers_to_bytes(victim, adv_u8, x.dtype, task.batch_size)
    again, scores_clean = answers(victim, x, task.batch_size)
    distances = _distances(x, adv)
    within = np.where(same, near_u8, _within(x, adv, distances, task.eps, task.norm, victim.bounds))
    if task.free is not None:
        within &= ~measure.flat((adv != x) & ~task.free).any(axis=1)
    counts = (task.clean == y) if target is None else (task.clean == y) & (target != y)
    result = AttackResult(
        name=task.name, x=x, x_adv=adv, x_adv_u8=adv_u8, y=y, target=target, pred_clean=task.clean, pred_adv=pred_adv,
        pred_u8=pred_u8, success=counts & within & _reached(pred_adv, y, target),
        success_u8=counts & near_u8 & _reached(pred_u8, y, target),
        within=within, done=found.done, norms=distances, queries=found.queries, steps_used=found.steps, loss=found.loss,
        bounds=victim.bounds, scores_clean=scores_clean, scores_adv=scores_adv, gradients=found.gradients, seconds=found.seconds,
        flags=list(task.flags), config=task.config, seed=task.seed, model_sha256=model_sha256(task.model),
        model_identity=record.plain(model_identity(task.model)),
        data_sha256=record.sha256_arrays(x, y), eps=np.array(task.eps) if np.ndim(task.eps) else None)
    result.measured = {"before": list(task.flags), "probabilities": bool(victim.probabilities or found.probabilities),
                       "vanished": int(found.vanished.sum()), "changed": int((again != task.clean).sum()),
                       "moved": _scores_differ(victim, result)}
    result.flags += warnings_of(result)
    return result


def _distances(x, adv, names=("l0", "l1", "l2", "linf")):
    """Return {norm: (N,)} of adv - x in float64, some images at a time: a copy of all in float64 is twice their size."""
    parts = [[measure.size(adv[i:i + PART].astype(np.float64) - x[i:i + PART], n) for n in names] for i in range(0, len(x), PART)]
    return {n: np.concatenate([part[k] for part in parts]) if parts else np.zeros(0) for k, n in enumerate(names)}


def _answers_to_bytes(victim, images, dtype, batch_size):
    """Return the classes (N,) of uint8 images, some of which are floats at a time."""
    parts = [answers(victim, measure.from_grid(images[i:i + batch_size], victim.bounds, 255, dtype), batch_size)[0]
             for i in range(0, len(images), batch_size)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def answers(victim, x: Images, batch_size: int):
    """Return predicted classes (N,) and probabilities (N, K); None for these if the model returns only labels. Values outside the
    bounds are clipped: such an image counts as not fooled anyway.
    """
    if not (hasattr(victim.model, "logits") or hasattr(victim.model, "scores")):
        return victim.predictions(x, batch_size), None
    parts = [victim.logits(np.clip(x[i : i + batch_size], *victim.bounds)) for i in range(0, len(x), batch_size)]
    z = np.concatenate(parts) if parts else np.zeros((0, victim.n_classes), np.float32)
    labels = (
        victim.predictions(x, batch_size)
        if hasattr(victim.model, "labels") and not hasattr(victim.model, "logits")
        else z.argmax(axis=1)
    )
    return labels, softmax(z).astype(np.float32)


def to_uint8(x: Images, adv, eps: Eps | None, norm: Norm, bounds: Range):
    """Return adv as uint8 images (N, ...), whether each is within eps of x (N,), and whether rounding changed nothing (N,). Each
    value is rounded to the nearest level. If that is farther than eps from x, the next level towards x is used: with linf, 0.05
    is 12.75 levels, so the change is 12 levels, not 13. If x is not an 8-bit image and no level is within eps, the level nearest
    to x is used.
    """
    parts = [_to_uint8(x[i:i + PART], adv[i:i + PART], measure.rows_of(eps, slice(i, i + PART)), norm, bounds) for i in range(0, len(x), PART)]
    if not parts:
        return np.zeros(x.shape, np.uint8), np.zeros(0, bool), np.zeros(0, bool)
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def _to_uint8(x, adv, eps, norm, bounds):
    unit, nearest = (bounds[1] - bounds[0]) / 255, measure.to_grid(x, bounds)
    own = measure.from_grid(nearest, bounds, 255, x.dtype) == x                        # of 8 bits already
    off = np.abs((x.astype(np.float64) - bounds[0]) / unit - nearest)
    own |= measure.column((measure.flat(off) < ROUNDED).all(axis=1), own)              # or so, but scaled in another order
    exact = np.where(own, nearest, (x.astype(np.float64) - bounds[0]) / unit)          # x in levels
    levels = measure.to_grid(adv, bounds)
    if eps is None:
        return np.clip(levels, 0, 255).astype(np.uint8), np.ones(len(x), bool), np.zeros(len(x), bool)
    if norm == "linf":
        reach = measure.wide(eps, x) / unit * (1 + measure.TOLERANCE)
        low, high = np.ceil(exact - reach), np.floor(exact + reach)
        levels = np.where(low <= high, np.clip(levels, low, high), nearest)
    else:
        far = measure.size((levels - exact) * unit, norm) > eps * (1 + measure.TOLERANCE)
        levels = np.where(measure.column(far, levels), _inner(exact, own, nearest, (adv.astype(np.float64) - x) / unit), levels)
    levels = np.clip(levels, 0, 255)
    near = measure.inside((levels - exact) * unit, eps, norm)
    return levels.astype(np.uint8), near, measure.flat(measure.from_grid(levels, bounds, 255, adv.dtype) == adv).all(axis=1)


def _inner(exact, own, nearest, change):
    """Return the last level before exact + change, or the nearest to `exact` where there is none on the way."""
    moved = exact + change
    level = np.where(own, exact + np.trunc(change), np.where(change >= 0, np.floor(moved), np.ceil(moved)))
    return np.where((level - exact) * change < 0, nearest, level)


def _within(x, adv, distances, eps, norm, bounds):
    rows = measure.flat(adv)
    inside = np.isfinite(rows).all(axis=1) & (rows >= bounds[0] - 1e-6).all(axis=1) & (rows <= bounds[1] + 1e-6).all(axis=1)
    if np.ndim(eps) > 1:                                                # some images at a time, as _distances
        parts = [measure.inside(adv[i:i + PART].astype(np.float64) - x[i:i + PART], eps[i:i + PART], norm) for i in range(0, len(x), PART)]
        return inside & np.concatenate([np.zeros(0, bool), *parts])
    return inside if eps is None else inside & (distances[norm] <= eps * (1 + measure.TOLERANCE))


def _reached(pred, y, target):
    return pred != y if target is None else pred == target


def warnings_of(result):
    """Return a sentence for each reason to doubt the numbers, found in the arrays and in `measured`."""
    flags, n, measured = [], len(result), result.measured
    if measured["probabilities"]:
        flags.append("probabilities, not logits: the model answers with a distribution; its logarithm was attacked")
    if measured["vanished"]:
        flags.append(f"vanished gradients: exactly 0 for {measured['vanished']} of {n} images at some step; a sign of masking")
    outside = int((~result.within).sum())
    if outside:
        flags.append(f"out of bounds or of the ball: {outside} of {n} images, which count as not fooled")
    if measured["changed"] or measured["moved"]:
        flags.append(f"random outputs: asked again, the model answers otherwise ({measured['changed']} of {n} clean images changed class)")
    lost = int(result.success.sum() - (result.success & result.success_u8).sum())
    if lost > 0.02 * max(n, 1):
        flags.append(f"8-bit images: {lost} of {int(result.success.sum())} successes are lost by rounding to 8 bits")
    return flags


def _scores_differ(victim, result, images=16, tolerance=1e-3):
    """Whether the probabilities of a few clean images change when they are asked for again, beyond rounding."""
    if result.scores_clean is None or not len(result):
        return False
    return bool(np.abs(answers(victim, result.x[:images], images)[1] - result.scores_clean[:images]).max() > tolerance)


def replay(model: Any, result: AttackResult, *, n: int | None = None, batch_size: int = 128) -> AttackResult:
    """Show another classifier the first n (default: all) images of a saved attack; return an AttackResult of its answers.

    No attack is run. Images are rescaled from the attack's range to that of `model`. A model that takes 8-bit images
    (`takes_bytes`) gets the saved x_adv_u8, which are within eps. A flag tells if the attack stopped at the first success: such
    images are near the boundary of the model that they were made for.
    """
    batch_size, n = count(batch_size, "batch_size"), len(result) if n is None else count(n, "n")
    victim = Victim(model)
    x, adv = (_rescale(a[:n], result.bounds, victim.bounds, victim.dtype) for a in (result.x, result.x_adv))
    if getattr(model, "takes_bytes", False):
        adv = measure.from_grid(result.x_adv_u8[:n].astype(np.float64), victim.bounds, 255, victim.dtype)
    y, target, done = (None if a is None else a[:n] for a in (result.y, result.target, result.done))
    if int(y.max(initial=0)) >= victim.n_classes:
        raise DataError(f"the attack has labels up to {int(y.max())}; this model has classes 0 to {victim.n_classes - 1}")
    scale = (victim.bounds[1] - victim.bounds[0]) / (result.bounds[1] - result.bounds[0])
    eps, norm = result.config.get("eps") if result.eps is None else result.eps[:n], result.config.get("norm", "linf")
    found = Found(x)
    found.adv, found.done = adv, done
    config = {**result.config, "replayed_from": result.model_sha256}
    task = Task(f"replay of {result.name}", model, x, y, target, victim.predictions(x, batch_size),
                None if eps is None else eps * scale * (1 + measure.TOLERANCE), norm, config, result.seed,
                _stopped_early(result, model), batch_size)
    return recheck(task, found)


def _stopped_early(result, model):
    """Return a flag where the images of a saved attack stop at the boundary of another model than `model`."""
    name = result.config.get("attack", result.name)
    early = result.config.get("early_stop", name not in ONE_STEP)
    if not early or result.model_identity is not None and result.model_identity == record.plain(model_identity(model)):
        return []
    better = "pgd, which goes all its steps with" if name in NEAREST else "the same attack with"
    return [f"made for another model: {name} stopped at that model's boundary, so these images say little of this one; transfer "
            f"by {better} early_stop=False (--no-early-stop)"]


def _rescale(a, old, new, dtype):
    if tuple(old) == tuple(new):
        return a.astype(dtype)
    return np.clip((a.astype(np.float64) - old[0]) * ((new[1] - new[0]) / (old[1] - old[0])) + new[0], *new).astype(dtype)
