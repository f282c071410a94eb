"""Whatever names a model, as a description: a file, an architecture of this library, a model."""

from pathlib import Path

from tinyvgg.analyze.description import describe
from tinyvgg.analyze.keras_config import describe_h5
from tinyvgg.errors import DataError


def describe_path(name):
    """Describe the model in a file, or an architecture by its name ("base") -> list of Operation.

    Of a Keras .h5 only the configuration is read, so networks that this library cannot run are described too.
    """
    from tinyvgg import models

    path = Path(name)
    if not path.exists():
        if str(name) in models.MODELS:
            return describe(models.build(str(name)))
        known = ", ".join(models.MODELS)
        raise DataError(f"there is no {name}", f"a model's file, the folder of a run, a zoo entry, or one of {known}")
    if path.suffix.lower() in (".h5", ".hdf5"):
        return describe_h5(path)
    from tinyvgg.io import load_model

    return describe(load_model(path))
