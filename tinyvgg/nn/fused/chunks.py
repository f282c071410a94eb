"""Run all steps for a few images at a time: what one stage writes is then still in a cache when the next one reads it."""
import numpy as np

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
        self.size, self.workers, self._follows, self._made = size, workers, follows, None

    def _finish(self):
        self._head = len(self._rows) - self._groups.count(IN_ORDER)    # first: an interrupt after super's last line leaves a complete program
        super()._finish()

    def _count(self, images):
        """Put the number of images into the steps; write the tables again if the steps are not those of before."""
        steps = self._steps.tobytes()
        if steps != self._made:
            self._made = None
            self._make_tables()
            self._made = steps
        self._record["count"], self._record["images"] = -(-images // (self.size * self.workers)) * self.workers, images
        self._whole["images"] = images

    def _make_tables(self):
        """Write the table of steps: those in order once for each worker, all of them run by one step, in_parts."""
        first = self._steps[self._head:]
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
        self._record["tables"], self._record["workers"], self._record["steps"] = _address(tables), self.workers, len(first)
        self._record["moves"], self._record["moved"] = _address(self._moves), len(self._moves)
        self._whole = np.zeros(self._head + 1, STEP)
        self._whole[:-1] = self._steps[:self._head]
        self._whole["function"][-1], self._whole["packed"][-1] = in_parts.address, _address(self._record)
        self._at = _address(self._whole)
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


def _address(records):
    """The address of records, in elements. For arrays of records arena.address takes as long as a small kernel: NumPy describes each field."""
    return records.ctypes.data // 4


def _word(index, name):
    """Return the place of step `index`'s field in a table; for a tensor, of its address."""
    return index * WORDS + STEP.fields[name][1] // 8
