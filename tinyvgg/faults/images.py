"""The images available to an attacker."""
import numpy as np

from tinyvgg.rng import generator
from tinyvgg.types import AnyArray, Images, Integers, Labels


def attacker_images(x: Images, y: Labels, count: int, seed: int) -> tuple[AnyArray, Integers]:
    """Return `count` of the images x (N, ...) and labels y (N,), drawn by the seed, in their original order."""
    chosen = np.sort(generator(seed, "fault", "images").permutation(len(x))[:count])
    return x[chosen], np.asarray(y).reshape(-1)[chosen]
