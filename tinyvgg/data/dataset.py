"""DataSet: images and integer labels in a training and a test part, from any kind of file."""
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from tinyvgg.errors import DataError, OptionError
from tinyvgg.images import check_range, fitted, rescale
from tinyvgg.report.record import sha256_arrays
from tinyvgg.report.shown import strip, table
from tinyvgg.types import AnyArray, Integers, Range, Shape


@dataclass(frozen=True, repr=False)
class DataSet:
    """Images (N, H, W, C), or vectors or series, and labels (N,) int64 in two parts, either of which may be empty.

    Images are uint8 (q means q/255 of the pixel range) or float32 in `pixel_range`. `source`: where they were read. `one_part`: a
    single pair of files; a fifth of it, always the same, is the test part. label_columns: the number of columns of one-hot
    labels, else 1. clipped: the share of values that standardising clipped to the range.
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
    label_columns: int = 1
    clipped: float = 0.0

    def __repr__(self) -> str:
        return (f"<DataSet {self.name!r}: {len(self.x_train):,} training and {len(self.x_test):,} test images {self.image_shape} of "
                f"{(self.x_test if len(self.x_test) else self.x_train).dtype}, {self.n_classes} classes>")

    def _repr_html_(self) -> str:
        """In a notebook: what it holds, and one image of each class, up to eight."""
        x, y = (self.x_test, self.y_test) if len(self.x_test) else (self.x_train, self.y_train)
        rows = {"data": self.name, "training images": f"{len(self.x_train):,}", "test images": f"{len(self.x_test):,}",
                "an image": f"{self.image_shape} {x.dtype}", "classes": ", ".join(map(str, self.classes[:20]))}
        _, first = np.unique(y, return_index=True)
        return table(rows) + strip([x[first]], (0, 255) if x.dtype == np.uint8 else self.pixel_range)

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def image_shape(self) -> Shape:
        """Shape of one image, (H, W, C) for most."""
        return (self.x_test if len(self.x_test) else self.x_train).shape[1:]

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over all images and labels, in hexadecimal."""
        return sha256_arrays(self.x_train, self.y_train, self.x_test, self.y_test)

    def part(self, name: Literal["train", "test", "all"], limit: int | None = None) -> tuple[AnyArray, Integers]:
        """Return (images, labels) of "train", "test" or "all", the first `limit` of them; raise DataError if there are none."""
        if name not in ("train", "test", "all"):
            raise OptionError(f"part is {name!r}; expected 'train', 'test' or 'all'")
        if limit is not None and limit < 1:
            raise OptionError(f"{limit} images were asked for; expected at least 1")
        x, y = {"train": (self.x_train, self.y_train), "test": (self.x_test, self.y_test)}.get(name) or (
            np.concatenate([self.x_train, self.x_test]), np.concatenate([self.y_train, self.y_test]))
        if len(x) == 0:
            raise DataError(f"{self.name} ({self.source}) has no {name} images", "tinyvgg data info --data ...")
        return x[:limit], y[:limit]

    def for_model(self, model: Any, part: Literal["train", "test", "all"], limit: int | None = None) -> tuple[AnyArray, Integers]:
        """Return (images, labels) of one part in the form that a classifier takes: bytes, or floats in its bounds. Raises
        ShapeError for images of another shape, DataError if there are no images or a label is not a class of the model.
        """
        x, y = self.part(part, limit)
        check_columns(self.label_columns, model, self.name)
        self._check_classes(getattr(model, "n_classes", None))
        x = fitted(x, getattr(model, "input_shape", x.shape[1:]), what=f"images of {self.name}")
        return (x if x.dtype.kind != "f" else rescale(x, self.pixel_range, model.bounds)), y

    def _check_classes(self, n_classes):
        """Raise DataError where a label of either part is no class of a model's, whether that image is among the first or not."""
        for part, y in (("training", self.y_train), ("test", self.y_test)):
            if n_classes is not None:
                check_labels(y, n_classes, f"the {part} part of {self.name}")

    def told(self, part: str, n: int) -> dict[str, Any]:
        """Return the facts about the images that a result records, as plain data: {"data", "part", "n", "held_out",
        "data_sha256"}.

        held_out: {"of": images of the pair, "seed"} if the test part was split off, or None if the data came in two parts.
        """
        held_out = {"of": len(self.x_train) + len(self.x_test), "seed": 0} if self.one_part else None
        return {"data": self.name, "part": part, "n": n, "held_out": held_out, "data_sha256": self.sha256}

    def as_float(self, value_range: Range = (0.0, 1.0)) -> "DataSet":
        """Return the same set with float32 images in `value_range` (lo, hi)."""
        value_range = check_range(value_range)
        x_train, x_test = (rescale(x, self.pixel_range, value_range) for x in (self.x_train, self.x_test))
        return replace(self, x_train=x_train, x_test=x_test, pixel_range=value_range)


def check_columns(columns, model, source):
    """Raise DataError for labels of several columns with a classifier of one output, whose classes are 0 and 1."""
    if columns > 1 and getattr(model, "n_outputs", None) == 1:
        raise DataError(f"the labels of {source} have {columns} columns; the network has one output, and takes one column of 0 and 1",
                        "y.argmax(axis=1), or a network of two outputs" if columns == 2 else "y.argmax(axis=1)")


def check_labels(labels, n_classes, source):
    """Raise DataError, which names the label, unless every label is in 0..n_classes-1."""
    wrong = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if len(wrong):
        raise DataError(f"{source}: label {labels[wrong[0]]} of image {wrong[0]}; expected 0 to {n_classes - 1}")
