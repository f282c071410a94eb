"""Callbacks after each epoch: keep the best model, stop early, or your own."""
import math

from tinyvgg.errors import OptionError
from tinyvgg.types import PathLike


class Callback:
    """Called by the training loop. `state()` is saved with each checkpoint; a resumed run gets it back."""

    def on_epoch_end(self, trainer, row):
        """row: this epoch's line of the history. The model has the averaged weights, if weights are averaged.

        `trainer.stop = "reason"` ends the training after this epoch.
        """

    def state(self):
        """Return what a resumed run needs, as plain data."""
        return {}

    def load_state(self, state):
        """Restore what `state()` returned."""


class Best(Callback):
    """Keeps the best value of one column of the history: the largest accuracy, the smallest loss."""

    def __init__(self, monitor: str = "val_accuracy") -> None:
        self.monitor, self.sign = monitor, 1 if "accuracy" in monitor else -1
        self.value, self.epoch = -math.inf, 0

    def improved(self, row):
        """Record the epoch's value; return whether it is the best so far."""
        if self.monitor not in row:
            raise OptionError(f"the history has no {self.monitor!r}; it has {', '.join(row)}", "--validation 0.1")
        value = self.sign * row[self.monitor]
        if not value > self.value:          # nor is NaN better
            return False
        self.value, self.epoch = value, row["epoch"]
        return True

    def state(self):
        return {"value": None if math.isinf(self.value) else self.value, "epoch": self.epoch}

    def load_state(self, state):
        self.value, self.epoch = -math.inf if state["value"] is None else state["value"], state["epoch"]


class BestCheckpoint(Best):
    """Saves the model to `path` whenever the monitored value is better than before."""

    def __init__(self, path: PathLike, monitor: str = "val_accuracy") -> None:
        super().__init__(monitor)
        self.path = path

    def on_epoch_end(self, trainer, row):
        if self.improved(row):
            trainer.model.save(self.path)


class EarlyStopping(Best):
    """Stops when the monitored value has not improved for `patience` epochs."""

    def __init__(self, patience: int, monitor: str = "val_loss") -> None:
        super().__init__(monitor)
        if patience < 1:
            raise OptionError(f"patience is {patience}; expected at least 1 epoch")
        self.patience = patience

    def on_epoch_end(self, trainer, row):
        if not self.improved(row) and row["epoch"] - self.epoch >= self.patience:
            trainer.stop = f"{self.monitor} was not better for {self.patience} epochs"
