"""Images and labels in .npy files, as in many projects: X.npy,Y.npy, or a training and a test pair."""
import os
from pathlib import Path

import numpy as np

from tinyvgg import rng
from tinyvgg.data.dataset import DataSet
from tinyvgg.errors import DataError, FormatError, OptionError, ShapeError
from tinyvgg.report.record import atomic_path
from tinyvgg.types import Images, Labels, Range

HELD_OUT = 0.2                              # share of a single pair of files that is its test part
RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
CHUNK = 1024                                # images that are checked at a time, so that a large file stays on the disk


def split(spec):
    """Split "X.npy,Y.npy" at the commas that follow .npy, so that a folder's name may contain commas. OptionError for an empty
    name."""
    parts = [part if part.endswith(".npy") else f"{part}.npy" for part in spec.split(".npy,")]
    if ".npy" in parts:
        raise OptionError(f"{spec!r} has an empty name before or after a comma; expected images and labels", "--data X.npy,Y.npy")
    return parts


def load(paths, *, pixel_range: Range | None = None, expected: Range | None = None, raw: bool = False) -> DataSet:
    """Return the DataSet of [X, Y] (a fifth, drawn with a seed, becomes the test part) or [X_train, Y_train, X_test, Y_test].

    X: (N, H, W, C), or series (N, W, C), images (N, H, W), vectors (N, C); uint8, or numbers in [0, 1], [-1, 1] or [0, 255].
    pixel_range: (low, high), for other ranges or if the values are ambiguous; values outside are refused. expected: the model's
    range; it is preferred to those three if all values are in it. raw: numbers of any range, as float32. Y: (N,) or (N, 1) whole
    numbers, or (N, K) one-hot. Raises DataError, FormatError or ShapeError.
    """
    if len(paths) not in (2, 4):
        raise OptionError(f"{len(paths)} .npy files were given; expected two (images, labels) or four (training pair, test pair)")
    pairs = [_pair(paths[i], paths[i + 1], (pixel_range, expected, raw)) for i in range(0, len(paths), 2)]
    ranges = {r for _, _, r, _ in pairs}
    if len(ranges) > 1 or pairs[0][0].shape[1:] != pairs[-1][0].shape[1:]:
        raise DataError(f"{paths[0]} and {paths[2]} differ: images {pairs[0][0].shape[1:]} in {pairs[0][2]}, "
                        f"and {pairs[1][0].shape[1:]} in {pairs[1][2]}")
    (x_train, y_train, found_range, labels), (x_test, y_test, _, _) = pairs if len(pairs) == 2 else _held_out(*pairs[0])
    n_classes = max(2, *(n for _, _, _, (n, _) in pairs))
    return DataSet(Path(paths[0]).stem, x_train, y_train, x_test, y_test, tuple(str(c) for c in range(n_classes)),
                   ",".join(map(str, paths)), found_range, one_part=len(pairs) == 1, label_columns=labels[1])


def _held_out(x, y, *others):
    """Split one pair in two: every verb must hold out the same images, so the seed is always 0."""
    order, count = rng.generator(0, "held out").permutation(len(x)), max(round(HELD_OUT * len(x)), 1)
    train, test = np.sort(order[count:]), np.sort(order[:count])
    return (x[train], y[train], *others), (x[test], y[test], *others)


def save(x: Images, y: Labels, x_path, y_path):
    """Write images and labels as a pair of .npy files; an error leaves no half file."""
    for path, array in ((x_path, x), (y_path, y)):
        with atomic_path(path) as temporary, open(temporary, "wb") as f:
            np.save(f, array, allow_pickle=False)


def _pair(x_path, y_path, ranges):
    images, labels = _open(x_path), _open(y_path)
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[2] == images.shape[3] > 3:
        raise ShapeError(f"{x_path} has shape {images.shape}; expected (N, 32, 32, 3), channels last",
                         f'np.save("{x_path}", x.transpose(0, 2, 3, 1))')
    if not 2 <= images.ndim <= 4:
        raise ShapeError(f"{x_path} has shape {images.shape}; expected images (N, H, W, C), series (N, W, C) or vectors (N, C)")
    if len(images) == 0 or images.size == 0:
        raise DataError(f"{x_path} holds no image (shape {images.shape})")
    y, *counts = _labels(np.asarray(labels), y_path)
    if len(y) != len(images):
        raise ShapeError(f"{x_path} has {len(images)} images and {y_path} {len(y)} labels; expected one label an image")
    x, found_range = _images(images, x_path, *ranges)
    return x, y, found_range, counts


def _open(path):
    """Map a .npy file into memory: its header must agree with its size, and objects (pickles) are refused."""
    try:
        array = np.load(os.path.expanduser(path), mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:              # damaged headers raise ValueError, SyntaxError, TokenError, EOFError ...
        raise FormatError(f"{path} is not a whole .npy file of numbers ({error})", "np.save(path, array)") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "buif":
        kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise FormatError(f"{path} holds {kind}; expected one array of numbers", "np.save(path, array)")
    return array


def _labels(y, source):
    """Return (N,) int64 labels, the number of classes they need, and of columns, from whole numbers or one-hot rows."""
    if y.ndim == 2 and y.shape[1] > 1:
        if np.isin(y, (0, 1)).all() and not ((y != 0).sum(axis=1) == 1).all():
            raise DataError(f"{source} names several classes for an image, or none; expected one-hot rows, a single 1, else 0: networks "
                            "with several labels an image (multi-label) are not covered")
        if not ((y != 0).sum(axis=1) == 1).all() or not (y.max(axis=1) == 1).all():
            raise DataError(f"{source} has shape {y.shape}; expected one-hot rows: a single 1, else 0",
                            "np.save(path, y.argmax(axis=1)) for probabilities")
        return y.argmax(axis=1).astype(np.int64), y.shape[1], y.shape[1]
    if y.ndim not in (1, 2):
        raise ShapeError(f"{source} has shape {y.shape}; expected labels (N,) or one-hot (N, K)")
    y = y.reshape(-1)
    if len(y) and not (np.isfinite(y).all() and (y == np.floor(y)).all() and y.min() >= 0 and y.max() < 1 << 16):
        wrong = y[~((y >= 0) & (y == np.floor(y)) & (y < 1 << 16))]
        raise DataError(f"{source} has a label {wrong[0]}; expected whole numbers from 0")
    return y.astype(np.int64), int(y.max()) + 1 if len(y) else 0, 1


def _images(images, source, pixel_range, expected, raw):
    """Return uint8 images, or float32 ones with their range; refuse NaN and values that fit no range."""
    if images.dtype == np.uint8 and not raw:
        return np.array(images), (0.0, 255.0)
    low, high, whole = _extent(images, source)
    if raw:
        return np.array(images, np.float32), (-np.inf, np.inf)
    if pixel_range is None and expected is not None and _within(low, high, expected):
        pixel_range = expected
    if pixel_range is None:
        fits = [r for r in RANGES if _within(low, high, r)]
        if not fits:
            raise DataError(f"{source} has values from {low:g} to {high:g}; expected 0..1, -1..1 or 0..255, or a range that you give",
                            f"--input-range {_round_range(low, high)}, or --mean and --deviation to standardise them")
        pixel_range = fits[0]
        if whole and pixel_range == (0.0, 255.0):
            return images.astype(np.uint8), (0.0, 255.0)
    lo, hi = map(float, pixel_range)
    if not _within(low, high, (lo, hi)):
        raise DataError(f"{source} has values from {low:g} to {high:g}; expected {lo:g} to {hi:g}",
                        f"--input-range {_round_range(low, high)}, if the network takes them as they are")
    return np.clip(images, lo, hi).astype(np.float32), (lo, hi)


def _within(low, high, span):
    return span[0] - 1e-6 <= low and high <= span[1] + 1e-6


def _round_range(low, high):
    """A range of round numbers that holds low..high and 0, as an option takes it."""
    unit = 10.0 ** np.floor(np.log10(max(abs(low), abs(high), 1e-30)))
    return f"{unit * np.floor(min(low, 0) / unit):g},{unit * np.ceil(max(high, 0) / unit):g}"


def _extent(images, source):
    """Return the least and greatest value, and whether all are whole numbers; raise DataError at NaN or infinity."""
    low, high, whole = np.inf, -np.inf, True
    for start in range(0, len(images), CHUNK):
        chunk = np.asarray(images[start:start + CHUNK])
        finite = np.isfinite(chunk)
        if not finite.all():
            image = start + int(np.argwhere(~finite)[0][0])
            raise DataError(f"{source}: image {image} has NaN or infinite values; expected numbers")
        low, high = min(low, float(chunk.min())), max(high, float(chunk.max()))
        whole = whole and bool((chunk == np.floor(chunk)).all())
    return low, high, whole
