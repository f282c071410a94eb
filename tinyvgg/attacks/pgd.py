"""Projected gradient descent: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks" (ICLR 2018)."""
from typing import Any, Literal, Unpack

import numpy as np

from tinyvgg.attacks import losses
from tinyvgg.attacks.checks import count, one_of
from tinyvgg.attacks.cycles import Visited
from tinyvgg.attacks.lengths import Length
from tinyvgg.attacks.norms import Ball, parse_norm, parse_radii
from tinyvgg.attacks.result import AttackResult
from tinyvgg.attacks.run import run
from tinyvgg.types import Eps, Images, Labels, Norm, RunOptions, Target


def pgd(model: Any, x: Images, y: Labels | None, *, eps: Eps, norm: Norm = "linf", step: float | str | None = None,
        steps: int = 40, target: Target | None = None, loss: Literal["ce", "ce_plain", "margin", "dlr"] = "ce",
        random_start: bool = False, restarts: int = 1, keep: Literal["best", "last"] = "best", early_stop: bool = True,
        cycle_stop: bool = True, grid: int | None = None, **options: Unpack[RunOptions]) -> AttackResult:
    """Change each image in `steps` steps of length `step` (default 2.5 eps / steps) along the gradient, so that the loss grows.

    After each step the image is projected: brought back to within eps of the original (the ball) and into the model's range (the box).
    x (N, ...) within model.bounds, y (N,) true labels, target None or classes to reach. norm: linf, l2, l1.
    loss: ce (scaled cross-entropy), ce_plain, margin, dlr. random_start: begin at a random point of the ball; `restarts` after
    the first always do. keep: "best" point of all, or "last". early_stop: stop at an image once it is fooled. cycle_stop: also
    stop once its points repeat (only with keep="best", where this loses nothing). grid=255: use only 8-bit images.
    Further options: see run. Returns an AttackResult.
    """
    eps, norm, steps, restarts = parse_radii(eps), parse_norm(norm), count(steps, "steps"), count(restarts, "restarts")
    grid = None if grid is None else count(grid, "grid")
    length, climbed = Length(step, eps, 2.5, steps), losses.get(loss)
    one_of(keep, "keep", ("best", "last"))

    def attack(batch):
        ball = Ball(batch.x, batch.eps, norm, batch.victim.bounds, grid)
        for restart in range(restarts):
            rows = np.flatnonzero(~batch.fooled) if early_stop or restart else np.arange(len(batch.x))
            if not len(rows):
                return
            part = ball.take(rows)
            start = part.random(batch.streams.take(rows), "restart", restart) if random_start or restart else part.x
            visited = Visited() if cycle_stop and keep == "best" else None
            _ascend(batch, part, rows, start, climbed, length, steps, keep, early_stop, visited, restart)

    settings = {"step": length.told, "steps": steps, "loss": loss, "random_start": random_start, "restarts": restarts, "keep": keep,
                "early_stop": early_stop, "cycle_stop": cycle_stop, "grid": grid}
    return run("pgd", attack, model, x, y, eps=eps, norm=norm, target=target, settings=settings,
               flags=_reach_flags(eps, length, steps), **options)


def _ascend(batch, ball, rows, z, loss, length, steps, keep, early_stop, visited, restart):
    """Take the steps for the images `rows` from z, dropping those that are done with."""
    for i in range(steps):
        logits, values, g = batch.climb(rows, z, loss, restart, i)
        fools = batch.offer(rows, z, logits, values, keep=keep)
        going = ~fools if early_stop else np.ones(len(rows), bool)
        if visited is not None:
            going &= ~visited.before(rows, z)
        if not going.all():
            rows, z, g, ball = rows[going], z[going], g[going], ball.take(going)
        if not len(rows):
            return
        z = ball.step(z, g, length.of(ball))
        batch.steps[rows] += 1
    logits = batch.logits(rows, z)
    batch.offer(rows, z, logits, loss(logits, batch.y[rows], batch.targets(rows))[0], keep=keep)


def _reach_flags(eps, length, steps):
    length, eps = length.number, float(np.max(eps))
    if length is not None and length * steps < eps * (1 - 1e-9):
        return [f"ball not reached: {steps} steps of {length:g} go {length * steps:g} far, less than eps {eps:g}"]
    return []
