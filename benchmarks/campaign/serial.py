"""A line on which frames are lost, damaged, doubled or change places, before a Board as shipped; no wrong answer may be accepted."""
import numpy as np

from tinyvgg.board import Board
from tinyvgg.board.link import VirtualLink
from tinyvgg.errors import TinyVGGError
from tinyvgg.quant import load_tvq
from tinyvgg.rng import generator

KINDS = ("lost", "damaged", "doubled", "reordered")


class BadLine:
    """A link whose frames, both ways, suffer one of KINDS with probability `share`; `on` switches that off."""

    def __init__(self, link, share, seed):
        self.link, self.share, self.draw = link, share, generator(seed, "bad line")
        self.on, self.counts, self.partial, self.held = True, dict.fromkeys(KINDS, 0), bytearray(), {"out": None, "in": None}

    def __getattr__(self, name):
        return getattr(self.link, name)

    def _pass(self, frame, way):
        """What comes of one frame: a list of frames."""
        held, self.held[way] = self.held[way], None
        found = [frame]
        if self.on and self.draw.random() < self.share:
            kind = KINDS[self.draw.integers(len(KINDS))]
            self.counts[kind] += 1
            if kind == "damaged":
                harmed = bytearray(frame)
                for _ in range(self.draw.integers(1, 4)):
                    harmed[self.draw.integers(len(harmed))] ^= 1 << self.draw.integers(8)
                found = [bytes(harmed)]
            elif kind == "doubled":
                found = [frame, frame]
            else:
                self.held[way] = frame if kind == "reordered" else None
                found = []
        return found + ([] if held is None else [held])

    def write(self, data):
        for part in self._pass(bytes(data), "out"):
            self.link.write(part)

    def read(self, timeout):
        end, out = self.link.now() + timeout, b""
        while not out:
            data = self.link.read(max(end - self.link.now(), 0))
            if not data:
                out, self.partial = bytes(self.partial), bytearray()
                return out
            self.partial += data
            *whole, rest = bytes(self.partial).split(b"\0")
            self.partial = bytearray(rest)
            for frame in whole:
                out += b"".join(self._pass(frame + b"\0", "in")) if frame else b"\0"
        return out


def on_a_bad_line(elf, share, requests, seed=0):
    """Do `requests` of Board's requests -> counts: answered, errors (clean ones), wrong, and of 20 once the line is good again."""
    model, draw = load_tvq(elf.with_suffix(".tvq")), generator(seed, "requests")
    line = BadLine(VirtualLink(f"virtual:{elf}"), share, seed)
    line.on = False
    board = Board(link=line)
    x = draw.integers(0, 256, (32, *board.input_shape), dtype=np.uint8)
    expected = model.integer_logits(x)
    row = {"requests": requests, "answered": 0, "errors": 0, "wrong": 0, "again": 0}

    def ask():
        i = int(draw.integers(len(x)))
        if draw.random() < 0.7:
            return np.array_equal(board.infer(x[i:i + 1]).raw[0], expected[i])
        data = draw.bytes(int(draw.integers(1, 512)))
        return board.echo(data) == data if draw.random() < 0.5 else board.usage().arena_bytes > 0

    for answered, count in (("answered", requests), ("again", 20)):
        line.on = answered == "answered"
        for _ in range(count):
            try:
                row[answered if ask() else "wrong"] += 1
            except TinyVGGError:
                row["errors"] += 1
    return {**row, "frames": line.counts, "repeats": board._repeats(), "reconnects": board.reconnects}
