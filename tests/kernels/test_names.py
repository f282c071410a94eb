"""Names of compiled functions, by which the linker tells those apart that are read from disk."""
import importlib
import pkgutil

import tinyvgg.kernels.fast
import tinyvgg.nn.fused
import tinyvgg.quant.fast


def inside(value):
    """The Python functions of a compiled one: its own, and those that it has taken from a factory around it."""
    function = getattr(value, "py_func", None)
    if function is None:
        return set()
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    return {function}.union(*map(inside, cells))


def test_compiled_functions_have_names_of_their_own():
    """Those of one name, compiled by different processes, can take each other's place when they are read from disk."""
    named = {}
    for package in (tinyvgg.kernels.fast, tinyvgg.nn.fused, tinyvgg.quant.fast):
        for found in pkgutil.iter_modules(package.__path__):
            for value in vars(importlib.import_module(f"{package.__name__}.{found.name}")).values():
                for function in inside(value):
                    named.setdefault((function.__module__, function.__qualname__), set()).add(function)
    assert len(named) > 60
    assert {name: len(same) for name, same in named.items() if len(same) > 1} == {}
