"""`tinyvgg board demo`: use every function of the demonstration firmware and compare with NumPy."""
import struct
import zlib

import numpy as np

from tinyvgg.board import demonstration
from tinyvgg.board.classifier import Board
from tinyvgg.errors import CheckFailed, LinkError
from tinyvgg.rng import generator


def tour(url, *, n=8, seed=0, baud=115200, trace=None):
    """Talk to the demonstration firmware at `url` in both protocols; return a dict of the results. Raises CheckFailed if an
    answer differs from NumPy's.
    """
    random = generator(seed, "board demo")
    images = random.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    expected = demonstration.logits(images)
    with Board(url, "tinyvgg", baud=baud, trace=trace) as board:
        if board.info.model != "demonstration":
            raise LinkError(f"the board at {url} holds {board.info.model!r}, not the demonstration",
                            "tinyvgg board demo, and flash the demonstration.elf that it builds")
        result = {"url": url, "model": board.info.model, "clock_hz": board.info.clock_hz, "baud": board.info.baud,
                  "flash_bytes": board.info.flash_used, "ram_bytes": board.info.ram_static + board.info.stack_bytes}
        for i in range(100):
            data = random.bytes(1 + 5 * i)
            _check("echo", board.echo(data), data)
        data = random.bytes(500)
        _check("CRC-32", struct.unpack("<I", board.call(demonstration.CRC, data)[0])[0], zlib.crc32(data))
        vector = random.random(100, dtype=np.float32)
        norm = struct.unpack("<f", board.call(demonstration.NORM, vector.tobytes())[0])[0]
        _check("length of a vector", abs(norm / float(np.linalg.norm(vector.astype(float))) - 1) < 1e-5, True)
        answers = board.infer(images)
        _check("filters", answers.raw.tolist(), expected.tolist())
        usage = board.usage()
        result |= {"n": n, "echoes": 100, "cycles_per_image": int(np.median(answers.cycles)), "repeats": answers.repeats,
                   "ms_per_image": float(np.median(answers.cycles)) / board.info.clock_hz * 1e3,
                   "stack_used": usage.stack_used, "profile": [{"layer": name, "cycles": c} for name, c in board.profile()]}
        machine = getattr(board.link, "machine", None)
        if machine:
            result |= {"instructions": machine.instructions,
                       "functions": [vars(p) for p in machine.profile()[:6]]}
    with Board(url, "student", trace=trace) as board:
        _check("student protocol", board.labels(images).tolist(), expected.argmax(axis=1).tolist())
    return result


def _check(what, got, expected):
    if got != expected:
        raise CheckFailed(f"{what}: the board answered {str(got)[:80]}; expected {str(expected)[:80]}")


def describe(result):
    """Return the text of a tour's result."""
    lines = [f"{result['model']} at {result['url']}: {result['clock_hz'] / 1e6:.0f} MHz, {result['flash_bytes']:,} B of flash, "
             f"{result['ram_bytes']:,} B of RAM",
             f"{result['echoes']} echoes, a CRC-32, FPU work, {result['n']} images in both protocols: every answer as NumPy says",
             f"{result['cycles_per_image']:,} cycles an image ({result['ms_per_image']:.2f} ms), "
             f"{result['stack_used']:,} B of stack used"]
    lines += [f"  {row['layer']:<24}{row['cycles']:>12,} cycles" for row in result["profile"]]
    if "functions" in result:
        lines += [f"{result['instructions']:,} instructions in all; most cycles in:"]
        lines += [f"  {f['name']:<24}{f['cycles']:>12,} cycles {f['instructions']:>12,} instructions"
                  for f in result["functions"]]
    return "\n".join(lines)
