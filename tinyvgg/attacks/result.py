"""The result of an attack: images, and what a check from scratch found."""
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from tinyvgg.errors import FormatError
from tinyvgg.report import record
from tinyvgg.report.interval import wilson
from tinyvgg.report.record import plain
from tinyvgg.report.shown import preformatted, strip
from tinyvgg.report.untrusted import npz_arrays, parse_json
from tinyvgg.types import Flags, PathLike

LARGEST = 512 << 20  # bytes that a saved attack may always unpack to: 10,000 images of CIFAR-10 take 300 MB

VERSION = 1


@dataclass(repr=False)
class AttackResult:
    """N images before and after an attack. Arrays have N rows. `success`: the answer was right before and reaches the goal after.

    x, x_adv: (N, H, W, C) in `bounds`; x_adv_u8: the nearest 8-bit images within eps; success_u8: their success.
    pred_clean, pred_adv: classes before and after; y: true labels; target: wanted labels or None; scores_clean, scores_adv:
    probabilities (N, K) or None. norms: {"l0", "l1", "l2", "linf"} of x_adv - x, float64. steps_used, queries: for each image.
    about: command and data, from report.record.told. model_identity: see identity.model_identity. within: whether bounds and eps
    were kept. measured: counts from which flags are made. eps: radii of each image or value, if it is not a single number (then
    see config["eps"]). done: False for images that were not attacked because of a stop or a budget.
    """

    name: str
    x: np.ndarray
    x_adv: np.ndarray
    x_adv_u8: np.ndarray
    y: np.ndarray
    target: np.ndarray | None
    pred_clean: np.ndarray
    pred_adv: np.ndarray
    pred_u8: np.ndarray
    success: np.ndarray
    success_u8: np.ndarray
    within: np.ndarray
    done: np.ndarray
    norms: dict
    queries: np.ndarray
    steps_used: np.ndarray
    loss: np.ndarray
    bounds: tuple
    scores_clean: np.ndarray | None = None
    scores_adv: np.ndarray | None = None
    gradients: int = 0
    seconds: float = 0.0
    flags: list = field(default_factory=list)
    config: dict = field(default_factory=dict)
    seed: int = 0
    versions: dict = field(default_factory=record.versions)
    model_sha256: str | None = None
    model_identity: dict | None = None
    data_sha256: str | None = None
    about: dict = field(default_factory=record.told)
    measured: dict = field(default_factory=dict)
    eps: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def clean_accuracy(self) -> float:
        """Share of images that are right before."""
        return float(np.mean(self.pred_clean == self.y)) if len(self) else math.nan

    @property
    def robust_accuracy(self) -> float:
        """Share of images that are right before and after. Images outside the ball or the box count as not fooled."""
        return float(np.mean((self.pred_clean == self.y) & ((self.pred_adv == self.y) | ~self.within))) if len(self) else math.nan

    @property
    def attackable(self) -> Flags:
        """The images that count for the success rate: right before and, with a target, not already of that class."""
        right = self.pred_clean == self.y
        return right if self.target is None else right & (self.target != self.y)

    @property
    def success_rate(self) -> float:
        """Share of the attackable images that were fooled."""
        return float(self.success.sum() / self.attackable.sum()) if self.attackable.any() else math.nan

    def summary(self) -> dict[str, Any]:
        """Return the result as plain data: accuracies, success rates with 95 % Wilson intervals, norms, cost, flags."""
        n, right = len(self), int((self.pred_clean == self.y).sum())
        attackable, fooled = int(self.attackable.sum()), int(self.success.sum())
        survivors = round(self.robust_accuracy * n) if n else 0
        return {
            **self.about,
            "attack": self.name,
            "n": n,
            "clean_accuracy": self.clean_accuracy,
            "robust_accuracy": self.robust_accuracy,
            "success_rate": self.success_rate,
            "success_rate_u8": float(self.success_u8.sum() / attackable) if attackable else math.nan,
            "clean_accuracy_interval": wilson(right, n),
            "robust_accuracy_interval": wilson(survivors, n),
            "success_rate_interval": wilson(fooled, attackable),
            "fooled": fooled,
            "attackable": attackable,
            "norms": {name: _spread(values, self.success) for name, values in self.norms.items()},
            "median_norms_all": {name: _median_all(values, self.success, self.attackable) for name, values in self.norms.items()},
            "queries": int(self.queries.sum()),
            "gradients": self.gradients,
            "done": int(self.done.sum()),
            "seconds": self.seconds,
            "flags": list(self.flags),
            "config": self.config,
            "seed": self.seed,
            "versions": self.versions,
            "model_sha256": self.model_sha256,
            "data_sha256": self.data_sha256,
        }

    def to_json(self) -> str:
        """Return the summary as JSON text; NaN and infinity become null."""
        return json.dumps(plain(self.summary()), indent=2, allow_nan=False)

    def save(self, path: PathLike) -> None:
        """Write everything to `path` (.npz); an interrupted write leaves no half file."""
        arrays, plain_data = {}, {"tinyvgg_attack": VERSION}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                arrays[item.name] = value
            elif item.name == "norms":
                arrays.update({f"norms_{k}": v for k, v in value.items()})
            else:
                plain_data[item.name] = plain(value)
        with record.atomic_path(path) as temporary, open(temporary, "wb") as f:
            np.savez_compressed(f, header=np.frombuffer(json.dumps(plain_data).encode(), np.uint8), **arrays)

    def grid(self, path: PathLike | None = None, *, count: int = 8, classes: Sequence[str] | None = None) -> Any:
        """Draw clean and adversarial images and perturbations, with labels and confidences: see attack_plots.grid."""
        from tinyvgg.report.attack_plots import grid

        return grid(self, path, count=count, classes=classes)

    def __repr__(self) -> str:
        return f"<AttackResult {str(self).splitlines()[0]}, {len(self.flags)} flags>"

    def _repr_html_(self) -> str:
        """In a notebook: what came out, and the first images that were fooled (else the first), before and after."""
        shown = np.flatnonzero(self.success) if self.success.any() else np.arange(len(self))
        return preformatted(str(self)) + strip([self.x[shown], self.x_adv[shown]], self.bounds)

    def __str__(self) -> str:
        lines = [
            f"{self.name}: {len(self)} images, clean {self.clean_accuracy:.1%}, robust {self.robust_accuracy:.1%}, "
            f"fooled {int(self.success.sum())} of {int(self.attackable.sum())}"
        ]
        return "\n".join([*lines, *(f"  ! {flag}" for flag in self.flags)])


def load(path: PathLike) -> AttackResult:
    """Read a saved attack: the .npz, or the folder that contains it. No code from the file is run."""
    path = Path(path)
    path = path / "attack.npz" if path.is_dir() else path
    if not path.exists():
        raise FormatError(f"{path} does not exist", "the folder that was given to --out")
    try:
        return _from_arrays(npz_arrays(path, "saved attack", largest=LARGEST))
    except FormatError as error:
        said = error.problem if str(path) in error.problem else f"{path} is not a saved attack, or is damaged: {error.problem}"
        raise FormatError(said, "run the attack again with --out") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise FormatError(f"{path} is not a saved attack, or is damaged: {error}", "run the attack again with --out") from error


def _from_arrays(arrays):
    data = parse_json(arrays.pop("header").tobytes(), "the header")
    if not isinstance(data, dict) or data.pop("tinyvgg_attack", None) != VERSION:
        raise FormatError("the file is of another version, or not a saved attack")
    norms = {name.removeprefix("norms_"): arrays.pop(name) for name in list(arrays) if name.startswith("norms_")}
    known = {item.name for item in fields(AttackResult)}
    values = {**{k: v for k, v in data.items() if k in known}, **{k: v for k, v in arrays.items() if k in known}}
    about = values.pop("about", None)
    result = AttackResult(**values, norms=norms, about=about if isinstance(about, dict) else {})
    result.bounds = tuple(float(v) for v in result.bounds)
    n = len(result.x)
    per_image = [getattr(result, item.name) for item in fields(result) if item.type is np.ndarray] + list(norms.values())
    shapes = {result.x.shape, result.x_adv.shape, result.x_adv_u8.shape}
    per_image += [] if result.eps is None else [result.eps]
    if result.eps is not None and result.eps.shape not in (result.x.shape, (n,)):
        raise FormatError("its radii do not belong to its images")
    if result.x.ndim < 2 or len(shapes) > 1 or any(len(a) != n for a in per_image) or len(result.bounds) != 2:
        raise FormatError("its arrays do not belong together")
    return result


def _spread(values, chosen):
    """Mean, median, 95th percentile and largest of the fooled images' norms."""
    values = np.asarray(values)[chosen]
    if not len(values):
        return {"mean": math.nan, "median": math.nan, "p95": math.nan, "max": math.nan}
    return {
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "p95": float(np.percentile(values, 95)),
        "max": float(values.max()),
    }


def _median_all(values, fooled, attackable):
    """Median over all attackable images, the survivors counted as infinitely far."""
    filled = np.where(fooled, values, np.inf)[attackable]
    return float(np.median(filled)) if len(filled) else math.nan
