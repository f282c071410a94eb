"""Description of a model from its file, or of an architecture of this library from its name."""

from pathlib import Path

from tinyvgg.analyze.description import describe
from tinyvgg.errors import DataError, FormatError


def describe_path(name):
    """Describe the model in a file, or an architecture by its name ("base") -> list of Operation.

    From a Keras file only the configuration is read, so networks that this library cannot run are described too.
    """
    from tinyvgg import io, models

    if not Path(name).exists():
        if str(name) in models.MODELS:
            return describe(models.build(str(name)))
        known = ", ".join(models.MODELS)
        raise DataError(f"there is no {name}", f"a model's file, the folder of a run, a zoo entry, or one of {known}")
    path = io.model_path(name)
    return describe_h5(path) if io.kind_of(path) in ("h5", "keras") else describe(io.load_model(path))


def describe_h5(path):
    """Describe the network in a Keras file (.h5 or .keras, Keras 1 to 3) -> list of Operation; weights are not read."""
    from tinyvgg.io.keras_h5.archive import open_archive
    from tinyvgg.io.keras_h5.describe import costed_nodes
    from tinyvgg.io.keras_h5.reader import origin

    with open_archive(path, weights=False) as archive:
        if archive.config is None:
            raise FormatError(
                f"{path} holds weights without a description of the model", "a whole model saved by Keras: model.save('model.h5')"
            )
        return describe(costed_nodes(archive.config, origin(archive)))


def describe_config(config, version=""):
    """Describe the plain data of a model_config, written by Keras `version` ("" for this library) -> list of Operation."""
    from tinyvgg.io.hdf5 import damage
    from tinyvgg.io.keras_h5.describe import costed_nodes

    with damage("the model_config"):
        return describe(costed_nodes(config, version))
