"""SGD, Adam, AdamW and RMSprop, with Keras' names, defaults and arithmetic.

The update rules, with their equations, are kernels: `kernels.adam_update` and so on. An optimizer holds the settings and the
slots: arrays that a rule keeps between steps, in one dictionary for each kind, such as `adam.slots["velocity"]["conv1/kernel"]`.
"""
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyvgg import kernels
from tinyvgg.errors import OptionError


class Optimizer:
    """Base of all optimizers: a learning rate (a number, or a schedule: a function of the step), decoupled decay, clipping,
    slots.

    weight_decay: before each step w -= a * weight_decay * w (Loshchilov and Hutter, 2019, arXiv:1711.05101), except for
    weights whose name ends in one of `exclude_from_weight_decay`. global_clipnorm: if the norm of all gradients together is
    greater, they are scaled down to it. slot_names: the kinds of slots of the rule.
    """

    slot_names: tuple[str, ...] = ()

    def __init__(self, learning_rate: float, *, weight_decay: float | None = None, global_clipnorm: float | None = None,
                 exclude_from_weight_decay: Sequence[str] = ()) -> None:
        if not callable(learning_rate):
            _check("learning_rate", learning_rate, 0, math.inf)
        _check("weight_decay", weight_decay or 0, 0, math.inf)
        self.learning_rate, self.weight_decay, self.global_clipnorm = learning_rate, weight_decay, global_clipnorm
        self.exclude_from_weight_decay = tuple(exclude_from_weight_decay)
        self.iterations = 0
        self.slots = {name: {} for name in self.slot_names}

    def rate(self, step=None):
        """Return the learning rate of a step from 0 (default: the next one)."""
        step = self.iterations if step is None else step
        return float(self.learning_rate(step) if callable(self.learning_rate) else self.learning_rate)

    def apply(self, weights):
        """Take one step: weights is a list of (name, w, g); each w is changed in place, g is not."""
        rate, scale = self.rate(), self._clip_scale([g for _, _, g in weights])
        self.iterations += 1
        for name, w, g in weights:
            if self.weight_decay and not name.endswith(self.exclude_from_weight_decay or "\0"):
                w -= w.dtype.type(rate * self.weight_decay) * w
            self.update(w, g if scale == 1 else g * g.dtype.type(scale), [self._slot(s, name, w) for s in self.slot_names], rate)

    def step(self, model):
        """Take one step on every trainable weight of a model, from its layers' gradients."""
        self.apply([(f"{layer.name}/{name}", w, layer.gradients[name]) for layer in model.layers if layer.trainable
                    for name, w in layer.parameters.items()])

    def update(self, w, g, slots, rate):
        """Change w (and its slots) in place, by this optimizer's rule."""
        raise NotImplementedError

    def get_config(self):
        """Return the settings as plain data; a schedule appears as its settings."""
        config = {k: v for k, v in vars(self).items() if k not in ("iterations", "slots")}
        if callable(self.learning_rate):
            config["learning_rate"] = self.learning_rate.get_config()
        return {"class_name": type(self).__name__, "config": config}

    def state(self):
        """Return all slots as {"slot/weight": array}, for a file."""
        return {f"{slot}/{name}": array for slot, arrays in self.slots.items() for name, array in arrays.items()}

    def load_state(self, state, iterations):
        """Restore what `state()` returned after `iterations` steps."""
        self.iterations = int(iterations)
        self.slots = {name: {} for name in self.slot_names}
        for key, array in state.items():
            slot, _, name = key.partition("/")
            if slot not in self.slots:
                raise OptionError(f"{type(self).__name__} has no slot {slot!r}; the state is another optimizer's")
            self.slots[slot][name] = np.array(array)

    def _slot(self, slot, name, w):
        slots = self.slots[slot]
        if name not in slots:
            slots[name] = np.zeros_like(w)
        return slots[name]

    def _clip_scale(self, gradients):
        if self.global_clipnorm is None:
            return 1.0
        norm = math.sqrt(sum(float(np.vdot(g, g)) for g in gradients))
        return min(1.0, self.global_clipnorm / norm) if norm > 0 else 1.0


class SGD(Optimizer):
    """Stochastic gradient descent, optionally with momentum and Nesterov's variant."""

    def __init__(self, learning_rate: float = 0.01, *, momentum: float = 0.0, nesterov: bool = False, **options: Any) -> None:
        _check("momentum", momentum, 0, 1)
        self.slot_names = ("momentum",) if momentum else ()
        super().__init__(learning_rate, **options)
        self.momentum, self.nesterov = momentum, nesterov

    def update(self, w, g, slots, rate):
        if slots:
            kernels.momentum_update(w, g, *slots, learning_rate=rate, momentum=self.momentum, nesterov=self.nesterov)
        else:
            kernels.sgd_update(w, g, learning_rate=rate)

    def get_config(self):
        return _without_slot_names(super().get_config())


class Adam(Optimizer):
    """Adam; epsilon 1e-7 as in Keras (the paper's is 1e-8)."""

    slot_names = ("momentum", "velocity")

    def __init__(self, learning_rate: float = 1e-3, *, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
                 **options: Any) -> None:
        super().__init__(learning_rate, **options)
        _check("beta_1", beta_1, 0, 1)
        _check("beta_2", beta_2, 0, 1)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def update(self, w, g, slots, rate):
        t = self.iterations
        step_size = rate * math.sqrt(1 - self.beta_2 ** t) / (1 - self.beta_1 ** t)
        kernels.adam_update(w, g, *slots, step_size=step_size, beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019, arXiv:1711.05101)."""

    def __init__(self, learning_rate: float = 1e-3, *, weight_decay: float = 0.004, **options: Any) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay, **options)


class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton, 2012, Coursera lecture 6.5)."""

    slot_names = ("velocity",)

    def __init__(self, learning_rate: float = 1e-3, *, rho: float = 0.9, momentum: float = 0.0, epsilon: float = 1e-7,
                 **options: Any) -> None:
        _check("rho", rho, 0, 1)
        _check("momentum", momentum, 0, 1)
        self.slot_names = ("velocity", "momentum") if momentum else ("velocity",)
        super().__init__(learning_rate, **options)
        self.rho, self.momentum, self.epsilon = rho, momentum, epsilon

    def update(self, w, g, slots, rate):
        v, m = slots if len(slots) == 2 else (slots[0], None)
        kernels.rmsprop_update(w, g, v, m, learning_rate=rate, rho=self.rho, momentum=self.momentum, epsilon=self.epsilon)

    def get_config(self):
        return _without_slot_names(super().get_config())


OPTIMIZERS = {"sgd": SGD, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop}


def get(name, **options: Any):
    """Return the optimizer called `name` (sgd, momentum, adam, adamw, rmsprop) with options, or `name` itself if it is one."""
    if isinstance(name, Optimizer):
        return name
    key = str(name).lower()
    if key == "momentum":
        return SGD(**{"momentum": 0.9, "nesterov": True, **options})
    if key not in OPTIMIZERS:
        raise OptionError(f"optimizer {name!r} is not known; expected one of {', '.join((*OPTIMIZERS, 'momentum'))}")
    try:
        return OPTIMIZERS[key](**options)
    except TypeError as error:
        raise OptionError(f"{OPTIMIZERS[key].__name__}: {error}") from error


def _without_slot_names(config):
    config["config"].pop("slot_names", None)
    return config


def _check(name, value, low, high):
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not low <= value < high:
        raise OptionError(f"{name} is {value!r}; expected a number from {low} to below {high:g}")
