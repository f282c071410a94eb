"""The ladder: ever stronger attacks, each on what the ones before have left. version="standard" is AutoAttack's sequence.

Croce and Hein (ICML 2020): APGD on cross-entropy, targeted APGD on nine classes, FAB-T on nine, Square with 5,000 queries. What
is left after the last is the worst case over all of them.
"""
from pathlib import Path
from typing import Any

import numpy as np

from tinyvgg.attacks.apgd import apgd, apgd_t
from tinyvgg.attacks.checks import checked_images, checked_labels, eps_flags
from tinyvgg.attacks.evaluate import recheck
from tinyvgg.attacks.fab import fab
from tinyvgg.attacks.norms import parse_eps, parse_norm
from tinyvgg.attacks.result import AttackResult
from tinyvgg.attacks.square import square
from tinyvgg.attacks.task import Found, Task
from tinyvgg.attacks.victim import Victim, has_gradients
from tinyvgg.errors import OptionError
from tinyvgg.types import Eps, Images, Labels, Norm, PathLike

VERSIONS = {
    "fast": [
        ("apgd", apgd, {"steps": 50}),
        ("apgd_t", apgd_t, {"steps": 50, "targets": 3}),
        ("square", square, {"queries": 1000}),
    ],
    "standard": [
        ("apgd", apgd, {"steps": 100}),
        ("apgd_t", apgd_t, {"steps": 100, "targets": 9}),
        ("fab", fab, {"steps": 100, "targets": 9}),
        ("square", square, {"queries": 5000}),
    ],
}
MASKED = 0.002              # Square winning more than this share beyond the white-box attacks is a sign of masking


def ladder(model: Any, x: Images, y: Labels | None, *, eps: Eps, norm: Norm = "linf", version: str = "fast",
           early_stop: bool = True, seed: int = 0, batch_size: int = 128, budget: int | None = None, out: PathLike | None = None,
           quiet: bool = True) -> AttackResult:
    """Run the stages of `version` ("fast" or "standard") and return one AttackResult of the worst case.

    config["stages"] holds for each stage its attack, the images it saw, the robust accuracy after it, and its cost. norm: linf or
    l2. early_stop: within a stage, a fooled image is left alone; False takes its strongest point there. A model without gradients
    gets the stages that need none. out: a folder; each stage resumes there.
    """
    eps, norm = parse_eps(eps), parse_norm(norm)
    if version not in VERSIONS:
        raise OptionError(f"there is no ladder {version!r}; expected fast or standard")
    victim = Victim(model, budget=budget)
    x = checked_images(x, victim)
    clean = victim.predictions(x, batch_size)
    y = checked_labels(y, x, victim.n_classes)
    config = {"attack": "ladder", "eps": eps, "norm": norm, "version": version, "early_stop": early_stop,
              "batch_size": batch_size, "budget": budget}
    task = Task("ladder", model, x, y, None, clean, eps, norm, config, seed, eps_flags(eps, norm, victim.bounds, x), batch_size)
    found, open_images, stages = Found(x), clean == y, []
    for name, attack, settings in _stages(version, victim, norm, x, task.flags):
        if not open_images.any():
            break
        rows = np.flatnonzero(open_images)
        left = None if budget is None else budget - int(found.queries.sum())
        if left is not None and left <= 0:
            task.flags.append(f"stopped in the middle: the budget of {budget:,} queries is used up before {name}")
            found.done[rows] = False
            break
        given = settings if early_stop or attack is fab else {**settings, "early_stop": False}
        result = attack(model, x[rows], y[rows], eps=eps, norm=norm, **given, seed=seed, batch_size=batch_size, budget=left,
                        out=None if out is None else Path(out) / f"stage-{name}", quiet=quiet)
        _take(found, rows, result)
        open_images[rows[result.success]] = False
        stages.append({"attack": name, **settings, "images": len(rows), "robust_accuracy": float(open_images.mean()),
                       "fooled": int(result.success.sum()), "queries_used": int(result.queries.sum()), "seconds": result.seconds})
        task.flags += [f"{name}: {flag}" for flag in result.flags if not flag.startswith(("8-bit", "eps "))]
    return _finish(task, found, stages, out)


def _stages(version, victim, norm, x, flags):
    """Return the stages that this model and these images can take, noting the ones they cannot."""
    stages = VERSIONS[version]
    if x.ndim != 4 and norm != "linf":
        flags.append(f"no images: Square does {norm} on images (N, H, W, C) only; it was left out")
        stages = [stage for stage in stages if stage[0] != "square"]
    if not has_gradients(victim.model):
        flags.append("no gradients: only Square was run, so robustness may be overestimated")
        return [stage for stage in stages if stage[0] == "square"]
    if victim.n_classes < 4:
        flags.append(f"too few classes: targeted APGD needs four, the model has {victim.n_classes}; it was left out")
        return [stage for stage in stages if stage[0] != "apgd_t"]
    return stages


def _take(found, rows, result):
    """Add what one stage found to the whole."""
    kept = result.success | ~result.done
    found.adv[rows[kept]] = result.x_adv[kept]
    found.loss[rows] = result.loss
    found.queries[rows] += result.queries
    found.steps[rows] += result.steps_used
    found.done[rows] = result.done
    found.seconds += result.seconds
    found.gradients += result.gradients


def _finish(task, found, stages, out):
    found.done |= task.clean != task.y
    seen = {stage["attack"] for stage in stages}
    found.done |= not seen                                              # nothing was left to attack
    if "square" in seen and len(seen) > 1:
        won = stages[-1]["fooled"] / len(task.x)
        if won > MASKED:
            task.flags.append(f"a sign of masking: Square fooled {won:.1%} more of the images than the white-box attacks")
    task.config["stages"] = stages
    result = recheck(task, found)
    if out is not None:
        result.save(Path(out) / "attack.npz")
        from tinyvgg.report import record
        record.write_bytes(Path(out) / "result.json", result.to_json() + "\n")
    return result
