"""Models behind a defence: parts that have no gradient, or that are random.

Athalye, Carlini, Wagner, "Obfuscated Gradients Give a False Sense of Security" (ICML 2018): BPDA replaces a missing gradient by a
substitute, EOT averages over a model's randomness.
"""
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyvgg.attacks.beyond import beyond
from tinyvgg.attacks.checks import count
from tinyvgg.attacks.identity import model_identity
from tinyvgg.attacks.streams import Streams
from tinyvgg.attacks.victim import checked_bounds, checked_classes
from tinyvgg.errors import GradientError, OptionError
from tinyvgg.types import Images


def defended(model: Any, transform: Callable[..., Any] | None = None, *, backward: Any = "identity", eot: int = 1,
             seed: int | None = None, name: str | None = None) -> Any:
    """Put `transform` before `model`, with a substitute gradient; average gradients and logits over `eot` draws.

    transform: x -> images for the model, or (x, generator) -> images if it is random; None if the model itself is random. It may
    return (images, back), where back(dy) -> dx is the derivative of the same draw. backward: the substitute derivative for other
    transforms: "identity" (BPDA), or a function (x, dy) -> dx. eot: number of draws averaged for each query. seed: the same image
    gets the same draws; with None each query has new draws, as in a deployed model (results then have a flag). name: identifies
    this defence, so that a stopped run with out= can continue; without a name it starts again.
    """
    return Defended(model, transform, backward, eot, seed, name)


class Defended:
    """See defended. A classifier itself: logits, vjp, bounds, n_classes."""

    def __init__(self, model: Any, transform: Callable[..., Any] | None, backward: Any, eot: int, seed: int | None,
                 name: str | None = None) -> None:
        eot = count(eot, "eot")
        if backward != "identity" and not callable(backward):
            raise OptionError(f"backward is {backward!r}; expected \"identity\" or a function (x, dy) -> dx")
        if transform is not None and not callable(transform):
            raise OptionError(f"transform is {transform!r}; expected a function x -> images, or (x, generator) -> images")
        if name is not None and not isinstance(name, str):
            raise OptionError(f"name is {name!r}; expected text")
        self.model, self.transform, self.backward, self.eot, self.seed, self.name = model, transform, backward, eot, seed, name
        self.bounds, self.n_classes = checked_bounds(model), checked_classes(model)
        self.dtype = getattr(model, "dtype", np.dtype(np.float32))
        self.behind = model if transform is None else beyond(model)       # a transform may lead outside the range
        self.random = np.random.default_rng() if seed is None else None
        self.takes_generator = transform is not None and _arguments(transform) > 1

    def identity(self):
        """Return the identity of this defence (its model's and its name), or None."""
        behind, told = model_identity(self.model), getattr(self.transform, "told", None)     # steps of preprocess tell themselves
        bare = (self.transform is None or told is not None) and self.backward == "identity"
        if behind is None or self.name is None and not bare:
            return None
        return {"defended": self.name if told is None else {"name": self.name, **told}, "model": behind, "eot": int(self.eot), "seed": self.seed}

    def logits(self, x: Images):
        """x (N, ...) -> (N, classes), the mean over the draws."""
        return np.mean([self.behind.logits(self._transformed(x, k)[0]) for k in range(self.eot)], axis=0)

    def vjp(self, x: Images, g):
        """Return d sum(g(logits) * logits) / dx with the substitute gradient, averaged over the draws. A function g is called
        with the logits of each draw (the gradients are averaged), then with the mean logits, so that the search increases the
        loss of the mean.
        """
        if not callable(getattr(self.model, "vjp", None)):
            raise GradientError(f"{type(self.model).__name__} has no gradients behind the defence", "attacks.square")
        seen: list[Any] = []
        total: Any = 0.0

        def noted(logits):
            seen.append(logits)
            return g(logits)

        for k in range(self.eot):
            z, back = self._transformed(x, k)
            total = total + back(self.behind.vjp(z, noted if callable(g) else g))
        if callable(g) and self.eot > 1:
            g(np.mean(seen, axis=0))
        return total / total.dtype.type(self.eot)

    def _transformed(self, x, k):
        """Return the images of draw k, and the function that pulls a gradient with respect to them back to x."""
        if self.transform is None:
            return x, lambda dy: dy
        if not self.takes_generator:
            return self._one(x)
        if self.random is not None:
            return self._one(x, self.random)
        keys = Streams.of(self.seed, f"defended {k}", x).keys
        seeded = [self._one(x[i:i + 1], np.random.default_rng(int(key))) for i, key in enumerate(keys)]
        return (np.concatenate([z for z, _ in seeded]),
                lambda dy: np.concatenate([back(dy[i:i + 1]) for i, (_, back) in enumerate(seeded)]))

    def _one(self, x, *generator):
        z = self.transform(x, *generator)
        if isinstance(z, tuple):
            return np.asarray(z[0], x.dtype), lambda dy: np.asarray(z[1](dy), dy.dtype)
        stand_in = (lambda dy: dy) if self.backward == "identity" else lambda dy: np.asarray(self.backward(x, dy))
        return np.asarray(z, x.dtype), stand_in


def _arguments(function):
    """Return how many positional arguments without a default a function takes."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    return sum(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
