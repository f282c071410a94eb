"""From what a user types after --data to a DataSet."""
import os
from pathlib import Path
from typing import Any

import numpy as np

from tinyvgg.data import cifar10, npy, shapes
from tinyvgg.data.dataset import DataSet, check_labels
from tinyvgg.errors import DataError, OptionError
from tinyvgg.types import Range

HINT = "--data cifar10, --data shapes, --data FOLDER_OR_ARCHIVE of CIFAR-10, or --data X.npy,Y.npy"


def load(spec: str | None = None, *, pixel_range: Range | None = None) -> DataSet:
    """Return the DataSet that `spec` names.

    spec: "cifar10" (looked for in $TINYVGG_DATA, ./data and Keras' cache), "shapes", a folder or archive of CIFAR-10,
    "X.npy,Y.npy" or "X_train.npy,Y_train.npy,X_test.npy,Y_test.npy", the folder of a saved attack (its adversarial images, as
    test images); None takes CIFAR-10 where it is found, else shapes.
    pixel_range: (lo, hi) of float .npy images, where the values alone do not tell.
    Raises DataError or FormatError, which say what was found instead.
    """
    if spec is None:
        found = cifar10.find()
        return cifar10.load(found) if found else shapes.load()
    spec = os.fspath(spec).strip()
    if not spec:
        raise DataError("the name of the data is empty", HINT)
    if spec == "shapes":
        return shapes.load()
    if spec == "cifar10":
        return cifar10.load(_found_cifar10())
    if ".npy," in spec:
        return npy.load(npy.split(spec), pixel_range=pixel_range)
    path = Path(os.path.expanduser(spec))
    if "cifar-100" in path.name or spec == "cifar100":
        raise DataError(f"{spec} is CIFAR-100; expected CIFAR-10", HINT)
    if path.suffix == ".npy":
        raise DataError(f"{spec} is one file; expected images and labels, separated by a comma", f"--data {spec},labels.npy")
    if not path.exists():
        raise DataError(f"there is no data {spec!r} here", HINT)
    if path.suffix == ".npz" or (path / "attack.npz").is_file():
        return _saved_attack(path)
    return cifar10.load(path)


def load_for(model: Any, spec: str | None = None) -> DataSet:
    """Return the DataSet that `spec` names (a DataSet is returned as it is), else the one that the classifier was made for.

    Raises OptionError where `model` does not say what it was made for, DataError where that data is not found: nothing else takes
    its place.
    """
    if isinstance(spec, DataSet):
        return spec
    if spec is not None:
        return load(spec)
    made_for = getattr(model, "made_for", None)
    if made_for is None:
        raise OptionError("the model does not say what data it was made for", "--data cifar10, or --data X.npy,Y.npy")
    try:
        found = load(made_for.name if made_for.name in ("cifar10", "shapes") else _place_of(made_for))
    except DataError as error:
        raise DataError(f"the model was made for {made_for.name}: {error.problem}", error.hint) from error
    if found.name != made_for.name:
        raise DataError(f"{made_for.source} is {found.name}; the model was made for {made_for.name}",
                        "--data, which is taken as told")
    return found


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


def _found_cifar10():
    found = cifar10.find()
    if found is None:
        where = ", ".join(map(str, cifar10.places()))
        raise DataError(f"CIFAR-10 was not found (looked in {where})",
                        f"tinyvgg data download, or put {cifar10.URL} there; --data shapes needs no file")
    return found
