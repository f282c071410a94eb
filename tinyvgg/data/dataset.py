"""DataSet: images and integer labels in a training and a test part, whatever file they came from."""
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from tinyvgg.errors import DataError, OptionError
from tinyvgg.images import check_range, rescale
from tinyvgg.report.record import sha256_arrays
from tinyvgg.types import AnyArray, Integers, Range, Shape


@dataclass(frozen=True)
class DataSet:
    """Images (N, H, W, C) and labels (N,) int64 in two parts, either of which may be empty.

    Images are uint8 (q means q/255 of the pixel range) or float32 in `pixel_range`. `source` says where they were read.
    `one_part`: a single pair of files, of which a fifth, always the same, was held out as the test part.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: tuple
    source: str = ""
    pixel_range: tuple = (0.0, 255.0)
    one_part: bool = False

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def image_shape(self) -> Shape:
        """(H, W, C) of one image."""
        return (self.x_test if len(self.x_test) else self.x_train).shape[1:]

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over all images and labels, in hexadecimal."""
        return sha256_arrays(self.x_train, self.y_train, self.x_test, self.y_test)

    def part(self, name: Literal["train", "test", "all"], limit: int | None = None) -> tuple[AnyArray, Integers]:
        """Return (images, labels) of "train", "test" or "all", the first `limit` of them; raise DataError where there are none."""
        if name not in ("train", "test", "all"):
            raise OptionError(f"part is {name!r}; expected 'train', 'test' or 'all'")
        if limit is not None and limit < 1:
            raise OptionError(f"{limit} images were asked for; expected at least 1")
        x, y = {"train": (self.x_train, self.y_train), "test": (self.x_test, self.y_test)}.get(name) or (
            np.concatenate([self.x_train, self.x_test]), np.concatenate([self.y_train, self.y_test]))
        if len(x) == 0:
            raise DataError(f"{self.name} ({self.source}) has no {name} images", "tinyvgg data info --data ...")
        return x[:limit], y[:limit]

    def told(self, part: str, n: int) -> dict[str, Any]:
        """Return what a result says of its images, as plain data: {"data", "part", "n", "held_out", "data_sha256"}.

        held_out: how the test part came about: {"of": images of the pair, "seed"}, or None where the data has two parts of its own.
        """
        held_out = {"of": len(self.x_train) + len(self.x_test), "seed": 0} if self.one_part else None
        return {"data": self.name, "part": part, "n": n, "held_out": held_out, "data_sha256": self.sha256}

    def as_float(self, value_range: Range = (0.0, 1.0)) -> "DataSet":
        """Return the same set with float32 images in `value_range` (lo, hi)."""
        value_range = check_range(value_range)
        x_train, x_test = (rescale(x, self.pixel_range, value_range) for x in (self.x_train, self.x_test))
        return DataSet(self.name, x_train, self.y_train, x_test, self.y_test, self.classes, self.source, value_range,
                       self.one_part)


def check_labels(labels, n_classes, source):
    """Raise DataError unless every label lies in 0..n_classes-1; say which one does not."""
    wrong = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if len(wrong):
        raise DataError(f"{source}: label {labels[wrong[0]]} of image {wrong[0]}; expected 0 to {n_classes - 1}")
