"""What the flash adds to a layer, by formula: words of weights it reads, and code that runs from flash (families/NAME/stalls.toml)."""
import tomllib
from dataclasses import dataclass

from tinyvgg.firmware.facts import board_facts


@dataclass(frozen=True)
class Stalls:
    """Cycles that the flash adds for each of what is counted, by kind of kernel; `code`: where kernels made for their shape run.

    code_limit: bytes of such kernels that fit there; ram_limit: bytes at which variables must end beside them (None: in flash);
    held_limit: bytes of weights that may be held in the RAM behind them.
    """
    kinds: dict
    code: str
    code_limit: int | None = None
    ram_limit: int | None = None
    held_limit: int = 0

    def of(self, kind, counted):
        """Cycles that the flash adds to a layer of a kind."""
        return sum(counted.get(what, 0) * each for what, each in self.kinds.get(kind, {}).items())


def load_stalls(board, code="sram2", bank="dual"):
    """Return the Stalls of a board (name or folder) for kernels in "sram2" or "flash" and the flash as "dual" or "single" banks."""
    facts = board_facts(board)
    path = facts.sources / "stalls.toml"
    kinds = tomllib.loads(path.read_text(encoding="utf-8")).get(code, {}).get(bank, {}) if path.is_file() else {}
    if code == "flash":
        return Stalls(kinds, code)
    alias = facts.ramcode["in_ram"]
    return Stalls(kinds, code, facts.ramcode["length"], facts.ram["length"] if alias is None else alias,
                  facts.held["length"])
