"""The whole comparison: X-CUBE-AI's files against a model and tinyvgg's own calculation."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinyvgg.analyze import describe
from tinyvgg.errors import DataError, FormatError, TinyVGGError
from tinyvgg.report.record import versions
from tinyvgg.report.shown import briefly
from tinyvgg.types import PathLike
from tinyvgg.xcubeai.answers import answers
from tinyvgg.xcubeai.csource import read_generated
from tinyvgg.xcubeai.figures import stored_problem, totals
from tinyvgg.xcubeai.keras_versions import explain_stop
from tinyvgg.xcubeai.read import read_report
from tinyvgg.xcubeai.rebuild import rebuild
from tinyvgg.xcubeai.report import LISTS, Report
from tinyvgg.xcubeai.rows import (
    check_c_layers,
    check_rows,
    compare_c_layers,
    compare_rows,
    level,
    number_format,
    release_of,
)
from tinyvgg.xcubeai.totals import lacking, readable, unsummed
from tinyvgg.xcubeai.validation import METRICS, read_validation, validation_metrics
from tinyvgg.xcubeai.weights import compare_weights, with_their_weights

# A float network on two runtimes: another order of float32 sums. Real validations show 1e-6.
CLOSE = 1e-3
NOTHING = "nothing was compared: the report is cut, or it holds no table and no model was named (--model)"


@briefly
@dataclass
class CrossCheck:
    """The result. `verdict`: agree, differ or not rebuilt. `differences`: sentences about what is proved to differ, in the
    network's order. `not_rebuilt`: what no rule explains, each with the reason; there, neither agreement nor difference is known.
    """

    report: object
    model: str
    rows: list = field(default_factory=list)
    layers: list = field(default_factory=list)
    totals: list = field(default_factory=list)
    sums: list = field(default_factory=list)
    weights: list = field(default_factory=list)
    generated: object = None
    validation: list = field(default_factory=list)
    problems: list = field(default_factory=list)
    notes: list = field(default_factory=list)

    @property
    def compared(self):
        """What was compared, as {what: how many}; estimates and a report's own sums are listed separately."""
        counts = {
            "operations": sum(not p.unknown for p in self.rows),
            "C layers": sum(not p.unknown for p in self.layers),
            "totals": sum(not t.estimate and not t.unknown for t in self.totals),
            "tensors": sum(w.compared for w in self.weights),
            "validations": len(self.validation),
        }
        return {what: n for what, n in counts.items() if n}

    @property
    def scope(self):
        """`compared` in words: "28 operations, 5 totals"."""
        return ", ".join(f"{n} {what if n > 1 else what[:-1]}" for what, n in self.compared.items()) or "nothing"

    @property
    def differences(self):
        """One sentence for each proved difference, in the order of the network."""
        found = [f"{f'line {p.line}: ' if p.line else ''}{p.name} ({p.kind}): {_row(p)}" for p in self.rows if not p.ok]
        found += [
            f"{t.name}: theirs {t.theirs:,}, ours {t.ours:,}{_because(t.reason)}"
            for t in self.totals
            if not t.ok and not t.estimate and not t.unknown
        ]
        found += [
            f"the report contradicts itself: {c.what} is {c.rows:,}, its own total {c.total:,}" for c in self.sums if not c.ok
        ]
        found += [f"{w.theirs or w.name}: {w.reason}{f' ({w.where})' if w.where else ''}" for w in self.weights if not w.ok]
        found += [v["problem"] for v in self.validation if v.get("problem")]
        return found + self.problems

    @property
    def not_rebuilt(self):
        """One sentence, with the reason, for each thing that no rule explains."""
        found = [f"{f'line {p.line}: ' if p.line else ''}{p.name} ({p.kind}): {p.unknown}" for p in self.rows if p.unknown]
        found += [f"C layer {p.line}, {p.name} ({p.kind}): {p.unknown}" for p in self.layers if p.unknown]
        found += [f"{t.name} {t.theirs:,}: {t.unknown}, they give {t.ours:,}" for t in self.totals if t.unknown and not t.ok]
        report: Any = self.report
        found += [problem for array in report.arrays if (problem := stored_problem(array))]
        found += [f"{LISTS[block]}: lines are missing or were not understood, so its sums are not checked" for block in unsummed(report)]
        return ([] if self.compared else [explain_stop(report) or NOTHING]) + found

    @property
    def verdict(self) -> str:
        """agree, differ (something is proved to disagree) or not rebuilt (nothing was compared)."""
        if self.differences:
            return "differ"
        return "agree" if self.compared else "not rebuilt"

    @property
    def agrees(self) -> bool:
        """Whether something was compared and none of it differs (not counting estimates and what was not rebuilt)."""
        return self.verdict == "agree"

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for --json."""
        report: Any = self.report
        return {
            "agrees": self.agrees,
            "verdict": self.verdict,
            "differences": self.differences,
            "not_rebuilt": self.not_rebuilt,
            "compared": self.compared,
            "answers": answers(self),
            "report": report.path,
            "version": report.version,
            "tool": report.tool,
            "compression": report.compression,
            "model": self.model,
            "totals": [t.as_dict() for t in self.totals],
            "rows": [p.as_dict() for p in self.rows],
            "c_layers": [p.as_dict() for p in self.layers],
            "sums": [{"what": c.what, "rows": c.rows, "total": c.total, "ok": c.ok} for c in self.sums],
            "weights": [w.as_dict() for w in self.weights],
            "validation": self.validation,
            "notes": self.notes,
            "unread": [{"line": n, "text": t} for n, t in report.unread],
            "versions": versions(),
        }


def crosscheck(report: Any, model: Any = None, *, model_path: PathLike | None = None, generated: Any = None,
               validation: Any = None, simulation: Any = None) -> CrossCheck:
    """Compare X-CUBE-AI's files with a model; return a CrossCheck. report: path of a report, a console log, a JSON file or a
    folder, which may also contain the generated C and the validation arrays. generated, validation: the paths of these if they
    are elsewhere. model: a model of this library, or a list of Operation (then weights are not compared). Without a model the
    report is checked by itself: its sums, each row by its shape and parameters, each C layer by its tensors. model_path: the
    model's file, for its hash. simulation: a classifier with `predict`, such as tinyvgg's integer model of the same network; its
    answers to the validation's images are compared with those of ST's C code, for information only.
    """
    read = _read(report)
    found = CrossCheck(read, str(model_path or ("the report's own table" if model is None else getattr(model, "name", "model"))))
    found.sums = read.checks()
    found.notes += read.notes + readable(read)
    if level(read) != read.compression:
        found.notes.append(f"the report's compression {read.compression!r} is none that is known; it was taken as none")
    if stop := explain_stop(read):
        found.notes.append(stop)
    if model is None:
        _by_itself(found, read)
    else:
        _beside_model(found, read, describe(model))
    if model_path:
        _hash(found, model_path)
    folder = report if Path(report).is_dir() else None
    _weights(found, model, generated or folder, asked=generated is not None)
    _validation(found, model, simulation, validation or folder, asked=validation is not None)
    if simulation is not None and not any(v["what"] == _beside(simulation) for v in found.validation):
        found.problems.append("the simulation was not compared: that takes network_val_io.npz with the images and what they gave")
    return found


def _by_itself(found, read):
    """Check a report without a model: rows by their own figures, C layers by their tensors."""
    operations, notes = rebuild(read)
    layers = check_c_layers(read) if read.layers else []
    costs = []
    if operations:
        found.notes.append("no model was given: the report was checked by its own figures, so this checks its arithmetic alone")
        found.rows, costs = check_rows(read, operations)
        found.layers = layers
    elif layers:
        found.notes.append("no model was given: each C layer was checked by the tensors that it names")
        found.rows = layers
    found.notes += notes
    found.totals = totals(read, operations, costs, found.rows if operations else [], layers, model=False)
    missing = lacking(read)
    if missing:
        found.notes.append(f"the report's list of C layers lacks {missing} of them")


def _beside_model(found, read, operations):
    """Compare a report with the operations of a model."""
    layers = check_c_layers(read) if read.layers and read.rows else []
    if read.rows:
        found.rows, costs = compare_rows(read, operations)
    else:
        found.rows, costs = compare_c_layers(read, operations)
        found.notes.append(
            "there is no table of layers: the layers of the C code are compared, `line` is their number"
            if found.rows
            else "there is neither a table of layers nor C layers of these names: only totals are compared"
        )
    found.totals = totals(read, operations, costs, found.rows, layers, model=True)


def _read(path):
    """Read the report; a folder of generated C without one says its MACC, bytes, version and compression by itself."""
    try:
        return read_report(path)
    except DataError:
        if not Path(path).is_dir() or not any(Path(path).glob("*.c")):
            raise
    code = read_generated(path)
    formats = {tensor.format for tensor in code.tensors.values()}
    report = Report(str(path), source="code", notes=["there is no report in the folder: the generated C stands for it"])
    report.version = code.version
    if not code.version:
        report.notes.append("no header of the generated C names the version: it was counted as version 10.2")
    level_ = "medium" if "LUT4_FLOAT" in formats else "low" if "LUT8_FLOAT" in formats else "none"
    report.header = {"compression": level_, "model_hash": code.signature, "model_fmt": "int8" if "S8" in formats else "float"}
    report.totals = {"weights": sum(tensor.size_bytes for tensor in code.tensors.values())} if code.tensors else {}
    if code.macc is not None:
        report.totals["macc"] = code.macc
    return report


def _hash(found, model_path):
    """Versions 5.0, 5.1 and 9 on print the MD5 of the model's file; of our own formats X-CUBE-AI reads none."""
    stated, release = found.report.model_hash, found.report.release
    if Path(model_path).suffix.lower() not in (".h5", ".hdf5", ".keras"):
        return
    if not stated or (6, 0) <= release < (9, 0) or release < (5, 0) or release == (5, 2):
        return
    try:
        own = hashlib.md5(Path(model_path).read_bytes(), usedforsecurity=False).hexdigest()
    except OSError as error:
        raise DataError(f"{model_path} cannot be read: {error.strerror or error}") from error
    found.notes.append(
        "the report was made from this very file (MD5)"
        if own == stated
        else f"the report was made from another file: its model_hash is {stated}, this file's MD5 is {own}"
    )


def _weights(found, model, place, *, asked):
    if place is None or (not asked and not any(Path(place).glob("*.c"))):
        return
    try:
        found.generated = read_generated(place, found.report.header.get("c_name", ""))
    except FormatError:
        if asked:
            raise
        found.notes.append("the C files beside the report hold no weights")
        return
    found.notes += found.generated.notes
    macc = found.report.totals.get("macc")
    if found.generated.macc is not None and macc is not None and found.generated.macc != macc:
        found.problems.append(f"network.c says {found.generated.macc:,} MACC, the report {macc:,}: they are not of the same run")
    missed = found.problems if asked else found.notes
    if model is None or not hasattr(model, "layers"):
        missed.append("the weights in the C were not compared: that takes --model with a file that this library can open")
    elif found.generated.tensors:
        found.weights = compare_weights(found.generated, model, release_of(found.report))
        apart = [w for w in found.weights if not w.compared]
        if apart:
            missed.append(f"{len(apart)} tensors were not compared, the first is {apart[0].theirs}: {apart[0].reason}")
    else:
        missed.append("the weights in the C were not compared: no network.c says where each tensor lies")


def _validation(found, model, simulation, place, *, asked):
    if place is None or (not asked and not list(Path(place).glob("*val_io*.npz"))):
        return
    arrays = read_validation(place)
    reference, candidate = arrays.get("m_outputs_1"), arrays.get("c_outputs_1")
    if reference is None or candidate is None:
        missed = found.problems if asked else found.notes
        missed.append(f"the validation holds {', '.join(sorted(arrays)) or 'nothing'}: m_outputs_1 and c_outputs_1 are needed")
        return
    metrics = validation_metrics(reference, candidate)
    found.validation.append({"what": "their model against their C code", "n": len(reference), **metrics})
    for stated in found.report.metrics[:1]:
        same = {"what": "the same, as the report prints it", "n": len(reference), **{k: stated.get(k) for k in METRICS}}
        found.validation.append({**same, "problem": _contradiction(metrics, stated)})
    inputs = arrays.get("c_inputs_1", arrays.get("m_inputs_1"))
    if inputs is not None:
        for what, classifier, decides in _simulations(found, model, simulation):
            _simulate(found, what, classifier, decides, inputs, candidate)


def _contradiction(metrics, stated):
    """A sentence about the first metric that the arrays contradict, or an empty string."""
    for name in ("rmse", "mae", "l2r"):
        if stated.get(name) is not None and not abs(metrics[name] - stated[name]) <= 1e-9 + 1e-4 * abs(stated[name]):
            return f"the report prints {name} {stated[name]:.9g}, its arrays give {metrics[name]:.9g}"
    return ""


def _simulations(found, model, simulation):
    """What answers the validation's images here: (name, classifier, whether a difference decides)."""
    if model is not None and hasattr(model, "predict"):
        exact = found.report.compression in ("none", "lossless") and number_format(found.report) == "float"
        yield "their C code against our float simulation", model, exact
        if found.generated is not None and any(w.mse is not None for w in found.weights):
            theirs = with_their_weights(model, found.generated)
            yield "their C code against our float simulation of their shared weights", theirs, True
    if simulation is not None:
        yield _beside(simulation), simulation, False


def _beside(simulation):
    return f"their C code against {getattr(simulation, 'name', 'the simulation')}"


def _simulate(found, what, classifier, decides, inputs, candidate):
    missed = found.problems if decides else found.notes
    try:
        outputs = classifier.predict(inputs)
    except TinyVGGError as error:
        missed.append(f"{what}: the validation's images do not fit: {error.problem}")
        return
    if np.size(outputs) != candidate.size:
        missed.append(f"{what}: their outputs have shape {candidate.shape}, ours {outputs.shape}: another network")
        return
    metrics = validation_metrics(outputs, candidate)
    problem = f"{what}: l2r {metrics['l2r']:.3g} is above {CLOSE:g}" if decides and not metrics["l2r"] <= CLOSE else ""
    found.validation.append({"what": what, "n": len(inputs), **metrics, "problem": problem})


def _row(pair):
    if "presence" in pair.wrong:
        return pair.reason
    parts = [f"{name} theirs {_show(pair.theirs[name])}, ours {_show(pair.ours[name])}" for name in pair.wrong]
    return "; ".join(parts) + _because(pair.reason)


def _show(value):
    return f"{value:,}" if isinstance(value, int) else "x".join(map(str, value))


def _because(reason):
    return f" ({reason})" if reason else ""
