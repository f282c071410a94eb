"""Initial weights by Keras' names. Each: (shape, rng) -> float32 array, fans counted as Keras counts them."""
import numpy as np

from tinyvgg.errors import OptionError


def fans(shape):
    """Return (fan in, fan out) of a kernel: the product of all axes but the last two, times the last but one, times the last."""
    if len(shape) < 2:
        return (shape[0], shape[0]) if shape else (1, 1)
    field = int(np.prod(shape[:-2]))
    return field * shape[-2], field * shape[-1]


def _uniform(scale, mode):
    """Uniform in +-sqrt(3 scale / n), n by `mode` (Glorot & Bengio 2010; He et al. 2015)."""
    def initialize(shape, rng):
        limit = np.sqrt(3 * scale / _count(shape, mode))
        return rng.uniform(-limit, limit, shape).astype(np.float32)
    return initialize


def _normal(scale, mode):
    """Normal of variance scale / n, cut at two standard deviations and widened again, as Keras does."""
    def initialize(shape, rng):
        draws = rng.standard_normal(shape)
        while (outside := np.abs(draws) > 2).any():
            draws[outside] = rng.standard_normal(int(outside.sum()))
        return (draws * np.sqrt(scale / _count(shape, mode)) / 0.87962566103423978).astype(np.float32)
    return initialize


def _count(shape, mode):
    fan_in, fan_out = fans(shape)
    return max(1.0, {"in": fan_in, "out": fan_out, "avg": (fan_in + fan_out) / 2}[mode])


def _orthogonal(shape, rng):
    """Columns, or rows where there are fewer, of length 1 at right angles (Saxe et al. 2014)."""
    rows, columns = int(np.prod(shape[:-1])), shape[-1]
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diag(r))
    return (q.T if rows < columns else q).reshape(shape).astype(np.float32)


INITIALIZERS = {
    "zeros": lambda shape, rng: np.zeros(shape, np.float32),
    "ones": lambda shape, rng: np.ones(shape, np.float32),
    "glorot_uniform": _uniform(1, "avg"), "glorot_normal": _normal(1, "avg"),
    "he_uniform": _uniform(2, "in"), "he_normal": _normal(2, "in"),
    "lecun_uniform": _uniform(1, "in"), "lecun_normal": _normal(1, "in"),
    "orthogonal": _orthogonal, "random_normal": lambda shape, rng: (0.05 * rng.standard_normal(shape)).astype(np.float32),
    "random_uniform": lambda shape, rng: rng.uniform(-0.05, 0.05, shape).astype(np.float32),
}


def check(name):
    """Return `name` if it is known, else raise OptionError."""
    if not isinstance(name, str) or name not in INITIALIZERS:
        raise OptionError(f"there is no initializer {name!r}; expected one of {', '.join(INITIALIZERS)}")
    return name


def initialize(name, shape, rng):
    """Return initial weights of `shape`, float32, by the initializer's name."""
    return INITIALIZERS[check(name)](shape, rng)
