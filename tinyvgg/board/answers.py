"""The file of a board's answers: a head that identifies images and model, then a line with a checksum for each answer. A stop can
cut the last line, and a disk can damage any. Answers that are not intact are asked for again, and the file of a resumed
evaluation ends up the same as without a stop.
"""
import json
from pathlib import Path

from tinyvgg.errors import OptionError
from tinyvgg.report.record import keep_row, kept_rows, read_lines, write_bytes


class Answers:
    """The answers in the file `out` (None: no file). rows: {image: row} of the intact ones. head: the first line of a new file.
    key: the part of it that must be equal for the file's answers to count, else OptionError. A file with fewer images counts too
    if they are the first of these: first(n) is the hash of the first n. A row has
    "i" (below `n`), "raw" (`n_outputs` numbers), "cycles", "seconds", "instructions" and "crc".
    """

    def __init__(self, out, head, key, n, n_outputs, first=None):
        self.path, self._head = None if out is None else Path(out), head
        self.rows, self._tidy = {}, True
        if self.path is None or not self.path.exists():
            return
        found = read_lines(self.path)
        kept = found[0] if found and isinstance(found[0], dict) else {}
        if not found and self.path.stat().st_size:
            raise OptionError(f"{out} holds no answers of a board", "another --out, or remove it")
        if first and type(kept.get("n")) is int and 0 < kept["n"] < n and kept.get("images") == first(kept["n"]):
            kept = {**kept, "n": n, "images": head["images"]}
        if found and {name: kept.get(name) for name in key} != key:
            other = next(name for name in key if kept.get(name) != key[name])
            raise OptionError(f"{out} holds answers of another {'set of images' if other == 'images' else other}",
                              "another --out, or remove it")
        self._head = kept or head
        self.rows = {row["i"]: row for row in kept_rows(self.path) if _is_answer(row, n, n_outputs)}
        self._tidy = self.path.read_bytes() == self._bytes()

    def begin(self):
        """Prepare the file for more lines: write its head and the intact rows, nothing else."""
        if self.path is not None and not (self._tidy and self.path.exists() and self.path.stat().st_size):
            write_bytes(self.path, self._bytes())

    def add(self, row):
        """Add a row, in memory and in the file."""
        self.rows[row["i"]] = row if self.path is None else keep_row(self.path, row)

    def finish(self):
        """If a damaged answer was asked for again, write the rows in the order of the images."""
        if self.path is not None and self.path.exists() and self.path.read_bytes() != self._bytes():
            write_bytes(self.path, self._bytes())

    def _bytes(self):
        return "".join(json.dumps(row) + "\n" for row in (self._head, *(self.rows[i] for i in sorted(self.rows)))).encode()


def _is_answer(row, n, n_outputs):
    if type(row.get("i")) is not int or not 0 <= row["i"] < n:
        return False
    raw = row.get("raw")
    return isinstance(raw, list) and len(raw) == n_outputs and all(type(v) in (int, float) for v in raw)
