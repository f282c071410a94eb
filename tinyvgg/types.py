"""The types that annotations of public functions are made of. Shapes and ranges stand in the docstrings."""
import os
from collections.abc import Callable
from typing import Any, Literal, Protocol

import numpy as np

Path = str | os.PathLike[str]
Shape = tuple[int, ...]
Range = tuple[float, float]

# What functions return. Weights, and so logits and gradients, are float32 unless Model.astype says float64.
Floats = np.ndarray[Shape, np.dtype[np.float32 | np.float64]]
Integers = np.ndarray[Shape, np.dtype[np.int64]]
Bytes = np.ndarray[Shape, np.dtype[np.uint8]]
Flags = np.ndarray[Shape, np.dtype[np.bool_]]
AnyArray = np.ndarray[Shape, np.dtype[Any]]


class _HasArray(Protocol):
    def __array__(self) -> np.ndarray[Any, Any]: ...


Images = _HasArray | list[Any]                  # (N, ...), uint8 or floats; numpy's ArrayLike would take a text too
Labels = _HasArray | list[Any]                  # (N,) whole numbers; some functions take (N, K) one-hot
Eps = float | str | _HasArray                   # a radius: 0.03, "8/255"
Target = int | Labels
Gradient = _HasArray | list[Any] | Callable[[Floats], Any]
Norm = Literal["linf", "l2", "l1"]
