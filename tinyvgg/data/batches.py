"""Batches in an order that depends only on the seed and the epoch."""
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyvgg import rng
from tinyvgg.errors import OptionError
from tinyvgg.types import Integers


def batches(n: int, batch_size: int, *, seed: int | None = None, epoch: int = 0) -> Iterator[Integers]:
    """Yield index arrays that cover 0..n-1 once, `batch_size` at a time (the last may be shorter).

    With a seed the order is a permutation drawn from (seed, "shuffle", epoch); without one it is 0, 1, 2, ...
    """
    if batch_size < 1:
        raise OptionError(f"batch size is {batch_size}; expected at least 1")
    order = np.arange(n) if seed is None else rng.generator(seed, "shuffle", epoch).permutation(n)
    for start in range(0, n, batch_size):
        yield order[start:start + batch_size]


def split(n: int, validation: Any, seed: int) -> tuple[Integers, Integers]:
    """Return (training indices, validation indices), both sorted; `validation`: how many of the n are drawn, by the seed."""
    order = rng.generator(seed, "validation").permutation(n)
    return np.sort(order[validation:]), np.sort(order[:validation])
