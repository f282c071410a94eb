"""Random noise, without any knowledge of the model: every attack must be better than this."""
from typing import Any, Unpack

import numpy as np

from tinyvgg.attacks.checks import count
from tinyvgg.attacks.losses import cross_entropy
from tinyvgg.attacks.norms import Ball, parse_norm, parse_radii
from tinyvgg.attacks.result import AttackResult
from tinyvgg.attacks.run import run
from tinyvgg.errors import OptionError
from tinyvgg.types import Eps, Images, Labels, Norm, RunOptions, Target


def noise(model: Any, x: Images, y: Labels | None, *, eps: Eps, norm: Norm = "linf", kind: str = "uniform", tries: int = 1,
          target: Target | None = None, **options: Unpack[RunOptions]) -> AttackResult:
    """Add random noise within eps and keep the best of `tries`.

    kind: uniform (in the whole ball), sign (each value +-eps, linf only), gaussian (normal values scaled to length eps), salt
    (values set to the bounds in random places, then shortened to eps). Further options: see run. Returns an AttackResult.
    """
    eps, norm, tries = parse_radii(eps), parse_norm(norm), count(tries, "tries")
    if not isinstance(kind, str) or kind not in ("uniform", "sign", "gaussian", "salt"):
        raise OptionError(f"there is no noise {kind!r}; expected uniform, sign, gaussian or salt")

    def attack(batch):
        scored = hasattr(batch.victim.model, "logits") or hasattr(batch.victim.model, "scores")
        ball = Ball(batch.x, batch.eps, norm, batch.victim.bounds)
        for i in range(tries):
            rows = np.flatnonzero(~batch.fooled)
            if not len(rows):
                return
            z = _draw(kind, ball.take(rows), batch.streams.take(rows), i)
            if scored:
                logits = batch.logits(rows, z)
                batch.offer(rows, z, logits, cross_entropy(logits, batch.y[rows], batch.targets(rows))[0])
            else:
                fools = batch.asks(rows, z)
                batch.adv[rows], batch.fooled[rows] = z, fools
            batch.steps[rows] += 1

    settings = {"kind": kind, "tries": tries}
    return run("noise", attack, model, x, y, eps=eps, norm=norm, target=target, settings=settings, **options)


def _draw(kind, ball, streams, i):
    shape, (low, high) = ball.x.shape[1:], ball.bounds
    if kind == "uniform":
        return ball.random(streams, i)
    if kind == "salt":
        places = streams.uniform(shape, i, "places") < 0.05
        d = np.where(places, np.where(streams.signs(shape, i, "salt") > 0, high, low) - ball.x, 0)
    else:
        d = streams.signs(shape, i, "sign") if kind == "sign" else streams.normal(shape, i, "gaussian")
        d = (
            d * ball.wide
            if kind == "sign"
            else d / np.sqrt((d.reshape(len(d), -1) ** 2).mean(axis=1)).reshape(-1, *(1,) * (d.ndim - 1))
        )
        if kind == "gaussian":
            d = d * (ball.wide if ball.norm == "linf" else 1e3 * ball.wide)
    return ball.project((ball.x + d).astype(ball.x.dtype))
