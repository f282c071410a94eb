"""Compare the sums over a report's rows with the totals that it prints, so that no row is lost."""

import math
import re
from dataclasses import dataclass

from tinyvgg.analyze.st import LEVELS

ALIGNMENT = 4
CODEBOOKS = {"lut4": 64, "lut8": 1024, "c4": 64, "c8": 1024}


@dataclass
class Check:
    """A sum over rows and the total that the report prints; `also`: other totals that alignment and codebooks can give."""

    what: str
    rows: int
    total: int
    also: tuple = ()

    @property
    def ok(self):
        return self.total == self.rows or self.total in self.also


def checks(report):
    """Return a list of Check; only pairs for which the report has both sides. A sum over a block of which lines are missing is
    kept where it is right all the same."""
    sure = _checks(report, report.partial)
    known = {c.what for c in sure}
    return sure + [c for c in (_checks(report, ()) if report.partial else ()) if c.ok and c.what not in known]


def unsummed(report):
    """The blocks of a report whose sums are not checked, because lines of them are missing."""
    return report.partial if report.partial and not all(c.ok for c in _checks(report, ())) else []


def _checks(report, partial):
    """The checks of all blocks but the partial ones."""
    totals, found = report.totals, []
    rows = [] if "model" in partial else report.rows

    def compare(what, values, name, also=()):
        if name in totals and values is not None:
            found.append(Check(what, sum(values), totals[name], tuple(also)))

    if rows:
        merged = "model_macc" in totals and "c_model_macc" not in totals
        compare("parameters of the rows", (r.parameters for r in rows), "parameters")
        compare("MACC of the rows", (r.macc for r in rows), "model_macc")
        _row_bytes(report, compare)
        compare(
            "MACC of the rows, their changes in C and what C inserts",
            [*(r.macc + r.c_macc_delta for r in rows), *inserted(report)],
            "c_model_macc",
        )
        if merged and report.source == "text" and report.release < (6, 0):
            compare("MACC of the rows", (r.macc for r in rows), "macc")
            compare("bytes of the rows", (r.size_bytes for r in rows), "weights", aligned([r.size_bytes for r in rows]))
    if report.layers and not lacking(report) and "layers" not in partial:
        compare("MACC of the C layers", (layer.macc for layer in report.layers), "macc")
    constants = [a.size_bytes for a in report.arrays if a.pool.startswith("weights") and "arrays" not in partial]
    if constants:
        compare("bytes of the C arrays", constants, "weights", {*aligned(constants, codebooks(report)), *placed(report)})
    elif report.layers and not report.arrays and "layers" not in partial:
        sizes = [layer.rom_bytes for layer in report.layers]
        compare("bytes of the C layers", sizes, "weights", aligned(sizes))
    compare("operations of the C layers", [o.count for o in _whole("operations", partial, report.operations)] or None, "macc")
    compare("operations by type", list(_whole("types", partial, report.operation_types.values())) or None, "macc")
    compare("inputs in the table", _inputs(report) if rows else None, "input_items")
    if {"weights", "model_weights"} <= set(totals):
        float_bytes = 4 * totals.get("parameters", 0)
        compare(
            "change of the weights",
            [totals["weights"], -totals["model_weights"]],
            "weights_change",
            (totals["weights"] - float_bytes,),
        )
    _sections(report, _whole("memory", partial, report.sections), found)
    compare("total of the operations", [totals["operations"]] if "operations" in totals else None, "macc")
    _repeated(report, compare)
    _counts(report, _whole("arrays", partial, report.arrays), found)
    return found


def _whole(block, partial, items):
    """The items of a block, or none where lines of it are missing."""
    return () if block in partial else items


def _inputs(report):
    """Elements of each input row of a table, or nothing where the rows do not show all of them."""
    sizes = [
        math.prod(row.shape) for row in report.rows if (row.kind or row.original or "input").lower() in ("input", "inputlayer")
    ]
    return sizes if sizes and all(sizes) else None


def _row_bytes(report, compare):
    """Bytes of the table. Where several rows read one tensor, ST's own changes do not add up; the arrays then decide."""
    rows = report.rows
    compare("bytes of the rows", (r.size_bytes for r in rows), "model_weights", aligned([r.size_bytes for r in rows]))
    changed, total = [r.size_bytes + r.c_size_delta for r in rows], report.totals.get("c_model_weights")
    constants = [a.size_bytes for a in report.arrays if a.pool.startswith("weights")]
    also = aligned(changed, _possible_codebooks(report))
    if constants and total in (sum(constants), *aligned(constants, codebooks(report))):
        if sum(changed) != total and total not in also:
            note = "the table's changes in C do not add up to the weights; the arrays of the C code do"
            report.notes += [note] * (note not in report.notes)
        return
    if report.source == "json" and sum(changed) != total and total not in also:
        report.notes.append("the bytes that the rows give for C do not add up to the weights")
        return
    compare("bytes of the rows and their changes in C", changed, "c_model_weights", also)


def aligned(sizes, codebook_bytes=0):
    """Return the totals that parts of these sizes can have in memory: each part, or the whole, is padded to 4 or 8 bytes;
    codebooks are counted or not. sizes: bytes; codebook_bytes: of all codebooks, which some versions do not count in a part's
    size.
    """
    found = set()
    for extra in (0, codebook_bytes):
        for unit in (ALIGNMENT, 2 * ALIGNMENT) if any(size % ALIGNMENT for size in sizes) else ():
            found |= {_up(sum(sizes) + extra, unit), sum(_up(size, unit) for size in sizes) + extra}
        found |= {sum(sizes) + extra, sum(_up(size, ALIGNMENT) for size in sizes[:-1]) + sum(sizes[-1:]) + extra}
    return sorted(found)


def placed(report):
    """The total that the places of the constants give: how far each memory pool is used; none where a place is not stated."""
    ends = {}
    constants = [a for a in report.arrays if a.pool.startswith("weights")]
    for array in constants:
        if array.end is None:
            return ()
        ends[array.pool_id] = max(ends.get(array.pool_id, 0), array.end)
    return (sum(ends.values()),) if sum(ends.values()) >= sum(a.size_bytes for a in constants) else ()


def _up(size, unit):
    return -(-size // unit) * unit


def codebooks(report):
    """Return the number of bytes of all codebooks."""
    formats = [f"{a.format} {a.c_type} {a.comment}".lower() for a in report.arrays if a.pool.startswith("weights")]
    return sum(next((size for word, size in CODEBOOKS.items() if word in text), 0) for text in formats)


def _possible_codebooks(report):
    """Bytes of codebooks where arrays do not say: one a row whose size changes to about an eighth or a quarter of it."""
    bits = LEVELS.get(report.compression, 0)
    if report.arrays or not bits:
        return codebooks(report)
    shared = [r for r in report.rows if 0 < r.size_bytes + r.c_size_delta < 0.5 * r.size_bytes]
    return len(shared) * 4 * 2**bits


def inserted(report):
    """Return the MACC of the C layers that have no row in the table (a transposition to channels last, a conversion)."""
    if not report.rows:
        return []
    ids = {row.id for row in report.rows}
    return [layer.macc for layer in report.layers if layer.model_id not in ids]


def lacking(report):
    """Return how many C layers are missing in ST's list (those that read only constants), from the number that it prints."""
    stated = report.graph.get("c-node #", "")
    return max(0, int(stated) - len(report.layers)) if re.fullmatch(r"[0-9]{1,9}", stated) else 0


def _repeated(report, compare):
    """Figures that a report prints in several places."""
    names = {"total flash": "flash_total", "total ram": "ram_total", "weights": "weights", "activations": "activations"}
    console = {f"console {k}": v for k, v in names.items()}
    graph = {"macc": "macc", "weights size": "weights", "activations size": "activations"}
    for key, name in (console | graph).items():
        if figure := re.match(r"[\d,]+", report.graph.get(key, "")):
            compare(key, [int(figure[0].replace(",", ""))], name)
    totals = report.totals
    for name, stated in (("c_model_activations", "activations"), ("ram_activations", "activations")):
        if name in totals:
            compare(name.replace("_", " "), [totals[name]], stated)
    for name, stated in {"macc": "macc", "weights": "weights", "act": "activations"}.items():
        if f"complexity_{name}" in totals:
            compare(f"{name} of the complexity report", [totals[f"complexity_{name}"]], stated)
    if {"activations", "io"} <= set(totals):
        compare("activations, and inputs and outputs that lie apart", [totals["activations"], totals["io"]], "ram")


READ = re.compile(r"^(\d[\d,]*)(?: B)?(?: items)? \((\d+(?:\.\d+)?|\d{1,3}(?:,\d{3})+(?:\.\d+)?) (B|KiB|MiB)\)")
UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20}


def readable(report):
    """Notes on bytes that are printed a second time, in KiB or MiB, and not as the same number."""
    notes = []
    for key in ("weights (ro)", "activations (rw)", "ram (total)"):
        if stated := READ.match(report.header.get(key, "")):
            size, shown, unit = int(stated[1].replace(",", "")), float(stated[2].replace(",", "")), UNITS[stated[3]]
            if abs(size - shown * unit) > 0.0101 * unit:
                notes.append(f"{key} is {size:,} bytes, and not the {stated[2]} {stated[3]} that are printed beside them")
    return notes


def _sections(report, listed, found):
    """Flash is text, rodata and data; RAM is data and bss."""
    sections = {s.module: s for s in listed}
    for name, flash, ram in (("RT total", "runtime_flash", "runtime_ram"), ("TOTAL", "flash_total", "ram_total")):
        if name in sections and flash in report.totals:
            s = sections[name]
            found.append(Check(f"flash of {name}", s.text + s.rodata + s.data, report.totals[flash]))
            found.append(Check(f"RAM of {name}", s.data + s.bss, report.totals[ram]))
    parts = [s for s in listed if s.module not in ("RT total", "TOTAL", "weights", "activations", "io")]
    if "RT total" in sections and parts:
        whole = sections["RT total"]
        modules = sum(s.text + s.rodata + s.data for s in parts)
        found.append(Check("flash of the runtime's modules", modules, whole.text + whole.rodata + whole.data))


def _counts(report, arrays, found):
    stated = report.graph.get("c-array #", "")
    if re.fullmatch(r"[0-9]{1,9}", stated) and arrays:
        found.append(Check("number of C arrays", len(arrays), int(stated)))
