"""The content of an X-CUBE-AI report as plain data, the same for all versions and kinds of files."""

from dataclasses import asdict, dataclass, field

from tinyvgg.report.record import plain
from tinyvgg.report.shown import briefly
from tinyvgg.xcubeai.totals import checks

# The blocks of a report over which something is summed.
LISTS = {
    "model": "the table of layers",
    "arrays": "the list of C arrays",
    "layers": "the list of C layers",
    "operations": "the list of operations",
    "types": "the list of types of operations",
    "memory": "the table of modules",
}


@dataclass
class Row:
    """One row of the model table. Bytes and MACC are of the model as read; adding the deltas gives those of the generated C.

    `shape` is without the batch, channels last; `compressed` is the mark (c) of versions 4 and 5.
    """

    line: int
    id: int | None
    name: str
    kind: str = ""
    original: str = ""
    shape: tuple = ()
    parameters: int = 0
    size_bytes: int = 0
    macc: int = 0
    inputs: list = field(default_factory=list)
    c_size_delta: int = 0
    c_macc_delta: int = 0
    c_type: str = ""
    compressed: bool = False


@briefly
@dataclass
class Array:
    """One row of C-Arrays: `items` elements in `size_bytes`, in the named pool; a JSON file says where the array ends in which
    pool."""

    id: int
    name: str
    items: int
    size_bytes: int
    pool: str
    c_type: str = ""
    format: str = ""
    comment: str = ""
    end: int | None = None
    pool_id: int | None = None


@dataclass
class Tensor:
    """A tensor of a C layer: role I, O, W or S (scratch), shape as printed, id of its array or None."""

    role: str
    name: str
    shape: tuple = ()
    format: str = ""
    array: int | None = None


@dataclass
class CLayer:
    """One C layer, as executed by the runtime. `forward`: the C function; `attributes`: its settings, from a JSON file."""

    id: int
    name: str
    model_id: int | None
    kind: str
    macc: int
    rom_bytes: int = 0
    tensors: list = field(default_factory=list)
    forward: str = ""
    attributes: dict = field(default_factory=dict)


@dataclass
class Operation:
    """One row of "Number of operations per c-layer"."""

    id: int
    model_id: int | None
    name: str
    kind: str
    count: int
    type: str
    parameters: int | None = None
    sparsity: float | None = None


@dataclass
class Share:
    """One row of the complexity report: percent of the MACC and of the weights."""

    model_id: int
    name: str
    macc_percent: float
    rom_percent: float
    c_ids: str = ""
    duration_percent: float | None = None
    l2r: float | None = None


@dataclass
class Section:
    """One row of "Requested memory size by section", bytes."""

    module: str
    text: int
    rodata: int
    data: int
    bss: int


@briefly
@dataclass
class Report:
    """The content of a report. `totals`: the figures that it prints (parameters, macc, weights, activations, ram, model_macc,
    model_weights, flash_total, ram_total, runtime_flash, runtime_ram: whole numbers; sizes in bytes); figures that the report
    does not print are missing. `unread`: list of (line, text) that were not understood. `notes`: what was repaired or looks
    wrong. `partial`: blocks of which lines are missing or were not understood ("model", "arrays", "layers" ...)."""

    path: str
    source: str = "text"
    tool: str = ""
    version: str = ""
    header: dict = field(default_factory=dict)
    totals: dict = field(default_factory=dict)
    rows: list = field(default_factory=list)
    graph: dict = field(default_factory=dict)
    arrays: list = field(default_factory=list)
    layers: list = field(default_factory=list)
    operations: list = field(default_factory=list)
    operation_types: dict = field(default_factory=dict)
    complexity: list = field(default_factory=list)
    sections: list = field(default_factory=list)
    metrics: list = field(default_factory=list)
    files: list = field(default_factory=list)
    log: list = field(default_factory=list)
    unread: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    partial: list = field(default_factory=list)

    @property
    def release(self):
        """(major, minor) of X-CUBE-AI, or (0, 0) if unknown."""
        try:
            major, minor = self.version.split(".")[:2]
            return int(major), int(minor)
        except ValueError:
            return 0, 0

    @property
    def compression(self):
        """none, lossless, low, medium or high, the same for all versions."""
        stated = (self.header.get("compression", "").lower().split() or ["none"])[0]
        return {"1": "none", "4": "low", "8": "medium"}.get(stated, stated)

    @property
    def model_hash(self):
        """The model's hash in lower-case hexadecimal without 0x, or an empty string."""
        return self.header.get("model_hash", "").lower().removeprefix("0x")

    def checks(self):
        """Compare all sums over rows with the totals that the report prints; return a list of Check."""
        return checks(self)

    def as_dict(self):
        """Return plain data for JSON."""
        return {
            **plain(asdict(self)),
            "compression": self.compression,
            "checks": [{"what": c.what, "rows": c.rows, "total": c.total, "ok": c.ok} for c in self.checks()],
        }
