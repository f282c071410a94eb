"""One function for all of X-CUBE-AI's output: a report, a JSON file, or a folder of them."""

from pathlib import Path

from tinyvgg.errors import DataError, FormatError
from tinyvgg.xcubeai.jsonreport import parse_json_report
from tinyvgg.xcubeai.textreport import parse_text_report


def read_report(path):
    """Read a text report, a console log or one of the JSON files -> Report.

    Raises DataError if there is no such file, FormatError if nothing in it belongs to a report. Smaller damage is listed in
    `Report.notes` and `Report.unread`.
    """
    if not str(path).strip():
        raise DataError("the name of the report is empty", "the path of a *_report.txt, or of the folder that holds it")
    path = Path(path)
    if path.is_dir():
        found = find_report(path)
        report, others = read_report(found), [p.name for p in path.glob("*.txt") if p != found and _looks_like_report(p)]
        if others:
            report.notes.append(f"of {len(others) + 1} reports in {path}, {found.name} was read; name another by its file")
        return report
    if not path.exists():
        raise DataError(f"there is no {path}", "the path of a *_report.txt, or of the folder that holds it")
    if path.suffix == ".json":
        return parse_json_report(path)
    report = parse_text_report(path)
    if not (report.rows or report.totals or report.layers or report.tool):
        raise FormatError(
            f"{path} has no line of an X-CUBE-AI report",
            "network_generate_report.txt, network_analyze_report.txt, or the console's log saved as text",
        )
    return report


def find_report(folder):
    """Return the report of a folder: text before JSON, validation before generation before analysis."""
    folder = Path(folder)
    for pattern in (
        "*validate*.txt",
        "*generate*.txt",
        "*analyze*.txt",
        "*report*.txt",
        "*.txt",
        "*_c_info.json",
        "*_report.json",
        "*_c_graph.json",
    ):
        for path in sorted(folder.glob(pattern)):
            if path.suffix == ".json" or _looks_like_report(path):
                return path
    raise DataError(f"no report of X-CUBE-AI in {folder}", "the folder that holds network_generate_report.txt")


def _looks_like_report(path):
    with open(path, "rb") as f:
        head = f.read(1 << 16)
    return any(
        word in head for word in (b"Exec/report summary", b"Neural Network Tools for STM32", b"ST Edge AI Core", b"STEdgeAI Core")
    )
