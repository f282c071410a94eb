"""Exercises: the wire, frames, the arena, cycles."""
import zlib

from tinyvgg.testing.exercises._registry import BLANK, equal, exercise, expect


@exercise(where="8N1: count every bit that passes for one byte, not only those of the byte",
          how="a start bit goes before the eight and a stop bit after them; baud is bits a second")
def wire_seconds(answer):
    """answer(count, baud) -> seconds for `count` bytes at 8N1."""
    for count, baud in ((12288, 115200), (3072, 115200), (10, 9600)):
        equal(answer(count, baud), 10 * count / baud, f"the seconds for {count} bytes at {baud} baud")


@exercise(where="the example above: its first byte says where the first zero was; what follows the last zero is a piece as well",
          how="cut the data at its zeros, keep empty pieces, and let each piece follow a byte that is one more than its length")
def cobs(answer):
    """answer(data) -> data without zero bytes (up to 253 bytes between zeros)."""
    for data in (b"", b"\0", b"abc", b"a\0b", b"\0\0", b"ab\0\0c\0", bytes(range(1, 200)) + b"\0" + bytes(range(1, 50))):
        out = b"".join(bytes([len(part) + 1]) + part for part in data.split(b"\0"))
        found = answer(data)
        expect(found is not None and found is not Ellipsis, BLANK)
        expect(isinstance(found, bytes | bytearray), f"{data[:12]!r} became a {type(found).__name__}; expected bytes")
        expect(b"\0" not in found, f"a zero byte is left in the answer for {data[:12]!r}")
        expect(len(found) == len(out), f"{data[:12]!r} became {len(found)} bytes; expected {len(out)}")
        at = next((i for i, (a, b) in enumerate(zip(found, out, strict=True)) if a != b), None)
        expect(at is None, f"{data[:12]!r} became {bytes(found)[:14]!r}: byte {at} is wrong")


@exercise(where="the start value, the order of shift and test, the polynomial for bits that leave on the right, the end",
          how="per byte: XOR into the low end, then eight times look at the lowest bit before the shift; complement at the end")
def checksum(answer):
    """answer(data) -> CRC-32, reflected 0xEDB88320, bit by bit."""
    for data in (b"", b"123456789", bytes(range(256))):
        equal(answer(data), zlib.crc32(data), f"the CRC of {len(data)} bytes, {data[:9]!r}", tolerance=0)


@exercise(where="while a layer runs, which tensors must be there at once?",
          how="look at each tensor with the one made from it, and ask which moment is the worst; a chain of one is its own")
def arena_bytes(answer):
    """answer(sizes) -> the least RAM for a chain of tensors, each made from the one before."""
    for sizes in ([3072, 32768, 8192, 8192, 4096, 10], [10], [5, 5], [100, 1, 1, 100]):
        pairs = [a + b for a, b in zip(sizes, sizes[1:], strict=False)] or sizes
        equal(answer(sizes), max(pairs), f"the bytes for a chain of {sizes}", tolerance=0)


@exercise(where="the units: what are cycles divided by cycles a second?", how="seconds first, then thousandths of them")
def milliseconds(answer):
    """answer(cycles, clock_hz) -> ms."""
    equal(answer(44_243_040, 120_000_000), 368.692, "the time of 44,243,040 cycles at 120 MHz")
    equal(answer(8_000_000, 16_000_000), 500, "the time of 8,000,000 cycles at 16 MHz")
