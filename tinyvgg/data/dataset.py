"""DataSet: images and integer labels in a training and a test part, whatever file they came from."""
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tinyvgg.errors import DataError, OptionError
from tinyvgg.report.record import sha256_arrays


@dataclass(frozen=True)
class DataSet:
    """Images (N, H, W, C) and labels (N,) int64 in two parts, either of which may be empty.

    Images are uint8 (q means q/255 of the pixel range) or float32 in `pixel_range`. `source` says where they were read.
    `one_part`: a single pair of files; its images stand in both parts.
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
    def n_classes(self):
        """Number of classes."""
        return len(self.classes)

    @property
    def image_shape(self):
        """(H, W, C) of one image."""
        return (self.x_test if len(self.x_test) else self.x_train).shape[1:]

    @cached_property
    def sha256(self):
        """SHA-256 over all images and labels, in hexadecimal."""
        return sha256_arrays(self.x_train, self.y_train, self.x_test, self.y_test)

    def part(self, name, limit=None):
        """Return (images, labels) of "train" or "test", the first `limit` of them; raise DataError where there are none."""
        if name not in ("train", "test"):
            raise OptionError(f"part is {name!r}; expected 'train' or 'test'")
        if limit is not None and limit < 1:
            raise OptionError(f"{limit} images were asked for; expected at least 1")
        x, y = (self.x_train, self.y_train) if name == "train" else (self.x_test, self.y_test)
        if len(x) == 0:
            raise DataError(f"{self.name} ({self.source}) has no {name} images", "tinyvgg data info --data ...")
        return x[:limit], y[:limit]

    def as_float(self, value_range=(0.0, 1.0)):
        """Return the same set with float32 images in `value_range` (lo, hi)."""
        x_train, x_test = (rescale(x, self.pixel_range, value_range) for x in (self.x_train, self.x_test))
        return DataSet(self.name, x_train, self.y_train, x_test, self.y_test, self.classes, self.source, tuple(value_range),
                       self.one_part)


def rescale(x, pixel_range, value_range):
    """Map images from `pixel_range` to `value_range`, float32; bytes go through a table of 256 rounded values."""
    lo, hi = map(float, value_range)
    if not (np.isfinite([lo, hi]).all() and lo < hi):
        raise OptionError(f"input range is {lo:g},{hi:g}; expected two numbers, the lower first", "--input-range 0,1")
    if x.dtype == np.uint8:
        return np.take(byte_table(lo, hi), x)
    a, b = map(float, pixel_range)
    if (a, b) == (lo, hi):
        return np.asarray(x, np.float32)
    scale = (hi - lo) / (b - a)
    return np.clip(np.float32(scale) * (np.asarray(x, np.float32) - np.float32(a)) + np.float32(lo), lo, hi, dtype=np.float32)


def byte_table(lo, hi):
    """Return the 256 float32 values that bytes 0..255 stand for in [lo, hi]."""
    return (lo + (hi - lo) * np.arange(256) / 255).astype(np.float32)


def model_input(x, value_range):
    """Return what a model with input range `value_range` takes: bytes through the table, floats as they are.

    `value_range` None (an integer model) leaves bytes alone.
    """
    return np.take(byte_table(*map(float, value_range)), x) if x.dtype == np.uint8 and value_range is not None else x


def check_values(x, value_range):
    """Raise DataError unless x are bytes, or floats within `value_range` (lo, hi) and none NaN."""
    low, high = value_range
    if x.dtype != np.uint8 and (x.dtype.kind != "f" or not (x.min() >= low - 1e-4 and x.max() <= high + 1e-4)):
        raise DataError(f"images have values from {float(x.min()):g} to {float(x.max()):g} ({x.dtype}); expected uint8, or floats "
                        f"from {low:g} to {high:g} without NaN")


def check_labels(labels, n_classes, source):
    """Raise DataError unless every label lies in 0..n_classes-1; say which one does not."""
    wrong = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if len(wrong):
        raise DataError(f"{source}: label {labels[wrong[0]]} of image {wrong[0]}; expected 0 to {n_classes - 1}")
