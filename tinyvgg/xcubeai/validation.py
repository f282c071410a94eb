"""ST's validation: the arrays of `network_val_io.npz` and the metrics that ST's tool computes from them."""

import zipfile
from pathlib import Path

import numpy as np

from tinyvgg.errors import DataError, FormatError, ShapeError

LARGEST_BYTES = 1 << 30
EPSILON = float(np.finfo(np.float32).eps)
METRICS = ("acc", "rmse", "mae", "l2r", "mean", "std", "nse", "cos")


def read_validation(path):
    """Read `*_val_io.npz` (a file, or its folder) -> {"m_inputs_1": array, "m_outputs_1": ..., "c_outputs_1": ...}.

    Arrays are float32 or integers, as stored. Pickled data is never loaded; more than 1 GiB is refused.
    """
    path = Path(path)
    if path.is_dir():
        found = sorted(path.glob("*val_io*.npz"))
        if not found:
            raise DataError(f"no *_val_io.npz in {path}", "validate the model in X-CUBE-AI first; it writes network_val_io.npz")
        path = found[0]
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(info.file_size for info in archive.infolist()) > LARGEST_BYTES:
                raise FormatError(f"{path} unpacks to more than 1 GiB")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, zipfile.BadZipFile, ValueError, EOFError) as error:
        raise FormatError(f"{path} is not a readable .npz: {error}", "network_val_io.npz as X-CUBE-AI wrote it") from error


def validation_metrics(reference, candidate):
    """Return ST's metrics of two sets of outputs (N, classes): {"acc", "rmse", "mae", "l2r", "mean", "std", "nse", "cos"}.

    d = reference - candidate over the whole batch; rmse = sqrt(mean d^2), mae = mean |d|, std with one degree of freedom
    removed, l2r = |d| / (|candidate| + 1.19e-7), nse = 1 - sum d^2 / sum (reference - mean)^2, cos the cosine similarity, acc
    the share (0 to 1) of equal argmax. Checked to nine digits against a report of version 10.2.
    """
    reference, candidate = np.asarray(reference, np.float64), np.asarray(candidate, np.float64)
    if reference.size != candidate.size or not reference.size:
        raise ShapeError(f"outputs of shapes {reference.shape} and {candidate.shape} cannot be compared")
    m, c = reference.reshape(len(reference), -1), candidate.reshape(len(reference), -1)
    d = m - c
    squares = float((d**2).sum())
    spread = float(((m - m.mean()) ** 2).sum())
    norms = float(np.linalg.norm(m) * np.linalg.norm(c))
    return {
        "acc": float((m.argmax(1) == c.argmax(1)).mean()),
        "rmse": float(np.sqrt((d**2).mean())),
        "mae": float(np.abs(d).mean()),
        "l2r": float(np.sqrt(squares) / (np.linalg.norm(c) + EPSILON)),
        "mean": float(d.mean()),
        "std": float(d.std(ddof=1)) if d.size > 1 else 0.0,
        "nse": 1 - squares / spread if spread else float("nan"),
        "cos": float((m * c).sum() / norms) if norms else float("nan"),
    }


def standard_inputs(shape, n=10, seed=42, low=0.0, high=1.0):
    """Return the random inputs (n, *shape) float32 that X-CUBE-AI's validation uses if it gets no inputs."""
    return np.random.RandomState(seed).uniform(low, high, (n, *shape)).astype(np.float32)
