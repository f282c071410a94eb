"""The sums over a report's rows against the totals that it prints: no row may be lost."""

import re
from dataclasses import dataclass


@dataclass
class Check:
    """A sum over rows beside the total that the report prints itself."""

    what: str
    rows: int
    total: int

    @property
    def ok(self):
        return self.rows == self.total


def checks(report):
    """Return a list of Check; only pairs of which the report holds both sides."""
    totals, rows, found = report.totals, report.rows, []

    def compare(what, values, name):
        if name in totals and values is not None:
            found.append(Check(what, sum(values), totals[name]))

    if rows:
        merged = "model_macc" in totals and "c_model_macc" not in totals
        compare("parameters of the rows", (r.parameters for r in rows), "parameters")
        compare("MACC of the rows", (r.macc for r in rows), "model_macc")
        compare("bytes of the rows", (r.size_bytes for r in rows), "model_weights")
        compare(
            "MACC of the rows, their changes in C and what C inserts",
            [*(r.macc + r.c_macc_delta for r in rows), *inserted(report)],
            "c_model_macc",
        )
        compare("bytes of the rows and their changes in C", (r.size_bytes + r.c_size_delta for r in rows), "c_model_weights")
        if merged and report.source == "text" and report.release < (6, 0):
            compare("MACC of the rows", (r.macc for r in rows), "macc")
            compare("bytes of the rows", (r.size_bytes for r in rows), "weights")
    if report.layers:
        compare("MACC of the C layers", (layer.macc for layer in report.layers), "macc")
        compare("bytes of the C layers", (layer.rom_bytes for layer in report.layers), "weights")
    if report.arrays:
        compare("bytes of the C arrays", (a.size_bytes for a in report.arrays if a.pool.startswith("weights")), "weights")
    compare("operations of the C layers", (o.count for o in report.operations) if report.operations else None, "macc")
    compare("operations by type", report.operation_types.values() if report.operation_types else None, "macc")
    _sections(report, found)
    compare("total of the operations", [totals["operations"]] if "operations" in totals else None, "macc")
    console = {
        f"console {k}": v
        for k, v in (
            ("total flash", "flash_total"),
            ("total ram", "ram_total"),
            ("weights", "weights"),
            ("activations", "activations"),
        )
    }
    graph = {"macc": "macc", "weights size": "weights", "activations size": "activations"}
    for key, name in (console | graph).items():
        if figure := re.match(r"[\d,]+", report.graph.get(key, "")):
            compare(key, [int(figure[0].replace(",", ""))], name)
    if {"activations", "io"} <= set(totals):
        compare("activations, and inputs and outputs that lie apart", [totals["activations"], totals["io"]], "ram")
    _counts(report, found)
    return found


def inserted(report):
    """MACC of the C layers that no row of the table knows (a transposition to channels last, a conversion)."""
    if not report.rows:
        return []
    ids = {row.id for row in report.rows}
    return [layer.macc for layer in report.layers if layer.model_id not in ids]


def _sections(report, found):
    """Flash is text, rodata and data; RAM is data and bss."""
    sections = {s.module: s for s in report.sections}
    for name, flash, ram in (("RT total", "runtime_flash", "runtime_ram"), ("TOTAL", "flash_total", "ram_total")):
        if name in sections and flash in report.totals:
            s = sections[name]
            found.append(Check(f"flash of {name}", s.text + s.rodata + s.data, report.totals[flash]))
            found.append(Check(f"RAM of {name}", s.data + s.bss, report.totals[ram]))
    parts = [s for s in report.sections if s.module not in ("RT total", "TOTAL", "weights", "activations", "io")]
    if "RT total" in sections and parts:
        found.append(
            Check(
                "flash of the runtime's modules",
                sum(s.text + s.rodata + s.data for s in parts),
                report.totals.get("runtime_flash", 0),
            )
        )


def _counts(report, found):
    for what, rows, key in (("C arrays", report.arrays, "c-array #"), ("C layers", report.layers, "c-node #")):
        if key in report.graph and report.graph[key].isdigit():
            found.append(Check(f"number of {what}", len(rows), int(report.graph[key])))
