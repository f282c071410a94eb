"""What a layer costs on a board: cycles by a calibrated formula, constants and scratch as code generation lays them out.

Cycles are a sum of counts (products, values gathered, results ...) times coefficients, a set for each kind of kernel, fitted to
the virtual board's cycles (zero wait states) by benchmarks/plan_costs.py, which writes families/*/costs.toml; so is the size of code.
Kind and counts are facts of the Step that an op's emitter (codegen/ops) returns.
"""
import tomllib
from dataclasses import dataclass, field, replace

from tinyvgg.codegen.program import Program, emit
from tinyvgg.errors import NotYet
from tinyvgg.firmware.image import board_facts

OF_FLASH = {"read"}         # what is counted for the flash's sake alone
DECODING = {"decoded", "tables"}        # weights decoded and tables made for it, the same in every kernel
LAYER_RAM = 8               # bytes that firmware keeps for a layer: its cycles and its checksum


@dataclass(frozen=True)
class Cost:
    """One layer as one variant: cycles an image at zero wait states, bytes of flash (constants and code), bytes of scratch in the
    arena; cycles that the flash adds; bytes of code of its own; bytes of weights that are held in RAM."""
    cycles: float
    flash: int
    scratch: int
    stalls: float = 0.0
    code: int = 0
    held: int = 0

    @property
    def time(self):
        """Cycles, the flash's included."""
        return self.cycles + self.stalls


@dataclass(frozen=True)
class Table:
    """The fitted coefficients of a board and compiler; `tolerance`: the largest share by which a fitted layer is off; `decoding`: those of
    DECODING."""
    cycles: dict
    code: dict
    base_flash: int
    base_ram: int
    tolerance: float
    decoding: dict = field(default_factory=dict)


def load_table(board, compiler="zig"):
    """Return the Table of a board for "zig" or "gcc"; zig's where the compiler has none, or none of a kind of layer."""
    facts = board_facts(board)
    own = facts.folder / "costs.toml"
    tables = tomllib.loads((own if own.is_file() else facts.sources / "costs.toml").read_text(encoding="utf-8"))
    chosen = tables.get(compiler, tables["zig"])
    return Table(**chosen | {part: tables["zig"][part] | chosen[part] for part in ("cycles", "code")})


def layer_cost(graph, name, variant, table, stalls=None):
    """Return the Cost of the layer called `name` of a Graph if it ran as `variant`; NotYet where its coefficients are not known.

    stalls: what the flash adds, of firmware.stalls; None for none.
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
    """Return (kind, {what is counted: how many}, bytes of constants, of scratch, of weights held in RAM) of a layer as `variant`."""
    import tinyvgg.codegen.ops  # noqa: F401  (registers the emitters)
    op = replace(graph[name], variant=variant) if hasattr(graph[name], "variant") else graph[name]
    program = Program(replace(graph, ops=tuple(op if o.name == name else o for o in graph.ops)), "cost")
    step = emit(op, program)
    return step.kind, step.counts, program.constant_bytes(op), step.scratch, program.held_bytes(op)
