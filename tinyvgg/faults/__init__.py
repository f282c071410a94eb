"""Bit flips in a network's memory: search, random flips, maps, memories with error correction, plans on files, defences.

    plan = faults.progressive_search(model, x_train[:128], y_train[:128], flips=20)
    store = faults.open_store(model)
    plan.apply(store)
    store.accuracy(x_test, y_test)
"""
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinyvgg.faults.baseline import random_flips, random_plan, summarise
    from tinyvgg.faults.campaign import by_flips, search_seeds
    from tinyvgg.faults.files import patch_file
    from tinyvgg.faults.images import attacker_images
    from tinyvgg.faults.memories import MEMORIES
    from tinyvgg.faults.open import open_store
    from tinyvgg.faults.plan import Flip, FlipPlan, load_plan
    from tinyvgg.faults.search import progressive_search
    from tinyvgg.faults.sensitivity import sensitivity_map
    from tinyvgg.faults.store import Store

_HOME = {"progressive_search": "search", "random_flips": "baseline", "random_plan": "baseline", "summarise": "baseline",
         "sensitivity_map": "sensitivity", "open_store": "open", "Store": "store", "FlipPlan": "plan", "Flip": "plan",
         "load_plan": "plan", "patch_file": "files", "MEMORIES": "memories",
         "attacker_images": "images", "search_seeds": "campaign", "by_flips": "campaign"}
__all__ = ["Flip", "FlipPlan", "MEMORIES", "Store", "attacker_images", "by_flips", "load_plan", "open_store", "patch_file",
           "progressive_search", "random_flips", "random_plan", "search_seeds", "sensitivity_map", "summarise"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tinyvgg.faults' has no attribute {name!r}")
    import importlib
    return getattr(importlib.import_module(f"tinyvgg.faults.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
