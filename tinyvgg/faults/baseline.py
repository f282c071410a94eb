"""Random flips: the baseline that any search has to beat."""
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyvgg.errors import OptionError
from tinyvgg.faults.bits import permitted
from tinyvgg.faults.memories import memory_of, surviving
from tinyvgg.faults.open import open_store
from tinyvgg.faults.plan import FlipPlan, Step, flips_of
from tinyvgg.report import record
from tinyvgg.report.parallel import placed
from tinyvgg.report.progress import Progress
from tinyvgg.rng import generator
from tinyvgg.types import Images, Labels, PathLike


def random_flips(model: Any, x: Images, y: Labels, *, counts: Sequence[int] = (1, 10, 100, 1000), seeds: int = 5, seed: int = 0,
                 tensors: str | Sequence[str] = "weights", fault: str = "flip", memory: str = "sram",
                 only_bits: Sequence[int] | None = None, bases: Any = None, executor: Any = None, out: PathLike | None = None,
                 quiet: bool = True) -> list[dict[str, Any]]:
    """Flip bits at random and measure the accuracy on x (N, H, W, C), y (N,); return rows, one for each count and seed.

    A row: {"flips", "seed", "accuracy", "applied", "nmi", "corrected"}; accuracy is None if an ECC flash raises an NMI, which
    stops the board. counts: numbers of flips. seeds: how many draws of each, from `seed` on. bases: addresses of the arrays, from
    an ELF (for the double words of an ECC flash). executor: to measure draws in parallel, as in attacks.eps_curve. out: a file of
    JSON lines; rows already there are not measured again.
    """
    place, fault = memory_of(memory, fault)
    if fault == "zero_dword":
        raise OptionError("random flips are of single bits; zero_dword is a fault of the search", "--fault clear")
    store = open_store(model, place.form)
    keys, y = store.select(tensors), np.asarray(y).reshape(-1)
    only_bits = store.select_bits(keys, only_bits)
    mark = {"sha256": store.sha256, "data": record.sha256_arrays(np.asarray(x), y), "tensors": keys, "fault": fault, "memory": memory,
            "only_bits": only_bits} | ({} if bases is None else {"bases": bases})
    kept, progress = record.KeptRows(out, mark), Progress(len(counts) * seeds, "random flips", "draws", quiet=quiet)
    tasks = list(itertools.product(counts, range(seed, seed + seeds)))
    rows = kept.all([{"flips": count, "seed": s} for count, s in tasks], placed(executor), _drawn,
                    (store, keys, fault, only_bits, place, x, y, bases), tasks, lambda i: progress.advance())
    progress.close()
    return rows


def _drawn(shared, count, seed):
    """Measure one draw: a task of random_flips."""
    store, keys, fault, only_bits, place, x, y, bases = shared
    flips = draw(store, keys, count, generator(seed, "fault", "random", count), fault, only_bits)
    passed, verdicts = surviving(store, flips, place, bases)
    kinds = [v["verdict"] for v in verdicts]
    if "nmi" in kinds:
        accuracy = None
    else:
        store.toggle(passed)
        try:
            accuracy = store.accuracy(x, y)
        finally:
            store.toggle(passed)
    return {"accuracy": accuracy, "applied": len(passed), "nmi": kinds.count("nmi"), "corrected": kinds.count("corrected")}


def random_plan(store: Any, count: int, seed: int = 0, *, tensors: str | Sequence[str] = "weights", fault: str = "flip",
                memory: str = "sram", only_bits: Sequence[int] | None = None) -> FlipPlan:
    """Return the draw of `count` flips that random_flips makes with this seed, as a FlipPlan."""
    place, fault = memory_of(memory, fault)
    flips = draw(store, store.select(tensors), count, generator(seed, "fault", "random", count), fault, only_bits)
    return FlipPlan(store.name, store.sha256, place.form, memory, [Step(tuple(flips_of(store, flips)))])


def draw(store: Any, keys: Any, count: int, rng: Any, fault: str = "flip", only_bits: Sequence[int] | None = None):
    """Return `count` different bits [(key, index, bit)]; all stored bits of `keys` that `fault` can change are equally likely."""
    able = [np.flatnonzero(_able(store, key, fault, only_bits)) for key in keys]
    ends = np.cumsum([len(a) for a in able])
    if count > ends[-1]:
        raise OptionError(f"{count} flips were asked for; the chosen arrays have {ends[-1]:,} bits that {fault} can change", "fewer flips")
    found = []
    for at in rng.choice(int(ends[-1]), count, replace=False):
        which = int(np.searchsorted(ends, at, side="right"))
        index, bit = divmod(int(able[which][at - ends[which]]), store.bits(keys[which]))
        found.append((keys[which], index, bit))
    return found


def _able(store, key, fault, only_bits):
    """Which bits (n, bits) of an array mean something and can be changed."""
    positions = np.arange(store.bits(key))
    mask = permitted(store.arrays[key].reshape(-1, 1), positions, fault) & store.usable(key)[:, None]
    return mask if only_bits is None else mask & np.isin(positions, list(only_bits))


def summarise(rows: Any) -> Any:
    """Return rows by count: {"flips", "median", "lowest", "highest", "stopped"} of the accuracies; stopped: draws that raised an NMI."""
    found = []
    for count in dict.fromkeys(row["flips"] for row in rows):
        of = [row["accuracy"] for row in rows if row["flips"] == count]
        ran = [a for a in of if a is not None]
        found.append({"flips": count, "median": float(np.median(ran)) if ran else None, "lowest": min(ran, default=None),
                      "highest": max(ran, default=None), "stopped": len(of) - len(ran)})
    return found
