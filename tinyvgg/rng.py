"""Random numbers from one seed: a generator is named by what it is for, so that adding a draw never shifts another's."""
import zlib
from typing import Any

import numpy as np

from tinyvgg.errors import OptionError


def generator(seed: int, *names: Any) -> np.random.Generator:
    """Return a numpy Generator (PCG64) for `seed` and a path of names, e.g. generator(0, "shuffle", epoch).

    seed: int in 0..2^64-1. names: strings or non-negative ints. The same arguments give the same stream on every machine.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= int(seed) < 2 ** 64:
        raise OptionError(f"seed is {seed!r}; expected a whole number from 0 to 2^64 - 1", "--seed 0")
    keys = [int(n) if isinstance(n, int | np.integer) else zlib.crc32(str(n).encode()) for n in names]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([int(seed), *keys])))
