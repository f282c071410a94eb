"""The length of an attack's steps: one number, or a share of eps if eps differs between images or values."""
import numpy as np

from tinyvgg.attacks.checks import parse_length


class Length:
    """The length `step`, or by default `times` eps / steps. eps: a number, or an array of radii."""

    def __init__(self, step, eps, times, steps):
        self.share = times / steps
        self.number = parse_length(step, None if np.ndim(eps) else times * eps / steps)

    def of(self, ball):
        """Return the factor of a step in `ball`: a number, or an array that broadcasts against its images."""
        return self.share * ball.wide if self.number is None else self.number

    @property
    def told(self):
        """Plain data for a result: the number, or "0.0625 eps"."""
        return f"{self.share:.17g} eps" if self.number is None else self.number
