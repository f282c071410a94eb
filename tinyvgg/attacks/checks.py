"""The checks before every attack."""
import numpy as np

from tinyvgg.attacks.norms import default_eps, parse_eps
from tinyvgg.errors import DataError, OptionError
from tinyvgg.images import float_images
from tinyvgg.report.record import sha256_arrays


def checked_images(x, victim):
    """Return x, uint8 or floats in the model's bounds, as its float dtype, or raise ShapeError or DataError."""
    return float_images(x, victim.bounds, shape=getattr(victim.model, "input_shape", None), dtype=victim.dtype)


def checked_labels(y, x, n_classes, predicted=None):
    """Return y as (N,) int64. Raise if it is missing, one-hot, of another length or out of range."""
    if y is None:
        if predicted is None:
            raise DataError(
                "there are no labels (y=None): an attack pushes images away from their true class",
                'y=labels, or labels="predicted" to attack the model\'s own answers',
            )
        return predicted
    y = np.asarray(y)
    if y.shape == (len(x), 1):
        raise DataError(f"labels have shape {y.shape}, a column as Keras' data sets give them; expected ({len(x)},)", "y.ravel()")
    if y.ndim == 2 and y.shape[1] == n_classes:
        raise DataError(f"labels have shape {y.shape}; expected ({len(x)},) whole numbers", "y.argmax(axis=1)")
    if y.shape != (len(x),) or y.dtype.kind not in "iu":
        raise DataError(f"labels have shape {y.shape} and dtype {y.dtype}; expected ({len(x)},) whole numbers")
    if len(y) and (y.min() < 0 or y.max() >= n_classes):
        raise DataError(f"labels go from {y.min()} to {y.max()}; the model has classes 0 to {n_classes - 1}")
    return y.astype(np.int64)


def checked_target(target, y, n_classes):
    """Return targets as (N,) int64, or None. Images already of the target's class are left out; raise if all are."""
    if target is None:
        return None
    given = np.asarray(target)
    if given.dtype.kind not in "iu" or given.shape not in ((), y.shape):
        raise OptionError(
            f"target has shape {given.shape} and dtype {given.dtype}; expected a class or one for each of {len(y)} images"
        )
    if given.size and (given.min() < 0 or given.max() >= n_classes):
        raise OptionError(
            f"target is {given.max() if given.max() >= n_classes else given.min()}; the model has classes 0 to {n_classes - 1}"
        )
    if len(y) and (given == y).all():
        raise OptionError(
            f"image 0 is of class {int(y[0])} already, the target it was given, and so are all others",
            "targets that differ from y",
        )
    return np.broadcast_to(given, y.shape).astype(np.int64)


def checked_mask(mask, x):
    """Return which values of x (N, ...) may change, as booleans of x's shape; None for all. mask: booleans, or 0 and 1, of the
    shape of one image, with or without channels, or of N images.
    """
    if mask is None:
        return None
    mask = np.asarray(mask)
    if mask.dtype.kind not in "biu" and not (mask.dtype.kind == "f" and np.isin(mask, (0, 1)).all()) or mask.size and not np.isin(mask, (0, 1)).all():
        raise OptionError(f"mask has dtype {mask.dtype}; expected booleans, True where an image may change")
    one = x.shape[1:]
    for shape, wide in ((x.shape, mask), (one, mask[None] if mask.ndim == len(one) else mask),
                        (x.shape[:-1], mask[..., None] if mask.ndim == x.ndim - 1 else mask),
                        (one[:-1], mask[None, ..., None] if mask.ndim == len(one) - 1 else mask)):
        if mask.shape == shape:
            free = np.broadcast_to(wide.astype(bool), x.shape)
            if x.size and not free.any():
                raise OptionError("the mask allows no change", "True where an image may change")
            return free
    raise OptionError(f"mask has shape {mask.shape}; expected {one}, {one[:-1]}, {x.shape} or {x.shape[:-1]}")


def told_mask(free):
    """Return plain data that identifies a mask (booleans of the images' shape), for the result."""
    return {"changeable": float(free.mean()), "sha256": sha256_arrays(free)}


def checked_eps(eps, x, norm, name, *, by_value=True):
    """Return radii for images x (N, ...): a number or None unchanged, an array as (N,) or, for linf only, as (N, ...), one radius
    for each value. An array may have the shape (N,), or that of one image, with or without channels, or of N images.
    """
    if eps is None or not np.ndim(eps):
        return eps
    one = x.shape[1:]
    if eps.shape == x.shape[:1]:
        if eps.shape == one:
            raise OptionError(f"eps has shape {eps.shape}: as many images as values in one; it could be of either",
                              f"shape {(1, *one)} for each value, {(len(x), 1)} for each image")
        return eps
    if eps.shape == (len(x), *(1,) * len(one)):
        return eps.reshape(-1)
    wide = eps[None] if eps.ndim == len(one) else eps[None, ..., None] if eps.ndim == len(one) - 1 else eps
    if eps.shape not in (one, one[:-1], x.shape, (1, *one), x.shape[:-1]) or not one:
        raise OptionError(f"eps has shape {eps.shape}; expected one number, {x.shape[:1]} for each image, or {one} for each value")
    wide = eps[..., None] if eps.shape == x.shape[:-1] and eps.shape != one else wide
    if norm != "linf" or not by_value:
        raise OptionError(f"{name} in {norm} measures one distance for an image; eps has shape {eps.shape}, one for each value",
                          f"shape {x.shape[:1]}, or linf with noise, fgsm, pgd, mifgsm, apgd, apgd_t, square or the ladder")
    return np.broadcast_to(wide, x.shape)


def told_eps(eps):
    """Return plain data that identifies radii, for the result: the number, or a description of the array."""
    if eps is None or not np.ndim(eps):
        return eps
    return {"for": "image" if np.ndim(eps) == 1 else "value", "lowest": float(eps.min(initial=np.inf)), "highest": float(eps.max(initial=0)),
            "sha256": sha256_arrays(np.asarray(eps, np.float64))}


def eps_flags(eps, norm, bounds, x):
    if eps is not None and np.ndim(eps):
        positive = eps[eps > 0]
        ends = dict.fromkeys((float(positive.min()), float(positive.max()))) if positive.size else ()
        return list(dict.fromkeys(flag for end in ends for flag in eps_flags(end, norm, bounds, x)))
    width = bounds[1] - bounds[0]
    farthest = {"linf": width, "l2": width * np.sqrt(x[:1].size), "l1": width * x[:1].size}[norm]
    if eps is not None and len(x) and eps > farthest:
        return [f"eps {eps:g} is beyond {farthest:g}, the whole range {bounds[0]:g}..{bounds[1]:g} of the images in {norm}"]
    return below_one_level(eps, bounds)


def below_one_level(eps, bounds):
    """Return [the flag] if eps is not 0 but below one grey level of images in `bounds`; else []."""
    levels = 0 if eps is None else eps * 255 / (bounds[1] - bounds[0])
    if not 0 < levels < 1 - 1e-6:
        return []
    return [f"eps {eps:g} is {levels:.2g} grey levels of images in {bounds[0]:g}..{bounds[1]:g}: less than the smallest change "
            f"of 8 bits; eps is in the unit of the images, 8 levels are {default_eps(bounds):.4g}"]


def parse_length(value, default, name="step"):
    """Return a step length: a number, a fraction as text, or `default` for None."""
    return default if value is None else parse_eps(value, name)


def number(value, name, *, most=np.inf, zero=False):
    """Return a finite float above 0 (with zero=True, from 0) to `most`, or raise OptionError; True, text and arrays are no numbers."""
    plain = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not plain or not (0 <= value if zero else 0 < value) or not value <= min(most, 1e300):
        limits = ("from 0" if zero else "above 0") + (f", at most {most:g}" if most < np.inf else "")
        raise OptionError(f"{name} is {value!r}; expected a number {limits}")
    return float(value)


def switch(value, name):
    """Return True or False, or raise OptionError for what only counts as one of them."""
    if not isinstance(value, bool | np.bool_):
        raise OptionError(f"{name} is {value!r}; expected True or False")
    return bool(value)


def one_of(value, name, allowed):
    """Return a word of `allowed`, or raise OptionError."""
    if not isinstance(value, str) or value not in allowed:
        raise OptionError(f"{name} is {value!r}; expected {', '.join(allowed[:-1])} or {allowed[-1]}")
    return value


def count(value, name, *, least=1):
    """Return a whole number of at least `least`, or raise OptionError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise OptionError(f"{name} is {value!r}; expected a whole number, {least} or more")
    return int(value)
