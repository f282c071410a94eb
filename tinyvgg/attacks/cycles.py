"""Notice that an iteration has returned to an earlier point: from there on it only repeats itself."""
import hashlib

import numpy as np


class Visited:
    """Remembers the points of each image by a hash of 64 bits."""

    def __init__(self):
        self.seen = {}

    def before(self, rows, z):
        """Return (len(rows),) whether each point was seen before for its image, and remember it."""
        z = np.ascontiguousarray(z)
        found = np.zeros(len(rows), bool)
        for i, row in enumerate(rows):
            points = self.seen.setdefault(int(row), set())
            digest = hashlib.blake2b(z[i].data, digest_size=8).digest()
            found[i] = digest in points
            points.add(digest)
        return found
