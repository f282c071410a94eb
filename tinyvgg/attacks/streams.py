"""Separate random numbers for each image, so that batches, order and other images have no influence."""
import hashlib
import zlib

import numpy as np

from tinyvgg import rng

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Streams:
    """One stream for each image, decided by the seed, the attack's name and the image's own values.

    A draw has a name (`streams.normal((3,), "start", restart)`) and no state: the same name gives the same numbers, whatever was
    drawn before. SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) run from a key for each image and name.
    """

    def __init__(self, keys):
        self.keys = keys

    @classmethod
    def of(cls, seed, name, x):
        """Return the streams for images x (N, ...)."""
        secret = rng.generator(seed, "attack", name).bytes(16)
        x = np.ascontiguousarray(x, np.float32)
        digests = [hashlib.blake2b(image.data, digest_size=8, key=secret).digest() for image in x]
        return cls(np.frombuffer(b"".join(digests), np.uint64).copy())

    def take(self, rows):
        """Return the streams of some of the images."""
        return Streams(self.keys[rows])

    def uniform(self, shape, *names, low=0.0, high=1.0):
        """Return (N, *shape) float64, uniform in low..high."""
        bits = self._bits(int(np.prod(shape)), names) >> np.uint64(11)
        return low + (high - low) * (bits.astype(np.float64) * 2.0**-53).reshape(len(self.keys), *shape)

    def normal(self, shape, *names):
        """Return (N, *shape) float64, standard normal (Box and Muller 1958)."""
        radius = np.sqrt(-2 * np.log1p(-self.uniform(shape, *names, "radius")))
        return radius * np.cos(2 * np.pi * self.uniform(shape, *names, "angle"))

    def signs(self, shape, *names):
        """Return (N, *shape) float64 of -1 and 1."""
        return np.where(self.uniform(shape, *names) < 0.5, -1.0, 1.0)

    def integers(self, high, shape, *names):
        """Return (N, *shape) int64, uniform in 0..high-1."""
        return np.floor(self.uniform(shape, *names) * high).astype(np.int64)

    def _bits(self, count, names):
        path = zlib.crc32("/".join(map(str, names)).encode())
        keys = _mix(self.keys ^ _mix(np.uint64(path) * np.ones(1, np.uint64)))
        return _mix(keys[:, None] + (np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN)[None])


def _mix(z):
    """SplitMix64's output function: a bijection of 64 bits that scatters neighbours."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
