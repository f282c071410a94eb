"""The images that an attacker has."""
import numpy as np

from tinyvgg.rng import generator


def attacker_images(x, y, count, seed):
    """Return `count` of the images x (N, ...) and labels y (N,), drawn by seed, in their order."""
    chosen = np.sort(generator(seed, "fault", "images").permutation(len(x))[:count])
    return x[chosen], np.asarray(y).reshape(-1)[chosen]
