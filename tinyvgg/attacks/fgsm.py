"""Fast gradient sign method: Goodfellow, Shlens, Szegedy, "Explaining and Harnessing Adversarial Examples" (ICLR 2015)."""
from typing import Any, Literal, Unpack

import numpy as np

from tinyvgg.attacks import losses
from tinyvgg.attacks.norms import Ball, parse_norm, parse_radii
from tinyvgg.attacks.result import AttackResult
from tinyvgg.attacks.run import run
from tinyvgg.types import Eps, Images, Labels, Norm, RunOptions, Target


def fgsm(model: Any, x: Images, y: Labels | None, *, eps: Eps, norm: Norm = "linf", target: Target | None = None,
         loss: Literal["ce", "ce_plain", "margin", "dlr"] = "ce", **options: Unpack[RunOptions]) -> AttackResult:
    """Change each image in one step of length eps, in the direction in which the loss grows fastest.

    That is the sign of the gradient for linf, and the gradient itself for l2 (FGM).

    x (N, ...) within model.bounds, y (N,) true labels, target None or classes to reach; further options: see run.
    Returns an AttackResult.
    """
    eps, norm, climbed = parse_radii(eps), parse_norm(norm), losses.get(loss)

    def attack(batch):
        rows = np.arange(len(batch.x))
        ball = Ball(batch.x, batch.eps, norm, batch.victim.bounds)
        z = ball.step(batch.x, batch.climb(rows, batch.x, climbed)[2], ball.wide)
        logits = batch.logits(rows, z)
        batch.offer(rows, z, logits, climbed(logits, batch.y, batch.target)[0], keep="last")
        batch.steps += 1

    return run("fgsm", attack, model, x, y, eps=eps, norm=norm, target=target, settings={"loss": loss}, **options)
