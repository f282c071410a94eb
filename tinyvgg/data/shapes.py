"""shapes: ten kinds of figures on 32x32 RGB images, generated from a seed: data without files.

A figure has any place and angle, and one of several sizes and colours. It is lighter than the background; a colour gradient, a
distracting bar and noise are added. A single pixel says little, so a linear model gets far less than half of the images right,
while convolutions learn the set in minutes.
Only + - * / and comparisons of float64 are used, element by element, which IEEE 754 fixes to the last bit: the bytes are the
same on every machine. (Sines, logarithms, sums and matrix products are not.)
"""
from functools import lru_cache

import numpy as np

from tinyvgg import rng
from tinyvgg.data.dataset import DataSet
from tinyvgg.types import Bytes, Integers

SIZE = 32
SAMPLES = 2                                 # points a pixel in each direction: softens the edges
NOISE = 14                                  # levels
BLOCK = 25                                  # images whose pixels are computed together


@lru_cache(maxsize=2)
def load(n_train: int = 10_000, n_test: int = 2_000, seed: int = 0) -> DataSet:
    """Return the DataSet of `n_train` + `n_test` images, with equal numbers of each class, as far as possible."""
    x_train, y_train = generate(n_train, seed, "train")
    x_test, y_test = generate(n_test, seed, "test")
    return DataSet("shapes", x_train, y_train, x_test, y_test, CLASSES, f"generated, seed {seed}")


def generate(n: int, seed: int = 0, part: str = "train", *, chunk: int = 500) -> tuple[Bytes, Integers]:
    """Return n images (n, 32, 32, 3) uint8 and labels (n,) int64; the first k images of a larger set differ from a set of k."""
    random = rng.generator(seed, "shapes", part)
    y = random.permutation(np.arange(n) % 10)
    x = np.empty((n, SIZE, SIZE, 3), np.uint8)
    for start in range(0, n, chunk):
        x[start:start + chunk] = _draw(y[start:start + chunk], random)
    return x, y.astype(np.int64)


def _draw(labels, random):
    """Draw one image for each label: what is random of all of them, then the pixels of a few at a time, which caches hold."""
    n = len(labels)
    poses = _poses(n, random, size=(7.5, 11.0), margin=11.0)
    drawn = (labels, poses, _poses(n, random, size=(5.0, 12.0), margin=2.0), *_colours(n, random), *_slopes(n, random), *_noise(n, random))
    return np.concatenate([_painted(*(a[start:start + BLOCK] for a in drawn)) for start in range(0, n, BLOCK)])


def _painted(labels, poses, bars, figure, ground, line, down, across, first, second):
    """Ground, bar, figure and noise, one over the other."""
    cover = np.empty((len(labels), SIZE, SIZE))
    for label in np.unique(labels):
        cover[labels == label] = _coverage(FIGURES[CLASSES[label]], poses[labels == label])
    t = (np.arange(SIZE) - 15.5) / SIZE
    image = ground + down * t[None, :, None, None] + across * t[None, None, :, None]
    image += _coverage(_bar, bars)[..., None] * (line - image)
    image += cover[..., None] * (figure - image)
    image += (first + second).astype(np.float64) - NOISE
    return np.clip(image, 0, 255).astype(np.uint8)


def _poses(n, random, *, size, margin):
    """Return (n, 5): centre row and column, cosine and sine of any angle, radius in pixels."""
    centre = margin + (SIZE - 2 * margin) * random.random((n, 2))
    t = 2 * random.random(n) - 1            # the half-angle's tangent: rational, hence exact; four quarters make the circle
    cosine, sine = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    half = random.random(n) < 0.5
    cosine, sine = np.where(half, -cosine, cosine), np.where(half, -sine, sine)
    radius = size[0] + (size[1] - size[0]) * random.random(n)
    return np.stack([centre[:, 0], centre[:, 1], cosine, sine, radius], axis=1)


def _coverage(figure, poses):
    """Return (n, 32, 32): the part of each pixel, in steps of 1/4, that lies in `figure` (a test of turned, scaled u, v)."""
    points = (np.arange(SIZE * SAMPLES) + 0.5) / SAMPLES
    row, column, cosine, sine, radius = (poses[:, i, None, None] for i in range(5))
    dy, dx = (points[None, :, None] - row) / radius, (points[None, None, :] - column) / radius
    inside = figure(cosine * dx + sine * dy, cosine * dy - sine * dx)
    inside = inside.view(np.uint8)
    return sum(inside[:, i::SAMPLES, j::SAMPLES] for i in range(SAMPLES) for j in range(SAMPLES)) / SAMPLES ** 2


def _colours(n, random):
    """Return three colours (n, 1, 1, 3) an image: a light figure, a dark ground and bar; some channel differs by 60 of 255."""
    ground, bar = random.integers(20, 131, (2, n, 3)).astype(np.float64)
    figure = random.integers(110, 236, (n, 3)).astype(np.float64)
    close = (figure - ground < 60).all(axis=1)
    figure[close] = ground[close] + 90
    return (c[:, None, None, :] for c in (figure, ground, bar))


def _slopes(n, random):
    """Return two slopes (n, 1, 1, 3) of the ground, down and across: up to 40 levels across the image in each channel."""
    return 80 * random.random((2, n, 1, 1, 3)) - 40


def _noise(n, random):
    """Return two uniform draws (n, 32, 32, 3), whose sum less NOISE is the noise: -NOISE to NOISE."""
    return random.integers(0, NOISE + 1, (2, n, SIZE, SIZE, 3), np.uint8)


def _within(value, low, high):
    return (value >= low) & (value <= high)


# Whether turned and scaled points u, v lie in a figure.
FIGURES = {
    "disc": lambda u, v: u * u + v * v <= 0.85,
    "ring": lambda u, v: _within(u * u + v * v, 0.36, 1),
    "square": lambda u, v: (np.abs(u) <= 0.8) & (np.abs(v) <= 0.8),
    "frame": lambda u, v: _within(np.maximum(np.abs(u), np.abs(v)), 0.5, 0.9),
    "triangle": lambda u, v: (v <= 0.6) & (1.732 * np.abs(u) <= v + 1.2),
    "plus": lambda u, v: (np.minimum(np.abs(u), np.abs(v)) <= 0.27) & (np.maximum(np.abs(u), np.abs(v)) <= 1),
    "ellipse": lambda u, v: u * u + 6.25 * v * v <= 1.1,
    "bars": lambda u, v: (np.abs(u) <= 0.95) & _within(np.abs(v), 0.3, 0.8),
    "hourglass": lambda u, v: (np.abs(u) <= np.abs(v)) & (np.abs(v) <= 0.9),
    "corner": lambda u, v: (np.abs(u) <= 0.9) & (np.abs(v) <= 0.9) & ((u <= -0.4) | (v <= -0.4)),
}
CLASSES = tuple(FIGURES)


def _bar(u, v):
    """The distraction: a line too thin to be a figure."""
    return (np.abs(u) <= 1.5) & (np.abs(v) <= 0.1)
