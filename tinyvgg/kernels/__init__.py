"""Array functions behind the layers: `reference` (NumPy, the definition) and `fast` (Numba, the same results).

    from tinyvgg import kernels
    y = kernels.conv2d(x, kernel, bias)        # of the active set; functions that `fast` lacks come from `reference`
    with kernels.use("reference"):             # without `with` it stays; or set TINYVGG_KERNELS=reference
        ...
"""
import contextlib
import functools
import importlib
import os

from tinyvgg.errors import OptionError
from tinyvgg.kernels import reference

_SETS = ("fast", "reference")
_active = None


def active():
    """Return the name of the active set, "fast" (the default) or "reference"."""
    global _active
    if _active is None:
        _active = _checked(os.environ.get("TINYVGG_KERNELS", "fast"))
    return _active


def use(name):
    """Switch to the set `name` now; as a context manager, only inside the block. Raises OptionError for an unknown name."""
    global _active
    before, _active = active(), _checked(name)
    return _restore(before)


def threads():
    """Return the number of threads among which the active set divides its work; it affects the last bits of results.

    None for "reference", where NumPy decides.
    """
    return importlib.import_module("tinyvgg.kernels.fast.threads").thread_count() if active() == "fast" else None


@contextlib.contextmanager
def _restore(before):
    global _active
    try:
        yield
    finally:
        _active = before


def _checked(name):
    if name not in _SETS:
        raise OptionError(f"there are no kernels {name!r}; expected one of {', '.join(_SETS)}", "TINYVGG_KERNELS=fast")
    return name


@functools.cache
def _fast():
    return importlib.import_module("tinyvgg.kernels.fast")


def __getattr__(name):
    if name.startswith("_"):
        raise AttributeError(name)
    if active() == "fast":
        function = getattr(_fast(), name, None)
        if function is not None:
            return function
    return getattr(reference, name)
