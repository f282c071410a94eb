"""Names of compiled functions, by which the linker tells those apart that are read from disk."""
import importlib
import os
import pkgutil
import subprocess
import sys

import pytest

import tinyvgg.kernels.fast
import tinyvgg.nn.fused
import tinyvgg.quant.fast
from tinyvgg.kernels.fast.simd import FLOAT, VECTOR, Kernel, named


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


COMPILE = "import sys; from tinyvgg.kernels.fast import optimizers as o; [getattr(o, name).address for name in sys.argv[1:]]"
RUN = """
import numpy as np
from tinyvgg.kernels import reference
ours = [np.random.default_rng(i).random(40_000, np.float32) for i in range(3)]
theirs, rates = [a.copy() for a in ours], {"learning_rate": 0.01, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7}
o.rmsprop_update(*ours, None, **rates), reference.rmsprop_update(*theirs, None, **rates)
assert all(np.allclose(*pair, rtol=2e-6, atol=2e-7) for pair in zip(ours, theirs))
"""


OTHERS = ("momentum_step", pytest.param("adam", marks=pytest.mark.slow))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """run(code, *names) in a process that finds on disk what others have compiled, each one kernel."""
    folder, compiled = tmp_path_factory.mktemp("compiled"), set()

    def alone(code, *names):
        return subprocess.run([sys.executable, "-c", code, *names], env={**os.environ, "NUMBA_CACHE_DIR": str(folder)},
                              capture_output=True, text=True, timeout=300)

    def run(code, *names):
        for name in names:
            assert name in compiled or alone(COMPILE, name).returncode == 0
            compiled.add(name)
        return alone(code, *names)
    return run


@pytest.mark.parametrize("other", OTHERS)
def test_kernels_of_different_processes_run_together(run, other):
    """Both contain a function that is one for all rules: each must keep its own when they are read from disk."""
    done = run(COMPILE + RUN, other, "rmsprop")
    assert done.returncode == 0, done.stderr


def test_a_function_is_named_by_what_it_has_taken():
    """Factories make functions of one name: those that took other numbers, kinds or functions are told apart, the same are not."""
    def make(taken):
        def function():
            return taken
        return named(function).__qualname__

    def one():
        return 1

    assert len({make(taken) for taken in (1, 2, "1", (1, 2), [1, 2, 3], None, VECTOR, FLOAT, one, lambda: 1, lambda: 2)}) == 11
    assert make(3) == make(3)
    with pytest.raises(TypeError, match="taken a dict"):
        make({})


def test_a_kernel_is_no_closure():
    """Its file on disk would never be found again: each process would compile it anew."""
    width = 8
    with pytest.raises(TypeError, match="takes values from around it"):
        @Kernel
        def kernel(step, thread, threads):
            return width
