"""Cycles that the flash adds to a layer, by formula, for words of weights and for code in flash (families/NAME/stalls.toml)."""
import tomllib
from dataclasses import dataclass

from tinyvgg.firmware.facts import board_facts


@dataclass(frozen=True)
class Stalls:
    """Cycles that the flash adds for each count, by kind of kernel. code: where kernels compiled for one shape run.

    code_limit: bytes of such kernels that fit there; ram_limit: bytes at which variables must end, next to these kernels (None:
    kernels are in flash); held_limit: bytes of weights that may be held in the RAM after them.
    """
    kinds: dict
    code: str
    code_limit: int | None = None
    ram_limit: int | None = None
    held_limit: int = 0

    def of(self, kind, counted):
        """Return the cycles that the flash adds to a layer of a kind."""
        return sum(counted.get(what, 0) * each for what, each in self.kinds.get(kind, {}).items())


def load_stalls(board, code="sram2", bank="dual"):
    """Return the Stalls of a board (name or folder), with kernels in "sram2" or "flash" and the flash as "dual" or "single"
    bank."""
    facts = board_facts(board)
    path = facts.sources / "stalls.toml"
    kinds = tomllib.loads(path.read_text(encoding="utf-8")).get(code, {}).get(bank, {}) if path.is_file() else {}
    if code == "flash":
        return Stalls(kinds, code)
    alias = facts.ramcode["in_ram"]
    return Stalls(kinds, code, facts.ramcode["length"], facts.ram["length"] if alias is None else alias,
                  facts.held["length"])
