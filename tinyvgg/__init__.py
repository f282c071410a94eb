"""tinyvgg: a small CNN from training to a microcontroller, and through attacks on it, without TensorFlow or PyTorch.

    import tinyvgg
    model = tinyvgg.open("light.h5")                # a file, the folder of a run, a network of the zoo, a board
    model.summary()

Every sub-package is reachable as an attribute and is imported when it is first used.
"""
import atexit as _atexit
import contextlib as _contextlib
import importlib as _importlib
import os as _os
import shutil as _shutil
import tempfile as _tempfile
from pathlib import Path as _Path
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from tinyvgg._version import __version__

if _TYPE_CHECKING:
    from tinyvgg import (
        analyze,
        attacks,
        board,
        classifier,
        cli,
        data,
        demo,
        errors,
        faults,
        images,
        interop,
        io,
        kernels,
        models,
        nn,
        quant,
        report,
        rng,
        testing,
        train,
        types,
        xcubeai,
        zoo,
    )
    from tinyvgg.io import load_model
    from tinyvgg.open import open_model as open

# A source checkout keeps codegen/ and firmware/ beside this folder; an installed package has them inside it.
_here = _Path(__file__).parent
if not (_here / "codegen").is_dir():
    __path__.append(str(_here.parent))


def _give_numba_a_folder():
    """Numba refuses to work where it may keep no compiled code (a read-only installation, a user without a home): help it out."""
    usual = (_here / "kernels" / "fast", _os.environ.get("XDG_CACHE_HOME") or _os.path.expanduser("~"))
    if "NUMBA_CACHE_DIR" in _os.environ or any(_os.access(folder, _os.W_OK) for folder in usual):
        return
    with _contextlib.suppress(OSError):
        _os.environ["NUMBA_CACHE_DIR"] = folder = _tempfile.mkdtemp(prefix="tinyvgg-numba-")
        _atexit.register(_shutil.rmtree, folder, ignore_errors=True)


_give_numba_a_folder()
__all__ = ["__version__", "analyze", "attacks", "board", "classifier", "cli", "codegen", "data", "demo", "errors", "faults", "firmware",
           "images", "interop", "io", "kernels", "load_model", "models", "nn", "open", "quant", "report", "rng", "testing", "train", "types",
           "xcubeai", "zoo"]
_MODULES = frozenset(__all__) - {"__version__", "load_model"}


def __getattr__(name: str) -> _Any:
    if name in _MODULES:
        return _importlib.import_module(f"tinyvgg.{name}")
    if name == "load_model":
        from tinyvgg.io import load_model
        return load_model
    raise AttributeError(f"module 'tinyvgg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
