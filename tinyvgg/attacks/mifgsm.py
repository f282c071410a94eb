"""Momentum iterative FGSM: Dong et al., "Boosting Adversarial Attacks with Momentum" (CVPR 2018). It transfers well."""
from typing import Any, Literal, Unpack

import numpy as np

from tinyvgg.attacks import losses
from tinyvgg.attacks.checks import count, number, switch
from tinyvgg.attacks.lengths import Length
from tinyvgg.attacks.norms import Ball, column, parse_norm, parse_radii, size
from tinyvgg.attacks.result import AttackResult
from tinyvgg.attacks.run import run
from tinyvgg.types import Eps, Images, Labels, Norm, RunOptions, Target


def mifgsm(model: Any, x: Images, y: Labels | None, *, eps: Eps, norm: Norm = "linf", step: float | str | None = None,
           steps: int = 10, momentum: float = 1.0, target: Target | None = None,
           loss: Literal["ce", "ce_plain", "margin", "dlr"] = "ce", early_stop: bool = True,
           **options: Unpack[RunOptions]) -> AttackResult:
    """Change each image in `steps` steps along a running sum of gradients (momentum).

    The sum is g <- momentum * g + gradient / |gradient|_1; a step has the length `step` (default eps / steps) in `norm`.
    early_stop: stop at an image once it is fooled; False continues, which transfers better to other models.
    Further options: see run. Returns an AttackResult.
    """
    eps, norm, steps, momentum = parse_radii(eps), parse_norm(norm), count(steps, "steps"), number(momentum, "momentum", zero=True)
    length, climbed, keep = Length(step, eps, 1, steps), losses.get(loss), "best" if switch(early_stop, "early_stop") else "last"

    def attack(batch):
        rows = np.flatnonzero(~batch.fooled) if early_stop else np.arange(len(batch.x))
        if not len(rows):
            return
        ball = Ball(batch.x, batch.eps, norm, batch.victim.bounds).take(rows)
        z, g = ball.x, np.zeros_like(ball.x)
        for i in range(steps):
            logits, values, gradient = batch.climb(rows, z, climbed, i)
            going = ~batch.offer(rows, z, logits, values, keep=keep) | (not early_stop)
            rows, z, g, gradient, ball = rows[going], z[going], g[going], gradient[going], ball.take(going)
            if not len(rows):
                return
            g = (momentum * g + gradient / column(np.maximum(size(gradient, "l1"), 1e-300), gradient)).astype(z.dtype)
            z = ball.step(z, g, length.of(ball))
            batch.steps[rows] += 1
        logits = batch.logits(rows, z)
        batch.offer(rows, z, logits, climbed(logits, batch.y[rows], batch.targets(rows))[0], keep=keep)

    settings = {"step": length.told, "steps": steps, "momentum": momentum, "loss": loss, "early_stop": early_stop}
    return run("mifgsm", attack, model, x, y, eps=eps, norm=norm, target=target, settings=settings, **options)
