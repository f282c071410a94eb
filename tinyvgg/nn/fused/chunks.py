"""Some images at a time through all steps: what one stage writes is still in a cache when the next one reads it."""
import numpy as np

from tinyvgg.kernels.fast.arena import address
from tinyvgg.kernels.fast.program import IN_ORDER, Program

TENSORS = "x", "y", "g", "dx"


class InChunks(Program):
    """A program whose steps in order run for `size` images, then for the next ones; none of them may mix images, or call Python.

    follows(field, address): whether the tensor in a step's field of that name has a place for every image; else all chunks use that of
    the first. Where the program takes images from outside, the first step in order puts them into place.
    """

    def __init__(self, size, follows):
        super().__init__()
        self.size, self._follows = size, follows

    def _finish(self):
        super()._finish()
        self._head = len(self._steps) - self._groups.count(IN_ORDER)
        self._moves, first = {}, self._steps[self._head:]
        for name in TENSORS:
            follow = [self._follows(name, at) for at in first[name]["at"].tolist()]
            self._moves[name] = np.where(follow, first[name]["image"], 0)
        self._moves["fresh"] = np.where([at != 0 and self._follows("dx", at) for at in first["fresh"].tolist()], first["dx"]["image"], 0)

    def _count(self, images):
        """Lay the steps out: those in order once for each chunk."""
        chunks, each = -(-images // self.size), len(self._steps) - self._head
        ahead, first = self._steps[:self._head], self._steps[self._head:]
        order = np.tile(first, chunks).reshape(chunks, each)
        begun = np.arange(chunks)[:, None] * self.size
        for name, step in self._moves.items():
            place = order["fresh"] if name == "fresh" else order[name]["at"]
            place += begun * step
        order["images"] = np.minimum(self.size, images - begun)
        self._whole = np.concatenate([ahead, order.reshape(-1)])
        self._whole["images"][:self._head] = images
        self._at = address(self._whole)                 # asked once: numpy takes as long as a small kernel to tell it of a record array
        self._starts = self._whole["x"]["at"][self._head::each]
        self._offsets = begun[:, 0] * first[0]["x"]["image"] if each else begun[:, 0]

    def _begin_at(self, source):
        self._starts[:] = source + self._offsets

    def _go(self, pool, images):
        pool.run_at(self._at, len(self._whole))
