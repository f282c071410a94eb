"""The folder of a training run.

checkpoint.npz is written after each epoch; a resumed run continues from it. history.csv is written from it; history.jsonl has the
same rows and the time of each epoch. config.json has the settings, seed, versions, kernels and number of threads (these decide
the last bits; if a resumed run has others, they are under "resumed"), and the SHA-256 of the data. model.* is written at the end.
"""
import csv
import io
import json
from pathlib import Path

from tinyvgg import kernels
from tinyvgg.errors import DataError, OptionError
from tinyvgg.io import DEFAULT_SUFFIX, load_checkpoint, save_checkpoint, save_model
from tinyvgg.report.record import append_line, plain, read_lines, sha256_arrays, versions, write_bytes, write_json

FILES = ("checkpoint.npz", "history.csv", "history.jsonl", "config.json")


class RunFolder:
    """Keeps a Trainer's progress in the folder `out`."""

    def __init__(self, out, trainer, *, resume, record):
        self.path, self.trainer = Path(out), trainer
        self.checkpoint, self.history, self.log, self.config = (self.path / name for name in FILES)
        self.resume, self.record = resume, record or {}
        self.model = self.path / f"model{DEFAULT_SUFFIX}"
        if self.path.exists() and not self.path.is_dir():
            raise OptionError(f"{self.path} is a file; expected a folder for the run")
        if self.checkpoint.exists() and not resume:
            raise OptionError(f"{self.path} holds a run already", "--resume to go on with it, or another folder")

    def begin(self):
        """Read the checkpoint, if there is one and the run is to be resumed; write config.json."""
        t = self.trainer
        self.settings = {"epochs": t.epochs, "batch_size": t.batch_size, "seed": t.seed, "images": len(t.x),
                         "validation_images": 0 if t.validation is None else len(t.validation[0]),
                         "optimizer": t.optimizer.get_config() if hasattr(t.optimizer, "get_config") else str(t.optimizer),
                         "augment": str(t.augment), "average": None if t.average is None else [t.average.kind, t.average.decay],
                         "data_sha256": sha256_arrays(t.x, t.y)}
        if t.weights is not None:
            self.settings["weights_of_images_sha256"] = sha256_arrays(t.weights)
        self._remove_leftovers()
        machine = {"kernels": kernels.active(), "threads": kernels.threads(), "versions": versions()}
        if self.checkpoint.exists():
            self._restore(load_checkpoint(self.checkpoint))
            machine = self._as_begun(machine)
        write_json(self.config, {**self.record, "training": self.settings, "model": t.model.get_config(), **machine})

    def epoch_done(self, row, seconds):
        """Save the checkpoint, then the files for people to read."""
        t = self.trainer
        save_checkpoint(self.checkpoint, t.model, optimizer=t.optimizer, arrays=self._average_arrays(),
                        extra={"settings": self.settings, "history": t.history, "stop": t.stop,
                               "average_updates": t.average.updates if t.average is not None else 0,
                               "callbacks": [c.state() for c in t.callbacks]})
        self._write_history()
        append_line(self.log, {**row, "seconds": round(seconds, 3)})

    def finish(self):
        """Write the trained model."""
        save_model(self.trainer.model, self.model)

    def _average_arrays(self):
        average = self.trainer.average
        values = [] if average is None or average.values is None else average.values
        return {f"average/{name}": v for (name, _), v in zip(self.trainer.model.weights, values, strict=False)}

    def _restore(self, saved):
        """Take model, optimizer, averages, history and callbacks from a checkpoint of the same settings."""
        t, extra = self.trainer, saved.extra
        self._compare(extra.get("settings", {}))
        t.model.set_weights(saved.weights)
        t.optimizer.load_state(saved.under("optimizer"), saved.optimizer["iterations"])
        if t.average is not None:
            t.average.values, t.average.updates = list(saved.under("average").values()) or None, extra["average_updates"]
        for callback, state in zip(t.callbacks, extra["callbacks"], strict=True):
            callback.load_state(state)
        t.history, t.stop = extra["history"], extra["stop"]
        t.epoch = len(t.history)
        self._write_history()
        timed = {row.get("epoch"): row for row in read_lines(self.log)}
        write_bytes(self.log, "".join(json.dumps(timed.get(row["epoch"], row)) + "\n" for row in t.history))

    def _compare(self, before):
        """A run goes on with the settings that it began with, or not at all."""
        now = plain(self.settings)
        if before.get("data_sha256") != now["data_sha256"]:
            raise DataError(f"the training images are not those that {self.path} began with (their SHA-256 differs)",
                            "the same --data, --limit, --validation and --seed")
        for key, value in now.items():
            if key == "epochs" and value > before.get(key, value):
                if not self.trainer.goes_on:
                    raise OptionError(f"{self.path} has a schedule or an average that ends with epoch {before[key]}; it cannot go on to {value}",
                                      f"a new run from its weights: --weights {self.path}")
                continue
            if before.get(key) != value:
                raise OptionError(f"{self.path} began with {key} {before.get(key)}, and is to go on with {value}",
                                  "--resume with the settings of the start, or another folder")

    def _as_begun(self, machine):
        """Refuse other teachers than the run began with; return what it began on, with `machine` under "resumed" if that differs."""
        try:
            before = json.loads(self.config.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return machine
        if before.get("teachers") != plain(self.record.get("teachers")):
            raise OptionError(f"the teachers are not those that {self.path} began with (the SHA-256 of their weights differs)",
                              "--resume with the same files, or another folder")
        begun = {key: before[key] for key in (*machine, "resumed") if key in before}
        if any(before.get(key, value) != value for key, value in machine.items()):
            begun["resumed"] = [*before.get("resumed", []), {"epoch": self.trainer.epoch, **machine}]
        return {**machine, **begun}

    def _write_history(self):
        columns = list(dict.fromkeys(key for row in self.trainer.history for key in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.trainer.history)
        write_bytes(self.history, text.getvalue())

    def _remove_leftovers(self):
        """A kill in the middle of a write leaves its temporary file; nothing refers to it."""
        for name in (*FILES, self.model.name):
            for path in self.path.glob(f".{name}.*"):
                path.unlink(missing_ok=True)
