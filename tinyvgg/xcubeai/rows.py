"""Compare a report's rows with tinyvgg's: align them, subtract, and give the reason if it is known."""

import difflib
import math
import re
from collections import Counter
from dataclasses import asdict, dataclass, field, replace

from tinyvgg.analyze import st
from tinyvgg.xcubeai.clayers import layer_problem
from tinyvgg.xcubeai.rebuild import gather
from tinyvgg.xcubeai.rowrules import row_problem, squeezed

ANOTHER = "another network, or another input size"
SILENT = ("input", "reshape", "conversion", "transpose", "pad", "other")


@dataclass
class Pair:
    """One operation, from the report and from tinyvgg; None if one side lacks it. `wrong`: the figures that differ. `unknown`:
    why a row was not rebuilt; then neither agreement nor difference is known.
    """

    name: str
    kind: str
    theirs: dict | None
    ours: dict | None
    line: int = 0
    wrong: list = field(default_factory=list)
    reason: str = ""
    unknown: str = ""

    @property
    def ok(self):
        return not self.wrong

    def as_dict(self):
        """Return plain data."""
        return {**asdict(self), "ok": self.ok}


def number_format(report):
    """Return "float" or "int8", the numbers that the C code computes with."""
    stated = report.header.get("model_fmt", "")
    if stated:
        return "float" if stated.startswith("float") else "int8"
    operands = [o.type for o in report.operations if o.type.startswith("smul")]
    if operands:
        return "int8" if any("s8" in o or "u8" in o for o in operands) else "float"
    weights, parameters = report.totals.get("weights"), report.totals.get("parameters")
    shared = report.compression in ("low", "medium", "high")
    return "int8" if weights and parameters and weights < 2 * parameters and not shared else "float"


def level(report):
    """The report's level of compression, or "none" for an unknown word."""
    return report.compression if report.compression in st.LEVELS else "none"


def compare_rows(report, operations):
    """Compare every operation of a report with tinyvgg's -> (list of Pair, list of Cost by ST's rules)."""
    costs = costs_of(report, operations)
    apart = (*SILENT, "concatenate")
    theirs = [op for op in gather(report) if op.kind not in apart and (op.macc or op.parameters or op.kind in ("activation", "pool"))]
    integers = {c.name: c.model_bytes for c in st.costs(operations, release=release_of(report), number_format="int8")}
    ours = [_figures(c, integers[c.name]) for c in costs if c.kind not in apart]
    if release_of(report) < (6, 0):
        _fuse(ours, operations)
    pairs = [_pair(t, o, report) for t, o in _align(theirs, ours)]
    _doubt(pairs, operations)
    for pair in pairs if "model" in report.partial else ():
        if pair.theirs is None:  # it may be on a line that is cut
            pair.wrong, pair.reason, pair.unknown = [], "", "the lines of the table that are left do not show it"
    return [*_inputs(report, operations), *pairs], costs


def _doubt(pairs, operations):
    """What ST makes of a layer that no report shows is not known: a row without a partner may be that, and proves nothing."""
    unknown = [op for op in operations if op.kind == "other"]
    for pair in (p for p in pairs if p.ours is None and p.kind in ("add", "activation", "batch_norm", "pool")):
        if unknown:
            op = unknown.pop(0)
            pair.wrong, pair.reason = [], ""
            pair.unknown = f"it may be {op.layer} ({op.class_name}) of the model: no report shows what ST makes of such a layer"
    for pair in pairs:
        if pair.wrong == ["macc"] and pair.ours is not None and pair.ours["estimated"]:
            pair.wrong, pair.unknown = [], f"theirs {pair.theirs['macc']:,} MACC, an estimate here {pair.ours['macc']:,}: {pair.ours['note']}"


def costs_of(report, operations):
    """Compute a network's costs for the report's version, format and level of compression."""
    if report.header.get("type", "").startswith("onnx"):
        operations = [replace(op, class_name="Gemm") if op.kind == "dense" else op for op in operations]
    return st.costs(operations, compression=level(report), release=release_of(report), number_format=number_format(report))


def check_rows(report, operations):
    """Check every row of a report by its figures -> (list of Pair, list of Cost). operations: `rebuild` of the report.

    There is no network to compare with: a row that no rule explains counts as not rebuilt, not as different.
    """
    costs, theirs = costs_of(report, operations), gather(report)
    by_name, readers = {c.name: c for c in costs}, {}
    for op in theirs:
        for source in op.sources[:1]:
            readers.setdefault(id(source), []).append(op)
    pairs = []
    for op, operation in zip(theirs, operations, strict=True):
        unknown = "" if op.kind == "input" else row_problem(op, readers, release_of(report))
        if not (op.macc or op.parameters or op.kind in ("input", "activation", "pool") or unknown):
            continue
        cost, left = by_name.get(operation.name), _theirs(op)
        if 0 in op.shape:
            pairs.append(Pair(op.name, op.kind, left, None, op.line, ["presence"], "a size of 0 is that of no tensor"))
            continue
        right = {**left, "c_bytes": cost.weights_bytes if cost else op.size_bytes, "note": cost.note if cost else ""}
        pairs.append(
            Pair(op.name, op.kind, left, None if unknown else right, op.line, [], "" if unknown else right["note"], unknown)
        )
    return pairs, costs


def _inputs(report, operations):
    """Inputs cost nothing, but another size of image is another network; where the counts differ there is nothing to pair."""
    theirs, ours = ([op for op in side if op.kind == "input"] for side in (gather(report), operations))
    if len(theirs) != len(ours):
        return []
    pairs = []
    for t, o in zip(theirs, ours, strict=True):
        channels_first = (*o.output_shape[-1:], *o.output_shape[:-1])  # as ONNX has them
        same = squeezed(t.shape) in (squeezed(o.output_shape), squeezed(channels_first))
        sides = [{"name": s.name, "kind": "input", "shape": shape} for s, shape in ((t, t.shape), (o, o.output_shape))]
        pairs.append(Pair(t.name, "input", *sides, t.line, [] if same else ["shape"], "" if same else ANOTHER))
    return pairs


def compare_c_layers(report, operations):
    """Compare the C layers of a report without a table with tinyvgg's -> (list of Pair, list of Cost). A C layer includes the
    operations that were fused into it: an operation without a C layer of its name counts for the nearest earlier one that has a C
    layer. If few names match, nothing is paired.
    """
    costs = costs_of(report, operations)
    layers = {layer.name: layer for layer in report.layers}
    sources, hosts, sums = {op.name: op.inputs for op in operations}, {}, {}
    for cost in costs:
        name = cost.name.replace("/", "_")
        name = next((n for n in (name, f"{name}_pool", f"{name}_conv2d", f"{name}_dense") if n in layers and n not in sums), name)
        host = name if name in layers else next((hosts[s] for s in sources[cost.name] if s in hosts), None)
        hosts[cost.name] = host
        total = sums.setdefault(host, {"name": host, "kind": cost.kind, "macc": 0, "bytes": 0})
        total["macc"] += cost.macc
        total["bytes"] += cost.weights_bytes + cost.elsewhere
    ahead = sums.pop(None, {"macc": 0, "bytes": 0})
    if ahead["macc"] or ahead["bytes"] or len(sums) < 0.5 * len(layers) or len(layers) < len(report.layers):
        return [], costs
    pairs = []
    for layer in report.layers:
        theirs = {"name": layer.name, "kind": layer.kind, "macc": layer.macc, "bytes": layer.rom_bytes}
        ours = sums.get(layer.name)
        wrong = ["presence"] if ours is None else [key for key in ("macc", "bytes") if theirs[key] != ours[key]]
        reason = "the model has no such operation" if ours is None else ""
        pairs.append(Pair(layer.name, layer.kind, theirs, ours, layer.id, wrong, reason))
    return pairs, costs


def check_c_layers(report):
    """Check the C layers of a report by their tensors -> list of Pair."""
    arrays = {key: array for array in report.arrays for key in (array.id, array.name)}
    pairs = []
    for layer in report.layers:
        left = {"name": layer.name, "kind": layer.kind, "macc": layer.macc, "bytes": layer.rom_bytes}
        unknown = layer_problem(layer, arrays)
        pairs.append(Pair(layer.name, layer.kind, left, None if unknown else dict(left), layer.id, unknown=unknown))
    return pairs


def release_of(report):
    """The report's release, or the latest known one if the report gives none."""
    return report.release if report.release != (0, 0) else st.LATEST


def _figures(cost, int8_bytes):
    return {
        "name": cost.name,
        "layer": cost.layer,
        "kind": cost.kind,
        "shape": cost.output_shape,
        "parameters": cost.parameters,
        "macc": cost.model_macc,
        "bytes": cost.model_bytes,
        "int8_bytes": int8_bytes,
        "c_bytes": cost.weights_bytes,
        "note": cost.note,
        "estimated": cost.estimated,
    }


def _fuse(ours, operations):
    """Versions 4 and 5 put the ReLU and the pool of a convolution into its row."""
    rows = {row["name"]: row for row in ours}
    uses = Counter(name for op in operations for name in op.inputs)
    reader = {name: op for op in operations for name in op.inputs}
    for op in operations:
        last, host = op, rows.get(op.name)
        while op.kind == "conv" and uses[last.name] == 1 and reader[last.name].kind in ("activation", "pool"):
            last = reader[last.name]
            host["macc"] += rows[last.name]["macc"]
            rows[last.name]["macc"] = 0
            if last.kind == "pool":
                break


def _align(theirs, ours):
    """Pair by name where Keras' names are in the report, else by the order of kinds."""
    by_name = _by_name(theirs, ours)
    if by_name is not None:
        return by_name
    pairs = []
    matcher = difflib.SequenceMatcher(None, [t.kind for t in theirs], [o["kind"] for o in ours], autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "equal":
            pairs += zip(theirs[i1:i2], ours[j1:j2], strict=True)
        else:
            pairs += [(t, None) for t in theirs[i1:i2]] + [(None, o) for o in ours[j1:j2]]
    return pairs


def _by_name(theirs, ours):
    """Pair by name, then what is left by kind and name without its number (`max_pooling2d_1`, which Keras counts a session)."""
    waiting, pairs = {(row["layer"], row["kind"]): row for row in ours}, []
    total = len(ours)
    if len(waiting) < total or len({(op.name, op.kind) for op in theirs}) < len(theirs):
        return None  # a separable convolution is two of a kind; a report that cuts names has several alike
    for op in theirs:
        names = (op.name, op.name.rpartition("_")[0])
        found = next((waiting.pop((n, op.kind)) for n in names if (n, op.kind) in waiting), None)
        pairs.append((op, found))
    for i, (op, found) in enumerate(pairs):
        if found is None:
            alike = next((key for key in waiting if key[1] == op.kind and _stem(key[0]) in (_stem(op.name), op.name)), None)
            pairs[i] = (op, waiting.pop(alike) if alike else None)
    if sum(o is not None for _, o in pairs) < 0.8 * max(total, 1):
        return None
    return pairs + [(None, row) for row in waiting.values()]


def _stem(name):
    return re.sub(r"_\d{1,6}$", "", name)


def _pair(theirs, ours, report):
    if theirs is None:
        return Pair(ours["name"], ours["kind"], None, ours, 0, ["presence"], "the report has no such operation")
    left = _theirs(theirs)
    if ours is None:
        return Pair(theirs.name, theirs.kind, left, None, theirs.line, ["presence"], "the model has no such operation")
    pair = Pair(theirs.name, theirs.kind, left, ours, theirs.line)
    if theirs.shape and squeezed(theirs.shape) != squeezed(ours["shape"]):
        pair.wrong.append("shape")
    for name in ("parameters", "macc"):
        if left[name] != ours[name]:
            pair.wrong.append(name)
    if not _bytes_agree(left, ours, report):
        pair.wrong.append("bytes")
    pair.reason = _reason(pair, report)
    return pair


def _theirs(op):
    return {
        "name": op.name,
        "kind": op.kind,
        "shape": op.shape,
        "parameters": op.parameters,
        "macc": op.macc,
        "bytes": op.size_bytes,
    }


def _bytes_agree(theirs, ours, report):
    """The bytes are those of float32, of integers (a byte a weight, four a bias), or (versions 4 and 5) those of the C code."""
    if report.release < (6, 0) and report.source == "text" and report.release != (0, 0):
        return theirs["bytes"] in (ours["c_bytes"], ours["bytes"])
    return theirs["bytes"] in (4 * ours["parameters"], ours["parameters"], ours["bytes"], ours["int8_bytes"])


def _called(pair):
    """That a layer has another number in the report than in the model, or an empty string."""
    layer = pair.ours["layer"]
    return f"{layer} in the model" if layer != pair.name and _stem(layer) == _stem(pair.name) else ""


def _reason(pair, report):
    """What is known about a difference, or an empty string."""
    if pair.ok:
        return pair.ours["note"] or _called(pair)
    theirs, ours = pair.theirs, pair.ours
    elements = math.prod(ours["shape"])
    if "shape" in pair.wrong:
        return ANOTHER
    if pair.wrong == ["macc"] and pair.kind == "pool" and elements and theirs["macc"] % elements == 0:
        values = [side["macc"] // elements for side in (theirs, ours)]
        return f"theirs means a window of {values[0]} values, ours has {values[1]}; a table does not print windows"
    if pair.wrong == ["macc"] and pair.kind == "dense" and theirs["macc"] + ours["shape"][-1] == ours["macc"]:
        return "theirs leaves the bias out"
    if pair.kind == "batch_norm" and theirs["parameters"] == 2 * ours["parameters"]:
        return "theirs counts four numbers a channel, as Keras does; two are stored"
    if pair.wrong == ["macc"] and len({c.rows - c.total for c in report.checks() if not c.ok}) == 1:
        return "the report's own rows do not add up to its total: this row was changed"
    return ""
