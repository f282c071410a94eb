"""The progressive search with several seeds, each with other images: a single search says little about how many flips are
needed."""
from pathlib import Path
from typing import Any

import numpy as np

from tinyvgg.errors import OptionError
from tinyvgg.faults.images import attacker_images
from tinyvgg.faults.memories import memory_of
from tinyvgg.faults.open import open_store
from tinyvgg.faults.plan import accuracies
from tinyvgg.faults.search import progressive_search
from tinyvgg.report import record
from tinyvgg.report.parallel import placed
from tinyvgg.report.progress import Progress
from tinyvgg.types import Images, Labels, PathLike


def search_seeds(model: Any, train: tuple[Images, Labels], test: tuple[Images, Labels], *, seeds: int = 5, seed: int = 0,
                 images: int = 128, memory: str = "sram", fault: str = "flip", executor: Any = None, out: PathLike | None = None,
                 quiet: bool = True, **settings: Any) -> list[dict[str, Any]]:
    """Search once for each seed, from `seed` on, with `images` training images drawn by that seed; return a row for each.

    A row: {"seed", "flips", "hamming", "accuracy": on the test images after each step, "places": [[array, index, bit], ...]}. train,
    test: (x, y). settings: of progressive_search. executor: to run searches in parallel, as in attacks.eps_curve. out: a folder
    for the rows (seeds.jsonl) and the plans of unfinished searches (seed-N); a stopped campaign continues from there.
    """
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise OptionError(f"seeds is {seeds!r}; expected a whole number, 1 or more", "--seeds 5")
    store = open_store(model, memory_of(memory, fault)[0].form)
    settings = {**settings, "memory": memory, "fault": fault}
    mark = {"sha256": store.sha256, "train": record.sha256_arrays(*map(np.asarray, train)), "images": images,
            "test": record.sha256_arrays(*map(np.asarray, test)), **settings}
    kept = record.KeptRows(None if out is None else Path(out) / "seeds.jsonl", mark)
    progress, numbers = Progress(seeds, "searches", "searches", quiet=quiet), list(range(seed, seed + seeds))
    few = [attacker_images(*train, images, number) for number in numbers]
    tasks = [(number, *few[i], None if out is None else str(Path(out).resolve() / f"seed-{number}")) for i, number in enumerate(numbers)]
    rows = kept.all([{"seed": number} for number in numbers], placed(executor), _searched, (store, test, settings), tasks,
                    lambda i: progress.advance(1, f"seed {numbers[i]}"))
    progress.close()
    return rows


def _searched(shared, seed, x, y, out):
    """One search, and the accuracy after each of its steps: a task of search_seeds."""
    store, (x_test, y_test), settings = shared
    y_test = np.asarray(y_test).reshape(-1)
    plan = progressive_search(store, x, y, seed=seed, out=out, **settings)
    return {"flips": len(plan.flips), "hamming": plan.hamming, "accuracy": accuracies(store, plan, x_test, y_test),
            "places": [list(flip.place) for flip in plan.flips]}


def by_flips(rows: list[dict[str, Any]], before: float) -> list[dict[str, Any]]:
    """Return rows {"flips", "median", "lowest", "highest"} of the accuracies after each number of steps; a search that ended
    earlier keeps its last accuracy."""
    most = max((len(row["accuracy"]) for row in rows), default=0)
    found = []
    for count in range(most + 1):
        of = [row["accuracy"][min(count, len(row["accuracy"])) - 1] if count and row["accuracy"] else before for row in rows]
        found.append({"flips": count, "median": float(np.median(of)), "lowest": min(of), "highest": max(of)})
    return found
