"""The comparison as one self-contained HTML page, for a teacher or a reviewer."""

from tinyvgg.report import html
from tinyvgg.xcubeai.answers import answers

METRICS = ("acc", "rmse", "mae", "l2r", "nse", "cos")
SHOWN = 50


def render(check):
    """Return the page of a CrossCheck, without links to anything outside it."""
    report = check.report
    version = f"X-CUBE-AI {report.version}" if report.version else "X-CUBE-AI, version unknown"
    verdict = {
        "agree": f"They agree in {check.scope}.",
        "differ": f"They differ in {len(check.differences)} places.",
        "not rebuilt": "Nothing was compared.",
    }[check.verdict]
    lead = html.note(verdict) + html.paragraph(
        f"Report {report.path} ({report.tool}), compression {report.compression}; model {check.model}."
    )
    parts = (
        ("differences", "What differs", _list(check.differences)),
        ("not-rebuilt", "What was not rebuilt, so neither right nor wrong", _list(check.not_rebuilt)),
        ("answers", "Does it fit, what is largest, how long does it take", _list(answers(check))),
        ("totals", "Totals", _totals(check)),
        ("rows", "Row by row", _rows(check)),
        ("weights", "Weights in the generated C", _weights(check)),
        ("validation", "Validation", _validation(check)),
        ("sums", "Does the report agree with itself?", _sums(check)),
        ("notes", "Notes", _list([*check.notes, *(f"line {n} was not understood: {t[:120]}" for n, t in report.unread[:20])])),
    )
    title = f"{report.header.get('model_name') or report.path}: {version} beside tinyvgg"
    return html.page(title, [part for part in parts if part[2]], lead=lead)


def _list(lines):
    """Return sentences as an HTML list; of many, only the first ones."""
    items = "".join(f"<li>{html.escape(str(line))}</li>" for line in lines[:SHOWN])
    return f"<ul>{items}</ul>" if items else ""


def _table(caption, header, rows):
    """Return a table. Each row ends with whether it is right; the first cell of a wrong row is highlighted."""
    if not rows:
        return ""
    cells = [[_value(cell) for cell in row[:-1]] for row in rows]
    for row, shown in zip(rows, cells, strict=True):
        if not row[-1]:
            shown[0] = html.Html(f"<mark>{html.escape(shown[0])}</mark>")
    return html.table(caption, header, cells)


def _totals(check):
    rows = [
        (t.name, t.theirs, t.ours, t.theirs - t.ours, t.unknown or ("estimate: " * (t.estimate and not t.ok) + t.reason))
        + (t.ok or t.estimate or bool(t.unknown),)
        for t in check.totals
    ]
    return _table("Figures of the whole network", ("figure", "theirs", "ours", "difference", "reason"), rows)


def _rows(check):
    rows = []
    for p in check.rows:
        left, right = p.theirs or {}, p.ours or {}
        cells = []
        for key in ("shape", "parameters", "macc", "bytes"):
            a, b = left.get(key), right.get(key)
            same = key not in p.wrong and a is not None
            cells.append(_value(a) if same else f"{_value(a)} / {_value(b)}")
        rows.append((p.name, p.line or "", p.kind, *cells, p.unknown or p.reason, p.ok))
    header = ("operation", "line", "type", "output", "parameters", "MACC", "bytes", "reason")
    return _table("Each operation; where they differ: theirs / ours", header, rows)


def _weights(check):
    rows = [
        (
            w.theirs or "-",
            w.name or "-",
            w.format,
            w.items,
            w.differing,
            f"{w.largest:.3g}",
            "" if w.mse is None else f"{w.mse:.4g} (best {w.best_mse:.4g}: {100 * w.gain:.1f} % less)",
            w.where or w.reason,
            w.ok,
        )
        for w in check.weights
    ]
    codebook = "squared error of the codebook"
    header = ("theirs", "ours", "stored as", "values", "differing", "largest difference", codebook, "where")
    return _table("Each tensor", header, rows)


def _validation(check):
    rows = [
        (v["what"], v["n"], *(f"{v[k]:.6g}" if v.get(k) is not None else "" for k in METRICS), not v.get("problem"))
        for v in check.validation
    ]
    return _table("Metrics of each comparison", ("comparison", "samples", *METRICS), rows)


def _sums(check):
    rows = [(c.what, c.rows, c.total, c.ok) for c in check.sums]
    return _table("Sums beside the totals that it prints", ("sum", "over the rows", "as it prints"), rows)


def _value(value):
    if value is None:
        return "-"
    if isinstance(value, tuple | list):
        return "x".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)
