"""Learning rates as pure functions of the step (from 0), so that a resumed run takes the same steps as an uninterrupted one."""
import math
from dataclasses import asdict, dataclass

from tinyvgg.errors import OptionError


@dataclass(frozen=True)
class Schedule:
    """A learning rate that depends on the step: `schedule(step)`."""

    learning_rate: float

    def __post_init__(self):
        if not (math.isfinite(self.learning_rate) and self.learning_rate >= 0):
            raise OptionError(f"learning rate is {self.learning_rate}; expected a number >= 0")

    def get_config(self):
        """Return the settings as plain data."""
        return {"class_name": type(self).__name__, "config": asdict(self)}


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate throughout, after `warmup` steps of linear increase."""

    warmup: int = 0

    def __call__(self, step):
        return _warm(step, self.warmup, self.learning_rate)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from the rate down to rate * `final` at step `total` (Loshchilov and Hutter, 2017, arXiv:1608.03983)."""

    total: int
    warmup: int = 0
    final: float = 0.0

    def __call__(self, step):
        if step < self.warmup:
            return _warm(step, self.warmup, self.learning_rate)
        t = min(1.0, (step - self.warmup) / max(1, self.total - self.warmup))
        return self.learning_rate * (self.final + (1 - self.final) * (1 + math.cos(math.pi * t)) / 2)


@dataclass(frozen=True)
class Step(Schedule):
    """The rate times `factor` at each of the steps `boundaries`."""

    boundaries: tuple
    factor: float = 0.1
    warmup: int = 0

    def __call__(self, step):
        rate = self.learning_rate * self.factor ** sum(step >= b for b in self.boundaries)
        return _warm(step, self.warmup, rate)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up to the rate along a cosine during the first share `rise` of `total` steps, then down to 0 (arXiv:1708.07120)."""

    total: int
    rise: float = 0.3
    start: float = 0.04
    final: float = 1e-4

    def __call__(self, step):
        top = max(1.0, self.rise * self.total)
        if step < top:
            return self.learning_rate * _ease(self.start, 1.0, step / top)
        return self.learning_rate * _ease(1.0, self.final, min(1.0, (step - top) / max(1.0, self.total - top)))


def get(name, learning_rate, *, steps_per_epoch, epochs, warmup=0):
    """Return the schedule called `name` (constant, cosine, step, onecycle) for a run; warmup in epochs.

    "step" uses a tenth of the rate after half of the run, and a hundredth after three quarters.
    """
    if not 0 <= warmup <= epochs:
        raise OptionError(f"warm-up of {warmup} epochs in a run of {epochs}; expected 0 to {epochs}")
    total, warm = steps_per_epoch * epochs, round(warmup * steps_per_epoch)
    if name == "constant":
        return Constant(learning_rate, warm)
    if name == "cosine":
        return Cosine(learning_rate, total, warm)
    if name == "step":
        return Step(learning_rate, (total // 2, 3 * total // 4), warmup=warm)
    if name == "onecycle":
        return OneCycle(learning_rate, total, rise=warm / total if warm else 0.3)
    raise OptionError(f"schedule {name!r} is not known; expected constant, cosine, step or onecycle")


def _warm(step, warmup, rate):
    return rate * (step + 1) / warmup if step < warmup else rate


def _ease(a, b, t):
    """From a to b by half a cosine as t goes from 0 to 1."""
    return b + (a - b) * (1 + math.cos(math.pi * t)) / 2
