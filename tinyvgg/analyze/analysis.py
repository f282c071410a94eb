"""A network on a board: its cost, by ST's rules or by ours, whether it fits, and which changes would help."""

from dataclasses import dataclass, field
from typing import Any, Literal

from tinyvgg.analyze import boards, ours, runtime, speed, st
from tinyvgg.analyze.advice import best_changes
from tinyvgg.analyze.description import describe
from tinyvgg.errors import OptionError
from tinyvgg.report.shown import briefly

ACTIVATIONS = "the activations are an estimate: how ST places its buffers is not public"
RULES = ("xcubeai", "tinyvgg")
COMPRESSIONS = ("none", "lossless", "low", "medium", "high")


@briefly
@dataclass
class Analysis:
    """The result of `analyze`. Sizes are bytes; `layers` is a list of Cost; `changes` a list of Change, the best first."""

    board: boards.Board
    rules: str
    compression: str
    parameters: int
    macc: int
    weights_bytes: int
    activations_bytes: int
    runtime_flash_bytes: int
    runtime_ram_bytes: int
    layers: list = field(default_factory=list)
    changes: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    peak: st.Peak | None = None

    @property
    def flash_bytes(self) -> int:
        """Weights and the runtime's code and constants."""
        return self.weights_bytes + self.runtime_flash_bytes

    @property
    def ram_bytes(self) -> int:
        """Activations and the runtime's variables."""
        return self.activations_bytes + self.runtime_ram_bytes

    @property
    def missing_flash(self) -> int:
        """Bytes by which the flash is too small, or 0."""
        return max(0, self.flash_bytes - self.board.flash_bytes)

    @property
    def missing_ram(self) -> int:
        """Bytes by which the RAM is too small, or 0."""
        return max(0, self.ram_bytes - self.board.ram_bytes)

    @property
    def fits_is_estimate(self) -> bool:
        """Whether `fits` depends on estimates: of activations, and of the runtime's flash and RAM."""
        if self.rules != "xcubeai":
            return False
        tight_flash = abs(self.board.flash_bytes - self.flash_bytes) <= 2 * self.runtime_flash_bytes
        return tight_flash or not 0.4 * self.board.ram_bytes > self.ram_bytes and not self.ram_bytes > 2 * self.board.ram_bytes

    @property
    def largest(self):
        """The row with the most bytes of weights."""
        return max(self.layers, key=lambda row: row.weights_bytes)

    @property
    def milliseconds(self) -> tuple[float, float] | None:
        """Estimated (least, most) milliseconds of an inference under X-CUBE-AI; None if there is no measurement for the core."""
        return speed.milliseconds(self.macc, self.board) if self.rules == "xcubeai" else None

    @property
    def fits(self) -> bool:
        """Whether flash and RAM both suffice."""
        return not (self.missing_flash or self.missing_ram)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, with the keys of --json."""
        return {
            "parameters": self.parameters,
            "macc": self.macc,
            "weights_bytes": self.weights_bytes,
            "activations_bytes": self.activations_bytes,
            "flash_bytes": self.flash_bytes,
            "ram_bytes": self.ram_bytes,
            "fits": self.fits,
            "missing_flash_bytes": self.missing_flash,
            "missing_ram_bytes": self.missing_ram,
            "runtime_flash_bytes": self.runtime_flash_bytes,
            "runtime_ram_bytes": self.runtime_ram_bytes,
            "runtime_is_estimate": True,
            "activations_are_estimate": self.rules == "xcubeai",
            "fits_is_estimate": self.fits_is_estimate,
            "peak": vars(self.peak) if self.peak else None,
            "largest_layer": self.largest.name if self.layers else None,
            "milliseconds_estimate": list(self.milliseconds) if self.milliseconds else None,
            "board": self.board.name,
            "board_flash_bytes": self.board.flash_bytes,
            "board_ram_bytes": self.board.ram_bytes,
            "rules": self.rules,
            "compression": self.compression,
            "changes": [change.as_dict() for change in self.changes],
            "notes": self.notes,
            "layers": [row.as_dict() for row in self.layers],
        }


def analyze(model: Any, *, board: Any = "stm32l4r9i-disco", rules: Literal["xcubeai", "tinyvgg"] = "xcubeai",
            compression: str = "none") -> Analysis:
    """Return the cost of a model on a board as an Analysis, with the three changes that would help most.

    model: a model of this library, or a list of Operation. board: a name (see `boards.names()`), a .toml file or a Board.
    rules: "xcubeai" (ST's counts and bytes) or "tinyvgg" (Keras' parameters, multiplications of weights, the integer firmware).
    compression: none, lossless, low, medium or high. An integer model from a .tflite can be counted by ST's rules only.
    """
    board = board if isinstance(board, boards.Board) else boards.load(board)
    operations = describe(model)
    if hasattr(model, "graph"):
        if rules != "xcubeai" or compression != "none":
            raise OptionError(f"an integer model has no rules {rules} with compression {compression}; its weights have 8 bits",
                              'rules="xcubeai", or firmware plan for the bytes of this library')
        return measure(operations, board, rules, compression, integers=True)
    found = measure(operations, board, rules, compression)
    found.changes = best_changes(operations, found, measure)
    return found


def measure(operations: Any, board: Any, rules: Literal["xcubeai", "tinyvgg"], compression: str, *, integers: bool = False):
    """Return an Analysis without changes. integers: weights are int8, biases int32, activations one byte."""
    for value, allowed, option in ((rules, RULES, "rules"), (compression, COMPRESSIONS, "compression")):
        if value not in allowed:
            raise OptionError(f"{option} is {value!r}; expected one of {', '.join(allowed)}")
    if rules == "xcubeai":
        rows = st.costs(operations, compression=compression, number_format="int8" if integers else "float")
        extra = runtime.estimate(operations, core=board.core, shared=any(row.bits in (4, 8) for row in rows))
        peak = st.activation_peak(operations, 1 if integers else 4)
        notes = [f"the runtime's size is an estimate, {extra.source}", ACTIVATIONS]
        activations = peak.size_bytes
        if board.core not in runtime.LIBRARY_TEXT:
            notes.append(f"no report of a {board.core} was measured: the runtime's size is that of a Cortex-M4")
        guessed = [row.name for row in rows if row.estimated]
        if guessed:
            notes.append(f"no report shows what these layers cost, their MACC are guesses: {', '.join(guessed)}")
    else:
        rows = ours.costs(operations, compression=compression)
        extra, activations, peak = runtime.Runtime(0, 0), ours.activation_bytes(operations), None
        notes = [
            "weights and activations of the integer graph, before it is built; `tinyvgg compress` prints the exact constants and "
            "`tinyvgg firmware build` the whole image, whose code is not counted here"
        ]
    return Analysis(
        board,
        rules,
        compression,
        sum(r.parameters for r in rows),
        sum(r.macc for r in rows),
        sum(r.weights_bytes for r in rows),
        activations,
        extra.flash_bytes,
        extra.ram_bytes,
        rows,
        [],
        notes,
        peak,
    )
