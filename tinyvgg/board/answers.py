"""A board's answers as they are kept: a head that says of which images and model, then a line for each, with its checksum.

A stop may cut the last line, come between head and first answer, or between any two lines; a disk may harm any. What is not whole
is asked again, and the file of a resumed evaluation ends as that of an unbroken one.
"""
import json
from pathlib import Path

from tinyvgg.errors import OptionError
from tinyvgg.report.record import keep_row, kept_rows, read_lines, write_bytes


class Answers:
    """The answers in `out` (None: kept nowhere). rows: {image: row} of those that are whole.

    head: the first line of a new file; key: what of it must be the same for kept answers to count, else OptionError. Answers to fewer
    images count where those are the first of these: first(n) is the hash of the first n. A row holds
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
        """Make the file ready for further lines: its head, the whole rows, and nothing else."""
        if self.path is not None and not (self._tidy and self.path.exists() and self.path.stat().st_size):
            write_bytes(self.path, self._bytes())

    def add(self, row):
        """Keep a row, here and on the disk."""
        self.rows[row["i"]] = row if self.path is None else keep_row(self.path, row)

    def finish(self):
        """Put the rows into the order of the images, where a damaged one was asked again."""
        if self.path is not None and self.path.exists() and self.path.read_bytes() != self._bytes():
            write_bytes(self.path, self._bytes())

    def _bytes(self):
        return "".join(json.dumps(row) + "\n" for row in (self._head, *(self.rows[i] for i in sorted(self.rows)))).encode()


def _is_answer(row, n, n_outputs):
    if type(row.get("i")) is not int or not 0 <= row["i"] < n:
        return False
    raw = row.get("raw")
    return isinstance(raw, list) and len(raw) == n_outputs and all(type(v) in (int, float) for v in raw)
