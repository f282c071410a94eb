"""Firmware without an ELF: .bin and Intel .hex, as flash tools use them; and `open_image` for all three formats."""
from pathlib import Path

from tinyvgg.errors import FormatError
from tinyvgg.firmware.elf import Elf, Segment, contents

_LARGEST_SPAN = 16 << 20


class Raw:
    """The bytes of a flash image with the interface of an Elf: `segments`, but no symbols, sections or board facts."""

    board_text = None

    def __init__(self, path, segments):
        self.path, self.segments = Path(path), segments
        self.symbols, self.every_symbol, self.sections = {}, [], []

    def function_at(self, address):
        """Return None, because there are no symbols."""


def open_image(path, origin=0x08000000):
    """Read an .elf, a .hex or a .bin (which begins at `origin`, the first address of the flash); raise FormatError for others."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".hex":
        return Raw(path, _hex_segments(path, contents(path)))
    if suffix == ".bin":
        data = contents(path)
        if len(data) < 8:
            raise FormatError(f"{path} has {len(data)} bytes; a flash image begins with a vector table")
        if data[:4] == b"\x7fELF":
            raise FormatError(f"{path} is an ELF file", "rename it to .elf")
        return Raw(path, [Segment(origin, origin, data, len(data))])
    return Elf(path)


def _hex_segments(path, data):
    """Return the segments of Intel HEX: data, extended addresses, start addresses, one end record; checksums must be correct."""
    base, parts, ended = 0, [], False
    for number, line in enumerate(data.splitlines(), 1):
        line = line.strip()
        if not line:
            continue
        body = _record(path, number, line)
        kind, address, payload = body[3], body[1] << 8 | body[2], bytes(body[4:-1])
        if ended:
            raise FormatError(f"{path}, line {number}: a record after the end")
        if kind == 0:
            if parts and parts[-1][0] + len(parts[-1][1]) == base + address:
                parts[-1][1].extend(payload)
            elif payload:
                parts.append((base + address, bytearray(payload)))
        elif kind in (2, 4) and len(payload) == 2:
            base = int.from_bytes(payload, "big") << (4 if kind == 2 else 16)
        elif kind == 1:
            ended = True
        elif kind not in (3, 5):
            raise FormatError(f"{path}, line {number}: a record of kind {kind}; expected 0 to 5")
    if not ended or not parts:
        raise FormatError(f"{path} is not a complete Intel HEX file: {'it has no data' if ended else 'its end is missing'}")
    low, high = min(a for a, _ in parts), max(a + len(d) for a, d in parts)
    if high - low > _LARGEST_SPAN:
        raise FormatError(f"{path} spans {high - low:,} bytes of addresses; expected one flash")
    return [Segment(a, a, bytes(d), len(d)) for a, d in parts]


def _record(path, number, line):
    try:
        if line[:1] != b":":
            raise ValueError
        body = bytes.fromhex(line[1:].decode("ascii"))
        if len(body) < 5 or len(body) != body[0] + 5 or sum(body) & 255:
            raise ValueError
    except ValueError:
        raise FormatError(f"{path}, line {number}, is not a record of Intel HEX, or is damaged") from None
    return body
