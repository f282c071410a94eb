"""A run's folder: finished batches are kept, so that a stopped run goes on where it was."""

import json
from pathlib import Path

import numpy as np

from tinyvgg.attacks.evaluate import model_sha256
from tinyvgg.attacks.result import plain
from tinyvgg.errors import OptionError
from tinyvgg.report import record

ARRAYS = ("adv", "loss", "queries", "steps", "vanished", "done")


class Checkpoint:
    """`folder`/batches/*.npz while an attack runs; attack.npz and result.json when it is done. Without a folder, nothing."""

    def __init__(self, folder, config, seed, model, x, y, target):
        self.folder = None if folder is None else Path(folder)
        self.seconds, self.gradients = 0.0, 0
        if self.folder is None:
            return
        goals = () if target is None else (target,)
        mark = plain(
            {**config, "seed": seed, "model_sha256": model_sha256(model), "data_sha256": record.sha256_arrays(x, y, *goals)}
        )
        path = self.folder / "attack.json"
        if path.exists() and _read_json(path) != mark:
            raise OptionError(
                f"{folder} holds another attack, model or images", "another --out, or the settings it was started with"
            )
        if not path.exists():
            record.write_json(path, mark)

    def _path(self, start):
        return self.folder / "batches" / f"{start:08d}.npz"

    def read(self, start, part, found):
        """Fill `found` from a finished batch; return whether there was one."""
        if self.folder is None or not self._path(start).exists():
            return False
        try:
            with np.load(self._path(start), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in ARRAYS}
        except (OSError, ValueError, KeyError, EOFError):
            return False
        if any(arrays[name].shape != found[name][part].shape for name in ARRAYS):
            return False
        for name in ARRAYS:
            found[name][part] = arrays[name]
        return True

    def write(self, start, part, found):
        """Keep a finished batch."""
        if self.folder is not None:
            with record.atomic_path(self._path(start)) as temporary, open(temporary, "wb") as f:
                np.savez_compressed(f, **{name: found[name][part] for name in ARRAYS})

    def finish(self, result):
        """Save the result and drop the batches; a run that a budget ended keeps them."""
        if self.folder is None:
            return
        result.save(self.folder / "attack.npz")
        record.write_bytes(self.folder / "result.json", result.to_json() + "\n")
        if result.done.all():
            for path in (self.folder / "batches").glob("*.npz"):
                path.unlink()


def _read_json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
