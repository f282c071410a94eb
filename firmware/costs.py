"""The cost of a layer on a board: cycles by a calibrated formula, and the exact bytes of constants and scratch.

Cycles are a sum of counts (products, values gathered, results ...) times coefficients. Each kind of kernel has a set of
coefficients. benchmarks/plan_costs.py fits them, and the sizes of code, to the virtual board at zero wait states and writes
families/*/costs.toml. Kind and counts come from the Step that an op's emitter (codegen/ops) returns.
"""
import tomllib
from dataclasses import dataclass, field

from tinyvgg.codegen.variants import layer_alone
from tinyvgg.errors import NotYet
from tinyvgg.firmware.image import board_facts

OF_FLASH = {"read"}         # counts that only matter for the flash's wait states
DECODING = {"decoded", "tables"}        # weights decoded, and tables made for decoding; they cost the same in every kernel
LAYER_RAM = 8               # bytes that firmware keeps for a layer: its cycles and its checksum


@dataclass(frozen=True)
class Cost:
    """The cost of one layer as one variant: cycles for an image at zero wait states, bytes of flash (constants and code), bytes
    of scratch in the arena, cycles that the flash adds, bytes of code for this layer alone, and bytes of weights held in RAM."""
    cycles: float
    flash: int
    scratch: int
    stalls: float = 0.0
    code: int = 0
    held: int = 0

    @property
    def time(self):
        """Cycles, including those that the flash adds."""
        return self.cycles + self.stalls


@dataclass(frozen=True)
class Table:
    """The fitted coefficients of a board and compiler. tolerance: the largest relative error of a fitted layer; decoding: the
    coefficients of DECODING."""
    cycles: dict
    code: dict
    base_flash: int
    base_ram: int
    tolerance: float
    decoding: dict = field(default_factory=dict)


def load_table(board, compiler="zig"):
    """Return the Table of a board for "zig" or "gcc"; coefficients that a compiler lacks are taken from zig."""
    facts = board_facts(board)
    own = facts.folder / "costs.toml"
    tables = tomllib.loads((own if own.is_file() else facts.sources / "costs.toml").read_text(encoding="utf-8"))
    chosen = tables.get(compiler, tables["zig"])
    return Table(**chosen | {part: tables["zig"][part] | chosen[part] for part in ("cycles", "code")})


def layer_cost(graph, name, variant, table, stalls=None):
    """Return the Cost of the layer called `name` of a Graph, if it runs as `variant`; raise NotYet without coefficients for it.

    stalls: a firmware.stalls.Stalls, the cycles that the flash adds; None: none.
    """
    kind, counted, constants, scratch, held = measure(graph, name, variant)
    op, known = graph[name], table.cycles.get(kind)
    known = known and known | table.decoding
    if not counted:
        raise NotYet(f"no cost for {type(op).__name__} ({name!r}): the Step of its emitter in codegen/ops/ has no counts")
    if known is None or kind not in table.code or set(counted) - set(known) - OF_FLASH:
        raise NotYet(f"no cost for {type(op).__name__} ({name!r}): the board's costs.toml has no {kind!r} with coefficients for "
                     f"{', '.join(counted)}", "python benchmarks/plan_costs.py, which measures and writes them")
    own = table.code[kind] if kind.startswith(("direct16", "winograd")) else 0
    return Cost(sum(n * known[what] for what, n in counted.items() if what not in OF_FLASH), constants + table.code[kind], scratch,
                stalls.of(kind, counted) if stalls else 0.0, own, held)


def measure(graph, name, variant):
    """Return (kind, {what: how many}, bytes of constants, of scratch, of weights held in RAM) of a layer that runs as
    `variant`."""
    op, program, step = layer_alone(graph, name, variant)
    return step.kind, step.counts, program.constant_bytes(op), step.scratch, program.held_bytes(op)
