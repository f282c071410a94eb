"""Augmentation of a batch: mirror images, shifts with a reflected border, cutout (DeVries and Taylor, 2017, arXiv:1708.04552), JPEG.

Everything is done on bytes, before they become floats: that is a quarter of the memory traffic.
"""
import re
from dataclasses import dataclass

import numpy as np

from tinyvgg.data.jpeg import jpeg
from tinyvgg.errors import OptionError

WORDS = "flip, altflip, shiftN, cutoutN or jpegN"


@dataclass(frozen=True)
class Augment:
    """Changes to a training batch. flip: mirror half of the images. altflip: fit mirrors half of them in one epoch and the other
    half in the next (Jordan, 2024, arXiv:2404.00498). shift: move by up to so many pixels in each direction, with a reflected
    border. cutout: a grey square with sides of so many pixels, at a random place. jpeg: half of the images (bytes) go through
    JPEG, with a quality between this number and 100.

        Augment.parse("flip,shift4,cutout8")(x, rng)
    """

    flip: bool = False
    shift: int = 0
    cutout: int = 0
    grey: float | None = None               # value of the cut square; None: 128 for bytes, 0.5 for floats
    jpeg: int = 0
    altflip: bool = False

    def __post_init__(self):
        if self.flip and self.altflip:
            raise OptionError("augmentation flip and altflip are two ways of the same; expected one of them")

    @classmethod
    def parse(cls, text):
        """Return the Augment for "flip,shift4,cutout8" (any of them), or None for "" and "none"."""
        settings = {}
        for word in (w.strip() for w in (text or "").split(",")):
            match = re.fullmatch(r"(flip|altflip)|(shift|cutout|jpeg)(\d{1,2})", word)
            if match:
                settings[match[1] or match[2]] = True if match[1] else int(match[3])
            elif word not in ("", "none"):
                raise OptionError(f"augmentation {word!r} is not known; expected {WORDS}",
                                  "--augment flip,shift4,cutout8")
        return cls(**settings) if settings else None

    def __str__(self):
        words = ["flip"] * self.flip + ["altflip"] * self.altflip
        words += [f"{name}{getattr(self, name)}" for name in ("shift", "cutout", "jpeg") if getattr(self, name)]
        return ",".join(words) or "none"

    def __call__(self, x, rng, mirrored=None):
        """Return a changed copy of images x (N, H, W, C), uint8 or float; `rng` is a numpy Generator.

        mirrored: bools (N,), which images a flip mirrors; drawn where it is None.
        """
        size = min(x.shape[1:3])
        if self.shift >= size or self.cutout > 2 * size:
            raise OptionError(f"augmentation {self} is too large for images of {x.shape[1]}x{x.shape[2]}")
        # Every draw is made whatever is switched on, so that one setting never changes another's stream.
        drawn = rng.random(len(x)) < 0.5
        shifts = rng.integers(0, 2 * self.shift + 1, (len(x), 2))
        centres = rng.random((len(x), 2))
        out = _shifted(x, self.shift, shifts) if self.shift else x.copy()
        if self.flip or self.altflip:
            chosen = drawn if mirrored is None else mirrored
            out[chosen] = out[chosen, :, ::-1]
        if self.jpeg:
            _compress(out, self.jpeg, rng.spawn(1)[0])      # of its own: cards of runs without it must repeat
        if self.cutout:
            _cut(out, self.cutout, centres, self._grey(x))
        return out

    def _grey(self, x):
        return self.grey if self.grey is not None else 128 if x.dtype == np.uint8 else 0.5


def _shifted(x, reach, shifts):
    """Return windows of x padded by `reach` reflected pixels; shifts (N, 2) in 0..2*reach, `reach` being no shift."""
    height, width = x.shape[1:3]
    padded = _reflected(x, reach)
    out = np.empty_like(x)
    for image, source, (row, column) in zip(out, padded, shifts.tolist(), strict=True):
        image[...] = source[row:row + height, column:column + width]
    return out


def _reflected(x, reach):
    """Return x with a border of `reach` reflected pixels, 2 1 | 0 1 2 3 | 2 1: np.pad's "reflect", several times faster."""
    n, height, width, channels = x.shape
    padded = np.empty((n, height + 2 * reach, width + 2 * reach, channels), x.dtype)
    middle = padded[:, reach:reach + height]
    middle[:, :, reach:reach + width] = x
    middle[:, :, :reach] = x[:, :, reach:0:-1]
    middle[:, :, reach + width:] = x[:, :, -2:-2 - reach:-1]
    padded[:, :reach] = middle[:, reach:0:-1]
    padded[:, reach + height:] = middle[:, -2:-2 - reach:-1]
    return padded


def _compress(x, least, rng):
    """Pass half of the images through JPEG, in place."""
    if x.dtype != np.uint8:
        raise OptionError("augmentation jpeg needs images as bytes; these are floats", "leave jpegN out")
    chosen, quality = rng.random(len(x)) < 0.5, rng.integers(least, 101, len(x))
    if chosen.any():
        x[chosen] = jpeg(x[chosen], quality[chosen])


def _cut(x, side, centres, grey):
    """Set a square of `side` pixels around each centre (fractions of the image) to grey, in place; some of it may lie outside."""
    height, width = x.shape[1:3]
    for image, (row, column) in zip(x, ((centres * (height, width)).astype(int) - side // 2).tolist(), strict=True):
        image[max(row, 0):max(row + side, 0), max(column, 0):max(column + side, 0)] = grey
