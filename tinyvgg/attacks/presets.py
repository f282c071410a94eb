"""The settings of a student's attack notebook with their units, and a table that compares them with corrected ones. The
notebook's images are in -1..1, twice as wide as 0..1, so its distances are halved in 0..1: its eps 0.05 is 0.025, or 6.4/255, and
its L2 radius 3 is 1.5. It attacked with y=None (the model's own answers) and never clipped to the image range;
corrected(...) uses the true labels, clips, and counts images that are right before and after.
"""
from dataclasses import asdict, dataclass

import numpy as np

from tinyvgg.attacks.beyond import beyond
from tinyvgg.attacks.compat.cleverhans import fast_gradient_method, projected_gradient_descent
from tinyvgg.attacks.pgd import pgd
from tinyvgg.report.interval import wilson
from tinyvgg.report.tables import table

RANGE = (-1.0, 1.0)         # of the notebook's images: x / 127.5 - 1


@dataclass(frozen=True)
class Preset:
    """One attack of the notebook. eps and step in the unit of -1..1 images; norm "linf" or "l2"; target a class or None."""

    name: str
    norm: str
    eps: float
    step: float
    steps: int
    target: int | None = None
    published: str = ""         # its accuracy after FGM / PGD, where the notebook's files show it

    @property
    def eps_unit(self):
        """eps for images in 0..1."""
        return self.eps / (RANGE[1] - RANGE[0])

    @property
    def eps_levels(self):
        """eps in grey levels of 8-bit images."""
        return 255 * self.eps_unit

    def settings(self, bounds=RANGE):
        """Return pgd's settings for a model whose images lie in `bounds`."""
        scale = (bounds[1] - bounds[0]) / (RANGE[1] - RANGE[0])
        return {"norm": self.norm, "eps": self.eps * scale, "step": self.step * scale, "steps": self.steps, "target": self.target}


def original_linf():
    """L-inf 0.05, step 0.01, 40 steps: 6.4/255 of 0..1 images."""
    return Preset("linf 0.05", "linf", 0.05, 0.01, 40, published="20.4 / 8.6-8.8")


def original_linf_small():
    """L-inf 0.01, step 0.01: the notebook's example of a step as long as eps; it is weak because eps is only 1.3/255."""
    return Preset("linf 0.01", "linf", 0.01, 0.01, 40, published="60.3 / 52.7")


def original_eps3():
    """L-inf 3: more than the whole range of 2."""
    return Preset("linf 3", "linf", 3.0, 0.1, 40)


def original_l2_1_2():
    """L2 1.2: 0.6 of 0..1 images."""
    return Preset("l2 1.2", "l2", 1.2, 0.05, 40)


def original_l2_3():
    """L2 3: 1.5 of 0..1 images."""
    return Preset("l2 3", "l2", 3.0, 0.05, 75)


def original_targeted3():
    """L-inf 0.05 towards class 3, the cat."""
    return Preset("linf 0.05 to class 3", "linf", 0.05, 0.01, 40, target=3, published="- / 10.000")


def original_targeted3_l2():
    """L2 3 towards class 3."""
    return Preset("l2 3 to class 3", "l2", 3.0, 0.05, 75, target=3, published="- / 10.000")


ALL = (
    original_linf,
    original_linf_small,
    original_eps3,
    original_l2_1_2,
    original_l2_3,
    original_targeted3,
    original_targeted3_l2,
)


def compare(model, x, y, *, presets=None, batch_size=128, quiet=True):
    """Attack `model` with each preset, as in the notebook and corrected; return rows of accuracies in percent.

    x (N, ...) within model.bounds, y (N,). Rows: {"name", "published", "fgm", "pgd" (as the notebook: y=None, no clipping,
    accuracy over all images), "robust", "interval", "success" (corrected: true labels, clipped, right before and after), ...}.
    """
    rows = []
    for preset in presets or [p for p in (make() for make in ALL) if p.target is None or p.target < model.n_classes]:
        rows.append({**asdict(preset), "eps_unit": preset.eps_unit, "eps_levels": preset.eps_levels,
                     **_as_the_notebook(model, x, y, preset), **_corrected(model, x, y, preset, batch_size, quiet)})
    return rows


def _as_the_notebook(model, x, y, preset):
    s = preset.settings(model.bounds)
    norm = np.inf if preset.norm == "linf" else 2
    wanted = None if preset.target is None else np.full(len(x), preset.target)
    pushed = {"y": wanted, "targeted": preset.target is not None}
    fgm = fast_gradient_method(model, x, s["eps"], np.inf, **pushed)              # always L-inf there, with the L2 radius too
    adv = projected_gradient_descent(model, x, s["eps"], s["step"], s["steps"], norm, **pushed)
    asked = beyond(model)
    return {"fgm": 100 * float((asked.labels(fgm) == y).mean()), "pgd": 100 * float((asked.labels(adv) == y).mean()),
            "out_of_range": 100 * float(((adv < model.bounds[0]) | (adv > model.bounds[1])).mean())}


def _corrected(model, x, y, preset, batch_size, quiet):
    s = preset.settings(model.bounds)
    result = pgd(model, x, y, **s, batch_size=batch_size, quiet=quiet)
    low, high = wilson(round(result.robust_accuracy * len(x)), len(x))
    return {"clean": 100 * result.clean_accuracy, "robust": 100 * result.robust_accuracy, "interval": (100 * low, 100 * high),
            "success": 100 * result.success_rate, "flags": result.flags}


def text(rows):
    """Return compare's rows as a table."""
    header = ["attack (images in -1..1)", "in 0..1", "grey levels", "published FGM / PGD", "FGM", "PGD", "corrected", "success"]
    cells = [[r["name"], f"{r['eps_unit']:.4g}", f"{r['eps_levels']:.1f}" if r["norm"] == "linf" else "", r["published"] or "",
              *(f"{r[key]:.1f}" for key in ("fgm", "pgd", "robust", "success"))] for r in rows]
    return table(header, cells)
