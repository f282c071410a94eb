"""Many attacks: curves over eps, maps over settings, targeted matrices, transfer between models. A stopped sweep can continue."""
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyvgg.attacks.checks import count, number
from tinyvgg.attacks.identity import attack_identity, model_identity, needs, own_default, takes
from tinyvgg.attacks.norms import TOLERANCE, parse_eps, parse_norm
from tinyvgg.attacks.pgd import pgd
from tinyvgg.attacks.result import AttackResult
from tinyvgg.attacks.shards import attack_each
from tinyvgg.errors import OptionError
from tinyvgg.report import record
from tinyvgg.report.parallel import placed
from tinyvgg.report.progress import Progress
from tinyvgg.types import Eps, Images, Labels, Norm, PathLike

LINF = tuple(f"{k}/255" for k in (0, 1, 2, 4, 6.4, 8, 16, 32, 64))
L2 = (0, 0.25, 0.5, 0.6, 1.0, 1.5, 3.0, 6.0)


def eps_curve(model: Any, x: Images, y: Labels | None, *, attack: Callable[..., AttackResult] = pgd,
              eps: Sequence[Eps] | None = None, norm: Norm | None = None, executor: Any = None, out: PathLike | None = None,
              quiet: bool = True, **settings: Any) -> list[dict[str, Any]]:
    """Attack with each radius of `eps` and return rows {"eps", "robust_accuracy", "interval", "success_rate", ...} by eps.

    attack: a function of this package; settings: its settings. An attack without eps looks once for the nearest images; each
    radius counts those within it. norm: by default the attack's own. If the curve does not reach 0, the attack fails or the range
    is too short: rows then have a flag. executor: to attack images in parallel: `parallel.workers_of`, any concurrent.futures
    executor, or a Dask client; the rows are the same. out: a file of JSON lines.
    """
    name = attack_identity(attack)[0]
    if norm is not None and not takes(attack, "norm"):
        raise OptionError(f"{name} has no choice of norms; got norm={norm!r}", "the same without norm")
    norm = own_default(attack, "norm") if norm is None else norm
    norm = None if norm is None else parse_norm(norm)
    settings = settings if norm is None else {"norm": norm, **settings}
    norm = "l2" if name == "cw" else norm                     # the only one that it has
    width = 1 if eps is not None else model.bounds[1] - model.bounds[0]             # the usual radii are parts of the range
    if isinstance(eps, str) or eps is not None and not np.iterable(eps):
        raise OptionError(f"eps is {eps!r}; a curve takes several radii", 'eps=[0, "4/255", "8/255"]')
    radii = sorted(width * parse_eps(e) for e in (eps if eps is not None else L2 if norm == "l2" else LINF))
    if takes(attack, "eps"):
        runs = [planned(attack, {"eps": e, **settings}, _robust) for e in radii]
        rows = run_all(runs, model, x, y, executor=executor, out=out, quiet=quiet, label="eps curve")
    else:
        runs = [planned(attack, settings, _within_each, {"radii": radii})]
        rows = run_all(runs, model, x, y, executor=executor, out=out, quiet=quiet, label="nearest images")[0]["curve"]
    if rows and rows[-1]["robust_accuracy"] > 0:
        left = f"the curve ends at {rows[-1]['robust_accuracy']:.1%}, not at 0: go on to a larger eps, and if that does not help"
        rows[-1]["flags"] = [*rows[-1]["flags"], f"{left}, doubt the attack"]
    return rows


def step_map(model: Any, x: Images, y: Labels | None, *, eps: Eps, shares: Sequence[float] = (0.05, 0.1, 0.25, 0.5, 1.0),
             steps: Sequence[int] = (1, 5, 10, 20, 40), norm: Norm = "linf", executor: Any = None, out: PathLike | None = None,
             quiet: bool = True, **settings: Any) -> list[dict[str, Any]]:
    """PGD with each step length (as a share of eps) and number of steps; rows {"share", "steps", "robust_accuracy", ...}."""
    eps = parse_eps(eps)
    if not np.iterable(shares) or not np.iterable(steps):
        raise OptionError(f"shares is {shares!r} and steps is {steps!r}; expected several of each", "shares=[0.1, 0.25], steps=[5, 10]")
    runs = []
    for share in [number(share, "share") for share in shares]:
        for taken in steps:
            given = {"eps": eps, "norm": norm, "step": share * eps, "steps": taken, **settings}
            runs.append(planned(pgd, given, _robust, {"share": share}))
    return run_all(runs, model, x, y, executor=executor, out=out, quiet=quiet, label="step map")


def target_matrix(model: Any, x: Images, y: Labels | None, *, eps: Eps | None = None, attack: Callable[..., AttackResult] = pgd,
                  executor: Any = None, out: PathLike | None = None, quiet: bool = True, **settings: Any) -> Any:
    """Attack images of each class towards each other class; return {"matrix", "rows"}: (K, K) success rates, NaN on the diagonal.
    matrix[i, j]: of the images of class i that the model gets right, the share that the attack turns into class j. eps: None for
    attacks that look for the nearest image, which then count at any distance.
    """
    name = attack_identity(attack)[0]
    if name == "ladder":
        raise OptionError("the ladder attacks away from a class, not to one; the matrix is of targets", "attack=attacks.pgd")
    if eps is None and needs(attack, "eps"):
        raise OptionError(f"{name} attacks within a radius; got no eps", 'eps="8/255"')
    given = settings if eps is None else {"eps": parse_eps(eps), **settings}
    there = set(np.asarray(y).reshape(-1).tolist())
    runs = [replace(planned(attack, {"target": t, **given}, _to_class), extra={"classes": model.n_classes}) for t in range(model.n_classes)]
    runs = [run if there - {t} else replace(run, attack=None) for t, run in enumerate(runs)]
    rows = run_all(runs, model, x, y, executor=executor, out=out, quiet=quiet, label="targets")
    matrix = np.array([[np.nan if v is None else v for v in row["by_class"]] for row in rows]).T
    return {"matrix": matrix, "rows": rows}


def transfer(sources: Any, victims: Any, x: Images, y: Labels | None, *, attack: Callable[..., AttackResult] = pgd,
             executor: Any = None, out: PathLike | None = None, quiet: bool = True, **settings: Any) -> list[dict[str, Any]]:
    """Attack each of `sources` and show the images to each of `victims` (dicts of name: model); return rows of every pair.

    attack: a function of this package; settings are its own. Images at the first network's boundary say little about another. So
    the default is early_stop=False, for attacks that have it: all steps are taken and the strongest point is kept. A row:
    {"source", "victim", "success_rate" of images that the victim gets right, "robust_accuracy", "flags"}. A victim that is fooled
    more by another model's images than by its own is flagged: its gradients are masked. executor, out: as in eps_curve.
    """
    if not (isinstance(sources, dict) and isinstance(victims, dict)) or not sources or not victims:
        raise OptionError("transfer needs a source and a victim", 'transfer({"a": model}, {"b": other}, x, y, eps=0.03)')
    bound = attack_identity(attack)[1]
    if takes(attack, "early_stop") and "early_stop" not in bound:
        settings = {"early_stop": False, **settings}
    rows = []
    for name, model in sources.items():
        known = {other: model_identity(victim) for other, victim in victims.items()}
        run = planned(attack, settings, _seen_by, {"source": name, "victims": known})
        run = replace(run, told=run.told and None not in known.values())
        rows += run_all([run], model, x, y, victims=victims, executor=executor, out=out, quiet=quiet, label=f"transfer from {name}")[0]["rows"]
    direct = {row["victim"]: row["success_rate"] for row in rows if row["source"] == row["victim"]}
    for row in rows:
        if row["success_rate"] > direct.get(row["victim"], 1) + 0.02:
            row["flags"].append("a sign of masking: images of another model fool this one more often than its own")
    return rows


def _seen_by(results, extra):
    """The answers of every victim to the images that were made against one model."""
    return {"rows": [{"source": extra["source"], "victim": other, "flags": list(seen.flags),
                      **{key: getattr(seen, key) for key in ("clean_accuracy", "robust_accuracy", "success_rate")}}
                     for other, seen in zip(extra["victims"], results[1:], strict=True)]}


def success_by_queries(result: AttackResult, points: int = 50) -> Any:
    """Return (queries (points,), share of attackable images that were fooled with at most so many queries)."""
    points = count(points, "points", least=2)
    used = np.sort(result.queries[result.success])
    at = np.unique(np.geomspace(1, max(int(result.queries.max(initial=1)), 2), points).astype(int))
    return at, np.searchsorted(used, at, side="right") / max(int(result.attackable.sum()), 1)


@dataclass(frozen=True)
class Run:
    """One attack of a sweep. key: the first entries of its row, which identify it. told: whether the key identifies it fully."""

    key: dict
    attack: Callable | None     # None: nobody is attacked
    settings: dict
    row: Callable               # ([result, those of the victims] or None, extra) -> dict
    extra: dict
    told: bool = True


def planned(attack: Callable[..., AttackResult], settings, row, extra=None):
    """Return the Run of `attack` with `settings`; row(results, extra) makes its row. extra: further words of its key."""
    name, own, told = attack_identity(attack)
    key = {name: value for name, value in settings.items() if name != "callback"}      # it changes no result
    return Run({"attack": name, **(extra or {}), **own, **key}, attack, settings, row, extra or {}, told)


def run_all(runs, model: Any, x: Images, y: Labels | None, *, victims=None, executor: Any = None, out: PathLike | None = None,
            quiet: bool = True, label="sweep"):
    """Run attacks, show their images to `victims` (names: models), and return the rows {**key, **dict} in the order of `runs`.

    Rows are appended to the file `out` as they come, with the identity of model and data. Rows already there are not run again,
    unless the model or the attack is a function without identity. executor: as in eps_curve.
    """
    place, mark, known = placed(executor), {}, {}
    if out is not None:
        mark = record.plain({"model": model_identity(model), "data_sha256": record.sha256_arrays(np.asarray(x), np.asarray(y))})
        if mark["model"] is not None:
            known = {_text(row["key"]): row["row"] for row in record.kept_rows(Path(out)) if row.get("mark") == mark}
    rows = [known.get(_text(run.key)) if run.told else None for run in runs]
    progress = Progress(len(runs), label, "attacks", quiet=quiet)
    progress.advance(sum(row is not None for row in rows))
    todo = [i for i, row in enumerate(rows) if row is None]
    for k, results in attack_each(place, [runs[i] for i in todo], model, x, y, victims):
        run = runs[todo[k]]
        rows[todo[k]] = record.plain({**run.key, **run.row(results, run.extra)})
        if out is not None:
            record.keep_row(out, {"key": record.plain(run.key), "mark": mark, "about": record.told(), "row": rows[todo[k]]})
        progress.advance()
    progress.close()
    return rows


def _text(key):
    return json.dumps(record.plain(key), sort_keys=True, default=str)


def _robust(results, extra):
    return _row(results[0])


def _row(result):
    s = result.summary()
    return {"interval": list(s["robust_accuracy_interval"]),
            **{name: s[name] for name in ("n", "clean_accuracy", "robust_accuracy", "success_rate", "seconds", "flags")}}


def _within_each(results, extra):
    """One search for the nearest images; a row for each radius, which counts the ones within it."""
    result = results[0]
    norm, curve = result.config["norm"], []
    for eps in extra["radii"]:
        near = result.success & (result.norms[norm] <= eps * (1 + TOLERANCE))
        part = replace(result, success=near, pred_adv=np.where(near | (result.pred_clean != result.y), result.pred_adv, result.y))
        curve.append({"eps": eps, "norm": norm, **_row(part)})
    return {"curve": curve}


def _to_class(results, extra):
    if results is None:                                                 # all images are of the class already
        return {"by_class": [None] * extra["classes"], "success_rate": None, "flags": []}
    result, by_class = results[0], []
    for label in range(extra["classes"]):
        rows = result.attackable & (result.y == label)
        by_class.append(float(result.success[rows].mean()) if rows.any() else None)
    return {"by_class": by_class, "success_rate": result.success_rate, "flags": result.flags}
