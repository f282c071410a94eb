"""From an ELF to the files of flash tools, .bin and Intel .hex, and a readable .map; checks the sizes against the board."""
from pathlib import Path

import numpy as np

from tinyvgg.errors import BuildError, FormatError
from tinyvgg.firmware.elf import Elf
from tinyvgg.firmware.facts import BOARDS, board_facts

__all__ = ["BOARDS", "board_facts", "check_budget", "check_fits", "sizes", "to_binary", "to_hex", "to_map", "write_images"]

def sizes(elf):
    """Return {"flash_bytes", "ram_bytes", "stack_bytes"}. Flash: bytes that a loader writes; RAM: variables, stack and code in
    RAM."""
    flash = sum(len(s.data) for s in elf.segments)
    ram = sum(s.size for s in elf.sections if s.allocated and s.address >= 0x20000000)
    ram += sum(s.size for s in elf.sections if s.allocated and 0x10000000 <= s.address < 0x20000000)
    stack = sum(s.size for s in elf.sections if s.name == ".stack")
    return {"flash_bytes": flash, "ram_bytes": ram, "stack_bytes": stack}


def check_fits(elf, facts):
    """Raise FormatError if an ELF is for another board or does not fit its memories; every byte must lie in flash or RAM."""
    if not any(s.data and s.load == facts.flash["origin"] for s in elf.segments):
        first = min((s.load for s in elf.segments), default=0)
        raise FormatError(f"{elf.path} is for another board: it loads at {first:#010x}, the {facts.part} starts from "
                          f"{facts.flash['origin']:#010x}", f"tinyvgg firmware build MODEL --board {facts.name}")
    for s in elf.segments:
        for what, at, size in (("flash", s.load, len(s.data)), ("memory", s.address, s.size)):
            if size and not any(_inside(at, size, m) for m in (facts.flash, facts.ram, facts.ramcode)):
                raise FormatError(f"{elf.path} does not fit the {facts.part}: a part of {size:,} bytes at {at:#010x} lies "
                                  f"outside its {what}", f"tinyvgg firmware build MODEL --board {facts.name}")
    check_budget(sizes(elf), facts.flash["length"], facts.ram["length"], facts.part)


def check_budget(used, flash, ram, where):
    """Raise BuildError, which names the missing bytes, if `used` (from sizes()) exceeds `flash` or `ram` bytes."""
    for name, limit in (("flash", flash), ("ram", ram)):
        over = used[f"{name}_bytes"] - limit
        if over > 0:
            kind = "RAM" if name == "ram" else "flash"
            raise BuildError(f"the image needs {limit + over:,} bytes of {kind}; {where} has {limit:,}: {over:,} are missing",
                             smaller(name == "flash"))


def smaller(flash):
    """Return a suggestion for firmware that is too large. flash: whether flash or RAM is too small."""
    return "tinyvgg compress --scheme shared4, or another plan" if flash else "a smaller arena or stack"


def _inside(at, size, memory):
    return memory["origin"] <= at and at + size <= memory["origin"] + memory["length"]


def to_binary(elf):
    """Return (origin, bytes): the flash from its first to its last byte; gaps are erased flash (0xFF)."""
    parts = [(s.load, s.data) for s in elf.segments if s.data]
    origin, end = min(p for p, _ in parts), max(p + len(d) for p, d in parts)
    if end - origin > 16 << 20:
        raise FormatError(f"{elf.path} spans {end - origin:,} bytes of addresses; expected one flash")
    image = bytearray(b"\xff" * (end - origin))
    for at, data in parts:
        image[at - origin:at - origin + len(data)] = data
    return origin, bytes(image)


def to_hex(origin, data, entry):
    """Return the bytes as Intel HEX text, 16 bytes a record."""
    lines, upper = [], None
    for i, record in enumerate(_data_records(origin, data)):
        address = origin + 16 * i
        if address >> 16 != upper:
            upper = address >> 16
            lines.append(_record(4, 0, upper.to_bytes(2, "big")))
        lines.append(record)
    lines += [_record(5, 0, entry.to_bytes(4, "big")), _record(1, 0, b"")]
    return "\n".join(lines) + "\n"


def _data_records(origin, data):
    """Return the records of `data`, 16 bytes each but for the last."""
    whole = len(data) // 16
    rows, addresses = np.zeros((whole, 21), np.uint8), (origin + 16 * np.arange(whole)) & 0xFFFF
    rows[:, 0], rows[:, 1], rows[:, 2] = 16, addresses >> 8, addresses & 255
    rows[:, 4:20] = np.frombuffer(data, np.uint8, 16 * whole).reshape(whole, 16)
    rows[:, 20] = -rows.sum(axis=1, dtype=np.uint8)
    text, end = rows.tobytes().hex().upper(), 16 * whole
    rest = [_record(0, origin + end & 0xFFFF, data[end:])] if end < len(data) else []
    return [":" + text[i:i + 42] for i in range(0, len(text), 42)] + rest


def _record(kind, address, data):
    body = bytes([len(data), address >> 8, address & 255, kind]) + data
    return ":" + (body + bytes([-sum(body) & 255])).hex().upper()


def to_map(elf):
    """Return a readable map: sections, then symbols by address."""
    lines = ["section              address       bytes"]
    lines += [f"{s.name:<20} {s.address:#010x} {s.size:>11,}" for s in elf.sections if s.allocated and s.size]
    lines += ["", "symbol                                       address       bytes"]
    ordered = sorted(elf.every_symbol, key=lambda s: (s.address, s.name))
    lines += [f"{s.name:<44} {s.address:#010x} {s.size:>11,}" for s in ordered]
    return "\n".join(lines) + "\n"


def write_images(elf_path):
    """Write .bin, .hex and .map beside an ELF and return the Elf."""
    from tinyvgg.report.record import write_bytes
    elf = Elf(elf_path)
    origin, data = to_binary(elf)
    stem = Path(elf_path).with_suffix("")
    write_bytes(stem.with_suffix(".bin"), data)
    write_bytes(stem.with_suffix(".hex"), to_hex(origin, data, elf.entry))
    write_bytes(stem.with_suffix(".map"), to_map(elf))
    return elf
