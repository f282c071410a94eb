"""The untrained network of a run: one of tinyvgg.models, by its name, or one described by a file."""
import inspect
import json
import runpy
import traceback
from pathlib import Path

from tinyvgg import models
from tinyvgg.errors import DataError, FormatError, OptionError, TinyVGGError
from tinyvgg.io.keras_h5 import model_from_json
from tinyvgg.nn import Model, model_from_config
from tinyvgg.report.record import sha256_file

FILES = (".json", ".py", ".keras", ".h5", ".hdf5")
HINT = "light, base, notebook, resnet8, teacher, a Keras configuration (model.to_json()), or a Python file with a function model()"


def is_file(arch):
    """Return whether an architecture is a file rather than a name from tinyvgg.models."""
    return arch not in models.MODELS and (Path(arch).suffix.lower() in FILES or Path(arch).expanduser().is_file())


def from_file(arch, *, seed=0, input_shape=None, classes=None):
    """Return the untrained nn.Model that a file describes, with weights from `seed`, and the file's SHA-256.

    The file may be a Keras configuration (from model.to_json(), the config.json of a .keras file, or a .h5 or .keras file
    itself), tinyvgg's get_config() as JSON, or a Python file with a function model() that returns an nn.Model or a Keras model.
    The Python file is run; model() gets those of input_shape, classes and seed that it accepts. Raises FormatError or
    OptionError.
    """
    path = Path(arch).expanduser()
    if not path.is_file():
        raise OptionError(f"there is no architecture {arch!r}, and no such file", HINT)
    if path.suffix.lower() == ".py":
        found = _from_python(path, {"input_shape": input_shape, "classes": classes, "seed": seed})
    else:
        found = model_from_json(path)
    return model_from_config(found.get_config(), seed=seed), sha256_file(path)


def _from_python(path, offered):
    """Run a file and call its model()."""
    try:
        function = runpy.run_path(str(path)).get("model")
        if not callable(function):
            raise OptionError(f"{path} has no function model(); it should return the network", HINT)
        takes = inspect.signature(function).parameters
        model = function(**{name: value for name, value in offered.items() if name in takes and value is not None})
        if isinstance(model, Model):
            return model
        if callable(getattr(model, "to_json", None)):           # a model of Keras
            return model_from_json(path, json.loads(model.to_json()))
    except TinyVGGError:
        raise
    except Exception as error:
        line = next((f" (line {frame.lineno})" for frame in reversed(traceback.extract_tb(error.__traceback__))
                     if frame.filename == str(path)), "")
        raise OptionError(f"{path} failed{line}: {type(error).__name__}: {error}", "--trace shows all of it") from error
    raise OptionError(f"model() of {path} returned a {type(model).__name__}; expected an nn.Model or a Keras model", HINT)


def check_classes(model, wanted, labels, source):
    """Raise OptionError or DataError unless a network has as many classes as requested and as the labels need."""
    if wanted is not None and wanted != model.n_classes:
        raise OptionError(f"--classes is {wanted}; the network of --arch has {model.n_classes}", "the same without --classes")
    if len(labels) and labels.max() >= model.n_classes:
        outputs = "one output, which tells 2 apart" if model.n_outputs == 1 else f"{model.n_classes} outputs"
        raise DataError(f"{source} has {labels.max() + 1} classes; the network of --arch has {outputs}")


def stored(config):
    """Return the network that the config.json of a run describes (parsed), with initial weights from its seed."""
    try:
        return model_from_config(config["model"], seed=int(config["settings"]["seed"]))
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"the run's config.json does not describe its network ({error})") from error
