"""fast_gradient_method and projected_gradient_descent with the signatures, defaults and steps of cleverhans 4 (tf2), on NumPy
arrays.

    from tinyvgg.attacks.compat.cleverhans import fast_gradient_method, projected_gradient_descent
    x_adv = projected_gradient_descent(model, x, 0.05, 0.01, 40, np.inf)

As in cleverhans: y=None uses the model's own answers, even with targeted=True; nothing is clipped to the image range unless
clip_min and clip_max are given; the last point is returned; there is no early stop; an l2 gradient shorter than 1e-6 gives a
shorter step; rand_init is a boolean. attacks.pgd is the better attack; this one is for comparison.
"""
import numpy as np

from tinyvgg.attacks.beyond import beyond, owner_of
from tinyvgg.attacks.compat.pgd_loop import clip_ball, clip_box, direction, pgd_loop
from tinyvgg.attacks.losses import plain_cross_entropy
from tinyvgg.attacks.norms import column, flat
from tinyvgg.attacks.streams import Streams
from tinyvgg.errors import DataError, NotYet, OptionError
from tinyvgg.images import float_images


class SanityError(OptionError, AssertionError):
    """Raised where cleverhans fails an assertion."""


def projected_gradient_descent(
    model_fn,
    x,
    eps,
    eps_iter,
    nb_iter,
    norm,
    loss_fn=None,
    clip_min=None,
    clip_max=None,
    y=None,
    targeted=False,
    rand_init=None,
    rand_minmax=None,
    sanity_checks=False,
    *,
    seed=0,
):
    """Return x_adv (N, ...) float32 after nb_iter steps of length eps_iter within eps of x.

    model_fn: a model of this package (its logits are used, even if it ends in a softmax), its bound method, or any function x ->
    logits (see gradient_of). norm: np.inf or 2. loss_fn(labels=, logits=) -> losses (N,), default cross-entropy.
    seed: for the random start (in cleverhans, TensorFlow's global state).
    """
    kind = _norm(norm)
    if kind == "l1":
        raise NotYet("projected_gradient_descent does not do norm=1, as in cleverhans", 'attacks.pgd(..., norm="l1")')
    _check(eps_iter <= eps, f"eps_iter {eps_iter} is larger than eps {eps}")
    model_fn, x = beyond(model_fn), _images(model_fn, x)
    if sanity_checks:
        _sanity(x, eps, clip_min, clip_max, kind)
    bounds = (clip_min, clip_max)
    start = x
    if rand_init:
        start = x + clip_ball(_random(x, eps if rand_minmax is None else rand_minmax, kind, seed), eps, kind, "cleverhans")
    start = clip_box(start, bounds)
    climb = _Climb(model_fn, loss_fn, _labels(model_fn, x, y), targeted)
    return pgd_loop(climb, x, start, eps=eps, step=eps_iter, steps=nb_iter, norm=kind, bounds=bounds, order="cleverhans")


def fast_gradient_method(
    model_fn, x, eps, norm, loss_fn=None, clip_min=None, clip_max=None, y=None, targeted=False, sanity_checks=False
):
    """Return x_adv (N, ...) float32 after one step of length eps; arguments as in projected_gradient_descent. norm 1 works."""
    kind = _norm(norm)
    _check((clip_min is None) == (clip_max is None), "one of clip_min and clip_max was given; expected both or neither")
    model_fn, x = beyond(model_fn), _images(model_fn, x)
    if sanity_checks:
        _check(
            clip_min is None or (np.all(x >= clip_min) and np.all(x <= clip_max)), f"images lie outside {clip_min}..{clip_max}"
        )
    g = _Climb(model_fn, loss_fn, _labels(model_fn, x, y), targeted)(x)
    return clip_box(
        x + x.dtype.type(eps) * (_l1_direction(g) if kind == "l1" else direction(g, kind, "cleverhans")), (clip_min, clip_max)
    )


class _Climb:
    """The gradient of each image's loss with respect to that image, negated for a target; no mean over the batch."""

    def __init__(self, model_fn, loss_fn, y, targeted):
        self.pull, self.loss_fn, self.y, self.sign = gradient_of(model_fn), loss_fn, y, -1 if targeted else 1

    def __call__(self, z, batch_size=128):
        g = np.empty_like(z)
        for i in range(0, len(z), batch_size):
            part = slice(i, i + batch_size)
            g[part] = self.pull(z[part], lambda logits, part=part: self._by_logits(logits, self.y[part]))
        return g

    def _by_logits(self, logits, y):
        if self.loss_fn is None:
            return self.sign * plain_cross_entropy(logits, y)[1]
        return self.sign * _numeric_gradient(lambda z: np.asarray(self.loss_fn(labels=y, logits=z), np.float64), logits)


def _images(model_fn, x):
    """Return x as float32: bytes as the model's bounds say."""
    bounds = getattr(owner_of(model_fn, "bounds"), "bounds", None)
    if bounds is None and np.asarray(x).dtype == np.uint8:
        raise DataError("images are uint8, and a function has no range to map them to", "x / 255, or a model instead of a function")
    return float_images(x, bounds or (-np.inf, np.inf))


def gradient_of(model_fn):
    """Return vjp(x, g) for a model, a bound method of one, or any function of x; g is a function of the logits.

    For a function without a gradient, central differences are used. They are exact for piecewise linear models, up to rounding,
    but need two calls for each value of an image: only for small images.
    """
    owner = owner_of(model_fn, "vjp")
    if hasattr(owner, "vjp"):
        return owner.vjp
    return lambda x, g: _finite_differences(model_fn, x, g)


def _logits(model_fn, x):
    owner = owner_of(model_fn, "logits")
    return np.asarray(owner.logits(x) if hasattr(owner, "logits") else model_fn(x))


def _finite_differences(function, x, g, step=1e-3):
    direction_by_logits = np.asarray(g(np.asarray(function(x))), np.float64)
    dx = np.zeros(flat(x).shape)
    for i in range(dx.shape[1]):
        moved = []
        for sign in (1, -1):
            z = flat(x.copy())
            z[:, i] += sign * step
            moved.append(np.asarray(function(z.reshape(x.shape)), np.float64))
        dx[:, i] = ((moved[0] - moved[1]) * direction_by_logits).sum(axis=1) / (2 * step)
    return dx.reshape(x.shape)


def _numeric_gradient(loss, logits, step=1e-5):
    """d loss / d logits by central differences in float64, class by class; loss (N, K) -> (N,), each image's its own."""
    z = logits.astype(np.float64)
    g = np.zeros_like(z)
    for k in range(z.shape[1]):
        up, down = z.copy(), z.copy()
        up[:, k] += step
        down[:, k] -= step
        g[:, k] = (loss(up) - loss(down)) / (2 * step)
    return g


def _labels(model_fn, x, y):
    if y is None:
        return _logits(model_fn, x).argmax(axis=1)
    y = np.asarray(y)
    if y.ndim == 2:
        y = y.argmax(axis=1) if y.shape[1] > 1 else y[:, 0]
    if y.shape != (len(x),):
        raise DataError(f"labels have shape {y.shape}; expected ({len(x)},)")
    return y.astype(np.int64)


def _norm(norm):
    kinds = {np.inf: "linf", 2: "l2", 1: "l1"}
    if isinstance(norm, str) or norm not in kinds:
        raise OptionError(f"norm is {norm!r}; expected np.inf, 1 or 2")
    return kinds[norm]


def _random(x, radius, kind, seed):
    streams = Streams.of(seed, "cleverhans", x)
    if kind == "linf":
        return streams.uniform(x.shape[1:], "start", low=-radius, high=radius).astype(x.dtype)
    d = streams.normal(x.shape[1:], "start")
    length = np.sqrt((flat(d) ** 2).sum(axis=1))
    return (d * column(radius * streams.uniform((), "radius") ** (1 / flat(d).shape[1]) / length, d)).astype(x.dtype)


def _l1_direction(g):
    """All of the length on the largest |g|, shared between equal ones."""
    rows = np.abs(flat(g))
    largest = (rows == rows.max(axis=1, keepdims=True)).reshape(g.shape)
    return (np.sign(g) * largest / column(flat(largest).sum(axis=1), g)).astype(g.dtype)


def _sanity(x, eps, clip_min, clip_max, kind):
    _check(clip_min is None or bool(np.all(x >= clip_min)), f"images lie below clip_min {clip_min}")
    _check(clip_max is None or bool(np.all(x <= clip_max)), f"images lie above clip_max {clip_max}")
    if kind == "linf" and clip_min is not None and clip_max is not None:
        _check(eps + clip_min <= clip_max, f"eps {eps} is beyond the range {clip_min}..{clip_max}")


def _check(holds, problem):
    if not holds:
        raise SanityError(problem)
