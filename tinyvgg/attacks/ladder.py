"""The ladder: stronger and stronger attacks, each on the images that the ones before did not fool; stages.py defines its stages.
The result is the worst case over all of them.
"""
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyvgg.attacks.checks import checked_eps, checked_images, checked_labels, checked_mask, count, eps_flags, switch, told_eps
from tinyvgg.attacks.defended import defended
from tinyvgg.attacks.evaluate import recheck
from tinyvgg.attacks.identity import model_identity, model_sha256, takes
from tinyvgg.attacks.norms import given_to, parse_norm, parse_radii
from tinyvgg.attacks.randomness import DRAWS, judged, randomness, told_of
from tinyvgg.attacks.result import AttackResult
from tinyvgg.attacks.stages import CLASSES, ONE_DISTANCE, stages_of
from tinyvgg.attacks.task import Found, Task
from tinyvgg.attacks.victim import Victim, has_gradients
from tinyvgg.errors import OptionError
from tinyvgg.report import record
from tinyvgg.types import Eps, Images, Labels, Norm, PathLike

MASKED = 0.002              # Square winning more than this share beyond the white-box attacks is a sign of masking
REPEATED = ("8-bit", "eps ", "random outputs")  # flags of a stage that the whole has, too


def ladder(model: Any, x: Images, y: Labels | None, *, eps: Eps, norm: Norm = "linf", version: str = "fast",
           attacks: Sequence[Any] | None = None, draws: int = DRAWS, early_stop: bool = True, mask: Any = None, seed: int = 0,
           batch_size: int = 128, budget: int | None = None, out: PathLike | None = None, quiet: bool = True) -> AttackResult:
    """Run several attacks in turn, those of `version`, and return one AttackResult with the worst case of each image.

    version: "fast", or AutoAttack's "standard", "plus" and "rand". norm: linf, l2 or l1. attacks: your own list instead: names of
    stages (apgd-ce, apgd-dlr, apgd-t, fab, fab-t, square) and of attacks that take an eps, or (name, settings); with
    version="rand" they attack the expectation.
    "rand" is for a model that answers at random: every question is asked `draws` times, the answer is the mean, and
    config["random"] holds the robust accuracy over `draws` new draws. The other versions flag such a model and give that figure.
    "rand" uses the strongest point of each image, never the first that fools the mean: half of the draws may still be right
    there.
    config["stages"] holds for each stage its attack, the images it saw, the robust accuracy after it, and its cost; see
    `ladder_text`. early_stop: within a stage, stop at an image once it is fooled; False searches on for its strongest point.
    Stages that need more than the model offers (such as gradients) are left out. mask: see run. out: a folder, from which each
    stage resumes.
    """
    eps, norm, draws, batch_size = parse_radii(eps), parse_norm(norm), count(draws, "draws"), count(batch_size, "batch_size")
    early_stop = switch(early_stop, "early_stop")
    if attacks is not None and version not in ("fast", "rand"):
        raise OptionError(f"a version ({version}) and a list of attacks were given; expected one of them", "the same without version")
    version = "custom" if attacks is not None and version != "rand" else version
    stages = stages_of(version, norm, attacks)
    victim, asked = Victim(model, budget=budget), draws if version == "rand" else 1
    x = checked_images(x, victim)
    eps = checked_eps(eps, x, norm, "ladder")
    attacked = model if asked == 1 else defended(model, eot=draws)
    clean = Victim(attacked).predictions(x, batch_size)
    y = checked_labels(y, x, victim.n_classes)
    config = {"attack": "ladder", "eps": told_eps(eps), "norm": norm, "version": version, "early_stop": early_stop,
              "batch_size": batch_size, "budget": budget, **({"draws": draws} if asked > 1 else {})}
    task = Task("ladder", attacked, x, y, None, clean, eps, norm, config, seed, eps_flags(eps, norm, victim.bounds, x), batch_size,
                checked_mask(mask, x))
    random, early_stop = randomness(victim, x, y), early_stop and asked == 1     # the edge of the mean fools half of the draws
    stages = _possible(stages, victim, norm, x, task.flags, by_value=np.ndim(eps) > 1)
    found, rows = _climb(task, stages, early_stop, None if budget is None else budget // asked, out, quiet)
    for row in rows:
        row["queries_used"] *= asked
    found.queries, found.gradients = found.queries * asked, found.gradients * asked
    return _finish(task, found, rows, victim, random, draws, out)


def _climb(task, stages, early_stop, budget, out, quiet):
    """Run stage after stage on what is left; return what was Found and a row for each stage."""
    found, left_open, rows = Found(task.x), task.clean == task.y, []
    for stage in stages:
        if not left_open.any():
            break
        at = np.flatnonzero(left_open)
        left = None if budget is None else budget - int(found.queries.sum())
        if left is not None and left <= 0:
            task.flags.append(f"stopped in the middle: the budget of {task.config['budget']:,} queries is used up before {stage.name}")
            found.done[at] = False
            break
        given = stage.settings if early_stop or not takes(stage.attack, "early_stop") else {**stage.settings, "early_stop": False}
        given = {"norm": task.norm, **given} if takes(stage.attack, "norm") else given
        given = given if task.free is None else {**given, "mask": task.free[at]}
        result = stage.attack(task.model, task.x[at], task.y[at], eps=given_to(task.eps, task.x, at), **given, seed=task.seed,
                              batch_size=task.batch_size, budget=left, out=None if out is None else Path(out) / f"stage-{stage.name}", quiet=quiet)
        _take(found, at, result)
        left_open[at[result.success]] = False
        rows.append({"attack": stage.function, "stage": stage.name, **stage.settings, "images": len(at),
                     "robust_accuracy": float(left_open.mean()), "fooled": int(result.success.sum()),
                     "batches": [[int(part.sum()), len(part)] for part in _parts(result.success, task.batch_size)],
                     "queries_used": int(result.queries.sum()), "seconds": result.seconds})
        task.flags += [f"{stage.name}: {flag}" for flag in result.flags if not flag.startswith(REPEATED)]
    return found, rows


def _parts(values, length):
    return [values[i:i + length] for i in range(0, len(values), length)]


def _possible(stages, victim, norm, x, flags, by_value=False):
    """Return the stages that this model and these images can take, noting the ones they cannot."""
    from tinyvgg.attacks import NEEDS
    if x.ndim != 4 and norm != "linf" and any(stage.name == "square" for stage in stages):
        flags.append(f"no images: Square does {norm} on images (N, H, W, C) only; it was left out")
        stages = [stage for stage in stages if stage.name != "square"]
    for stage in [stage for stage in stages if by_value and stage.function in ONE_DISTANCE]:
        flags.append(f"an eps for each value: {stage.name} measures one distance for an image; it was left out")
        stages = [other for other in stages if other is not stage]
    if not has_gradients(victim.model):
        stages = [stage for stage in stages if NEEDS[stage.function] != "gradients"]
        flags.append(f"no gradients: only {' and '.join(_name(stage.name) for stage in stages) or 'nothing'} was run, so robustness "
                     "may be overestimated")
    for stage in [stage for stage in stages if victim.n_classes < CLASSES.get(stage.name, 2)]:
        name, need = {"apgd-t": ("targeted APGD", "four"), "apgd-dlr": ("APGD on DLR", "three")}[stage.name]
        flags.append(f"too few classes: {name} needs {need}, the model has {victim.n_classes}; it was left out")
        stages = [other for other in stages if other is not stage]
    return stages


def _name(stage):
    return "Square" if stage == "square" else stage


def _take(found, rows, result):
    """Add what one stage found to the whole."""
    kept = result.success | ~result.done | (not result.config.get("early_stop", True))      # then the strongest point of each
    found.adv[rows[kept]] = result.x_adv[kept]
    found.loss[rows] = result.loss
    found.queries[rows] += result.queries
    found.steps[rows] += result.steps_used
    found.done[rows] = result.done
    found.seconds += result.seconds
    found.gradients += result.gradients


def _finish(task, found, stages, victim, random, draws, out):
    found.done |= task.clean != task.y
    found.done |= not stages                                            # nothing was left to attack
    square = [stage for stage in stages if stage["attack"] == "square"]
    if square and len(stages) > 1:
        won = square[0]["fooled"] / len(task.x)
        if won > MASKED:
            before = "the white-box attacks" if stages[-1] is square[0] else "the attacks before it"
            task.flags.append(f"a sign of masking: Square fooled {won:.1%} more of the images than {before}")
    task.config["stages"] = stages
    result = recheck(task, found)
    result.model_sha256, result.model_identity = model_sha256(victim.model), record.plain(model_identity(victim.model))
    _judge(result, victim, random, draws, task.batch_size)
    if out is not None:
        result.save(Path(out) / "attack.npz")
        record.write_bytes(Path(out) / "result.json", result.to_json() + "\n")
    return result


def _judge(result, victim, random, draws, batch_size):
    """Say what is random, and what the attack leaves of it over many draws."""
    expected = result.config["version"] == "rand"
    if expected and random is None:
        result.flags.append(f"nothing random: asked again, the model answers the same; version=\"standard\" is stronger at 1/{draws} "
                            "of the questions")
    if random is None:
        return
    result.flags = [flag for flag in result.flags if not flag.startswith("random outputs")]
    over = result.config["random"] = {**random, **judged(victim, result, draws, batch_size)}
    said = (f"over {draws} draws these images leave {over['robust_accuracy']:.1%} ({over['lowest']:.1%} to {over['highest']:.1%}; clean "
            f"{over['clean_accuracy']:.1%})")
    if not expected:
        said += f"; this ladder follows single draws, which flatters a random defence, and judged one ({result.robust_accuracy:.1%}): " \
                "version=\"rand\" attacks the expectation"
    result.flags.append(f"{told_of(random)}; {said}")


def ladder_text(result: AttackResult) -> list[str]:
    """Return a report of the ladder, in AutoAttack's format."""
    config, n, after, names = result.config, len(result), 0.0, {"linf": "Linf", "l2": "L2", "l1": "L1"}
    rows = config["stages"]
    lines = [f"using {config['version']} version including {', '.join(row['stage'] for row in rows)}.",
             f"initial accuracy: {result.clean_accuracy:.2%}"]
    for row in rows:
        after += row["seconds"]
        lines += [f"{row['stage']} - {i}/{len(row['batches'])} - {fooled} out of {of} successfully perturbed"
                  for i, (fooled, of) in enumerate(row["batches"], 1)]
        lines.append(f"robust accuracy after {row['stage'].upper()}: {row['robust_accuracy']:.2%} (total time {after:.1f} s)")
    if n:
        lines.append(f"max {names[config['norm']]} perturbation: {result.norms[config['norm']].max():.5f}, nan in tensor: "
                     f"{int(np.isnan(result.x_adv).sum())}, max: {result.x_adv.max():.5f}, min: {result.x_adv.min():.5f}")
    return [*lines, f"robust accuracy: {result.robust_accuracy:.2%}"]
