"""Boards, one TOML file each: flash, RAM, clock, core, and the source of the figures."""

import difflib
import tomllib
from dataclasses import MISSING, dataclass, fields
from pathlib import Path

from tinyvgg.errors import FormatError, OptionError

HINT = "title, mcu, core, clock_hz, flash_bytes, ram_bytes, as in tinyvgg/analyze/boards/"

@dataclass(frozen=True)
class Board:
    """A board: bytes of flash and of the RAM that one buffer can use, clock in Hz, core ("cortex-m4f"), source of the figures."""

    name: str
    title: str
    mcu: str
    core: str
    clock_hz: int
    flash_bytes: int
    ram_bytes: int
    series: str = ""
    note: str = ""
    source: str = ""


def names():
    """Return the names of all boards."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.toml"))


def load(name):
    """Return the Board called `name`, or the one in a .toml file, or in the folder of a firmware board; raise OptionError,
    FormatError."""
    if (Path(name) / "board.toml").is_file():
        return _of_firmware(Path(name) / "board.toml")
    path = Path(name) if str(name).endswith(".toml") else Path(__file__).parent / f"{name}.toml"
    if not str(name).endswith(".toml") and name not in names():
        near = difflib.get_close_matches(name, names(), 1, 0.4)
        raise OptionError(
            f"there is no board {name!r}; known are {', '.join(names())}",
            f"--board {near[0]}" if near else "a .toml file of your own, see tinyvgg/analyze/boards/",
        )
    try:
        described = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FormatError(f"{path} does not describe a board: {error}", HINT) from error
    known = {field.name: field.default is MISSING for field in fields(Board) if field.name != "name"}
    missing = [key for key, needed in known.items() if needed and key not in described]
    if missing or not set(described) <= set(known):
        found = f"it lacks {', '.join(missing)}" if missing else f"no board has {sorted(set(described) - set(known))[0]}"
        raise FormatError(f"{path} does not describe a board: {found}", HINT)
    board = Board(name=path.stem, **described)
    if not all(isinstance(v, int) and v > 0 for v in (board.clock_hz, board.flash_bytes, board.ram_bytes)):
        raise FormatError(f"{path}: clock_hz, flash_bytes and ram_bytes must be positive whole numbers")
    return board


def _of_firmware(path):
    """The Board that a folder for firmware describes (docs/adding-a-board.md)."""
    try:
        facts = tomllib.loads(path.read_text(encoding="utf-8"))
        sizes = facts["clock_hz"], facts["flash"]["length"], facts["ram"]["length"]
        found = Board(str(facts["name"]), str(facts["name"]).upper(), str(facts["part"]), "cortex-m4f", *sizes, series=str(facts["family"]))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise FormatError(f"{path} does not describe a board: {error}", "docs/adding-a-board.md") from error
    if not all(type(v) is int and v > 0 for v in sizes):
        raise FormatError(f"{path}: clock_hz and the lengths of flash and ram must be positive whole numbers")
    return found
