"""Many attacks: curves over eps, maps over settings, targeted matrices, transfer between models; what stopped resumes."""
import json
from concurrent.futures import as_completed
from pathlib import Path

import numpy as np

from tinyvgg.attacks.evaluate import model_sha256, replay
from tinyvgg.attacks.norms import parse_eps
from tinyvgg.attacks.pgd import pgd
from tinyvgg.attacks.result import plain
from tinyvgg.errors import OptionError
from tinyvgg.report import record
from tinyvgg.report.progress import Progress

LINF = tuple(f"{k}/255" for k in (0, 1, 2, 4, 6.4, 8, 16, 32, 64))
L2 = (0, 0.25, 0.5, 0.6, 1.0, 1.5, 3.0, 6.0)


def eps_curve(model, x, y, *, attack=pgd, eps=None, norm="linf", executor=None, out=None, quiet=True, **settings):
    """Attack with each radius of `eps` and return rows {"eps", "robust_accuracy", "interval", "success_rate", ...} by eps.

    attack: a function of this package; settings are its own. A curve that does not reach 0 means a failing attack or too short a
    range: rows then carry a flag. executor: anything with submit(), to run radii side by side; out: a file of JSON lines.
    """
    width = 1 if eps is not None else model.bounds[1] - model.bounds[0]             # the usual radii are parts of the range
    radii = sorted(width * parse_eps(e) for e in (eps if eps is not None else L2 if norm == "l2" else LINF))
    tasks = []
    for e in radii:
        given = {"eps": e, "norm": norm, **settings}
        tasks.append(({"attack": attack.__name__, **given}, _one, (attack, model, x, y, given)))
    rows = run_tasks(tasks, model, x, y, executor=executor, out=out, quiet=quiet, label="eps curve")
    if rows and rows[-1]["robust_accuracy"] > 0:
        left = f"the curve ends at {rows[-1]['robust_accuracy']:.1%}, not at 0: go on to a larger eps, and if that does not help"
        rows[-1]["flags"] = [*rows[-1]["flags"], f"{left}, doubt the attack"]
    return rows


def step_map(
    model,
    x,
    y,
    *,
    eps,
    shares=(0.05, 0.1, 0.25, 0.5, 1.0),
    steps=(1, 5, 10, 20, 40),
    norm="linf",
    executor=None,
    out=None,
    quiet=True,
    **settings,
):
    """PGD with each step length (as a share of eps) and number of steps; rows {"share", "steps", "robust_accuracy", ...}."""
    eps = parse_eps(eps)
    tasks = []
    for share in shares:
        for count in steps:
            given = {"eps": eps, "norm": norm, "step": share * eps, "steps": count, **settings}
            tasks.append(({"attack": "pgd", "share": share, **given}, _one, (pgd, model, x, y, given)))
    return run_tasks(tasks, model, x, y, executor=executor, out=out, quiet=quiet, label="step map")


def target_matrix(model, x, y, *, eps, attack=pgd, executor=None, out=None, quiet=True, **settings):
    """Drive images of each class to each other class; return {"matrix", "rows"}: (K, K) success rates, NaN on the diagonal.

    matrix[i, j] is the share of the images of class i, of those the model has right, that end as class j.
    """
    given = {"eps": parse_eps(eps), **settings}
    tasks = [({"attack": attack.__name__, "target": t, **given}, _to_class, (attack, model, x, y, t, given))
             for t in range(model.n_classes)]
    rows = run_tasks(tasks, model, x, y, executor=executor, out=out, quiet=quiet, label="targets")
    matrix = np.array([[np.nan if v is None else v for v in row["by_class"]] for row in rows]).T
    return {"matrix": matrix, "rows": rows}


def transfer(sources, victims, x, y, *, eps, attack=pgd, quiet=True, **settings):
    """Attack each of `sources` and show the images to each of `victims` (dicts of name: model); return rows of every pair.

    A row: {"source", "victim", "success_rate" of images that the victim has right, "robust_accuracy", "flags"}. A victim that
    falls more easily by another model's images than by its own is flagged: its gradients are masked.
    """
    if not sources or not victims:
        raise OptionError("transfer needs a source and a victim", 'transfer({"a": model}, {"b": other}, x, y, eps=0.03)')
    rows = []
    for name, model in sources.items():
        result = attack(model, x, y, eps=eps, quiet=quiet, **settings)
        for other, victim in victims.items():
            seen = result if victim is model else replay(victim, result)
            rows.append({"source": name, "victim": other, "flags": list(seen.flags),
                         **{key: getattr(seen, key) for key in ("clean_accuracy", "robust_accuracy", "success_rate")}})
    direct = {row["victim"]: row["success_rate"] for row in rows if row["source"] == row["victim"]}
    for row in rows:
        if row["success_rate"] > direct.get(row["victim"], 1) + 0.02:
            row["flags"].append("a sign of masking: images of another model fool this one more often than its own")
    return rows


def success_by_queries(result, points=50):
    """Return (queries (points,), share of attackable images that were fooled with at most that many)."""
    used = np.sort(result.queries[result.success])
    at = np.unique(np.geomspace(1, max(int(result.queries.max(initial=1)), 2), points).astype(int))
    return at, np.searchsorted(used, at, side="right") / max(int(result.attackable.sum()), 1)


def run_tasks(tasks, model, x, y, *, executor=None, out=None, quiet=True, label="sweep"):
    """Run (key, function, arguments) tasks, each giving a dict, and return the rows {**key, **dict} in the order of the tasks.

    Rows are appended to the file `out` as they come, with the SHA-256 of model and data; those standing there are not run again.
    """
    mark, known = {}, {}
    if out is not None:
        mark = {"model_sha256": model_sha256(model), "data_sha256": record.sha256_arrays(np.asarray(x), np.asarray(y))}
        known = {_text(row["key"]): row["row"] for row in record.read_lines(Path(out)) if row.get("mark") == mark}
    progress = Progress(len(tasks), label, "attacks", quiet=quiet)

    def keep(key, row):
        known[_text(key)] = row = plain({**key, **row})
        if out is not None:
            record.append_line(out, {"key": plain(key), "mark": mark, "row": row})

    todo = [task for task in tasks if _text(task[0]) not in known]
    progress.advance(len(tasks) - len(todo))
    if executor is None:
        for key, function, arguments in todo:
            keep(key, function(*arguments))
            progress.advance()
    else:
        futures = {executor.submit(function, *arguments): key for key, function, arguments in todo}
        for future in as_completed(futures):
            keep(futures[future], future.result())
            progress.advance()
    progress.close()
    return [known[_text(key)] for key, _, _ in tasks]


def _text(key):
    return json.dumps(plain(key), sort_keys=True, default=str)


def _one(attack, model, x, y, settings):
    s = attack(model, x, y, **settings).summary()
    return {
        "n": s["n"],
        "clean_accuracy": s["clean_accuracy"],
        "robust_accuracy": s["robust_accuracy"],
        "interval": list(s["robust_accuracy_interval"]),
        "success_rate": s["success_rate"],
        "seconds": s["seconds"],
        "flags": s["flags"],
    }


def _to_class(attack, model, x, y, target, settings):
    result = attack(model, x, y, target=target, **settings)
    by_class = []
    for label in range(model.n_classes):
        rows = result.attackable & (result.y == label)
        by_class.append(float(result.success[rows].mean()) if rows.any() else None)
    return {"by_class": by_class, "success_rate": result.success_rate, "flags": result.flags}
