"""A run's folder: finished batches are kept, so that a stopped run can continue."""
import contextlib
import json
from pathlib import Path

import numpy as np

from tinyvgg.attacks.identity import model_identity, model_sha256
from tinyvgg.attacks.task import Found
from tinyvgg.errors import DataError, FormatError, OptionError
from tinyvgg.report import record
from tinyvgg.report.untrusted import npz_arrays


class Checkpoint:
    """`folder`/batches/*.npz while an attack runs; attack.npz and result.json when it is done. Without a folder nothing is
    written. A model without an identity (functions without a name) is attacked from the start: its batches are not reused.
    """

    def __init__(self, folder, task):
        self.folder = None if folder is None else Path(folder)
        if self.folder is None:
            return
        record.check_folder(self.folder)
        goals = () if task.target is None else (task.target,)
        identity = model_identity(task.model)
        self.resumes = identity is not None
        mark = record.plain({**task.config, "seed": task.seed, "model": identity, "model_sha256": model_sha256(task.model),
                      "data_sha256": record.sha256_arrays(task.x, task.y, *goals)})
        path = self.folder / "attack.json"
        if path.exists() and _read_json(path) != mark:
            raise OptionError(f"{folder} holds another attack, model or images", "another --out, or the settings that began it")
        if not path.exists():
            record.write_json(path, mark)

    def read(self, start, part, found):
        """Load a finished batch into `found` and return its number of queries, or None if there is no such batch."""
        if self.folder is None or not self.resumes or not self._path(start).exists():
            return None
        try:
            arrays = npz_arrays(self._path(start))
            kept = [getattr(found, name)[part] for name in Found.arrays]
            if any((arrays[n].shape, arrays[n].dtype) != (a.shape, a.dtype) for n, a in zip(Found.arrays, kept, strict=True)):
                return None
            seconds, gradients, asked = float(arrays["seconds"]), int(arrays["gradients"]), int(arrays["asked"])
        except (FormatError, DataError, ValueError, KeyError, TypeError, OverflowError):
            return None                                     # a damaged batch is done again
        found.put(part, arrays)
        found.seconds, found.gradients = found.seconds + seconds, found.gradients + gradients
        found.probabilities |= bool(arrays.get("probabilities", False))
        return asked

    def write(self, start, part, found, seconds, gradients, asked):
        """Save a finished batch and its cost: seconds, gradients, and all queries (`asked`), which count for a budget."""
        if self.folder is not None:
            arrays = {name: getattr(found, name)[part] for name in Found.arrays}
            with record.atomic_path(self._path(start)) as temporary, open(temporary, "wb") as f:
                np.savez_compressed(f, **arrays, seconds=seconds, gradients=gradients, asked=asked,
                                    probabilities=found.probabilities)

    def finish(self, result):
        """Save the result and delete the batches, unless a budget ended the run."""
        if self.folder is None:
            return
        result.save(self.folder / "attack.npz")
        record.write_bytes(self.folder / "result.json", result.to_json() + "\n")
        if result.done.all():
            for path in (self.folder / "batches").glob("*.npz"):
                path.unlink()
            with contextlib.suppress(OSError):
                (self.folder / "batches").rmdir()

    def _path(self, start):
        return self.folder / "batches" / f"{start:08d}.npz"


def _read_json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
