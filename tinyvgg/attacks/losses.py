"""The losses that attacks increase: functions of the logits that return a value and its gradient for each image.

Letters: z logits (N, K), y true labels (N,), t targets (N,) or None. Every loss grows as the attack gets nearer to its goal (any
class but y, or t). Each returns value (N,) and d value / dz (N, K).
"""
import numpy as np

from tinyvgg.errors import OptionError
from tinyvgg.kernels.reference import softmax
from tinyvgg.nn.losses import log_softmax
from tinyvgg.words import did_you_mean


def cross_entropy(z, y, t=None):
    """Scaled cross-entropy: log sum_{k != y} exp(z_k) - z_y; its gradient is softmax over the others minus onehot(y).

    Cross-entropy is softplus of this value, and its gradient is this gradient times 1 - p_y. So order and direction are the same,
    but this gradient does not vanish when p_y rounds to 1. For a target: the negative, with t in place of y.
    """
    label = y if t is None else t
    others = z.copy()
    rows = np.arange(len(z))
    others[rows, label] = -np.inf
    top = others.max(axis=1, keepdims=True)
    e = np.exp(others - top)
    total = e.sum(axis=1, keepdims=True)
    value = (np.log(total) + top)[:, 0] - z[rows, label]
    g = e / total
    g[rows, label] = -1
    return (value, g) if t is None else (-value, -g)


def plain_cross_entropy(z, y, t=None):
    """-log softmax(z)_y, gradient softmax(z) - onehot(y), as other libraries use it; its gradient vanishes on confident
    models."""
    label = y if t is None else t
    rows, g = np.arange(len(z)), softmax(z)
    value = -log_softmax(z)[rows, label]
    g[rows, label] -= 1
    return (value, g) if t is None else (-value, -g)


def margin(z, y, t=None):
    """max_{k != y} z_k - z_y (Carlini and Wagner 2017); for a target z_t - max_{k != t} z_k."""
    label = y if t is None else t
    rows = np.arange(len(z))
    others = z.copy()
    others[rows, label] = -np.inf
    rival = others.argmax(axis=1)
    g = np.zeros_like(z)
    g[rows, rival] = 1
    g[rows, label] = -1
    value = z[rows, rival] - z[rows, label]
    return (value, g) if t is None else (-value, -g)


def dlr(z, y, t=None):
    """Difference of logits ratio (Croce and Hein 2020): -(z_y - max_{k != y} z_k) / (z_(1) - z_(3)), which does not depend on the
    logits' scale.

    For a target: -(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2). Needs three classes, with a target four.
    """
    need = 3 if t is None else 4
    if z.shape[1] < need:
        raise OptionError(f"the DLR loss needs {need} classes; this model has {z.shape[1]}", 'loss="ce"')
    rows = np.arange(len(z))
    order = np.argsort(z, axis=1, kind="stable")[:, ::-1]
    first, third = order[:, 0], order[:, 2]
    g_above, g_below = np.zeros_like(z), np.zeros_like(z)
    rival = np.where(first == y, order[:, 1], first) if t is None else t
    above = z[rows, rival] - z[rows, y]
    g_above[rows, rival] += 1
    g_above[rows, y] -= 1
    g_below[rows, first] += 1
    if t is None:
        below = z[rows, first] - z[rows, third]
        g_below[rows, third] -= 1
    else:
        fourth = order[:, 3]
        below = z[rows, first] - (z[rows, third] + z[rows, fourth]) / 2
        g_below[rows, third] -= 0.5
        g_below[rows, fourth] -= 0.5
    below = (below + z.dtype.type(1e-12))[:, None]
    return above / below[:, 0], (g_above - above[:, None] / below * g_below) / below


LOSSES = {"ce": cross_entropy, "ce_plain": plain_cross_entropy, "margin": margin, "dlr": dlr}
OTHERS = {"ce": "xent cross-entropy crossentropy nll categorical-crossentropy", "margin": "cw carlini hinge"}


def get(name):
    """Return a loss by its name: ce (scaled), ce_plain, margin, dlr."""
    if not isinstance(name, str) or name not in LOSSES:
        raise OptionError(f"there is no loss {name!r}; expected one of {', '.join(LOSSES)}{did_you_mean(name, LOSSES, OTHERS)}")
    return LOSSES[name]
