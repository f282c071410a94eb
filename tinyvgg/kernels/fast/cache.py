"""A disk cache of compiled code that is invalid as soon as any source file of the kernels has changed.

Numba only checks the file of the function that it reads back. But a kernel also contains tiles, transforms and record layouts
from other files. So the stamp covers all files of this package, and of the kernel's own package if that is another one.
"""
import functools
import hashlib
from pathlib import Path

from numba.core import caching

_HERE = Path(__file__).resolve().parent


@functools.cache
def _stamp(folder):
    digest = hashlib.sha256()
    for path in sorted({*_HERE.glob("*.py"), *folder.glob("*.py")}):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _for_package(locator, folder):
    class PackageLocator(locator):
        @classmethod
        def from_function(cls, py_func, py_file):
            return super().from_function(py_func, py_file) if Path(py_file).resolve().parent == folder else None

        def get_source_stamp(self):
            return _stamp(folder)
    return PackageLocator


_numbas = tuple(caching.CacheImpl._locator_classes)


def install(folder=_HERE):
    """Add locators for the functions of a package before Numba's own; other functions are not affected."""
    caching.CacheImpl._locator_classes[:0] = [_for_package(place, folder) for place in _numbas]
