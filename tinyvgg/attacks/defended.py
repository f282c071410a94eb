"""Models behind a defence: parts that have no gradient, or that are random.

Athalye, Carlini, Wagner, "Obfuscated Gradients Give a False Sense of Security" (ICML 2018): BPDA puts a stand-in gradient in
place of a missing one, EOT averages over a model's randomness.
"""
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyvgg.attacks.beyond import beyond
from tinyvgg.attacks.identity import model_identity
from tinyvgg.attacks.streams import Streams
from tinyvgg.attacks.victim import checked_bounds, checked_classes
from tinyvgg.errors import GradientError, OptionError
from tinyvgg.types import Images


def defended(model: Any, transform: Callable[..., Any] | None = None, *, backward: Any = "identity", eot: int = 1,
             seed: int | None = None, name: str | None = None) -> Any:
    """Put `transform` before `model`, with a stand-in gradient, averaging gradients and logits over `eot` draws.

    transform: x -> images for the model, or (x, generator) -> images if it is random; None for a model that is random itself.
    backward: what stands for the transform's derivative: "identity" (BPDA), or a function (x, dy) -> dx.
    eot: draws that are averaged for each question. seed: makes the draws repeat for the same image; None draws anew each time,
    as the deployed model would (results then carry a flag). name: tells this defence from others, so that a stopped run with
    out= can go on; without one it starts again.
    """
    return Defended(model, transform, backward, eot, seed, name)


class Defended:
    """See defended. A classifier itself: logits, vjp, bounds, n_classes."""

    def __init__(self, model: Any, transform: Callable[..., Any] | None, backward: Any, eot: int, seed: int | None,
                 name: str | None = None) -> None:
        if isinstance(eot, bool) or not isinstance(eot, int | np.integer) or eot < 1:
            raise OptionError(f"eot is {eot!r}; expected a whole number, 1 or more")
        if backward != "identity" and not callable(backward):
            raise OptionError(f"backward is {backward!r}; expected \"identity\" or a function (x, dy) -> dx")
        self.model, self.transform, self.backward, self.eot, self.seed, self.name = model, transform, backward, eot, seed, name
        self.bounds, self.n_classes = checked_bounds(model), checked_classes(model)
        self.dtype = getattr(model, "dtype", np.dtype(np.float32))
        self.behind = model if transform is None else beyond(model)       # a transform may lead outside the range
        self.random = np.random.default_rng() if seed is None else None
        self.takes_generator = transform is not None and _arguments(transform) > 1

    def identity(self):
        """Return what tells this defence from another, or None: the model behind it and the name that was given to the rest."""
        behind = model_identity(self.model)
        bare = self.transform is None and self.backward == "identity"
        if behind is None or self.name is None and not bare:
            return None
        return {"defended": self.name, "model": behind, "eot": int(self.eot), "seed": self.seed}

    def logits(self, x: Images):
        """x (N, ...) -> (N, classes), the mean over the draws."""
        return np.mean([self.behind.logits(self._transformed(x, k)) for k in range(self.eot)], axis=0)

    def vjp(self, x: Images, g):
        """d sum(g(logits) * logits) / dx by the stand-in gradient, the mean over the draws; g is asked once, for mean logits."""
        if not callable(getattr(self.model, "vjp", None)):
            raise GradientError(f"{type(self.model).__name__} has no gradients behind the defence", "attacks.square")
        draws = [self._transformed(x, k) for k in range(self.eot)]
        if self.eot == 1:
            return self._back(x, self.behind.vjp(draws[0], g))
        direction = g(np.mean([self.behind.logits(z) for z in draws], axis=0)) if callable(g) else g
        return np.mean([self._back(x, self.behind.vjp(z, direction)) for z in draws], axis=0)

    def _transformed(self, x, k):
        if self.transform is None:
            return x
        if not self.takes_generator:
            return np.asarray(self.transform(x), x.dtype)
        if self.random is not None:
            return np.asarray(self.transform(x, self.random), x.dtype)
        keys = Streams.of(self.seed, f"defended {k}", x).keys
        seeded = [self.transform(x[i:i + 1], np.random.default_rng(int(key))) for i, key in enumerate(keys)]
        return np.concatenate(seeded).astype(x.dtype)

    def _back(self, x, dy):
        return dy if self.backward == "identity" or self.transform is None else np.asarray(self.backward(x, dy))


def _arguments(function):
    """Return how many positional arguments without a default a function takes."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    return sum(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
