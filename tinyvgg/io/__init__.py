"""Models in files: tinyvgg's checkpoints, Keras' formats, compressed models. When reading, the first bytes and members tell the
format. The ending matters only when writing.
"""
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyvgg.errors import FormatError
from tinyvgg.io.checkpoint import META, load_checkpoint, save_checkpoint
from tinyvgg.nn.model import Model
from tinyvgg.report.untrusted import open_zip
from tinyvgg.types import PathLike

if TYPE_CHECKING:
    from tinyvgg.quant.compressed import CompressedModel
    from tinyvgg.quant.model import QuantizedModel

__all__ = ["DEFAULT_SUFFIX", "load_checkpoint", "load_model", "load_weights", "save_checkpoint", "save_model"]

DEFAULT_SUFFIX = ".h5"                      # how a training run writes its model
SAVE_AGAIN = "model = tf.keras.models.load_model(FOLDER), then model.save(FILE.keras), in Python with TensorFlow"
RUN_FILES = ("model.h5", "model.keras", "model.npz", "checkpoint.npz")


def load_model(path: PathLike, **settings: Any) -> "Model | QuantizedModel | CompressedModel":
    """Return the model in a file, or in the folder of a training run; FormatError says what kind of file it is instead.

    settings: input_range and seed for Keras' files; rounding="double" or "single" for a .tflite.
    """
    path = model_path(path)
    kind = kind_of(path)
    if kind == "checkpoint":
        return load_checkpoint(path).model()
    if kind == "tvq":
        from tinyvgg.quant.tvq import load_tvq
        return load_tvq(path)
    if kind == "tflite":
        from tinyvgg.io import tflite
        return tflite.load_model(path, **settings)
    return _keras().load_model(path, **settings)


def save_model(model: Model, path: PathLike, **settings: Any) -> None:
    """Write a model to `path`: .npz is tinyvgg's format, .h5 and .keras are Keras', .tflite (for integer models) is TensorFlow
    Lite's, with the setting logits=16 or 8 bits. An error leaves no half file."""
    path = Path(path)
    if path.suffix == ".npz":
        save_checkpoint(path, model)
    elif path.suffix in (".h5", ".hdf5", ".keras"):
        _keras().save_model(model, path, **settings)
    elif path.suffix == ".tflite":
        from tinyvgg.io import tflite
        tflite.save_model(model, path, **settings)
    else:
        raise FormatError(f"{path.name} has no known ending; expected .h5, .keras, .npz or .tflite")


def load_weights(model: Model, path: PathLike, **settings: Any) -> Model:
    """Load the weights from a file of the same architecture into `model`; return the model."""
    path = model_path(path)
    if kind_of(path) == "checkpoint":
        model.set_weights(load_checkpoint(path).weights)
    else:
        _keras().load_weights(model, path, **settings)
    return model


def model_path(path: PathLike):
    """Return the model's file for a path that may be the folder of a run."""
    if not str(path).strip():
        raise FormatError("the name of the model's file is empty", "a .h5, .keras, .tvq or .npz file, or the folder of a run")
    path = Path(os.path.expanduser(path))
    if path.is_dir():
        found = [path / name for name in RUN_FILES if (path / name).is_file()]
        if not found and (path / "saved_model.pb").is_file():
            raise FormatError(f"the folder {path} is a SavedModel of TensorFlow, whose networks are not read here", SAVE_AGAIN)
        if not found:
            raise FormatError(f"the folder {path} holds no model; expected one of {', '.join(RUN_FILES)}")
        if sum(p.name.startswith("model.") for p in found) > 1:
            raise FormatError(f"the folder {path} holds {found[0].name} and {found[1].name}; expected one model", str(found[0]))
        return found[0]
    if not path.is_file():
        hint = (f"tinyvgg compress MODEL --scheme int8 --data DATA --out {path}" if path.suffix == ".tvq" else
                "tinyvgg train --data shapes --out runs/first")
        raise FormatError(f"there is no model file {str(path)!r}", hint)
    return path


def kind_of(path: PathLike):
    """Return "checkpoint", "keras", "h5", "tvq" or "tflite" by the content of a file, or raise FormatError."""
    try:
        with open(path, "rb") as f:
            start = f.read(8)
        if start == b"\x89HDF\r\n\x1a\n":
            return "tvq" if _is_tvq(path) else "h5"
        if start[4:8] == b"TFL3":
            return "tflite"
        if start.startswith(b"PK"):
            with open_zip(path, "model") as (archive, _):
                names = archive.namelist()
            if META in names or "config.json" in names:
                return "checkpoint" if META in names else "keras"
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error}", "a fresh copy of the file") from error
    what, hint = _what(start, names if start.startswith(b"PK") else (), path)
    raise FormatError(f"{path} {what}is neither HDF5 (.h5, .tvq), .keras, .tflite nor tinyvgg's .npz", hint)


def _what(start, members, path):
    """(what a file that holds no model is instead, what to do), as far as its first bytes or its members tell."""
    if not start:
        return "is empty: it ", "a fresh copy of the file"
    if start.startswith(b"version "):
        return "is a pointer of Git LFS, and the model itself is not here: it ", "git lfs pull"
    if start.lstrip().startswith(b"<"):
        return "is a web page, perhaps an error of the download: it ", "a fresh copy of the file"
    if start.lstrip().startswith(b"{"):
        return "is a configuration without weights: it ", f"tinyvgg train --arch {path} --data DATA"
    if any(name.endswith("/data.pkl") for name in members):
        return "is a file of PyTorch: it ", "the network in Keras or TensorFlow Lite"
    if start.startswith(b"\x7fELF"):
        return "", f"virtual:{path}, to run the image on a virtual board"
    return "", ""


def _is_tvq(path):
    """Whether an HDF5 file says that it is one of ours; a damaged one is left to its ending."""
    from tinyvgg.io import hdf5
    try:
        with hdf5.open_file(path) as (file, _):
            return hdf5.text(file, "format") == "tinyvgg.tvq"
    except Exception:               # h5py raises nearly every class there is on damaged files
        return Path(path).suffix == ".tvq"


def _keras():
    from tinyvgg.io import keras_h5
    return keras_h5
