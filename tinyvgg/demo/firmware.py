"""Build firmware for the STM32L4R9 and map what lies in its flash."""

from tinyvgg.errors import BuildError, MissingExtra
from tinyvgg.firmware.build import find_compiler
from tinyvgg.firmware.elf import Elf
from tinyvgg.firmware.image import board_facts
from tinyvgg.firmware.network import build_network

NEEDS, WISHES = ("compress",), ()
SCHEMES, BOARD = ("int8", "shared4", "none"), "stm32l4r9i-disco"


def run(story):
    """Return one row an image: its sizes and files, or why it cannot be built; and the flash map of the first."""
    try:
        find_compiler()
    except BuildError as error:
        raise MissingExtra(error.problem, error.hint) from error
    folder, facts = story.folder("firmware"), board_facts(BOARD)
    rows = [_one(story, scheme, folder) for scheme in SCHEMES[: 2 if story.settings.quick else None]]
    built = [row for row in rows if "elf" in row]
    return {
        "rows": rows,
        "flash_bytes": facts.flash["length"],
        "ram_bytes": facts.ram["length"],
        "map": flash_map(built[0]["elf"], built[0]["scheme"], facts) if built else [],
        "failed": [
            f"no firmware for {row['scheme']}: {row['refused']}" for row in rows if "elf" not in row and row["scheme"] != "none"
        ],
    }


def _one(story, scheme, folder):
    command = f"tinyvgg firmware build {story.tvq(scheme)} --plan direct --name {scheme} --out {folder}"
    try:
        network = build_network(story.compressed(scheme), folder, name=scheme, board=BOARD)
    except BuildError as error:
        return {"scheme": scheme, "refused": error.problem, "command": command}
    return {"scheme": scheme, **network.as_dict(), "command": command}


def flash_map(path, name, facts):
    """Return [{"name", "start", "bytes", "kind"}] of what an image keeps in flash, by address; start is an offset."""
    elf = Elf(path)
    origin, found = facts.flash["origin"], {}
    for symbol in elf.symbols.values():
        if origin <= symbol.address < origin + facts.flash["length"] and symbol.size:
            start = symbol.address - origin
            if start not in found or found[start]["bytes"] < symbol.size:
                found[start] = {"name": symbol.name, "start": start, "bytes": symbol.size, "kind": _kind(symbol, name)}
    return [found[start] for start in sorted(found)]


def _kind(symbol, name):
    if symbol.is_function or symbol.name == "vectors":
        return "code"
    if not symbol.name.startswith(f"{name}_"):
        return "tables"
    layer = symbol.name.removeprefix(f"{name}_").rsplit("_", 1)[0]
    return "convolutions" if "conv" in layer else "dense layers" if "dense" in layer else "tables"
