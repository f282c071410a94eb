"""Distillation from stored answers: a teacher much slower than its student answers once for each view of the images, not in every
step. A view is all training images, each augmented once. The teacher's logits for it are stored as bytes, between the smallest
and the largest of the view. Epoch e trains on view (e modulo the number of views); only mirroring, which hardly changes a
teacher's answer, is drawn again in each epoch.
"""
import dataclasses
import io
import json
import zipfile

import numpy as np

from tinyvgg import rng
from tinyvgg.data.augment import Augment
from tinyvgg.errors import OptionError
from tinyvgg.images import to_floats
from tinyvgg.report.progress import Progress
from tinyvgg.report.record import sha256_arrays, write_bytes
from tinyvgg.train.distillation import Distillation
from tinyvgg.types import Images, Labels, PathLike

BLOCK = 1000                                # images that are augmented and asked at a time


class Views:
    """Both the `augment` and the `batch_hook` of a fit: `count` views made with `augment`, and the answers of a Distillation's
    teachers. path: a file for the answers, which a resumed run reads; None keeps them in memory only.

        views = Views(Distillation(teacher), "flip,shift4", 4)
        fit(model, x, y, augment=views, batch_hook=views, loss=views.loss)

    Raises OptionError for fewer than one view, and for images that are not bytes.
    """

    def __init__(self, distillation: Distillation, augment: str | Augment | None, count: int, *, path: PathLike | None = None,
                 quiet: bool = True) -> None:
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
            raise OptionError(f"{count!r} views were asked for; expected a whole number from 1", "--views 10")
        augment = Augment.parse(augment) if isinstance(augment, str) else augment
        self.flip = augment is not None and (augment.flip or augment.altflip)
        self.still = dataclasses.replace(augment, flip=False, altflip=False) if augment is not None else Augment()
        self.told = f"{augment or 'none'}, {count} views"
        self.distillation, self.count, self.path, self.quiet = distillation, int(count), path, quiet
        self.loss, self.view = distillation.loss, (None, None)

    def __str__(self):
        return self.told

    def prepare(self, model, x: Images, seed: int) -> None:
        """Compute the teachers' answers for every view of the training images x that are not in the file yet."""
        if x.dtype != np.uint8:
            raise OptionError("views are of images as bytes; these are floats", "leave --views out")
        self.x, self.seed, self.bounds, self.dtype = x, seed, model.bounds, model.dtype
        key = json.dumps([self.told, str(self.still), seed, sha256_arrays(x),
                          *(sha256_arrays(*teacher.get_weights()) for teacher in self.distillation.teachers)])
        found = self._read(key)
        progress = Progress((self.count - len(found)) * len(x), "the teacher's answers", quiet=self.quiet)
        while len(found) < self.count:
            answers = np.concatenate([self._asked(part, progress) for part in self._parts(len(found))])
            low, high = float(answers.min()), float(answers.max())
            codes = np.rint((answers - low) * (255 / max(high - low, 1e-30))).astype(np.uint8)
            found.append((low, high, codes))
            self._write(key, found)
        progress.close("")
        self.answers = found

    def __call__(self, model, x: Images, y: Labels):
        return x, (y, self.taught)

    def batch(self, index, epoch: int, random: np.random.Generator) -> Images:
        """Return the images of a step, and keep their answers for the hook."""
        view = epoch % self.count
        if self.view[0] != view:
            self.view = view, np.concatenate(list(self._parts(view)))
        low, high, codes = self.answers[view]
        self.taught = (low + codes[index] * ((high - low) / 255)).astype(self.dtype)
        x = self.view[1][index]
        mirrored = random.random(len(x)) < 0.5
        return np.where(mirrored[:, None, None, None], x[:, :, ::-1], x) if self.flip else x

    def _parts(self, view):
        """A view's images, block by block."""
        for start in range(0, len(self.x), BLOCK):
            yield self.still(self.x[start:start + BLOCK], rng.generator(self.seed, "view", view, start))

    def _asked(self, x, progress):
        progress.advance(len(x))
        return self.distillation.answers(to_floats(x, self.bounds, self.dtype))

    def _write(self, key, found):
        if self.path is not None:
            file = io.BytesIO()
            lows, highs, codes = zip(*found, strict=True)
            np.savez(file, key=np.array(key), low=np.array(lows), high=np.array(highs), codes=np.stack(codes))
            write_bytes(self.path, file.getvalue())

    def _read(self, key):
        """What the file holds of the same question, or nothing."""
        try:
            with np.load(self.path, allow_pickle=False) as file:
                if str(file["key"]) != key:
                    return []
                return list(zip(file["low"].tolist(), file["high"].tolist(), file["codes"], strict=True))
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            return []
