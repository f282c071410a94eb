"""Reads the ELF files that the compilers write: 32-bit little-endian ARM executables. Every offset is checked before use."""
import struct
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

from tinyvgg.errors import FormatError
from tinyvgg.report.untrusted import check_regular

_LARGEST = 64 << 20
_LONGEST_NAME = 1024
_MOST_SYMBOLS = 1 << 17
BOARD_SECTION = ".tinyvgg.board"
_LARGEST_BOARD = 1 << 16
_ARM, _EXECUTABLE, _LOAD, _ALLOC, _NOBITS = 40, 2, 1, 2, 8
_TEXT_FLAG, _SYMBOLS, _FUNCTION = 4, 2, 2


@dataclass(frozen=True)
class Section:
    """A named part: its address, its size in bytes, and whether the file contains its bytes."""
    name: str
    address: int
    size: int
    in_file: bool
    allocated: bool


@dataclass(frozen=True)
class Segment:
    """Bytes that a loader writes at `load` and that are used at `address`; memory from len(data) to `size` is zero or unset."""
    address: int
    load: int
    data: bytes
    size: int


@dataclass(frozen=True)
class Symbol:
    """A named address; the lowest bit of Thumb functions is cleared here."""
    name: str
    address: int
    size: int
    is_function: bool


class Elf:
    """An executable for a Cortex-M: `segments`, `sections`, `symbols` {name: Symbol}, `function_at(address)`.

    Local functions of several C files may share a name: `symbols` has one of them, `every_symbol` has all, as the file lists them.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.bytes = contents(self.path)
        if len(self.bytes) < 52 or self.bytes[:4] != b"\x7fELF":
            raise FormatError(f"{self.path} is not an ELF file", "the .elf that `tinyvgg firmware build` or `board demo` writes")
        if self.bytes[4:6] != b"\x01\x01":
            raise FormatError(f"{self.path} is not a 32-bit little-endian ELF file, so not for a Cortex-M")
        header = struct.unpack_from("<HHIIIIIHHHHHH", self.bytes, 16)
        if header[1] != _ARM or header[0] != _EXECUTABLE:
            raise FormatError(f"{self.path} is an ELF file of machine {header[1]}, type {header[0]}; expected an ARM executable "
                              f"({_ARM}, {_EXECUTABLE})")
        self.entry = header[3]
        self.segments = self._segments(header[4], header[8], header[9])
        self.sections, raw = self._sections(header[5], header[10], header[11], header[12])
        self.every_symbol = self._symbols(raw)
        self.symbols = {s.name: s for s in self.every_symbol}
        self.board_text = self._board_text(raw)
        functions = sorted((s.address, s.size, s.name) for s in self.every_symbol if s.is_function)
        self._starts, self._functions = [f[0] for f in functions], functions

    def _board_text(self, raw):
        """Return the board.toml that the build put into section .tinyvgg.board, or None."""
        for section, row in zip(self.sections, raw, strict=True):
            if section.name == BOARD_SECTION and row[5] <= _LARGEST_BOARD:
                return self._slice(row[4], row[5], "the board's facts").rstrip(b"\0").decode("utf-8", "replace")
        return None

    def function_at(self, address):
        """Return the name of the function that contains `address`, or None."""
        i = bisect_right(self._starts, address & ~1) - 1
        if i < 0:
            return None
        start, size, name = self._functions[i]
        return name if (address & ~1) - start < max(size, 2) else None

    def _slice(self, offset, size, what):
        if offset + size > len(self.bytes):
            raise FormatError(f"{self.path} is cut: {what} ends at byte {offset + size} of {len(self.bytes)}")
        return self.bytes[offset:offset + size]

    def _table(self, offset, entry, count, least, what):
        if count and entry < least:
            raise FormatError(f"{self.path} is damaged: {what} entries of {entry} bytes, expected {least}")
        table = self._slice(offset, entry * count, what)
        return [table[i * entry:i * entry + least] for i in range(count)]

    def _segments(self, offset, entry, count):
        found, total = [], 0
        for row in self._table(offset, entry, count, 32, "the program header table"):
            kind, start, address, load, in_file, in_memory, *_ = struct.unpack("<8I", row)
            if kind == _LOAD and in_memory:
                total += in_file
                if total > len(self.bytes):
                    raise FormatError(f"{self.path} is damaged: its segments overlap in the file")
                found.append(Segment(address, load, self._slice(start, in_file, "a segment"), in_memory))
        return found

    def _sections(self, offset, entry, count, names):
        raw = [struct.unpack("<10I", row) for row in self._table(offset, entry, count, 40, "the section table")]
        text = self._slice(raw[names][4], raw[names][5], "the section names") if names < len(raw) else b""
        sections = [Section(_text(text, r[0]), r[3], r[5], r[1] != _NOBITS, bool(r[2] & _ALLOC)) for r in raw]
        return sections, raw

    def _symbols(self, raw):
        found = []
        for row in raw:
            if row[1] != _SYMBOLS or not row[9] >= 16 or row[6] >= len(raw):
                continue
            table, texts = self._slice(row[4], row[5], "the symbol table"), raw[row[6]]
            text = self._slice(texts[4], texts[5], "the symbol names")
            if len(table) // 16 > _MOST_SYMBOLS:
                raise FormatError(f"{self.path} has {len(table) // 16:,} symbols; firmware has at most {_MOST_SYMBOLS:,}")
            for name, value, size, info, _, section in struct.iter_unpack("<IIIBBH", table[:len(table) // 16 * 16]):
                label = _text(text, name)
                if label and not label.startswith("$") and section:
                    is_function = info & 15 == _FUNCTION
                    found.append(Symbol(label, value & ~1 if is_function else value, size, is_function))
            break                                                # a file has one symbol table
        return found


def contents(path):
    """Return the bytes of a firmware file; raise FormatError if it cannot be read or is larger than any firmware."""
    try:
        if path.exists():
            check_regular(path)
        if path.stat().st_size > _LARGEST:
            raise FormatError(f"{path} has {path.stat().st_size:,} bytes; a firmware image is smaller than {_LARGEST:,}")
        return path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror or error}", "tinyvgg board demo") from error


def _text(table, offset):
    if offset >= len(table):
        return ""
    return table[offset:offset + _LONGEST_NAME].split(b"\0", 1)[0].decode("ascii", "replace")
