"""The instructions that integer products use on this machine."""
import os

from tinyvgg.errors import OptionError
from tinyvgg.kernels.fast.simd import FEATURES

PATHS = ("vnni", "avx2", "generic")         # fastest first


def possible():
    """Return those of PATHS whose instructions the processor has."""
    has = {"vnni": {"avx512vnni", "avx512vl"} <= FEATURES or "avxvnni" in FEATURES, "avx2": "avx2" in FEATURES, "generic": True}
    return tuple(path for path in PATHS if has[path])


def chosen():
    """Return the path that TINYVGG_INTEGER names, else the fastest one of this machine; raise OptionError."""
    wish, have = os.environ.get("TINYVGG_INTEGER"), possible()
    if wish is None:
        return have[0]
    if wish not in PATHS:
        raise OptionError(f"TINYVGG_INTEGER is {wish!r}; expected one of {', '.join(PATHS)}", f"TINYVGG_INTEGER={have[0]}")
    if wish not in have:
        raise OptionError(f"TINYVGG_INTEGER is {wish!r}, whose instructions this processor lacks; expected {' or '.join(have)}",
                          f"TINYVGG_INTEGER={have[0]}")
    return wish
