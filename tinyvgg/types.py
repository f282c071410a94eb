"""The types that annotations of public functions are made of. Shapes and ranges stand in the docstrings."""
import os
from collections.abc import Callable
from typing import Any, Literal, Protocol, TypedDict

import numpy as np

PathLike = str | os.PathLike[str]
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
    def __len__(self) -> int: ...
    def __getitem__(self, key: Any, /) -> Any: ...


Images = _HasArray | list[Any]                  # (N, ...), uint8 or floats; numpy's ArrayLike would take a text too
Labels = _HasArray | list[Any]                  # (N,) whole numbers; some functions take (N, K) one-hot
Eps = float | str | _HasArray                   # a radius: 0.03, "8/255"
Target = int | Labels
Gradient = _HasArray | list[Any] | Callable[[Floats], Any]
Norm = Literal["linf", "l2", "l1"]
Pair = int | tuple[int, int] | list[int]        # of height and width


class LayerOptions(TypedDict, total=False):
    """The settings that every layer takes."""

    name: str | None
    trainable: bool
    input_shape: Any


class FitOptions(TypedDict, total=False):
    """The settings of train.fit, for Model.fit, which hands them on."""

    epochs: int
    batch_size: int
    optimizer: Any
    learning_rate: float | None
    schedule: str | Callable[[int], float]
    warmup: float
    weight_decay: float | None
    loss: Any
    label_smoothing: float
    augment: Any
    validation: Any
    average: Any
    callbacks: Any
    batch_hook: Callable[..., Any] | None
    class_weight: Any
    sample_weight: Any
    seed: int
    out: PathLike | None
    resume: bool
    record: dict[str, Any] | None
    quiet: bool


class KerasFitOptions(FitOptions, total=False):
    """The same by Keras' words, for Model.fit."""

    verbose: Any
    validation_split: float | None
    validation_data: Any


class EvaluateOptions(TypedDict, total=False):
    """The settings of train.evaluate, for Model.evaluate, which hands them on."""

    batch_size: int
    classes: Any
    quiet: bool


class RunOptions(TypedDict, total=False):
    """The settings that every attack takes: see attacks.run.run."""

    seed: int
    batch_size: int
    budget: int | None
    minutes: float | None
    mask: Any
    labels: Literal["true", "predicted"]
    out: PathLike | None
    quiet: bool
    callback: Callable[[Any], Any] | None
