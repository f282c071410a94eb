"""Plan kernels, build firmware for the STM32L4R9, and map what lies in its flash."""

from dataclasses import dataclass

from tinyvgg.errors import BudgetError, BuildError, MissingExtra
from tinyvgg.firmware.build import find_compiler
from tinyvgg.firmware.elf import Elf
from tinyvgg.firmware.image import board_facts
from tinyvgg.firmware.network import build_network
from tinyvgg.firmware.plan import apply_plan, make_plan

NEEDS, WISHES = ("compress",), ()
BOARD = "stm32l4r9i-disco"
ALIGNED = 8  # bytes: the coarsest alignment of what the firmware keeps in flash
CODE = (".text", ".ramcode")
UNNAMED = {".ARM.exidx": "table that compilers add for C++ exceptions, unused"}


@dataclass(frozen=True)
class Wanted:
    """A firmware to build: its name in C, the scheme of its model, whether its kernels are planned, a budget of flash in KiB."""

    name: str
    scheme: str
    planned: bool = True
    flash: int | None = None


IMAGES = (
    Wanted("int8_fast", "int8"),
    Wanted("int8_512k", "int8", flash=512),
    Wanted("int8_direct", "int8", planned=False),
    Wanted("shared4_256k", "shared4", flash=256),
    Wanted("floats", "none", planned=False),
)


def run(story):
    """Return one row for each firmware: its sizes and files, or why it cannot be built; the plans; the flash map of the first."""
    try:
        find_compiler()
    except BuildError as error:
        raise MissingExtra(error.problem, error.hint) from error
    facts = board_facts(BOARD)
    rows = [_one(story, wanted) for wanted in (IMAGES[:1] + IMAGES[3:4] if story.settings.quick else IMAGES)]
    built = [row for row in rows if "elf" in row]
    return {
        "rows": rows,
        "flash_bytes": facts.flash["length"],
        "ram_bytes": facts.ram["length"],
        "map": flash_map(built[0]["elf"], built[0]["name"], facts) if built else [],
        "failed": [f"no firmware {row['name']}: {row['refused']}" for row in rows if "elf" not in row and row["scheme"] == "int8"],
    }


def _one(story, wanted):
    """Plan and build one firmware."""
    folder, model, made = story.folder("firmware"), story.compressed(wanted.scheme), None
    budget = f" --flash {wanted.flash}K" if wanted.flash else ""
    row = {
        "name": wanted.name,
        "scheme": wanted.scheme,
        "command": f"tinyvgg firmware build {story.tvq_name(wanted.scheme)} --name {wanted.name}{budget} "
        f"--plan {'auto' if wanted.planned else 'direct'} --out {story.inside('firmware')}",
    }
    flash = wanted.flash and 1024 * wanted.flash
    try:
        if wanted.planned:
            made = make_plan(model, board=BOARD, flash=flash, name=wanted.name)
            model = apply_plan(model, made.plan)
        network = build_network(model, folder, name=wanted.name, board=BOARD, flash=flash, replace=True)
    except (BuildError, BudgetError) as error:
        return {**row, "refused": error.problem}
    return {**row, **network.as_dict(), **_planned(story, wanted, made, budget)}


def _planned(story, wanted, made, budget):
    """What the plan says: predicted cycles, kernels of layers, and all Pareto-optimal plans."""
    if made is None:
        return {"plan": None}
    command = (
        f"tinyvgg firmware plan {story.tvq_name(wanted.scheme)}{budget} --out {story.inside('firmware', f'plan_{wanted.name}')}"
    )
    front = [{"ms": made.ms(plan), "flash_bytes": plan.flash_bytes, "ram_bytes": plan.ram_bytes} for plan in made.front]
    return {"plan": {"command": command, "ms": made.ms(made.plan), "front": front, "layers": made.layers()}}


def flash_map(path, name, facts):
    """Return [{"name", "start", "bytes", "kind"}] of what a firmware keeps in flash, by address; start is an offset.

    What is copied to RAM at the start is counted at its place in flash. Bytes that no symbol covers are parts too: see _unnamed.
    """
    elf = Elf(path)
    origin, found = facts.flash["origin"], {}
    for symbol in elf.every_symbol:
        start = _stored(elf, symbol.address) - origin
        if 0 <= start < facts.flash["length"] and symbol.size and (start not in found or found[start]["bytes"] < symbol.size):
            found[start] = {"name": symbol.name, "start": start, "bytes": symbol.size, "kind": _kind(symbol, name)}
    written = max((s.load + len(s.data) - origin for s in elf.segments if 0 <= s.load - origin < facts.flash["length"]), default=0)
    sections = sorted((_stored(elf, s.address) - origin, s.name) for s in elf.sections if s.allocated and s.in_file and s.size)
    return _without_gaps([found[start] for start in sorted(found)], written, sections)


def _without_gaps(parts, end, sections):
    """Parts by address, and between them up to `end` the bytes that no symbol covers."""
    whole, at = [], 0
    for part in [*parts, {"start": end, "bytes": 0}]:
        if part["start"] > at:
            whole.append({"start": at, "bytes": part["start"] - at, **_unnamed(at, part["start"] - at, sections)})
        whole += [part] if part["bytes"] else []
        at = max(at, part["start"] + part["bytes"])
    return whole


def _unnamed(start, size, sections):
    """Name and kind of `size` bytes at offset `start` that no symbol covers, for which there are three reasons.

    The next part must begin at an aligned address; the compiler gives texts and tables of its own no symbol; assembly gives some code none.
    """
    if size < ALIGNED:
        return {"name": f"padding, so that the next part begins at a multiple of 2, 4 or {ALIGNED}", "kind": "padding"}
    section = next((name for at, name in reversed(sections) if at <= start), "")
    if section in CODE:
        return {"name": "code without a name", "kind": "code"}
    return {"name": UNNAMED.get(section, "texts and tables without a name"), "kind": "tables"}


def _stored(elf, address):
    """Where a loader writes the byte of an address; -1 for memory that begins as zeros."""
    return next((s.load + address - s.address for s in elf.segments if s.address <= address < s.address + len(s.data)), -1)


def _kind(symbol, name):
    if symbol.is_function or symbol.name == "vectors":
        return "code"
    if not symbol.name.startswith(f"{name}_"):
        return "tables"
    layer = symbol.name.removeprefix(f"{name}_").rsplit("_", 1)[0]
    return "convolutions" if "conv" in layer else "dense layers" if "dense" in layer else "tables"
