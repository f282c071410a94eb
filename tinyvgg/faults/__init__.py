"""Bit flips in a network's memory: search, random flips, maps, memories with error correction, plans on files, defences.

    plan = faults.progressive_search(model, x_train[:128], y_train[:128], flips=20)
    store = faults.open_store(model)
    plan.apply(store)
    store.accuracy(x_test, y_test)
"""
_HOME = {"progressive_search": "search", "random_flips": "baseline", "random_plan": "baseline", "summarise": "baseline",
         "sensitivity_map": "sensitivity", "open_store": "open", "Store": "store", "FlipPlan": "plan", "Flip": "plan",
         "load_plan": "plan", "patch_file": "files", "MEMORIES": "memories",
         "attacker_images": "images"}
__all__ = list(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module 'tinyvgg.faults' has no attribute {name!r}")
    import importlib
    return getattr(importlib.import_module(f"tinyvgg.faults.{_HOME[name]}"), name)
