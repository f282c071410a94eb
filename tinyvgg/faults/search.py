"""Progressive bit search (Rakin, He, Fan: Bit-Flip Attack, ICCV 2019), on any stored array and for any objective.

At each step: rank the bits of every array by their first-order gain (gains.py); try the best of each array alone, on the true
integer network; keep the one that raises the score most. If none raises it, the two best bits of an array are tried together,
then three, up to `MOST`. After that the search ends, so that it cannot run for ever.

Differences from the paper: all bits are ranked, not only those of the ten weights with the largest gradient; the best `trials` of
an array are tried, not one; labels are the true ones unless labels="predicted"; biases, multipliers, shifts and codebooks are
attacked too.
"""
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tinyvgg.classifier import labels_of
from tinyvgg.errors import OptionError
from tinyvgg.faults.candidates import candidates
from tinyvgg.faults.memories import memory_of
from tinyvgg.faults.objective import objective
from tinyvgg.faults.open import open_store
from tinyvgg.faults.plan import FlipPlan, Step, flips_of, load_plan
from tinyvgg.faults.victim import victim_of
from tinyvgg.report import record
from tinyvgg.report.progress import Progress
from tinyvgg.types import Images, Labels, PathLike

MOST = 6                    # bits of one array that are flipped together where no fewer help


def progressive_search(model: Any, x: Images, y: Labels, *, flips: int = 20, goal: str = "any", target: int | None = None,
                       source: int | None = None, keep: float = 1.0, tensors: str | Sequence[str] = "weights",
                       only_bits: Sequence[int] | None = None, fault: str = "flip", memory: str = "sram", trials: int = 3,
                       floor: float | None = None, labels: Literal["true", "predicted"] = "true", seed: int = 0,
                       out: PathLike | None = None, quiet: bool = True) -> FlipPlan:
    """Search for the flips that hurt most; return a FlipPlan. The model itself is not changed.

    model: nn.Model, QuantizedModel, CompressedModel, Graph or Store. x (N, H, W, C), y (N,): the attacker's images, for example
    128 training images. flips: the largest number of steps. goal, target, source, keep: see objective.py. tensors: kinds or
    arrays (Store.select).
    only_bits: bits that may be flipped, None for all. fault: flip, set, clear or zero_dword. memory: see memories.py. trials: bits
    of each array that are tried at each step; None tries every one (brute force). floor: stop at this accuracy on x. labels: "true",
    or "predicted" as in the paper's code. seed: only recorded; it chose the images, the search itself is not random. out: a
    folder; the plan is saved there after each step, and the same call continues from it.
    """
    place, fault = memory_of(memory, fault)
    store = open_store(model, place.form)
    if flips < 1 or trials is not None and trials < 1 or labels not in ("true", "predicted"):
        raise OptionError(f"{flips} flips, {trials} trials and {labels!r} labels; expected 1 or more, and true or predicted")
    if floor is not None and not 0 <= floor <= 1:
        raise OptionError(f"floor is {floor:g}; expected a share of the images, 0 to 1", f"{floor / 100:g}" if 1 < floor <= 100 else "0.1")
    keys, victim, y = store.select(tensors), victim_of(store, x), np.asarray(y).reshape(-1)
    goals = objective(goal, labels_of(victim.logits) if labels == "predicted" else y, store.n_classes, target=target, source=source,
                      keep=keep)
    only_bits = store.select_bits(keys, only_bits)          # a list: a range would not become JSON
    settings = {"goal": goal, "target": target, "source": source, "keep": keep, "tensors": keys, "only_bits": only_bits,
                "fault": fault, "memory": memory, "trials": trials, "labels": labels, "seed": seed, "images": len(x),
                "images_sha256": record.sha256_arrays(np.asarray(x), y)}
    plan = _begin(store, place, settings, out)
    for step in plan.steps:
        victim.commit([f.place for f in step.flips])
    plan.facts.setdefault("start", _measure(victim.logits, y, goals))
    progress = Progress(flips, "search", "flips", quiet=quiet)
    progress.advance(len(plan.steps))
    while len(plan.steps) < flips and (floor is None or _accuracy(victim.logits, y) > floor):
        found = _best_flip(victim, goals, keys, fault, place.together, trials, only_bits)
        if found is None:
            plan.facts["stopped"] = f"no {MOST} or fewer bits of one array raise the score"
            break
        made = tuple(flips_of(store, found))
        victim.commit(found)
        plan.steps.append(Step(made, **_measure(victim.logits, y, goals)))
        if out is not None:
            plan.save(Path(out) / "plan.json")
        progress.advance(1, f"accuracy {plan.steps[-1].accuracy:.1%}")
    progress.close()
    store.toggle(plan.net())
    return plan


def _best_flip(victim, goals, keys, fault, together, trials, only_bits):
    """Return the bits [(key, index, bit)] of the best flip, or None where none raises the score."""
    base, slopes = goals.score(victim.logits), victim.slopes(goals)
    for count in range(together, max(MOST, together) + 1):
        best = None
        for key in keys:
            for places in candidates(victim.store, slopes, key, fault=fault, count=count, in_double_word=together > 1, trials=trials,
                                     only_bits=only_bits):
                score = goals.score(victim.trial(places))
                if best is None or score > best[0]:
                    best = score, places
        if best is not None and best[0] > base:
            return best[1]
        if fault == "zero_dword":
            break
    return None


def _measure(logits, y, goals):
    return {"score": goals.score(logits), "accuracy": _accuracy(logits, y), "success": goals.success(labels_of(logits, broken=-1))}


def _accuracy(logits, y):
    return float((labels_of(logits, broken=-1) == y).mean())


def _begin(store, place, settings, out):
    """A new plan, or the one that `out` holds of the same search."""
    fresh = FlipPlan(store.name, store.sha256, store.form, place.name, facts={**settings, "versions": record.versions()})
    if out is None or not (Path(out) / "plan.json").exists():
        return fresh
    old = load_plan(out)
    if old.sha256 != fresh.sha256 or json.dumps([old.facts.get(k) for k in settings]) != json.dumps(list(settings.values())):
        raise OptionError(f"{out} holds a search of another model or with other settings", "another --out, or the settings that began it")
    old.facts.pop("stopped", None)
    return old
