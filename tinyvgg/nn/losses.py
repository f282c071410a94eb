"""Cross-entropy, from logits or from probabilities, with its gradient; the mean over the images of a batch.

Letters: N images, K classes, z logits (N, K), p = softmax(z), t targets (N, K): one-hot labels, smoothed.

    L = -(1/N) sum_{n,k} t[n,k] log p[n,k]          dL/dz = (p - t) / N

Label smoothing s (Szegedy et al., 2016, arXiv:1512.00567, section 7): t = (1 - s) * onehot + s / K.
"""
import numpy as np

from tinyvgg.errors import DataError, OptionError, ShapeError

EPSILON = 1e-7                              # Keras keeps probabilities this far from 0 and 1


def log_softmax(z):
    """Return log p for logits z (N, K), without overflow: z - max - log sum exp(z - max)."""
    shifted = z - z.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def targets(labels, n_classes, *, label_smoothing=0.0, dtype=np.float64):
    """Return t (N, K) for labels (N,) or (N, 1) of whole numbers, or (N, K) one-hot or soft; raise DataError or ShapeError."""
    if not 0 <= label_smoothing < 1:
        raise OptionError(f"label smoothing is {label_smoothing}; expected 0 <= s < 1")
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == n_classes > 1:
        t = labels.astype(dtype)
    elif labels.ndim == 1 or labels.ndim == 2 and labels.shape[1] == 1:
        t = one_hot(labels.reshape(-1), n_classes, dtype)
    else:
        raise ShapeError(f"labels have shape {labels.shape}; expected (N,) whole numbers or one-hot (N, {n_classes})")
    return t if label_smoothing == 0 else t * t.dtype.type(1 - label_smoothing) + t.dtype.type(label_smoothing / n_classes)


def one_hot(labels, n_classes, dtype=np.float32):
    """Return (N, K) rows with a single 1 for labels (N,); raise DataError for one outside 0..K-1."""
    wrong = np.flatnonzero(~((labels >= 0) & (labels < n_classes) & (labels == np.floor(labels))))
    if len(wrong):
        raise DataError(f"label {labels[wrong[0]]} of image {wrong[0]}; expected whole numbers from 0 to {n_classes - 1}")
    t = np.zeros((len(labels), n_classes), dtype)
    t[np.arange(len(labels)), labels.astype(np.int64)] = 1
    return t


def cross_entropy(logits, labels, *, label_smoothing=0.0):
    """Return (L, dL/dz) for logits (N, K) and labels (N,) or (N, K); L is a float, the gradient has the logits' dtype."""
    t = _checked(logits, labels, label_smoothing)
    log_p = log_softmax(logits)
    total = t.sum(axis=-1, keepdims=True)   # 1, unless soft labels of another sum were given
    gradient = (np.exp(log_p) * total - t) / t.dtype.type(len(t))
    return _mean(t, log_p), gradient


def cross_entropy_from_probabilities(p, labels, *, label_smoothing=0.0):
    """Return (L, dL/dp) for probabilities p (N, K), clipped to EPSILON..1 - EPSILON as Keras does (outside, the gradient is
    0)."""
    t = _checked(p, labels, label_smoothing)
    epsilon = p.dtype.type(EPSILON)
    clipped = np.clip(p, epsilon, 1 - epsilon)
    gradient = np.where(clipped == p, -t / clipped, 0) / t.dtype.type(len(t))
    return _mean(t, np.log(clipped)), gradient


class CrossEntropy:
    """The loss as an object with settings: `value, gradient = CrossEntropy(label_smoothing=0.1)(logits, labels)`."""

    def __init__(self, *, label_smoothing=0.0, from_logits=True):
        targets([0], 2, label_smoothing=label_smoothing)
        self.label_smoothing, self.from_logits = label_smoothing, from_logits

    def __call__(self, scores, labels):
        """Return (L, gradient) for scores (N, K): logits, or probabilities with from_logits=False."""
        function = cross_entropy if self.from_logits else cross_entropy_from_probabilities
        return function(scores, labels, label_smoothing=self.label_smoothing)


def _checked(scores, labels, label_smoothing):
    if scores.ndim != 2 or len(scores) == 0:
        raise ShapeError(f"scores have shape {scores.shape}; expected (N, K) with N > 0")
    t = targets(labels, scores.shape[1], label_smoothing=label_smoothing, dtype=scores.dtype)
    if len(t) != len(scores):
        raise ShapeError(f"{len(scores)} rows of scores and {len(t)} labels; expected one label a row")
    return t


def _mean(t, log_p):
    """-(1/N) sum t log p, summed in float64; a target of 0 counts 0 even where log p is -inf."""
    return -float(np.where(t == 0, 0, t * log_p).sum(dtype=np.float64)) / len(t)
