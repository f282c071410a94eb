"""A report's totals compared with tinyvgg's: where each comes from, and which of them decide."""

from dataclasses import dataclass

from tinyvgg.analyze import boards, runtime, st
from tinyvgg.xcubeai.rebuild import gather
from tinyvgg.xcubeai.rows import SILENT, number_format, release_of
from tinyvgg.xcubeai.totals import CODEBOOKS, aligned, codebooks, inserted, placed

RUNTIME = "the runtime's size is an estimate"
PLACEMENT = "how ST places its buffers is not public"


@dataclass
class Total:
    """A figure of the whole network, from the report and from tinyvgg. Estimates do not decide the verdict, nor do `unknown`
    figures, which the known rules do not give (with the reason)."""

    name: str
    theirs: int
    ours: int
    estimate: bool = False
    reason: str = ""
    unknown: str = ""

    @property
    def ok(self):
        return self.theirs == self.ours

    def as_dict(self):
        """Return plain data."""
        return {
            "name": self.name,
            "theirs": self.theirs,
            "ours": self.ours,
            "difference": self.theirs - self.ours,
            "ok": self.ok,
            "estimate": self.estimate,
            "reason": self.reason,
            "unknown": self.unknown,
        }


def totals(report, operations, costs, rows, layers, *, model):
    """Compare a report's totals with tinyvgg's; return a list of Total. costs: by ST's rules. rows, layers: Pairs of the table
    and of the C layers (those of the report only); either may be empty. model: whether a network was given. If so, a total that
    the rules do not give counts as different, else as unknown.
    """
    found = []
    if costs or rows:
        found += _model_totals(report, costs, model)
    found += [
        _chosen("macc", report, _macc(report, costs, layers, rows, model), model),
        _chosen("weights", report, _weights(report, costs, layers, rows, model), model),
    ]
    found = [t for t in found if t is not None]
    guessed = [c for c in costs if c.estimated]
    if model and guessed:
        for total in (t for t in found if not t.ok and not t.unknown and t.name in ("macc", "model_macc")):
            total.unknown = f"what ST counts for {guessed[0].layer} is not known to the rules here"
    return found + _estimates(report, operations, costs)


def _model_totals(report, costs, model):
    """Parameters and MACC of the model as read: of the model that was given, else the sums over the report's own rows."""
    if model:
        figures = {"parameters": sum(c.parameters for c in costs), "model_macc": sum(c.model_macc for c in costs)}
    elif "model" in report.partial:
        return []
    else:
        figures = {"parameters": sum(r.parameters for r in report.rows), "model_macc": sum(r.macc for r in report.rows)}
    return [Total(name, report.totals[name], value) for name, value in figures.items() if name in report.totals]


def _chosen(name, report, ways, model):
    """The first way of counting that gives a total; where none does, the first way's value with a verdict."""
    if name not in report.totals or not ways:
        return None
    theirs = report.totals[name]
    for value, reason in ways:
        if value == theirs:
            return Total(name, theirs, value, reason=reason)
    value, reason = ways[0]
    if model:
        return Total(name, theirs, value, reason=reason)
    return Total(name, theirs, value, unknown="what the C code of this version changes is not known to the rules here")


def _explained(pairs):
    return bool(pairs) and not any(p.unknown or not p.ok for p in pairs)


def _macc(report, costs, layers, rows, model):
    """Ways of counting the MACC of the C code, each with what it rests on."""
    ways, base = [], sum(c.macc for c in costs)
    beside = sum(inserted(report))
    if costs:
        ways.append((base, ""))
        own = sum(c.macc for c in costs if c.kind not in SILENT) + beside
        silent = sum(op.c_macc for op in gather(report) if op.kind in SILENT) if report.rows else 0
        for extra, value in ((beside, base + beside), (beside + silent, own + silent)):
            if extra > 0:
                ways.append((value, f"with {extra:,} for what the C code inserts, as theirs says"))
        fused = sum(c.model_macc for c in costs if c.kind == "activation" and not c.macc)
        if fused and number_format(report) == "int8":
            ways.append((base + fused, "with the functions that this version does not count as part of a kernel"))
    if layers and (not model or _explained([p for p in rows if p.kind != "input"])) and _explained(layers):
        reason = (
            f"each C layer by its tensors; the rules of fusing here give {base:,}" if costs else "each C layer by its tensors"
        )
        ways.append((sum(p.theirs["macc"] for p in layers), reason))
    if report.header.get("type", "").startswith("onnx") and not report.layers and costs:
        sizes = {op.elements // 2 for op in gather(report) if op.kind in ("reshape", "input")}
        ways += [(base + n, f"with {n:,} for a transposition that the C code inserts") for n in sorted(sizes)]
    if report.rows and not model and (report.source == "text" or report.release < (6, 0)) and _explained(rows):
        changed = sum(r.macc + r.c_macc_delta for r in report.rows) + beside
        ways.append((changed, f"the rows and their changes in C; the rules of fusing here give {base:,}"))
    return ways


def _weights(report, costs, layers, rows, model):
    """Ways of counting the bytes of the weights, each with what it rests on."""
    ways, base = [], sum(c.weights_bytes for c in costs)
    if costs:
        ways.append((base, ""))
        parts = [c.weights_bytes for c in costs if c.weights_bytes]
        if number_format(report) == "int8" or any(c.bits in (4, 8) for c in costs):
            ways += [(value, f"{value - base:,} bytes of alignment") for value in aligned(parts)]
            short = range(base + 1, base + 4 * sum(bool(p) for p in parts) * 2)
            ways += [(value, f"{value - base:,} bytes of alignment") for value in short if not model or _explained(rows)]
    constants = [a.size_bytes for a in report.arrays if a.pool.startswith("weights")]
    trusted = not model or _explained([p for p in rows if p.kind != "input"])
    if constants and trusted and not any(stored_problem(a) for a in report.arrays if a.pool.startswith("weights")):
        reason = (
            f"the C arrays, each by its items and format; the rules of folding here give {base:,}" if costs else "the C arrays"
        )
        ways += [(value, reason) for value in (sum(constants), *aligned(constants, codebooks(report)), *placed(report))]
    if report.rows and not model and _explained(rows):
        changed = [r.size_bytes + r.c_size_delta for r in report.rows]
        reason = f"the rows and their changes in C; the rules of folding here give {base:,}"
        ways += [(value, reason) for value in (sum(changed), *aligned(changed))]
    return ways


# Of a format, by the first of these words that stands in it.
BITS = {
    "lut4": 4,
    "lut8": 8,
    **dict.fromkeys(("float", "f32", "s32", "int32"), 32),
    **dict.fromkeys(("s8", "u8", "int8", "uint8"), 8),
    **dict.fromkeys(("s16", "u16"), 16),
    "bool": 8,
    "s1": 1,
    "u32": 32,
    "s64": 64,
    "int16": 16,
    "q": 0,
}


def stored_problem(array):
    """Why an array's bytes are not its items in its format, or an empty string; of an unknown format nothing is claimed.

    Indices of a codebook may be packed row by row, and the codebook may be counted or not. Bytes may be padded to 4, and an activation
    of bytes may lie in a larger buffer.
    """
    text = f"{array.format} {array.c_type} {array.comment}".lower()
    bits = next((bits for word, bits in BITS.items() if word in text), 0)
    plain = (array.items * bits + 7) // 8
    shared = any(word in text for word in CODEBOOKS)
    most = 2 * plain + 1024 + 4 if shared else plain
    if not shared and array.pool.startswith("weights"):
        most = plain + 4  # of a PReLU's factors in 10.2
    elif bits < 32 and not shared:
        most = 2 * plain + 4
    if not bits or plain <= array.size_bytes <= most:
        return ""
    return f"C array {array.name}: {array.items:,} items of {bits} bits are {plain:,} bytes, it says {array.size_bytes:,}"


def _estimates(report, operations, costs):
    """Activations, flash and RAM: how ST places buffers and what its runtime takes are not public."""
    if not operations or not costs:
        return []
    format_ = number_format(report)
    core = _core(report)
    code = runtime.estimate(operations, core=core, shared=any(c.bits == 4 or c.bits == 8 and format_ == "float" for c in costs))
    element, weights = 4 if format_ == "float" else 1, sum(c.weights_bytes for c in costs)
    activations = st.activation_bytes(operations, element, release_of(report))
    ours = {
        "activations": (activations, PLACEMENT),
        "flash_total": (weights + code.flash_bytes, RUNTIME),
        "ram_total": (
            activations + report.totals.get("io", 0) + code.ram_bytes,
            "activations and the runtime's size are estimates",
        ),
    }
    return [
        Total(name, report.totals[name], value, report.totals[name] != value, reason)
        for name, (value, reason) in ours.items()
        if name in report.totals
    ]


def _core(report):
    """The core of the report's target series."""
    stated = report.header.get("target/series", report.header.get("memory target", ""))
    return next((b.core for b in map(boards.load, boards.names()) if b.series and b.series == stated), "cortex-m4f")
