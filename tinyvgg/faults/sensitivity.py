"""How much accuracy one flip costs, for each array and bit: all numbers of a small array, a sample of a large one."""
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyvgg.classifier import labels_of
from tinyvgg.errors import OptionError
from tinyvgg.faults.bits import permitted
from tinyvgg.faults.memories import memory_of
from tinyvgg.faults.open import open_store
from tinyvgg.faults.victim import victim_of
from tinyvgg.report import record
from tinyvgg.report.parallel import placed
from tinyvgg.report.progress import Progress
from tinyvgg.rng import generator
from tinyvgg.types import Images, Labels, PathLike


def sensitivity_map(model: Any, x: Images, y: Labels, *, tensors: str | Sequence[str] = "all", samples: int = 16,
                    fault: str = "flip", memory: str = "sram", seed: int = 0, executor: Any = None, out: PathLike | None = None,
                    quiet: bool = True) -> list[dict[str, Any]]:
    """Flip single bits and measure the accuracy on x, y; return rows {"tensor", "kind", "bit", "tried", "exhaustive", "mean_drop",
    "worst_drop", "worst_index"}, drops between 0 and 1. samples: how many numbers of each array are tried at each bit; None tries
    all. executor: as in attacks.eps_curve. out: a file of JSON lines; rows already there are not measured again.
    """
    place, fault = memory_of(memory, fault)
    if fault == "zero_dword" or samples is not None and samples < 1:
        raise OptionError(f"a map of {samples} samples of {fault} was asked for; expected 1 or more, and flip, set or clear")
    store = open_store(model, place.form)
    keys, victim, y = store.select(tensors), victim_of(store, x), np.asarray(y).reshape(-1)
    clean = float((labels_of(victim.logits, broken=-1) == y).mean())
    mark = {"sha256": store.sha256, "data": record.sha256_arrays(np.asarray(x), y), "samples": samples, "fault": fault, "memory": memory,
            "seed": seed}
    places = [(key, bit) for key in keys for bit in range(store.bits(key))]
    kept, progress = record.KeptRows(out, mark), Progress(len(places), "map", "rows", quiet=quiet)
    rows = kept.all([{"tensor": key, "kind": store.kind(key), "bit": bit} for key, bit in places], placed(executor), _of_bit,
                    (victim, y, clean, samples, fault, seed), places, lambda i: progress.advance(1, places[i][0]))
    progress.close()
    return rows


def _of_bit(shared, key, bit):
    """Measure one bit of one array: a task of sensitivity_map."""
    victim, y, clean, samples, fault, seed = shared
    store, rng = victim.store, generator(seed, "fault", "map", key, bit)
    able = np.flatnonzero(store.usable(key) & permitted(store.arrays[key].reshape(-1), bit, fault))
    chosen = able if samples is None or len(able) <= samples else np.sort(rng.choice(able, samples, replace=False))
    drops = [clean - float((labels_of(victim.trial([(key, int(i), bit)]), broken=-1) == y).mean()) for i in chosen]
    worst = int(np.argmax(drops)) if drops else None
    return {"tried": len(drops), "exhaustive": len(chosen) == len(able),
            "mean_drop": float(np.mean(drops)) if drops else None, "worst_drop": drops[worst] if drops else None,
            "worst_index": int(chosen[worst]) if drops else None}
