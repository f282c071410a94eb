"""From what a user types after --data to a DataSet."""
import os
from pathlib import Path

import numpy as np

from tinyvgg.data import cifar10, npy, shapes
from tinyvgg.data.dataset import DataSet, check_labels
from tinyvgg.errors import DataError

HINT = "--data cifar10, --data shapes, --data FOLDER_OR_ARCHIVE of CIFAR-10, or --data X.npy,Y.npy"


def load(spec=None, *, pixel_range=None):
    """Return the DataSet that `spec` names.

    spec: "cifar10" (looked for in $TINYVGG_DATA, ./data and Keras' cache), "shapes", a folder or archive of CIFAR-10,
    "X.npy,Y.npy" or "X_train.npy,Y_train.npy,X_test.npy,Y_test.npy", the folder of a saved attack (its adversarial images, as
    test images); None takes CIFAR-10 where it is found, else shapes.
    pixel_range: (lo, hi) of float .npy images, where the values alone do not tell.
    Raises DataError or FormatError, which say what was found instead.
    """
    spec = "" if spec is None else os.fspath(spec).strip()
    if spec == "":
        found = cifar10.find()
        return cifar10.load(found) if found else shapes.load()
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
