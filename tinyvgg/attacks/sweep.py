"""Many attacks: curves over eps, maps over settings, targeted matrices, transfer between models; what stopped resumes."""
import json
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyvgg.attacks.evaluate import replay
from tinyvgg.attacks.identity import attack_identity, model_identity, own_default, takes
from tinyvgg.attacks.norms import TOLERANCE, parse_eps, parse_norm
from tinyvgg.attacks.pgd import pgd
from tinyvgg.attacks.result import AttackResult, plain
from tinyvgg.errors import OptionError
from tinyvgg.report import record
from tinyvgg.report.progress import Progress
from tinyvgg.types import Eps, Images, Labels, Norm, PathLike

LINF = tuple(f"{k}/255" for k in (0, 1, 2, 4, 6.4, 8, 16, 32, 64))
L2 = (0, 0.25, 0.5, 0.6, 1.0, 1.5, 3.0, 6.0)


def eps_curve(model: Any, x: Images, y: Labels | None, *, attack: Callable[..., AttackResult] = pgd,
              eps: Sequence[Eps] | None = None, norm: Norm | None = None, executor: Any = None, out: PathLike | None = None,
              quiet: bool = True, **settings: Any) -> list[dict[str, Any]]:
    """Attack with each radius of `eps` and return rows {"eps", "robust_accuracy", "interval", "success_rate", ...} by eps.

    attack: a function of this package; settings are its own. One that takes no eps looks for the nearest image once, and every
    radius counts those within it. norm: the attack's own by default. A curve that does not reach 0 means a failing attack
    or too short a range: rows then carry a flag. executor: anything with submit(), to run radii side by side, or a Dask client;
    out: a file of JSON lines.
    """
    if norm is not None and not takes(attack, "norm"):
        raise OptionError(f"{attack_identity(attack)[0]} has no choice of norms; got norm={norm!r}", "the same without norm")
    norm = own_default(attack, "norm") if norm is None else norm
    norm = None if norm is None else parse_norm(norm)
    settings = settings if norm is None else {"norm": norm, **settings}
    norm = "l2" if attack_identity(attack)[0] == "cw" else norm                     # the only one that it has
    width = 1 if eps is not None else model.bounds[1] - model.bounds[0]             # the usual radii are parts of the range
    radii = sorted(width * parse_eps(e) for e in (eps if eps is not None else L2 if norm == "l2" else LINF))
    if takes(attack, "eps"):
        runs = [planned(attack, {"eps": e, **settings}, _robust, model, x, y) for e in radii]
        rows = run_all(runs, model, x, y, executor=executor, out=out, quiet=quiet, label="eps curve")
    else:
        runs = [planned(attack, settings, _within_each, model, x, y, {"radii": radii})]
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
    runs = []
    for share in shares:
        for count in steps:
            given = {"eps": eps, "norm": norm, "step": share * eps, "steps": count, **settings}
            runs.append(planned(pgd, given, _robust, model, x, y, {"share": share}))
    return run_all(runs, model, x, y, executor=executor, out=out, quiet=quiet, label="step map")


def target_matrix(model: Any, x: Images, y: Labels | None, *, eps: Eps, attack: Callable[..., AttackResult] = pgd,
                  executor: Any = None, out: PathLike | None = None, quiet: bool = True, **settings: Any) -> Any:
    """Drive images of each class to each other class; return {"matrix", "rows"}: (K, K) success rates, NaN on the diagonal.

    matrix[i, j] is the share of the images of class i, of those the model has right, that end as class j.
    """
    given = {"eps": parse_eps(eps), **settings}
    runs = [planned(attack, {"target": t, **given}, _to_class, model, x, y) for t in range(model.n_classes)]
    rows = run_all(runs, model, x, y, executor=executor, out=out, quiet=quiet, label="targets")
    matrix = np.array([[np.nan if v is None else v for v in row["by_class"]] for row in rows]).T
    return {"matrix": matrix, "rows": rows}


def transfer(sources: Any, victims: Any, x: Images, y: Labels | None, *, attack: Callable[..., AttackResult] = pgd,
             quiet: bool = True, **settings: Any) -> list[dict[str, Any]]:
    """Attack each of `sources` and show the images to each of `victims` (dicts of name: model); return rows of every pair.

    attack: a function of this package; settings are its own. Images that stop at the first network's boundary say little about
    another, so an attack that can goes all its steps and keeps the strongest point (early_stop=False) unless told otherwise.
    A row: {"source", "victim", "success_rate" of images that the victim has right, "robust_accuracy", "flags"}. A victim that
    falls more easily by another model's images than by its own is flagged: its gradients are masked.
    """
    if not sources or not victims:
        raise OptionError("transfer needs a source and a victim", 'transfer({"a": model}, {"b": other}, x, y, eps=0.03)')
    if takes(attack, "early_stop") and "early_stop" not in attack_identity(attack)[1]:
        settings = {"early_stop": False, **settings}
    rows = []
    for name, model in sources.items():
        result = attack(model, x, y, quiet=quiet, **settings)
        for other, victim in victims.items():
            seen = result if victim is model else replay(victim, result)
            rows.append({"source": name, "victim": other, "flags": list(seen.flags),
                         **{key: getattr(seen, key) for key in ("clean_accuracy", "robust_accuracy", "success_rate")}})
    direct = {row["victim"]: row["success_rate"] for row in rows if row["source"] == row["victim"]}
    for row in rows:
        if row["success_rate"] > direct.get(row["victim"], 1) + 0.02:
            row["flags"].append("a sign of masking: images of another model fool this one more often than its own")
    return rows


def success_by_queries(result: AttackResult, points: int = 50) -> Any:
    """Return (queries (points,), share of attackable images that were fooled with at most that many)."""
    used = np.sort(result.queries[result.success])
    at = np.unique(np.geomspace(1, max(int(result.queries.max(initial=1)), 2), points).astype(int))
    return at, np.searchsorted(used, at, side="right") / max(int(result.attackable.sum()), 1)


@dataclass(frozen=True)
class Run:
    """One attack of a sweep. key: what its row begins with and is known by; told: whether the key tells it from any other."""

    key: dict
    function: Callable          # (attack, model, x, y, settings, extra) -> dict
    arguments: tuple
    told: bool = True


def planned(attack: Callable[..., AttackResult], settings, function, model: Any, x: Images, y: Labels | None, extra=None):
    """Return the Run of `attack` with `settings`; extra: further words of its key, which `function` gets too."""
    name, own, told = attack_identity(attack)
    key = {"attack": name, **(extra or {}), **own, **settings}
    return Run(key, function, (attack, model, x, y, settings, extra or {}), told)


def run_all(runs, model: Any, x: Images, y: Labels | None, *, executor: Any = None, out: PathLike | None = None, quiet: bool = True,
            label="sweep"):
    """Run attacks, each giving a dict, and return the rows {**key, **dict} in the order of `runs`.

    Rows are appended to the file `out` as they come, with what tells model and data from others; those standing there are not run
    again, unless model or attack are functions that nothing tells from others. executor: as of eps_curve.
    """
    executor = executor.get_executor() if hasattr(executor, "get_executor") else executor
    mark, known = {}, {}
    if out is not None:
        mark = plain({"model": model_identity(model), "data_sha256": record.sha256_arrays(np.asarray(x), np.asarray(y))})
        if mark["model"] is not None:
            known = {_text(row["key"]): row["row"] for row in record.kept_rows(Path(out)) if row.get("mark") == mark}
    rows = [known.get(_text(run.key)) if run.told else None for run in runs]
    progress = Progress(len(runs), label, "attacks", quiet=quiet)
    progress.advance(sum(row is not None for row in rows))

    def keep(i, row):
        rows[i] = plain({**runs[i].key, **row})
        if out is not None:
            record.keep_row(out, {"key": plain(runs[i].key), "mark": mark, "about": record.told(), "row": rows[i]})
        progress.advance()

    todo = [i for i, row in enumerate(rows) if row is None]
    if executor is None:
        for i in todo:
            keep(i, runs[i].function(*runs[i].arguments))
    else:
        futures = {executor.submit(runs[i].function, *runs[i].arguments): i for i in todo}
        for future in as_completed(futures):
            keep(futures[future], future.result())
    progress.close()
    return rows


def _text(key):
    return json.dumps(plain(key), sort_keys=True, default=str)


def _robust(attack, model, x, y, settings, extra):
    return _row(attack(model, x, y, **settings))


def _row(result):
    s = result.summary()
    return {"interval": list(s["robust_accuracy_interval"]),
            **{name: s[name] for name in ("n", "clean_accuracy", "robust_accuracy", "success_rate", "seconds", "flags")}}


def _within_each(attack, model, x, y, settings, extra):
    """One search for the nearest images; a row for each radius, which counts the ones within it."""
    result = attack(model, x, y, **settings)
    norm, curve = result.config["norm"], []
    for eps in extra["radii"]:
        near = result.success & (result.norms[norm] <= eps * (1 + TOLERANCE))
        part = replace(result, success=near, pred_adv=np.where(near | (result.pred_clean != result.y), result.pred_adv, result.y))
        curve.append({"eps": eps, "norm": norm, **_row(part)})
    return {"curve": curve}


def _to_class(attack, model, x, y, settings, extra):
    if len(y) and (np.asarray(y) == settings["target"]).all():                      # nobody to drive there
        return {"by_class": [None] * model.n_classes, "success_rate": None, "flags": []}
    result = attack(model, x, y, **settings)
    by_class = []
    for label in range(model.n_classes):
        rows = result.attackable & (result.y == label)
        by_class.append(float(result.success[rows].mean()) if rows.any() else None)
    return {"by_class": by_class, "success_rate": result.success_rate, "flags": result.flags}
