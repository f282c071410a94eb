"""A deployed network as an attacker sees it: answers of a chosen precision over a line; each query is sent once and its answer
kept. An attack's random draws depend only on the seed and the image. So an attack that was stopped and started again sends the
same queries: the known ones are answered from the file, and it continues where it was stopped. The result is the same as without
a stop.
"""
import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np

from tinyvgg.attacks.identity import model_identity, model_sha256
from tinyvgg.attacks.victim import checked_bounds, checked_classes
from tinyvgg.classifier import ANSWERS, answers_of, labels_of
from tinyvgg.errors import OptionError
from tinyvgg.images import byte_images
from tinyvgg.kernels.reference import softmax
from tinyvgg.report import record
from tinyvgg.types import Images, PathLike

PRECISIONS = ("logits", "scores", "bytes", "labels")


def deployed(model: Any, *, precision: str | None = None, out: PathLike | None = None) -> Any:
    """Return `model` (a Board, or any classifier) with answers of only this `precision`, which are kept in the file `out`.

    precision: "logits", "scores" (probabilities), "bytes" (floor(255 p), as the student's firmware sends ten), "labels", or None:
    the most precise that the model has. out: a file of JSON lines; answers in it are not queried again. The returned object's
    `line_seconds` is the time of all its answers on the line, kept ones included; `asked` is the number of different images.
    Raises OptionError for a precision that the model cannot give, and for a file of another model or precision.
    """
    return Deployed(model, precision, out)


class Deployed:
    """See deployed. A classifier with one of logits, scores and labels, without gradients."""

    def __init__(self, model: Any, precision: str | None = None, out: PathLike | None = None) -> None:
        best = answers_of(model)[0]
        precision = best if precision is None else precision
        if precision not in PRECISIONS:
            raise OptionError(f"there is no precision {precision!r}; expected {', '.join(PRECISIONS)}")
        if ANSWERS.index(best) > ANSWERS.index({"bytes": "scores"}.get(precision, precision)):
            raise OptionError(f"{type(model).__name__} tells {best} at best; {precision} were asked for", f"--precision {best}")
        self.model, self.precision, self.line_seconds, self.asked = model, precision, 0.0, 0
        self.bounds, self.n_classes = checked_bounds(model), checked_classes(model)
        for name in ("input_shape", "takes_bytes", "made_for", "dtype", "close", "without_gradients"):
            if hasattr(model, name):
                setattr(self, name, getattr(model, name))
        answer = {"logits": "logits", "bytes": "logits"}.get(precision, precision)
        setattr(self, answer, self._answers)
        link = getattr(model, "link", None)
        self._machine = getattr(link, "machine", None)                  # of a virtual board
        self._now, self._at_once = (link.now, 1) if link is not None else (time.perf_counter, None)
        self._used, self._kept = set(), {}
        self.out = None if out is None else Path(out)
        if self.out is not None:
            self._read()

    @property
    def sha256(self) -> str | None:
        """The SHA-256 of the model behind the line."""
        return model_sha256(self.model)

    def identity(self):
        """The identity: the model behind the line and the precision; None if the model is unknown."""
        behind = model_identity(self.model)
        return None if behind is None else {"deployed": self.precision, "model": behind}

    def _read(self):
        """Take the answers that a run before has left, or begin the file."""
        zero_wait = hasattr(self._machine, "flash_model") and self._machine.flash_model is None
        head = record.plain({"answers": self.precision, "model": model_identity(self.model), "flash_model": "none" if zero_wait else None})
        rows = record.kept_rows(self.out)
        found = rows[0] if rows and "answers" in rows[0] else None
        if found is None and self.out.exists() and self.out.stat().st_size:
            raise OptionError(f"{self.out} holds no answers of a model", "another --out, or remove it")
        if found is not None and {name: found.get(name) for name in head} != head:
            raise OptionError(f"{self.out} holds answers of another model or precision, or at another --flash-model",
                              "another --out, or the settings that began it")
        if found is None or head["model"] is None:                      # a model that nothing tells is asked anew
            record.write_bytes(self.out, "")
            record.keep_row(self.out, head)
            return
        for row in rows[1:]:
            if isinstance(row.get("q"), str) and isinstance(row.get("a"), list) and type(row.get("s")) in (int, float):
                self._kept[row["q"]] = row["a"], float(row["s"])

    def _answers(self, x: Images):
        """x (N, ...) -> (N, classes) float32 of the precision, or labels (N,) int64; images that are known are not asked."""
        x = np.asarray(x)
        sent = byte_images(x, self.bounds) if getattr(self.model, "takes_bytes", False) and x.dtype != np.uint8 else x
        keys = [hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).hexdigest() for image in sent]
        new = [i for i, key in enumerate(keys) if key not in self._kept and key not in keys[:i]]
        step = self._at_once or max(len(new), 1)
        for first in range(0, len(new), step):
            part = new[first:first + step]
            start = self._now()
            answers = self._ask(x[part])
            seconds = round((self._now() - start) / len(part), 6)
            for i, answer in zip(part, answers.tolist(), strict=True):
                self._keep(keys[i], answer if isinstance(answer, list) else [answer], seconds)
        for key in keys:
            if key not in self._used:
                self._used.add(key)
                self.asked, self.line_seconds = self.asked + 1, self.line_seconds + self._kept[key][1]
        rows = np.array([self._kept[key][0] for key in keys]).reshape(len(keys), -1)
        if self.precision == "labels":
            return rows[:, 0].astype(np.int64)
        rows = rows.reshape(len(keys), self.n_classes)
        # What a byte stands for, half a step from 0, as a logarithm: the order of bytes, and a softmax that gives the probabilities.
        return np.log((rows + 0.5) / 256).astype(np.float32) if self.precision == "bytes" else rows.astype(np.float32)

    def _ask(self, x):
        if self.precision == "labels":
            return np.asarray(self.model.labels(x) if hasattr(self.model, "labels") else labels_of(answers_of(self.model)[1](x)))
        if self.precision == "logits":
            return np.asarray(self.model.logits(x), np.float32)
        scores = np.asarray(self.model.scores(x) if hasattr(self.model, "scores") else softmax(self.model.logits(x)), np.float32)
        return np.floor(scores * np.float32(255) + np.float32(1e-4)).astype(np.int64) if self.precision == "bytes" else scores

    def _keep(self, key, answer, seconds):
        self._kept[key] = answer, seconds
        if self.out is not None:
            record.keep_row(self.out, {"q": key, "a": answer, "s": seconds})
