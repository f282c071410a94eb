"""Run all steps for a few images at a time: what one stage writes is then still in a cache when the next one reads it."""
import numpy as np

from tinyvgg.kernels.fast.arena import address
from tinyvgg.kernels.fast.parts import MOVE, PARTS, WORDS, in_parts
from tinyvgg.kernels.fast.program import IN_ORDER, STEP, Program

TENSORS = "x", "y", "g", "dx"
OF_EACH_THREAD = "scratch", "sums", "partial"


class InChunks(Program):
    """A program whose steps in order run for at most `size` images (a chunk), then for the next chunk. Each of `workers` does so by itself.
    None of these steps may mix images, or call Python.

    follows(field, address): whether the tensor in a step's field of that name has a place for every image. If not, all chunks of a worker
    use the same place: that of the first `size` images for the first worker, and so on. If the program takes images from outside, the
    first step in order copies them.
    """

    def __init__(self, size, workers, follows):
        super().__init__()
        self.size, self.workers, self._follows = size, workers, follows

    def _finish(self):
        self._head = len(self._rows) - self._groups.count(IN_ORDER)    # first: an interrupt after super's last line leaves a complete program
        super()._finish()

    def _count(self, images):
        """Write the table of steps: those in order once for each worker, all of them run by one step, in_parts."""
        ahead, first = self._steps[:self._head], self._steps[self._head:]
        tables = np.tile(first, (self.workers, 1))
        worker, moves = np.arange(self.workers)[:, None], [self._source_move(first)]
        for name in (*TENSORS, "fresh"):
            image = first["dx" if name == "fresh" else name]["image"]
            place = tables["fresh"] if name == "fresh" else tables[name]["at"]
            at = place[0].tolist()
            follow = np.array([self._follows("dx" if name == "fresh" else name, start) for start in at], bool)
            place += worker * np.where(follow | (place[0] == 0), 0, self.size * image)
            moves += [(_word(i, name), at[i], image[i]) for i in np.flatnonzero(follow)]
        for name in OF_EACH_THREAD:                     # by the largest size: workers are at different steps
            tables[name] += worker * first[f"{name}_size"].max(initial=0)
        own = tables["own"]["at"]
        own += worker * first["own"]["image"]
        self._tables, self._moves, self._record = tables, np.array(moves, MOVE), np.zeros(1, PARTS)
        together = self.size * self.workers
        self._record["count"], self._record["images"] = -(-images // together) * self.workers, images
        self._record["tables"], self._record["workers"], self._record["steps"] = address(tables), self.workers, len(first)
        self._record["moves"], self._record["moved"] = address(self._moves), len(self._moves)
        self._whole = np.concatenate([ahead, np.zeros(1, STEP)])
        self._whole["images"] = images
        self._whole["function"][-1], self._whole["packed"][-1] = in_parts.address, address(self._record)
        self._at = address(self._whole)                 # kept: numpy takes as long as a small kernel to find a record array's address
        self._next, self._source = self._record["next"][0], self._moves["base"]

    def _source_move(self, first):
        """Return how the first step's x moves from chunk to chunk; _begin_at gives its start."""
        x = first[0]["x"] if len(first) else {"at": 0, "image": 0}
        return _word(0, "x"), x["at"], x["image"]

    def _begin_at(self, source):
        self._source[0] = source

    def _go(self, pool, images):
        self._next[0] = 0
        pool.run_at(self._at, len(self._whole))


def _word(index, name):
    """Return the place of step `index`'s field in a table; for a tensor, of its address."""
    return index * WORDS + STEP.fields[name][1] // 8
