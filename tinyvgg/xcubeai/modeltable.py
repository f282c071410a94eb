"""The model table of a report: its header gives the columns, in three layouts (4.0-5.2, 6.0-7.2, 8.0-10.2)."""

import re

from tinyvgg.xcubeai.report import Row

FIELDS = {
    "id": "id",
    "m_id": "id",
    "layer": "layer",
    "output shape": "shape",
    "shape": "shape",
    "oshape": "shape",
    "param #": "parameters",
    "param/size": "sizes",
    "macc": "macc",
    "connected to": "inputs",
    "rom": "rom",
    "c_size": "c_size",
    "c_macc": "c_macc",
    "c_type": "c_type",
    "|": "bar",
}
LABELLED = re.compile(r"(\w+):\s*(\w+)")
ROM = re.compile(r"^([\d,]*)\s*(?:\((\w+)\))?$")  # 104, 104 (c): compressed, 104 (i): integers
LAYER = re.compile(r"^(\S.*?)(?: \(([^()]*)\))?$")

MOST_ROWS = 5000  # no network that fits a microcontroller has more


def number(text):
    """Return the whole number of `1,343,146`."""
    return int(text.replace(",", ""))


def is_header(text):
    """Whether a line is the header of a model table."""
    return re.match(r"^(m_)?id\s+layer \(", text) is not None and "shape" in text


class ModelTable:
    """Takes the lines after a header and appends Rows to a report; `closed` after the line of totals."""

    def __init__(self, header):
        self.spans = _spans(header)
        self.has_batch = "oshape" in header
        self.typed = "(type" in header
        self.closed = False

    def take(self, line, line_number, report):
        """Read one line -> whether it was understood."""
        text = line.strip()
        if set(text) <= {"-", " "}:
            if " " in text and not report.rows:
                self.spans = _ruled(line, self.spans)
            return True
        if self._totals(text, report):
            self.closed = True
            return True
        if self.closed or len(report.rows) >= MOST_ROWS:
            return False
        cells = {name: line[a:b].strip() for name, (a, b) in self.spans.items()}
        if any(a and not line[a - 1 : a + 1].isspace() and " " not in line[a - 1 : a + 1] for a, _ in self.spans.values() if a < len(line)):
            return False  # a word lies in two columns
        try:
            return self._row(cells, line_number, report)
        except ValueError:
            return False

    def _row(self, cells, line_number, report):
        layer = LAYER.match(cells.get("layer", ""))
        if layer is None:
            return _connection(cells, report)
        kinds = [part.strip() for part in (layer[2] or "").split(",")]
        kind, original = (kinds[0], kinds[1] if len(kinds) > 1 else "") if self.typed else ("", kinds[0])
        row = Row(
            line_number,
            _id(cells, report),
            layer[1],
            kind,
            "" if original == "None" else original,
            _shape(cells.get("shape", ""), self.has_batch and kind != "Placeholder"),
        )
        row.macc = _whole(cells.get("macc"))
        row.inputs = [cells["inputs"]] if cells.get("inputs") else []
        if "sizes" in cells:
            row.parameters, row.size_bytes = (_whole(v) for v in (cells["sizes"] or "0/0").split("/"))
        else:
            row.parameters = _whole(cells.get("parameters"))
            rom = ROM.match(cells.get("rom", ""))
            if rom is None:
                raise ValueError(cells["rom"])
            row.size_bytes, row.compressed = _whole(rom[1]), "c" in (rom[2] or "")
        row.c_size_delta, row.c_macc_delta = _delta(cells.get("c_size")), _delta(cells.get("c_macc"))
        row.c_type = cells.get("c_type", "").lstrip("| ")
        report.rows.append(row)
        return True

    def _totals(self, text, report):
        """`model/c-model: macc=A/B weights=C/D ...`, `model: macc=A weights=C ...`, `NAME p=N(..) macc=A rom=..`."""
        if not re.match(r"^(model(/c-model)?:|\S+ p=\d+\(.*macc=\d+)", text):
            return False
        for name, model, c_model in re.findall(r"\b(macc|weights|activations|io)=([\d,]+|--)(?:/([\d,]+))?", text):
            if model != "--":
                report.totals[f"model_{name}"] = number(model)
            if c_model:
                report.totals[f"c_model_{name}"] = number(c_model)
        if parameters := re.search(r" p=(\d+)\(", text):
            report.totals["model_parameters"] = int(parameters[1])
        return True


def _spans(header):
    """Return {field: (start, end)} from the header's words: a cell begins where its heading begins."""
    words = [(m.start(), m[0]) for m in re.finditer(r"\||[^\s|]+(?: [^\s|]+)*", header)]
    named = [(start, FIELDS.get(re.sub(r" ?\(.*", "", word), word)) for start, word in words]
    ends = [start for start, _ in named[1:]] + [None]
    spans = {name: (start, end) for (start, name), end in zip(named, ends, strict=True)}
    spans["id"] = (0, spans["id"][1]) if "id" in spans else (0, 0)
    return spans


def _ruled(rule, spans):
    """Versions 8 and later rule each column by itself, and align some to the right: take the rule's groups in order."""
    groups = [m.span() for m in re.finditer(r"-+", rule)]
    ends = [a for a, _ in groups[1:]] + [None]
    return {name: (a, b) for name, (a, _), b in zip(spans, groups, ends, strict=False)}


def _connection(cells, report):
    """A row without a layer names one more input of the row above."""
    if not cells.get("inputs") or not report.rows:
        return False
    report.rows[-1].inputs.append(cells["inputs"])
    return True


def _id(cells, report):
    """A fused row has no id of its own: it belongs to the row above."""
    if cells.get("id"):
        return int(cells["id"])
    return report.rows[-1].id if report.rows else None


def _whole(cell):
    return number(cell) if cell else 0


def _delta(cell):
    found = re.match(r"^\|?\s*([+-][\d,]+)\(", cell or "")
    return number(found[1]) if found else 0


def _shape(cell, has_batch):
    """A cell as a tuple without the batch, if that is 1.

    `(32, 32, 3)`, `(None,32,32,3)`, `(h:32, w:32, c:3)`, `(1,30,27,1)`, `[b:1,h:28,h:28,w:28,c:1]`.
    Version 8.1 prints the height twice (two that differ are an error); an LSTM prints several outputs,
    `[b:1,h:30,c:32][b:1,c:32]`, of which the first is taken.
    """
    cell = cell.split("]")[0]
    labels = LABELLED.findall(cell)
    if not labels:
        sizes = re.findall(r"\d+|None", cell)
        drop = "None" in sizes or has_batch and len(sizes) > 1
        return tuple(int(v) for v in sizes[1 if drop else 0 :] if v != "None")
    if len({label for label, _ in labels}) < len(set(labels)):
        raise ValueError(cell)
    kept = [pair for i, pair in enumerate(labels) if pair not in (("b", "1"), ("b", "None")) and pair not in labels[:i]]
    if not has_batch and labels[0][0] == "b":
        kept = [pair for i, pair in enumerate(labels) if pair not in labels[:i]]
    return tuple(int(size) for _, size in kept if size.isdigit())
