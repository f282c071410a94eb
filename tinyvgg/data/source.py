"""Turn the text after --data into a DataSet."""
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyvgg.data import cifar10, cifar100, mlperf_ic, npy, shapes
from tinyvgg.data.dataset import DataSet, check_labels
from tinyvgg.errors import DataError, OptionError
from tinyvgg.images import standardise
from tinyvgg.types import Range

HINT = "--data cifar10, --data shapes, --data FOLDER_OR_ARCHIVE of CIFAR-10 or CIFAR-100, --data mlperf-ic:FOLDER, or --data X.npy,Y.npy"
NAMED = ("cifar10", *cifar100.KINDS, "shapes")     # sets that are found by their names alone
STANDARD = (-4.0, 4.0)                      # range of standardised values, where none is told


def load(spec: str | None = None, *, pixel_range: Range | None = None, expected: Range | None = None,
         standard: Any = None) -> DataSet:
    """Return the DataSet that `spec` names.

    spec: "cifar10" or "cifar100" (looked for in $TINYVGG_DATA, ./data and Keras' cache; "cifar100-coarse" has CIFAR-100's 20 coarse
    labels), "shapes", a folder or archive of CIFAR-10 or CIFAR-100, "mlperf-ic:DIR" (MLPerf Tiny's 200 samples, no training images),
    "X.npy,Y.npy" or
    "X_train.npy,Y_train.npy,X_test.npy,Y_test.npy", the folder of a saved attack (its adversarial images, as
    test images); None means CIFAR-10 if it is found, else shapes.
    pixel_range: (lo, hi) of float .npy images, if the values are ambiguous. expected: the range of a model's data (see data.npy).
    standard: (mean, deviation), numbers or one for each channel: every value becomes (x - mean) / deviation, also bytes 0..255,
    clipped to pixel_range (default STANDARD); a saved attack is not changed. Raises DataError or FormatError, which say what was
    found instead.
    """
    spec = None if spec is None else os.fspath(spec).strip()
    if spec and (attack := Path(os.path.expanduser(spec))) and (attack.suffix == ".npz" or (attack / "attack.npz").is_file()):
        return _saved_attack(attack)
    if standard is None:
        return _load(spec, pixel_range=pixel_range, expected=expected)
    mean, deviation = standard
    return _standardised(_load(spec, raw=True), mean, deviation, STANDARD if pixel_range is None else pixel_range)


def _standardised(dataset, mean, deviation, bounds):
    (x_train, beyond), (x_test, more) = (standardise(x, mean, deviation, bounds) if len(x) else (np.asarray(x, np.float32), 0.0)
                                         for x in (dataset.x_train, dataset.x_test))
    share = (beyond * len(x_train) + more * len(x_test)) / (len(x_train) + len(x_test))
    return replace(dataset, x_train=x_train, x_test=x_test, pixel_range=tuple(map(float, bounds)), clipped=share)


def _load(spec, **ranges):
    if spec is None:
        found = cifar10.find()
        return cifar10.load(found) if found else shapes.load()
    if not spec:
        raise DataError("the name of the data is empty", HINT)
    if spec == "shapes":
        return shapes.load()
    if spec == "cifar10":
        return cifar10.load(_found(cifar10.find(), "CIFAR-10", cifar10.URL))
    if spec in cifar100.KINDS:
        return cifar10.load(_found(cifar100.find(), "CIFAR-100", cifar100.URL), cifar100.KINDS[spec])
    if spec.startswith(mlperf_ic.PREFIX):
        return mlperf_ic.load(spec.removeprefix(mlperf_ic.PREFIX))
    if ".npy," in spec:
        return npy.load(npy.split(spec), **ranges)
    path = Path(os.path.expanduser(spec))
    if path.suffix == ".npy":
        raise DataError(f"{spec} is one file; expected images and labels, separated by a comma", f"--data {spec},labels.npy")
    if not path.exists():
        raise DataError(f"there is no data {spec!r} here", HINT)
    return cifar10.load(path, cifar100.CIFAR100 if cifar100.holds(path) else cifar10.CIFAR10)


def load_for(model: Any, spec: str | None = None) -> DataSet:
    """Return the DataSet that `spec` names (a DataSet is returned unchanged); without `spec`, the data that the classifier was
    trained on. Raises OptionError if `model` does not tell its data, DataError if that data is not found: no other data is used
    instead.
    """
    if isinstance(spec, DataSet):
        return spec
    made_for, told = getattr(model, "made_for", None), _ranges_for(model)
    if spec is not None:
        return load(spec, **told)
    if made_for is None:
        raise OptionError("the model does not say what data it was made for", "--data cifar10, or --data X.npy,Y.npy")
    try:
        found = load(made_for.name if made_for.name in NAMED else _place_of(made_for), **told)
    except DataError as error:
        raise DataError(f"the model was made for {made_for.name}: {error.problem}", error.hint) from error
    if found.name != made_for.name:
        raise DataError(f"{made_for.source} is {found.name}; the model was made for {made_for.name}",
                        "--data, which is believed")
    return found


def _ranges_for(model):
    """What `load` is told of the data that a classifier takes: how it was standardised, or its range.

    A range that is none of images' (data.npy.RANGES) is that of the files, whatever else their values would fit.
    """
    made_for = getattr(model, "made_for", None)
    if made_for is not None and made_for.mean:
        return {"standard": (made_for.mean, made_for.deviation), "pixel_range": made_for.range}
    assumed = getattr(model, "input_range", None) is getattr(model, "assumed_range", ())
    span = made_for.range if made_for is not None else None if assumed else getattr(model, "bounds", None)
    if span is None or tuple(span) == npy.RANGES[-1]:
        return {}
    if tuple(span) not in npy.RANGES:
        return {"pixel_range": span}
    return {} if made_for is None else {"expected": span}


def _place_of(made_for):
    """Where data of no common name lay when the model was made for it."""
    if not made_for.source or not all(Path(part).exists() for part in _parts(made_for.source)):
        raise DataError(f"there is no such data here (looked for {made_for.source or 'nothing: no place is known'})",
                        "--data X.npy,Y.npy")
    return made_for.source


def _parts(spec):
    return npy.split(spec) if ".npy," in spec else [spec]


def _saved_attack(path):
    """Return the adversarial images of a saved attack, as floats in its bounds, with their true labels."""
    from tinyvgg import attacks
    saved = attacks.load(path)
    n_classes = 10 if saved.scores_clean is None else saved.scores_clean.shape[1]
    check_labels(saved.y, n_classes, str(path))
    return DataSet(saved.name, saved.x_adv[:0].astype(np.float32), saved.y[:0], saved.x_adv.astype(np.float32), saved.y,
                   tuple(map(str, range(n_classes))), str(path), saved.bounds)


def _found(place, title, url):
    if place is None:
        where = ", ".join(map(str, cifar10.places()))
        raise DataError(f"{title} was not found (looked in {where})",
                        f"tinyvgg data download{' --data cifar100' if title == 'CIFAR-100' else ''}, or put {url} there; --data shapes needs no "
                        "file")
    return place
