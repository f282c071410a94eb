"""Which instructions the products of integers use on this machine."""
import os

from tinyvgg.errors import OptionError
from tinyvgg.kernels.fast.simd import FEATURES

PATHS = ("vnni", "avx2", "generic")         # fastest first


def possible():
    """Return the PATHS that the processor has the instructions for."""
    has = {"vnni": {"avx512vnni", "avx512vl"} <= FEATURES or "avxvnni" in FEATURES, "avx2": "avx2" in FEATURES, "generic": True}
    return tuple(path for path in PATHS if has[path])


def chosen():
    """Return the path that TINYVGG_INTEGER names, or the fastest that this machine has."""
    wish, have = os.environ.get("TINYVGG_INTEGER"), possible()
    if wish is None:
        return have[0]
    if wish not in PATHS:
        raise OptionError(f"TINYVGG_INTEGER is {wish!r}; expected one of {', '.join(PATHS)}", f"TINYVGG_INTEGER={have[0]}")
    if wish not in have:
        raise OptionError(f"TINYVGG_INTEGER is {wish!r}, whose instructions this processor has not; expected {' or '.join(have)}",
                          f"TINYVGG_INTEGER={have[0]}")
    return wish
