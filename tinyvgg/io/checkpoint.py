"""tinyvgg's file: a model and everything that its training needs to continue. A .npz of plain arrays and one JSON text; no
pickle.

    tinyvgg.json        {"format", "model": the architecture, "arrays": their names in order, "optimizer", "extra"}
    arrays/0.npy ...    the arrays: "weights/<layer>/<weight>", "optimizer/<slot>/<layer>/<weight>", and what the caller added

Members are stored uncompressed with a fixed date, so equal contents give equal bytes, and reading never needs more memory than
the file's size.
"""
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyvgg.classifier import MadeFor
from tinyvgg.errors import DataError, FormatError, TinyVGGError
from tinyvgg.nn import model_from_config
from tinyvgg.report.record import atomic_path
from tinyvgg.report.shown import briefly
from tinyvgg.report.untrusted import member, npy_array, open_zip, parse_json

FORMAT = "tinyvgg checkpoint 1"
META = "tinyvgg.json"
MOST_ARRAYS = 100_000


@briefly
@dataclass(frozen=True)
class Checkpoint:
    """The content of a file. arrays: {name: array}; optimizer: its get_config() and "iterations", or None; extra: plain data."""

    config: dict
    arrays: dict
    optimizer: dict | None
    extra: dict
    made_for: dict | None = None

    def under(self, prefix):
        """Return {rest of the name: array} for the names that start with `prefix` and a slash."""
        return {name[len(prefix) + 1:]: a for name, a in self.arrays.items() if name.startswith(prefix + "/")}

    @property
    def weights(self):
        """The model's arrays in Keras' order."""
        return list(self.under("weights").values())

    def model(self):
        """Build the model with its weights; raise FormatError if architecture and weights disagree."""
        try:
            model = model_from_config(self.config)
            model.made_for = MadeFor.read(self.made_for)
            named = self.under("weights")
            model.set_weights([named[name] for name, _ in model.weights] if len(named) == len(model.weights) else self.weights)
        except KeyError as error:
            raise FormatError(f"the file has no weight {error}") from error
        except MemoryError as error:
            raise FormatError("the file describes a network too large for this machine") from error
        except TinyVGGError as error:
            raise FormatError(f"the file's architecture and weights do not fit: {error.problem}") from error
        return model


def save_checkpoint(path, model, *, optimizer=None, arrays=None, extra=None):
    """Write model, optimizer (settings and slots), more arrays {name: array} and plain data `extra`; an error leaves no half
    file."""
    named = {f"weights/{name}": array for name, array in model.weights}
    described = None
    if optimizer is not None:
        named |= {f"optimizer/{name}": array for name, array in optimizer.state().items()}
        described = {**optimizer.get_config(), "iterations": optimizer.iterations}
    named |= arrays or {}
    meta = {"format": FORMAT, "model": model.get_config(), "arrays": list(named), "optimizer": described, "extra": extra or {}}
    if model.made_for is not None:
        meta["made_for"] = model.made_for.plain()
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        _write(archive, META, json.dumps(meta, indent=1).encode())
        for i, array in enumerate(named.values()):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asarray(array), allow_pickle=False)
            _write(archive, f"arrays/{i}.npy", buffer.getbuffer())


def _write(archive, name, data):
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.create_system, info.external_attr = 3, 0o644 << 16
    archive.writestr(info, data)


def load_checkpoint(path):
    """Return the Checkpoint in a file; raise FormatError if it is cut, damaged or something else."""
    try:
        with open_zip(path, "checkpoint of tinyvgg") as (archive, budget):
            members = archive.infolist()
            compressed = any(i.compress_type != zipfile.ZIP_STORED for i in members)
            if compressed or sum(i.file_size for i in members) > Path(path).stat().st_size:
                raise ValueError("members that are larger than the file")
            meta = parse_json(member(archive, META, budget), META)
            if meta["format"] != FORMAT:
                raise ValueError(f"format {meta['format']!r}")
            if len(meta["arrays"]) > MOST_ARRAYS or not isinstance(meta["model"], dict) or not isinstance(meta["extra"], dict):
                raise ValueError("its description")
            arrays = {str(name): npy_array(member(archive, f"arrays/{i}.npy", budget), f"array {i}")
                      for i, name in enumerate(meta["arrays"])}
            return Checkpoint(meta["model"], arrays, meta["optimizer"], meta["extra"], meta.get("made_for"))
    except DataError as error:
        raise FormatError(error.problem, error.hint) from error
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:              # zipfile, json and the .npy header each raise errors of their own on damage
        raise FormatError(f"{path} is not a whole checkpoint of tinyvgg ({error or type(error).__name__})",
                          "a fresh copy; a run's best.* or model.*") from error
