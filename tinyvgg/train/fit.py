"""The training loop.

Every random choice of an epoch is drawn from (seed, purpose, epoch). Everything else that decides the next epoch (weights, slots,
averages, callbacks) is in the checkpoint. So a run that was killed and resumed ends with the same bytes as an uninterrupted one.
"""
import contextlib
import dataclasses
import math
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinyvgg import kernels, rng
from tinyvgg.data.augment import Augment
from tinyvgg.data.batches import batches, split
from tinyvgg.data.dataset import check_columns, check_labels
from tinyvgg.errors import DataError, OptionError, ShapeError
from tinyvgg.images import check_images, to_floats
from tinyvgg.nn.layers import TrainingOnly
from tinyvgg.nn.losses import CrossEntropy
from tinyvgg.nn.model import Model
from tinyvgg.report.progress import Progress
from tinyvgg.train import optimizers, schedules
from tinyvgg.train.averaging import Average, refresh_statistics
from tinyvgg.train.evaluate import as_labels, evaluate
from tinyvgg.train.optimizers import Optimizer
from tinyvgg.train.run import RunFolder
from tinyvgg.train.views import Views
from tinyvgg.train.weights import image_weights, weighted
from tinyvgg.types import Images, Labels, PathLike

SWA_START = 0.75                            # part of the epochs after which stochastic weight averaging begins


def fit(model: Model, x: Images, y: Labels, *, epochs: int = 1, batch_size: int = 64, optimizer: str | Optimizer = "adam",
        learning_rate: float | None = None, schedule: str | Callable[[int], float] = "constant", warmup: float = 0,
        weight_decay: float | None = None, loss: Any = None, label_smoothing: float = 0.0, augment: Any = None,
        validation: Any = None, average: Any = None, callbacks: Sequence[Any] = (), batch_hook: Callable[..., Any] | None = None,
        class_weight: Any = None, sample_weight: Any = None, seed: int = 0, out: PathLike | None = None, resume: bool = False,
        record: dict[str, Any] | None = None, quiet: bool = False) -> list[dict[str, Any]]:
    """Train a model in place; return its history, a list of {"epoch", "step", "learning_rate", "loss", "accuracy", ...}.

    x: images (N, H, W, C), uint8 (mapped to the model's input range batch by batch) or float in that range.
    y: labels, (N,) whole numbers or (N, K) one-hot.
    optimizer: a name (train.optimizers.get) or an Optimizer. learning_rate: for an optimizer given by name; schedule: a name
      (train.schedules.get, with `warmup` in epochs) or a function of the step.
    loss: a function (logits, y) -> (value, d value / d logits); default cross-entropy with `label_smoothing`.
    augment: "flip,shift4,cutout8", an Augment, or None; or a train.views.Views, which is then also the batch_hook.
    validation: a share (0.1) or a number (5000) of the images, drawn by the seed and not used for training, or a pair (x, y).
    average: None, "ema", "swa" or an Average; the model ends with the averaged weights.
    batch_hook: a function (model, x, y) -> (x, y) on each float batch, for adversarial examples, mixing or a teacher's answers
      (what it returns goes to the network and to `loss`; if it returns more images than labels, the first ones count as the
      batch). If it has an attribute `rng`, fit sets it in each epoch.
    class_weight: {class: how much its images count}, 1 for classes not named; sample_weight: (N,) how much each image counts.
    Both
      multiply. As in Keras the loss is the sum of weight * loss over a batch, divided by its number of images; accuracies and the
      validation count every image once.
    out: folder of the run (checkpoint.npz after each epoch, history.csv, history.jsonl, config.json, model.*); resume: continue
    from its checkpoint, if there is one; with more epochs than before, a finished run continues too (only with a constant
    schedule).
      record: plain data for config.json.
    Raises ShapeError, DataError or OptionError before the first step; OptionError if the loss becomes NaN or infinite.
    """
    for name, function in {"loss": loss, "batch_hook": batch_hook}.items():
        if function is not None and not callable(function):
            told = " (logits, y) -> (value, gradient)" if name == "loss" else " (model, x, y) -> (x, y)"
            raise OptionError(f"{name} is {function!r}; expected a function{told}",
                              "leave it out for cross-entropy, or nn.losses.CrossEntropy()" if name == "loss" else "None")
    weights = {"class_weight": class_weight, "sample_weight": sample_weight}
    if batch_hook is not None and any(value is not None for value in weights.values()):
        raise OptionError("class_weight or sample_weight and batch_hook were given; a hook may mix images", "one of them")
    trainer = Trainer(model, x, y, epochs=epochs, batch_size=batch_size, seed=seed, validation=validation, weights=weights, quiet=quiet)
    if loss is None:
        _check_one_class(trainer.model, trainer.y)
    trainer.loss = loss or CrossEntropy(label_smoothing=label_smoothing)
    trainer.augment = Augment.parse(augment) if isinstance(augment, str) else augment
    trainer.average = Average(average) if isinstance(average, str) else average
    trainer.callbacks, trainer.batch_hook = list(callbacks), batch_hook
    trainer.set_optimizer(optimizer, learning_rate, schedule, warmup, weight_decay)
    folder = RunFolder(out, trainer, resume=resume, record=record) if out is not None else None
    return trainer.run(folder)


class Trainer:
    """One training: the model, its settings and its progress. `epoch` counts finished epochs; each is a row of `history`."""

    def __init__(self, model, x: Images, y: Labels, *, epochs, batch_size: int, seed: int, validation, quiet: bool,
                 weights=None) -> None:
        for name, value in (("epochs", epochs), ("batch size", batch_size)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise OptionError(f"{name} is {value!r}; expected a whole number from 1")
        x, y = _checked(model, x, y)
        self.model, self.epochs, self.batch_size, self.seed, self.quiet = model, int(epochs), int(batch_size), int(seed), quiet
        self.x, self.y, self.validation, taken = _hold_out(model, x, y, validation, seed)
        self.weights = image_weights(y, model.n_classes, **weights or {})
        self.weights = None if self.weights is None else self.weights[taken]
        self.goes_on = False                # may a finished run have more epochs?
        self.loss = self.augment = self.average = self.batch_hook = None
        self.callbacks, self.optimizer = [], None
        self.epoch, self.history, self.stop = 0, [], None

    @property
    def steps_per_epoch(self):
        """Number of batches in an epoch; the last may be smaller."""
        return math.ceil(len(self.x) / self.batch_size)

    def set_optimizer(self, optimizer, learning_rate, schedule, warmup, weight_decay):
        """Make the optimizer and its schedule from names and numbers, or use the given ones."""
        if isinstance(optimizer, optimizers.Optimizer):
            if learning_rate is not None or weight_decay is not None:
                raise OptionError("an Optimizer was given, and a learning rate or weight decay beside it", "one of the two")
            self.optimizer = optimizer
        else:
            given = {"learning_rate": learning_rate, "weight_decay": weight_decay}
            self.optimizer = optimizers.get(optimizer, exclude_from_weight_decay=("bias", "gamma", "beta", "alpha"),
                                            **{k: v for k, v in given.items() if v is not None})
        self.goes_on = schedule == "constant" and (self.average is None or self.average.kind != "swa")
        if callable(schedule):
            self.optimizer.learning_rate = schedule
        elif not callable(self.optimizer.learning_rate):
            peak = self.optimizer.learning_rate
            self.optimizer.learning_rate = schedules.get(schedule, peak, epochs=self.epochs, warmup=warmup,
                                                         steps_per_epoch=self.steps_per_epoch)

    def run(self, folder=None):
        """Train the remaining epochs, with a checkpoint after each, and return the history."""
        if folder is not None:
            folder.begin()
        if isinstance(self.augment, Views) and self.epoch < self.epochs:
            self.augment.prepare(self.model, self.x, self.seed)
        progress = Progress((self.epochs - self.epoch) * len(self.x), "train", quiet=self.quiet)
        while self.epoch < self.epochs and not self.stop:
            progress.label = f"epoch {self.epoch + 1}/{self.epochs}"
            if not self.history and kernels.active() == "fast":
                progress.begin("the first step compiles the network's kernels, once")
            started = time.perf_counter()
            row = self._train_epoch(progress)
            with self._averaged():
                if self.validation is not None:
                    row |= self._validate()
                for callback in self.callbacks:
                    callback.on_epoch_end(self, row)
            self.epoch += 1
            self.history.append(row)
            seconds = time.perf_counter() - started
            progress.say(f"epoch {self.epoch}/{self.epochs}: {_values(row)} {seconds:.1f} s")
            if folder is not None:
                folder.epoch_done(row, seconds)
        progress.close(self.stop or "")
        self._finish()
        if folder is not None:
            folder.finish()
        return self.history

    def _validate(self):
        """Return loss and accuracy on the validation images."""
        try:
            result = evaluate(self.model, *self.validation, batch_size=256)
        except DataError as error:
            raise self._diverged(error.problem) from error
        return {"val_loss": result["loss"], "val_accuracy": result["accuracy"]}

    def _diverged(self, what):
        rate = self.optimizer.rate(max(self.optimizer.iterations - 1, 0))
        return OptionError(f"{what}: the training diverged", f"a learning rate below {rate:.3g}, or more warm-up")

    def _train_epoch(self, progress):
        """Train on every image once; return the row of the history."""
        self._seed_layers()
        random = rng.generator(self.seed, "augment", self.epoch)
        loss = right = seen = 0
        for index in batches(len(self.x), self.batch_size, seed=self.seed, epoch=self.epoch):
            x, y = self.x[index], self.y[index]
            if self.augment is not None:
                x = self._augment(x, random, index)
            weights = None if self.weights is None else self.weights[index]
            value, hits = self._step(to_floats(x, self.model.bounds, self.model.dtype), y, weights)
            loss, right, seen = loss + value * len(index), right + hits, seen + len(index)
            progress.advance(len(index), f"loss {loss / seen:.4f} accuracy {right / seen:.4f}")
        if self.average is not None and self.average.kind == "swa" and self.epoch + 1 > SWA_START * self.epochs:
            self.average.update(self.model)
        if not all(np.isfinite(array).all() for _, array in self.model.weights):
            raise self._diverged(f"a weight is NaN or infinite after epoch {self.epoch + 1}")
        step = self.optimizer.iterations
        return {"epoch": self.epoch + 1, "step": step, "learning_rate": self.optimizer.rate(step - 1), "loss": loss / seen,
                "accuracy": right / seen}

    def _step(self, x, y, weights=None):
        """One step on float images x and their labels y: return (loss, number classified rightly)."""
        target = y
        if self.batch_hook is not None:
            x, target = self.batch_hook(self.model, x, y)
        logits = self.model.forward_logits(x, training=True)
        value, gradient = self.loss(logits, target) if weights is None else weighted(self.loss, logits, target, weights)
        if not math.isfinite(value):
            raise self._diverged(f"the loss is {value} at step {self.optimizer.iterations + 1}")
        self.model.backward_logits(gradient, inputs=False)
        self.optimizer.step(self.model)
        if self.average is not None and self.average.kind == "ema":
            self.average.update(self.model)
        return value, int((logits[:len(y)].argmax(axis=1) == as_labels(y)).sum())

    def _augment(self, x, random, index):
        low, high = self.model.input_range
        augment = self.augment
        if isinstance(augment, Views):
            return augment.batch(index, self.epoch, random)
        if getattr(augment, "altflip", False):
            first = rng.generator(self.seed, "altflip").random(len(self.x)) < 0.5
            return augment(x, random, first[index] ^ bool(self.epoch % 2))
        if x.dtype != np.uint8 and isinstance(augment, Augment) and augment.grey is None:
            augment = dataclasses.replace(augment, grey=(low + high) / 2)
        return augment(x, random)

    def _seed_layers(self):
        """Give every layer (dropout draws from it), and a hook that wants one, a generator of its own for this epoch."""
        passed = [f"{layer.name} ({layer.kind})" for layer in self.model.layers if isinstance(layer, TrainingOnly)]
        if passed and self.epoch == 0:
            warnings.warn(f"{', '.join(passed)} will not be applied in training; augment= has changes of images", stacklevel=4)
        for index, layer in enumerate(self.model.layers):
            layer.rng = rng.generator(self.seed, "dropout", self.epoch, index)
        if hasattr(self.batch_hook, "rng"):
            self.batch_hook.rng = rng.generator(self.seed, "hook", self.epoch)

    def _averaged(self):
        return contextlib.nullcontext() if self.average is None else self.average.applied(self.model)

    def _finish(self):
        """Leave the model with the averaged weights, where there are any; plain averages need new batch statistics."""
        if self.average is None or self.average.values is None:
            return
        self.average.copy_to(self.model)
        if self.average.kind == "swa":
            order = batches(len(self.x), 256, seed=self.seed, epoch=self.epochs)
            images = (to_floats(self.x[i], self.model.bounds, self.model.dtype) for i in order)
            refresh_statistics(self.model, images, seed=self.seed)


def _values(row):
    return " ".join(f"{name} {row[name]:.4f}" for name in ("loss", "accuracy", "val_loss", "val_accuracy") if name in row)


def _checked(model, x, y):
    """Return images and labels that this model can be trained on, or raise an error that says why not."""
    x, y = check_images(x, model.input_shape, model.bounds), np.asarray(y)
    if len(x) == 0:
        raise DataError("there is no image to train on; expected at least one")
    if len(x) != len(y):
        raise ShapeError(f"{len(x)} images and {len(y)} labels; expected one label an image")
    check_columns(y.shape[1] if y.ndim == 2 else 1, model, "these images")
    check_labels(as_labels(y), model.n_classes, "labels")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    return x, y


def _check_one_class(model, y):
    """Cross-entropy is of one class an image: refuse labels of several, and say what is done with several sigmoids."""
    if y.ndim == 2 and len(wrong := np.flatnonzero(~(np.abs(y.sum(axis=1, dtype=np.float64) - 1) < 1e-3))):
        raise DataError(f"row {wrong[0]} of the labels sums to {y[wrong[0]].sum():g}; expected one class an image, or shares of them that sum "
                        "to 1: several labels an image (multi-label) are not trained here", "loss=, a function of your own")
    if model.head == "sigmoid" and model.n_outputs > 1:
        warnings.warn(f"the network ends in {model.n_outputs} sigmoids; training takes their logits as those of one softmax, one class an "
                      "image, and so do accuracy and attacks", stacklevel=3)


def _hold_out(model, x, y, validation, seed):
    """Return x, y to train on, (x, y) to validate on or None, and which of the images given are those to train on."""
    if validation is None or validation is False or (np.isscalar(validation) and validation == 0):
        return x, y, None, slice(None)
    if isinstance(validation, tuple | list):
        return x, y, _checked(model, *validation), slice(None)
    n = round(validation * len(x)) if 0 < validation < 1 else validation
    if not 0 < n < len(x) or n != int(n):
        raise OptionError(f"validation is {validation} with {len(x)} images; expected a part below 1 or a number below {len(x)}",
                          "--validation 0.1")
    train, held = split(len(x), int(n), seed)
    return x[train], y[train], (x[held], y[held]), train
