"""Steps between pixels and a model, with their derivatives, so that eps and bounds are still those of pixels.

    victim = attacks.preprocessed(model, attacks.normalise(mean, deviation), attacks.resize(32, 32))
    attacks.pgd(victim, x, y, eps="8/255")                   # x (N, H, W, C) in 0..1, whatever `model` takes

A step is a function of images x (N, H, W, C) that returns (images, back); back(dy) -> dx pulls a gradient back. Steps also work
with `attacks.defended(model, step)`.
"""
import functools
import inspect
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinyvgg.attacks.beyond import beyond
from tinyvgg.attacks.checks import count
from tinyvgg.attacks.identity import model_identity
from tinyvgg.attacks.victim import checked_bounds, checked_classes
from tinyvgg.errors import GradientError, OptionError, ShapeError, require
from tinyvgg.images import check_range
from tinyvgg.nn.layers.resizing import bilinear, resized
from tinyvgg.types import Images, Range


def preprocessed(model: Any, *steps: Callable[..., Any], bounds: Range = (0.0, 1.0), name: str | None = None) -> Any:
    """Put `steps` before `model`, the first one nearest to the pixels; return a classifier of images in `bounds`.

    name: identifies your own steps, so that a stopped run with out= can continue; the steps of this module need none.
    """
    if not steps:
        raise OptionError("no step was given", "preprocessed(model, normalise(mean, deviation))")
    for step in steps:
        if not callable(step):
            raise OptionError(f"a step is {step!r}; expected a function x -> (images, back)", "preprocessed(model, normalise(mean, deviation))")
    if name is not None and not isinstance(name, str):
        raise OptionError(f"name is {name!r}; expected text")
    return Preprocessed(model, steps, check_range(bounds, what="bounds"), name)


class Preprocessed:
    """See preprocessed. A classifier itself."""

    def __init__(self, model: Any, steps: Sequence[Any], bounds: Range, name: str | None) -> None:
        self.model, self.steps, self.bounds, self.name = model, steps, bounds, name
        checked_bounds(model)
        self.n_classes, self.dtype = checked_classes(model), getattr(model, "dtype", np.dtype(np.float32))
        self.behind = beyond(model)
        for answer in ("logits", "scores", "labels"):
            if callable(getattr(model, answer, None)):
                setattr(self, answer, functools.partial(self._answer, answer))
        if callable(getattr(model, "vjp", None)):
            self.vjp = self._vjp

    def identity(self):
        """The identity, or None: the model behind it and its steps."""
        behind, told = model_identity(self.model), [getattr(step, "told", None) for step in self.steps]
        if behind is None or None in told and self.name is None:
            return None
        return {"preprocessed": told, "name": self.name, "model": behind, "bounds": list(self.bounds)}

    def _answer(self, answer, x: Images):
        return getattr(self.behind, answer)(self._forward(x)[0])

    def _vjp(self, x: Images, g):
        z, backs = self._forward(x)
        dx = self.behind.vjp(z, g)
        for back in reversed(backs):
            dx = back(dx)
        return np.asarray(dx, self.dtype)

    def _forward(self, x):
        backs = []
        for step in self.steps:
            result = step(x)
            if not isinstance(result, tuple) or len(result) != 2:
                raise GradientError(f"{getattr(step, '__name__', type(step).__name__)} returns only images; expected (images, back)",
                                    "attacks.defended(model, step), which takes a stand-in gradient")
            x, back = result
            x = np.asarray(x, self.dtype)
            backs.append(back)
        return x, backs


def _step(function):
    """Make a step of a function (x, ...) of settings, which tells them."""
    def made(*values, **settings):
        bound = inspect.signature(function).bind(None, *values, **settings)
        bound.apply_defaults()
        told = {"step": function.__name__, **{k: np.asarray(v).tolist() for k, v in list(bound.arguments.items())[1:]}}
        function(np.zeros((1, 2, 2, np.size(told.get("mean", 0)) if np.size(told.get("mean", 0)) > 1 else 3), np.float32), *values, **settings)

        def step(x):
            return function(x, *values, **settings)
        step.told, step.__name__ = told, function.__name__
        return step
    made.__doc__, made.__name__ = function.__doc__, function.__name__
    return made


def _normalised(x, mean, deviation):
    """(x - mean) / deviation, one of each, or one a channel."""
    try:
        mean, deviation = np.asarray(mean, x.dtype), np.asarray(deviation, x.dtype)
    except (TypeError, ValueError):
        mean = np.asarray(np.nan)                                       # no numbers
    if not (np.isfinite(mean).all() and np.isfinite(deviation).all() and (deviation > 0).all()):
        raise OptionError("a deviation is not above 0, or mean or deviation are not numbers", "normalise([0.49, 0.48, 0.45], [0.25, 0.24, 0.26])")
    for values in (mean, deviation):
        if values.ndim > 1 or values.ndim and len(values) not in (1, x.shape[-1]):
            raise ShapeError(f"mean or deviation has shape {values.shape}; expected one number, or {x.shape[-1]}, one a channel")
    return (x - mean) / deviation, lambda dy: dy / deviation


def _resized(x, height, width):
    """Bilinear, with the corners of the pixels' squares in place (half-pixel centres), not smoothed when it shrinks."""
    for side in (height, width):
        count(side, "height or width", least=0)
    if x.ndim != 4 or min(height, width) < 1:
        raise ShapeError(f"images of shape {x.shape} to {height} x {width}; expected (N, H, W, C), and 1 pixel or more")
    rows, columns = bilinear(x.shape[1], int(height)).astype(x.dtype), bilinear(x.shape[2], int(width)).astype(x.dtype)
    return resized(x, rows, columns), lambda dy: resized(dy, rows.T, columns.T)


def _jpeg(x, quality=75):
    """Through JPEG of a quality (1 to 95) and back, images in 0..1 with 1 or 3 channels; its gradient is taken for the identity."""
    image = require("PIL.Image", "plot")
    if isinstance(quality, bool) or not isinstance(quality, int) or not 1 <= quality <= 95:
        raise OptionError(f"quality is {quality!r}; expected a whole number from 1 to 95", "jpeg(75)")
    if x.ndim != 4 or x.shape[-1] not in (1, 3):
        raise ShapeError(f"images have shape {x.shape}; JPEG takes (N, H, W, 1) and (N, H, W, 3)")
    found = np.empty_like(x)
    for i, pixels in enumerate(np.floor(np.clip(x, 0, 1) * 255 + 0.5).astype(np.uint8)):
        data = io.BytesIO()
        image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0]).save(data, "JPEG", quality=quality)
        found[i] = np.asarray(image.open(data), x.dtype).reshape(pixels.shape) / 255
    return found, lambda dy: dy


def normalise(mean: Any, deviation: Any) -> Callable[..., Any]:
    """Return the step (x - mean) / deviation; each is one number, or one for each channel."""
    return _step(_normalised)(mean, deviation)


def resize(height: int, width: int) -> Callable[..., Any]:
    """Return the step to height x width: bilinear with half-pixel centres, as PyTorch's interpolate(align_corners=False)."""
    return _step(_resized)(height, width)


def random_resize(smallest: int) -> Callable[..., Any]:
    """Return the random step of Xie et al. (ICLR 2018), for attacks.defended: each image gets a new random size and place. The
    height is drawn between `smallest` and the image's own; the width keeps the proportions; the rest of the image is 0. Bilinear;
    the derivative is that of the same draw.
    """
    return _random_step(count(smallest, "smallest"))


def _random_step(smallest):
    def step(x, generator):
        return _resized_at_random(x, generator, smallest)
    step.told, step.__name__ = {"step": "random_resize", "smallest": smallest}, "random_resize"
    return step


def _resized_at_random(x, generator, smallest):
    if x.ndim != 4 or smallest > x.shape[1]:
        raise ShapeError(f"images have shape {x.shape}; expected (N, H, W, C), {smallest} or more high", "a smaller random_resize")
    n, height, width, _ = x.shape
    found, windows = np.zeros_like(x), []
    for i, tall in enumerate(generator.integers(smallest, height + 1, n)):
        wide = max(round(tall * width / height), 1)
        top, left = generator.integers(height - tall + 1), generator.integers(width - wide + 1)
        windows.append((slice(top, top + tall), slice(left, left + wide), bilinear(height, int(tall)), bilinear(width, wide)))
        rows, columns, r, c = windows[-1]
        found[i, rows, columns] = np.einsum("wv,hvc->hwc", c, np.tensordot(r, x[i], 1))

    def back(dy):
        dx = np.empty(x.shape, dy.dtype)
        for i, (rows, columns, r, c) in enumerate(windows):
            dx[i] = np.einsum("wv,hwc->hvc", c, np.tensordot(r.T, dy[i, rows, columns], 1))
        return dx
    return found, back


def jpeg(quality: int = 75) -> Callable[..., Any]:
    """Return the step that compresses to JPEG and back; its gradient is straight-through. Needs Pillow (extra `plot`)."""
    return _step(_jpeg)(quality)
