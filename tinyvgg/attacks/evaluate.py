"""Looking at attacked images from scratch: distances in float64, fresh predictions, images of 8 bits, warnings."""
import numpy as np

from tinyvgg.attacks import norms as measure
from tinyvgg.attacks.checks import count
from tinyvgg.attacks.result import AttackResult
from tinyvgg.attacks.task import Found, Task
from tinyvgg.attacks.victim import Victim
from tinyvgg.errors import DataError
from tinyvgg.kernels.reference import softmax
from tinyvgg.report import record


def recheck(task, found):
    """Measure found.adv against task.x and ask the model again; return an AttackResult whose numbers owe the attack nothing.

    An image counts as fooled if it was right before, its goal is reached now, it is within the model's bounds and, where eps is
    given, within eps of x by a relative 1e-6.
    """
    victim = Victim(task.model)
    x, adv, y, target = task.x, found.adv, task.y, task.target
    adv_u8 = to_uint8(x, adv, task.eps, task.norm, victim.bounds)
    from_u8 = measure.from_grid(adv_u8.astype(np.float64), victim.bounds, 255, x.dtype)
    pred_adv, scores_adv = answers(victim, np.clip(adv, *victim.bounds), task.batch_size)      # outside counts as not fooled
    pred_u8, _ = answers(victim, from_u8, task.batch_size)
    again, scores_clean = answers(victim, x, task.batch_size)
    distances = {n: measure.size(adv.astype(np.float64) - x, n) for n in ("l0", "l1", "l2", "linf")}
    within = _within(adv, distances, task.eps, task.norm, victim.bounds)
    counts = (task.clean == y) if target is None else (task.clean == y) & (target != y)
    result = AttackResult(
        name=task.name, x=x, x_adv=adv, x_adv_u8=adv_u8, y=y, target=target, pred_clean=task.clean, pred_adv=pred_adv,
        pred_u8=pred_u8, success=counts & within & _reached(pred_adv, y, target),
        success_u8=counts & _reached(pred_u8, y, target),
        within=within, done=found.done, norms=distances, queries=found.queries, steps_used=found.steps, loss=found.loss,
        bounds=victim.bounds, scores_clean=scores_clean, scores_adv=scores_adv, gradients=found.gradients, seconds=found.seconds,
        flags=list(task.flags), config=task.config, seed=task.seed, model_sha256=model_sha256(task.model),
        data_sha256=record.sha256_arrays(x, y))
    result.flags += _warnings(result, found, victim, again)
    return result


def answers(victim, x, batch_size):
    """Return predicted classes (N,) and probabilities (N, K), or None where the model tells only labels."""
    if not (hasattr(victim.model, "logits") or hasattr(victim.model, "scores")):
        return victim.predictions(x, batch_size), None
    parts = [victim.logits(x[i : i + batch_size]) for i in range(0, len(x), batch_size)]
    z = np.concatenate(parts) if parts else np.zeros((0, victim.n_classes), np.float32)
    labels = (
        victim.predictions(x, batch_size)
        if hasattr(victim.model, "labels") and not hasattr(victim.model, "logits")
        else z.argmax(axis=1)
    )
    return labels, softmax(z).astype(np.float32)


def to_uint8(x, adv, eps, norm, bounds):
    """Return adv as uint8 images: the nearest, or where that is farther than eps from x, one level towards x.

    For linf the distance is held to floor(255 eps) levels: 0.05 is 12.75 levels, so 12, not 13.
    """
    start = measure.to_grid(x, bounds)
    levels = measure.to_grid(adv, bounds) - start
    if eps is not None:
        unit = (bounds[1] - bounds[0]) / 255
        if norm == "linf":
            limit = np.floor(eps / unit * (1 + measure.TOLERANCE))
            levels = np.clip(levels, -limit, limit)
        else:
            far = measure.size(levels * unit, norm) > eps * (1 + measure.TOLERANCE)
            inner = np.trunc((adv.astype(np.float64) - x) / unit)
            levels = np.where(measure.column(far, levels), inner, levels)
    return np.clip(start + levels, 0, 255).astype(np.uint8)


def _within(adv, distances, eps, norm, bounds):
    rows = measure.flat(adv)
    inside = np.isfinite(rows).all(axis=1) & (rows >= bounds[0] - 1e-6).all(axis=1) & (rows <= bounds[1] + 1e-6).all(axis=1)
    return inside if eps is None else inside & (distances[norm] <= eps * (1 + measure.TOLERANCE))


def _reached(pred, y, target):
    return pred != y if target is None else pred == target


def _warnings(result, found, victim, again):
    """Return sentences for whatever makes the numbers doubtful."""
    flags, n = [], len(result)
    if victim.probabilities or found.probabilities:
        flags.append("probabilities, not logits: the model answers with a distribution; its logarithm was attacked")
    vanished = int(found.vanished.sum())
    if vanished:
        flags.append(f"vanished gradients: exactly 0 for {vanished} of {n} images at some step; a sign of masking")
    outside = int((~result.within).sum())
    if outside:
        flags.append(f"out of bounds or of the ball: {outside} of {n} images, which count as not fooled")
    changed = int((again != result.pred_clean).sum())
    if changed or _scores_differ(victim, result):
        flags.append(f"random outputs: asked again, the model answers otherwise ({changed} of {n} clean images changed class)")
    lost = int(result.success.sum() - (result.success & result.success_u8).sum())
    if lost > 0.02 * max(n, 1):
        flags.append(f"8-bit images: {lost} of {int(result.success.sum())} successes are lost by rounding to 8 bits")
    return flags


def _scores_differ(victim, result, images=16, tolerance=1e-3):
    """Whether the probabilities of a few clean images change when they are asked for again, beyond rounding."""
    if result.scores_clean is None or not len(result):
        return False
    return bool(np.abs(answers(victim, result.x[:images], images)[1] - result.scores_clean[:images]).max() > tolerance)


def model_sha256(model):
    """Return the SHA-256 of a model's weights (or the one it names itself), None where it has neither."""
    named = getattr(model, "sha256", None)
    if isinstance(named, str):
        return named
    weights = getattr(model, "get_weights", None)
    return record.sha256_arrays(*weights()) if callable(weights) else None


def replay(model, result, *, n=None, batch_size=128):
    """Show another classifier the first n (default: all) images of a saved attack; return an AttackResult of its answers.

    Nothing is searched anew. Images are rescaled from the range of the attack to that of `model`. A model that takes 8-bit images
    only sees x_adv_u8.
    """
    batch_size, n = count(batch_size, "batch_size"), len(result) if n is None else count(n, "n")
    victim = Victim(model)
    x, adv = (_rescale(a[:n], result.bounds, victim.bounds, victim.dtype) for a in (result.x, result.x_adv))
    y, target, done = (None if a is None else a[:n] for a in (result.y, result.target, result.done))
    if int(y.max(initial=0)) >= victim.n_classes:
        raise DataError(f"the attack has labels up to {int(y.max())}; this model has classes 0 to {victim.n_classes - 1}")
    scale = (victim.bounds[1] - victim.bounds[0]) / (result.bounds[1] - result.bounds[0])
    eps, norm = result.config.get("eps"), result.config.get("norm", "linf")
    found = Found(x)
    found.adv, found.done = adv, done
    config = {**result.config, "replayed_from": result.model_sha256}
    return recheck(Task(f"replay of {result.name}", model, x, y, target, victim.predictions(x, batch_size),
                        None if eps is None else eps * scale * (1 + measure.TOLERANCE), norm, config, result.seed,
                        batch_size=batch_size), found)


def _rescale(a, old, new, dtype):
    if tuple(old) == tuple(new):
        return a.astype(dtype)
    return np.clip((a.astype(np.float64) - old[0]) * ((new[1] - new[0]) / (old[1] - old[0])) + new[0], *new).astype(dtype)
