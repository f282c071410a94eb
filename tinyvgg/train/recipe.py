"""A training run as on the command line: settings as plain data, one folder, one result."""
import json
import re
from pathlib import Path

import numpy as np

from tinyvgg import data as data_module
from tinyvgg import models, rng
from tinyvgg.attacks.checks import below_one_level
from tinyvgg.attacks.norms import default_eps, parse_eps
from tinyvgg.classifier import MadeFor
from tinyvgg.data.dataset import check_labels
from tinyvgg.data.source import NAMED
from tinyvgg.errors import DataError, FormatError, MissingExtra, OptionError
from tinyvgg.images import check_range
from tinyvgg.io import DEFAULT_SUFFIX, load_model, load_weights
from tinyvgg.nn.ranges import USUAL, told_range
from tinyvgg.report.record import sha256_arrays
from tinyvgg.train import architecture
from tinyvgg.train.adversarial import AdversarialBatches, CollapseGuard, TradesLoss
from tinyvgg.train.averaging import Average
from tinyvgg.train.callbacks import BestCheckpoint, EarlyStopping
from tinyvgg.train.distillation import Distillation
from tinyvgg.train.evaluate import evaluate
from tinyvgg.train.fit import fit
from tinyvgg.train.views import Views
from tinyvgg.train.widening import widen


def train_run(out, given, defaults, *, resume=False, quiet=True, open_model=load_model,
              find_weights=str):
    """Train by settings (see cli/train.py for their names) in the folder `out`; return the result as plain data.

    given: {name: value, or None if the user gave none}. A resumed run uses its config.json; given values must agree with it.
    open_model: opens each teacher named in `distill`. find_weights: returns the path of the file named in `weights`.
    """
    out = Path(out)
    settings = _settings(out, given, defaults, resume)
    standard = _standard(settings)
    dataset = data_module.load(settings["data"], pixel_range=_input_range(settings), standard=standard)
    settings["data"] = settings["data"] or dataset.name
    begun = resume and (out / "checkpoint.npz").is_file()          # which has weights of its own
    model = build(settings | {"weights": None} if begun else settings, dataset, find_weights, out / "config.json" if begun else None)
    x, y = training_images(settings, dataset, model)
    model.made_for = MadeFor(dataset.name, tuple(map(str, dataset.classes)), dataset.pixel_range,
                             _place(dataset) if dataset.name not in NAMED else "", *(standard or ()))
    callbacks = _callbacks(settings, out, model)
    guard = next((c for c in callbacks if isinstance(c, CollapseGuard)), None)
    record = {"settings": settings, "data": {"name": dataset.name, "source": dataset.source, "sha256": dataset.sha256}}
    hooks = {"augment": settings["augment"]} | _adversarial(settings, model)
    hooks |= _distillation(settings, model, open_model, record, hooks.get("batch_hook"))
    hooks = _kept(settings, hooks, out, quiet)
    history = fit(model, x, y, epochs=settings["epochs"], batch_size=settings["batch_size"], optimizer=settings["optimizer"],
                  learning_rate=settings["learning_rate"], schedule=settings["schedule"], warmup=settings["warmup"],
                  weight_decay=settings["weight_decay"], label_smoothing=settings["label_smoothing"],
                  validation=settings["validation"] or None, average=_average(settings),
                  callbacks=callbacks, seed=settings["seed"], out=out, resume=resume, quiet=quiet, record=record, **hooks)
    if settings["keep"] == "best":
        load_weights(model, callbacks[-1].path)
        model.save(out / f"model{DEFAULT_SUFFIX}")
    elif guard is not None and (guard.collapsed or settings["keep"] == "robust"):
        load_weights(model, guard.path)
        model.save(out / f"model{DEFAULT_SUFFIX}")
    return _result(out, settings, dataset, model, history)


def _place(dataset):
    """Where the files of a data set lie, whatever folder a later command is given in."""
    return ",".join(str(Path(part).expanduser().absolute()) for part in re.split(r"(?<=\.npy),", dataset.source))


def build(settings, dataset, find_weights=str, config=None):
    """Return the untrained model that `settings` describe; the labels of a data set must be among its classes.

    config: the config.json of a resumed run; it describes the network even if the file of --arch has changed.
    """
    labels = np.concatenate([dataset.y_train, dataset.y_test])
    if architecture.is_file(settings["arch"]):
        model = _of_file(settings, dataset, config)
        architecture.check_classes(model, settings["classes"], labels, dataset.source)
    else:
        model = _of_project(settings, dataset, labels)
    if settings["input_range"] is not None:
        model.input_range = _input_range(settings)
    elif settings["mean"] is not None:
        model.input_range = dataset.pixel_range
    if settings["dropout"] is not None:
        set_dropout(model, settings["dropout"])
    if settings["weights"] is not None:
        load_weights(model, find_weights(settings["weights"]))
    if settings["widen"] is not None and (config is None or not architecture.is_file(settings["arch"])):
        model = widen(model, settings["widen"], seed=settings["seed"])
    return model


def _of_project(settings, dataset, labels):
    """A network of the project for the shape of the images, and as many classes as were asked for or the data has."""
    classes = dataset.n_classes if settings["classes"] is None else settings["classes"]
    try:
        check_labels(labels, classes, dataset.source)
    except DataError as error:
        raise DataError(error.problem, f"--classes {labels.max() + 1}, if the data has so many") from error
    shape = dataset.image_shape
    return models.build(settings["arch"], seed=settings["seed"], classes=classes, input_shape=(*shape, 1) if len(shape) == 2 else shape)


def _of_file(settings, dataset, config):
    """A network of a file's; it takes floats as they are, unless it says its range itself."""
    if config is not None:
        return architecture.stored(json.loads(config.read_text(encoding="utf-8")))
    model, settings["arch_sha256"] = architecture.from_file(settings["arch"], seed=settings["seed"], input_shape=dataset.image_shape,
                                                            classes=settings["classes"] or dataset.n_classes)
    if dataset.x_train.dtype.kind == "f" and tuple(model.input_range) == USUAL and not told_range(model.output)[1]:
        model.input_range = dataset.pixel_range
    return model


def _numbers(settings, name):
    """The numbers of an option such as --mean 0.1,0.2, as a tuple."""
    text = settings[name]
    try:
        values = tuple(float(v) for v in (text.split(",") if isinstance(text, str) else text))
    except (TypeError, ValueError):
        values = ()
    if not values or not np.isfinite(values).all() or name == "deviation" and min(values) <= 0:
        above = ", all above 0" if name == "deviation" else ""
        raise OptionError(f"--{name} is {text!r}; expected a number, or one for each channel{above}", f"--{name} 0.5")
    return values


def _standard(settings):
    """(mean, deviation) of the settings, or None."""
    if settings["mean"] is None and settings["deviation"] is None:
        return None
    if settings["mean"] is None or settings["deviation"] is None:
        raise OptionError("--mean and --deviation belong together; one of them was given", "--mean 0.1,0.2,0.3 --deviation 1,1,2")
    return _numbers(settings, "mean"), _numbers(settings, "deviation")


def _input_range(settings):
    if settings["input_range"] is None:
        return None
    values = _numbers(settings, "input_range")
    return check_range(values, what="--input-range")


def set_dropout(model, text):
    """Scale all dropout rates of a model ("0.5"), or set those of whole channels and of single values ("0.25,0.3")."""
    try:
        numbers = [float(part) for part in str(text).split(",")]
    except ValueError:
        numbers = []
    layers = [layer for layer in model.layers if "rate" in layer.options]
    if len(numbers) == 1:
        rates = [layer.rate * numbers[0] for layer in layers]
    else:
        rates = [numbers[0 if "Spatial" in type(layer).__name__ else 1] for layer in layers] if len(numbers) == 2 else [-1]
    if not all(0 <= rate < 1 for rate in rates):
        raise OptionError(f"--dropout {text!r} is not a factor or two rates that give 0 <= rate < 1", "--dropout 0.25,0.3")
    for layer, rate in zip(layers, rates, strict=True):
        layer.rate = rate


def training_images(settings, dataset, model):
    """Return the images and labels to train on: all, or `limit` of them drawn by the seed."""
    x, y = dataset.for_model(model, "train")
    limit = settings["limit"]
    if limit is not None:
        if not 1 <= limit <= len(x):
            raise OptionError(f"--limit is {limit}; expected 1 to {len(x)}, the training images of {dataset.name}")
        chosen = np.sort(rng.generator(settings["seed"], "limit").permutation(len(x))[:limit])
        x, y = x[chosen], y[chosen]
    return x, y


def _settings(out, given, defaults, resume):
    """Merge what was given, what a resumed run began with, and the defaults."""
    stored = _stored(out / "config.json") if resume else {}
    if resume and not stored and all(value is None for value in given.values()):
        raise OptionError(f"{out} holds no run to go on with", "the command that began it, with --resume")
    for name, value in given.items():
        # The data may lie elsewhere by now: the checkpoint's SHA-256 decides whether it is the same.
        more = name == "epochs" and value is not None and value > stored.get(name, value)      # which fit allows, or says why not
        if value is not None and name in stored and value != stored[name] and name != "data" and not more:
            raise OptionError(f"{out} began with --{name.replace('_', '-')} {stored[name]}; it cannot go on with {value}",
                              f"tinyvgg train --resume --out {out}")
    return {**defaults, **stored, **{name: value for name, value in given.items() if value is not None}}


def _stored(path):
    if not path.is_file():
        return {}
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))["settings"]
        return dict(settings)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{path} is not the config.json of a run that the command line began ({error})") from error


def _callbacks(settings, out, model):
    callbacks = [EarlyStopping(settings["patience"])] if settings["patience"] is not None else []
    if settings["keep"] == "best":
        callbacks.append(BestCheckpoint(out / f"best{DEFAULT_SUFFIX}"))
    if settings["adversarial"] is not None:
        callbacks.insert(0, CollapseGuard(_eps(settings, model), out / f"robust{DEFAULT_SUFFIX}"))
    if settings["keep"] == "robust" and settings["adversarial"] is None:
        raise OptionError("--keep robust belongs to --adversarial, which was not given", "--keep best")
    if callbacks and not settings["validation"]:
        raise OptionError("--keep best, --patience and --adversarial need --validation images; it is 0", "--validation 0.1")
    return callbacks


def _adversarial(settings, model):
    """Return fit's batch_hook and loss for --adversarial."""
    recipe, steps, beta = (settings[name] for name in ("adversarial", "adversarial_steps", "trades_beta"))
    if recipe is None:
        for name in ("eps", "adversarial_steps", "trades_beta"):
            if settings[name] is not None:
                raise OptionError(f"--{name.replace('_', '-')} was given without --adversarial", "--adversarial nfgsm --eps 8/255")
        return {}
    if steps is not None and recipe not in ("pgd", "trades"):
        raise OptionError(f"--adversarial-steps was given with {recipe}, which takes one step", "--adversarial pgd")
    if beta is not None and recipe != "trades":
        raise OptionError(f"--trades-beta was given with {recipe}; it is of trades", "--adversarial trades")
    hook = AdversarialBatches(recipe, _eps(settings, model), steps=steps)
    if recipe != "trades":
        return {"batch_hook": hook}
    return {"batch_hook": hook, "loss": TradesLoss() if beta is None else TradesLoss(beta)}


def _distillation(settings, model, open_model, record, attack=None):
    """Return fit's batch_hook and loss for --distill, and put the teachers' weights on record. attack: of adversarial training."""
    if settings["distill"] is None:
        if any(settings[name] is not None for name in ("temperature", "teacher_share", "student_temperature", "views")):
            raise OptionError("--temperature, --teacher-share, --student-temperature and --views belong to --distill, which was not "
                              "given", "--distill base_cifar10")
        return {}
    if settings["adversarial"] == "trades" or settings["label_smoothing"]:
        other = "--adversarial trades" if settings["adversarial"] == "trades" else "--label-smoothing"
        raise OptionError(f"--distill and {other} were both given; expected one source of targets")
    if settings["adversarial"] is not None and settings["views"] is not None:
        raise OptionError("--views and --adversarial were both given; attacked images are new in each step", "leave --views out")
    chosen = {"temperature": settings["temperature"], "share": settings["teacher_share"],
              "student_temperature": settings["student_temperature"]}
    names = [name.strip() for name in settings["distill"].split(",")]
    if not all(names):
        raise OptionError(f"--distill is {settings['distill']!r}, which has an empty name", "--distill base_cifar10")
    teachers = [open_model(name) for name in names]
    for name, teacher in zip(names, teachers, strict=True):
        if not hasattr(teacher, "get_weights"):
            raise OptionError(f"the teacher {name} is a compressed model; expected a network of floats", "the .h5 it was made from")
    distillation = Distillation(*teachers, attack=attack, **{k: v for k, v in chosen.items() if v is not None})
    distillation.check(model)
    record["teachers"] = [{"name": name, "weights_sha256": sha256_arrays(*teacher.get_weights())}
                          for name, teacher in zip(names, teachers, strict=True)]
    return {"batch_hook": distillation, "loss": distillation.loss}


def _kept(settings, hooks, out, quiet):
    """The hooks with the teachers' answers kept, where --views asks for it."""
    if settings["views"] is None:
        return hooks
    views = Views(hooks["batch_hook"], settings["augment"], settings["views"], path=out / "answers.npz", quiet=quiet)
    return {"augment": views, "batch_hook": views, "loss": views.loss}


def _eps(settings, model):
    return default_eps(model.bounds) if settings["eps"] is None else parse_eps(settings["eps"])


def _average(settings):
    if settings["swa"] and settings["ema"] is not None:
        raise OptionError("--ema and --swa were both given; expected one kind of average")
    return Average("swa") if settings["swa"] else Average("ema", settings["ema"]) if settings["ema"] is not None else None


def _result(out, settings, dataset, model, history):
    last, notes = history[-1], []
    if dataset.clipped:
        notes.append(f"{100 * dataset.clipped:.3g} % of the standardised values lay beyond {dataset.pixel_range[0]:g}.."
                     f"{dataset.pixel_range[1]:g} and were taken for the nearest end (--input-range)")
    flags = [] if settings["adversarial"] is None else below_one_level(_eps(settings, model), model.bounds)
    result = {"out": str(out), "model": str(out / f"model{DEFAULT_SUFFIX}"), "arch": settings["arch"], "data": dataset.name,
              "epochs": last["epoch"], "steps": last["step"], "parameters": model.count_params(), "loss": last["loss"],
              "accuracy": last["accuracy"], "val_loss": last.get("val_loss"), "val_accuracy": last.get("val_accuracy"),
              "test_n": None, "held_out": None, "test_loss": None, "test_accuracy": None, "seed": settings["seed"],
              "weights_sha256": sha256_arrays(*model.get_weights()), "data_sha256": dataset.sha256, "flags": flags}
    if len(dataset.x_test):
        tested = evaluate(model, *dataset.for_model(model, "test"))
        result |= {"test_n": tested["n"], "test_loss": tested["loss"], "test_accuracy": tested["accuracy"],
                   "held_out": dataset.told("test", tested["n"])["held_out"]}
    try:
        from tinyvgg.report.plots import training_curves
        training_curves(history, out / "curves.png")
    except MissingExtra as error:
        notes.append(f"no figure of the curves: {error.problem}")
    return {**result, "notes": notes}
