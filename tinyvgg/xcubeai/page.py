"""The comparison as one self-contained HTML page, for a teacher or a reviewer."""

import html

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;font-size:13px;width:100%}
th,td{padding:.2rem .5rem;border-bottom:1px solid #d8dee4;text-align:left;vertical-align:top}
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
tr.wrong td{background:#ffebe9}tr.estimate td{color:#59636e}.verdict{padding:.6rem 1rem;border-radius:6px;font-weight:600}
.yes{background:#dafbe1}.no{background:#ffebe9}code{font-size:13px}.bar{height:9px;background:#4477aa;display:inline-block}
.bar.macc{background:#cc6677}ul{padding-left:1.2rem}
"""


def render(check):
    """Return the page of a CrossCheck, without links to anything outside it."""
    report, parts = check.report, []
    version = f"X-CUBE-AI {report.version}" if report.version else "X-CUBE-AI, version unknown"
    parts.append(f"<h1>{_text(report.header.get('model_name') or report.path)}: {_text(version)} beside tinyvgg</h1>")
    verdict = f"They agree in {check.scope}" if check.agrees else f"They differ in {len(check.differences)} places"
    parts.append(f'<p class="verdict {"yes" if check.agrees else "no"}">{verdict}.</p>')
    if check.differences:
        parts.append("<ul>" + "".join(f"<li>{_text(d)}</li>" for d in check.differences[:50]) + "</ul>")
    parts.append(
        f"<p>Report <code>{_text(report.path)}</code> ({_text(report.tool)}), compression {_text(report.compression)}; model "
        f"<code>{_text(check.model)}</code>.</p>"
    )
    parts += [_totals(check), _rows(check), _bars(check), _weights(check), _validation(check), _sums(check), _notes(check)]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Cross-check with {_text(version)}</title>'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _totals(check):
    rows = [
        (
            t.name,
            t.theirs,
            t.ours,
            t.theirs - t.ours,
            t.reason if t.reason else "",
            "" if t.ok else "estimate" if t.estimate else "wrong",
        )
        for t in check.totals
    ]
    return _table("Totals", ("figure", "theirs", "ours", "difference", "reason"), rows)


def _rows(check):
    rows = []
    for p in check.rows:
        left, right = p.theirs or {}, p.ours or {}
        cells = [p.line or "", p.name, p.kind]
        for key in ("shape", "parameters", "macc", "bytes"):
            a, b = left.get(key), right.get(key)
            same = key not in p.wrong and a is not None and b is not None
            cells.append(_value(b if same else a) if same else f"{_value(a)} / {_value(b)}")
        rows.append((*cells, p.reason, "" if p.ok else "wrong"))
    return _table(
        "Row by row (where they differ: theirs / ours)",
        ("line", "operation", "type", "output", "parameters", "MACC", "bytes", "reason"),
        rows,
    )


def _bars(check):
    """Where the bytes and the operations are, ours."""
    shown = [p.ours for p in check.rows if p.ours and (p.ours.get("c_bytes") or p.ours.get("macc"))]
    if not shown:
        return ""
    most = {key: max(o[key] for o in shown) or 1 for key in ("c_bytes", "macc")}
    body = "".join(
        f"<tr><td>{_text(o['name'])}</td>"
        + "".join(
            f'<td><span class="bar {name}" style="width:{220 * o[key] / most[key]:.1f}px"></span> {o[key]:,}</td>'
            for key, name in (("c_bytes", "bytes"), ("macc", "macc"))
        )
        + "</tr>"
        for o in shown
    )
    head = "<tr><th>operation</th><th>bytes</th><th>MACC</th></tr>"
    return f"<h2>Where the bytes and the operations are</h2><table>{head}{body}</table>"


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
            "" if w.ok else "wrong",
        )
        for w in check.weights
    ]
    return _table(
        "Weights in the generated C",
        ("theirs", "ours", "stored as", "values", "differing", "largest difference", "squared error of the codebook", "where"),
        rows,
    )


def _validation(check):
    rows = [
        (
            v["what"],
            v["n"],
            *(f"{v[k]:.6g}" if v.get(k) is not None else "" for k in ("acc", "rmse", "mae", "l2r", "nse", "cos")),
            "wrong" if v.get("problem") else "",
        )
        for v in check.validation
    ]
    return _table("Validation", ("comparison", "samples", "acc", "rmse", "mae", "l2r", "nse", "cos"), rows)


def _sums(check):
    rows = [(c.what, c.rows, c.total, "" if c.ok else "wrong") for c in check.sums]
    return _table("Does the report agree with itself?", ("sum", "over the rows", "as it prints"), rows)


def _notes(check):
    lines = [*check.notes, *(f"line {n} was not understood: {t[:120]}" for n, t in check.report.unread[:20])]
    return ("<h2>Notes</h2><ul>" + "".join(f"<li>{_text(line)}</li>" for line in lines) + "</ul>") if lines else ""


def _table(title, header, rows):
    """Rows end with the class of the row; whole numbers stand to the right."""
    if not rows:
        return ""
    head = "".join(f"<th>{_text(h)}</th>" for h in header)
    body = "".join(
        f'<tr class="{row[-1]}">'
        + "".join(f'<td class="{"n" if isinstance(cell, int) else ""}">{_text(_value(cell))}</td>' for cell in row[:-1])
        + "</tr>"
        for row in rows
    )
    return f"<h2>{_text(title)}</h2><table><tr>{head}</tr>{body}</table>"


def _value(value):
    if value is None:
        return "-"
    if isinstance(value, tuple | list):
        return "x".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def _text(value):
    return html.escape(str(value))
