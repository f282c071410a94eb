"""Exercises: the wire, frames, the arena, cycles."""
import zlib

from tinyvgg.testing.exercises._registry import equal, exercise, expect


@exercise
def wire_seconds(answer):
    """answer(count, baud) -> seconds for `count` bytes at 8N1."""
    for count, baud in ((12288, 115200), (3072, 115200), (10, 9600)):
        equal(answer(count, baud), 10 * count / baud, "8N1: a start bit, eight data bits, a stop bit")


@exercise
def cobs(answer):
    """answer(data) -> data without zero bytes (up to 253 bytes between zeros)."""
    for data in (b"", b"\0", b"abc", b"a\0b", b"\0\0", b"ab\0\0c\0", bytes(range(1, 200)) + b"\0" + bytes(range(1, 50))):
        out = b"".join(bytes([len(part) + 1]) + part for part in data.split(b"\0"))
        found = answer(data)
        expect(found is not None, "nothing was returned: fill in the blank")
        expect(b"\0" not in bytes(found), f"{data!r}: a zero byte is left")
        expect(bytes(found) == out, f"{data[:12]!r} became {bytes(found)[:14]!r}; expected {out[:14]!r}: each run of non-zero "
               "bytes stands behind its length + 1")


@exercise
def checksum(answer):
    """answer(data) -> CRC-32, reflected 0xEDB88320, bit by bit."""
    for data in (b"", b"123456789", bytes(range(256))):
        equal(answer(data), zlib.crc32(data), f"the CRC of {data[:9]!r}: start at 0xFFFFFFFF, complement at the end", tolerance=0)


@exercise
def arena_bytes(answer):
    """answer(sizes) -> the least RAM for a chain of tensors, each made from the one before."""
    for sizes in ([3072, 32768, 8192, 8192, 4096, 10], [10], [5, 5], [100, 1, 1, 100]):
        pairs = [a + b for a, b in zip(sizes, sizes[1:], strict=False)] or sizes
        equal(answer(sizes), max(pairs), f"{sizes}: while a layer runs, its input and its output are alive, and nothing else",
              tolerance=0)


@exercise
def milliseconds(answer):
    """answer(cycles, clock_hz) -> ms."""
    equal(answer(44_243_040, 120_000_000), 368.692, "cycles / Hz are seconds")
