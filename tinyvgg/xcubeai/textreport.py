"""The text reports of X-CUBE-AI 4.0 to 12.0 and the console logs of STM32CubeMX, read block by block.

A heading begins a block, whose reader takes the following lines; lines that are not understood are kept in `Report.unread`.
"""

import math
import re

from tinyvgg.xcubeai.modeltable import ModelTable, is_header, number
from tinyvgg.xcubeai.report import LISTS, Array, CLayer, Operation, Report, Section, Share, Tensor
from tinyvgg.xcubeai.text import read_text
from tinyvgg.xcubeai.validation import METRICS

RULE = re.compile(r"^[\s\-]*$")
KEY = re.compile(r"^(\S[^:]{0,24}?)\s*: ?(.*)$")
SIZE = re.compile(r"^(\d[\d,]*)(?=\s*(?:B\b|[Bb]ytes?\b|items?\b|\(|\+|/|$))")

TOTALS = {
    "params #": "parameters",
    "macc": "macc",
    "weights (ro)": "weights",
    "rom (ro)": "weights",
    "activations (rw)": "activations",
    "ram (total)": "ram",
}

# First and last versions whose layout was seen; a stranger is read by the nearest layout, and said to be a stranger.
OLDEST, NEWEST = (4, 0), (12, 0)
CORE = {"1.0": "9.1", "2.0": "10.0", "2.1": "10.1", "2.2": "10.2", "3.0": "11.0", "4.0": "12.0"}
TOOL = re.compile(r"^(Neural Network Tools for STM32|STEdgeAI Core|ST Edge AI Core)")
VERSIONS = [
    (re.compile(r"(?:AI tools|stm\.ai|STM\.ai) v(\d+)\.(\d+)"), None),
    (re.compile(r"STEdgeAI Core v(\d+)\.(\d+)"), None),
    (re.compile(r"ST Edge AI Core v(\d+)\.(\d+)"), CORE),
]

HEADINGS = [
    ("summary", re.compile(r"^Exec/report summary")),
    ("model", re.compile(r"^Model name - ")),
    ("graph", re.compile(r"^Generated C-graph summary")),
    ("arrays", re.compile(r"^C-Arrays \(")),
    ("layers", re.compile(r"^C-Layers \(")),
    ("operations", re.compile(r"^Number of operations per c-layer")),
    ("types", re.compile(r"^Number of operation types")),
    ("complexity", re.compile(r"^Complexity (report|by layer|per-layer)")),
    ("memory", re.compile(r"^Requested memory size (by section|per segment)")),
    ("summary_memory", re.compile(r'^(Summary - "\S+" target|Summary per (memory device type|type of memory device))')),
    ("pools", re.compile(r"^Memory-pools summary")),
    ("npu", re.compile(r"^(Compilation details|Memory usage information|Epochs? details|Requested memory size per pool)")),
    ("evaluation", re.compile(r"^Evaluation report")),
    ("files", re.compile(r"^Generated files \(")),
    ("log", re.compile(r"^(Setting validation data|Running the ST\.AI c-model|Saving validation data|Computing the metrics)")),
    ("console", re.compile(r"^(Creating txt report file|elapsed time|Model file: |Total Flash: )")),
]


def parse_text_report(path):
    """Read a text report or console log -> Report. Nothing is required; what is missing in the text is missing in the result."""
    lines, notes = read_text(path)
    reader = _Reader(Report(str(path), notes=notes))
    for line_number, line in lines:
        reader.take(line_number, line)
    return reader.finish()


def tool_version(line):
    """Return X-CUBE-AI's version ("10.2") from a tool line, or an empty string."""
    for pattern, names in VERSIONS:
        if found := pattern.search(line):
            return f"{found[1]}.{found[2]}" if names is None else core_version(f"{found[1]}.{found[2]}")
    return ""


def core_version(stated):
    """Return X-CUBE-AI's version for the core's version: "10.2" for "2.2.0-20266". (In 9.0, the first with a core, both were the
    same.)"""
    found = re.match(r"(\d+)\.(\d+)", stated)
    if not found:
        return ""
    short = f"{found[1]}.{found[2]}"
    return short if int(found[1]) == 9 else CORE.get(short, f"{int(found[1]) + 8}.{found[2]}")


class _Reader:
    """Holds the block that is open; `take` gives it the next line."""

    def __init__(self, report):
        self.report, self.block, self.table, self.key = report, "head", None, ""
        self.second, self.stated, self.shares = 0, {}, 0.0

    def take(self, line_number, line):
        text = line.strip()
        if self.second or self._begins_another(text):
            self.second = self.second or line_number
            return
        opened = next((name for name, heading in HEADINGS if heading.match(text)), None)
        if opened and not (self.block == "log" and opened == "summary_memory"):
            self.block = opened
            getattr(self, f"open_{opened}", lambda text: None)(text)
        elif text and is_header(text) and self.block in ("head", "summary", "model"):
            self.block, self.table = "model", ModelTable(line)
        elif text and not self._read(line, text, line_number):
            self.report.unread.append((line_number, text))
            if self.block != "model" or self.table is None or not self.table.closed:
                self._part(self.block)

    def _begins_another(self, text):
        """Whether a line begins a second report in the same file."""
        return self.table is not None and self.table.closed and bool(TOOL.match(text) or text.startswith("Exec/report summary"))

    def _read(self, line, text, line_number):
        """Whether the block's reader understood the line; a figure that is no number is not understood."""
        try:
            return getattr(self, f"read_{self.block}")(line, text, line_number)
        except (ValueError, IndexError):
            return False

    def finish(self):
        report = self.report
        report.totals |= _stated(report.header)
        if report.tool and not report.version:
            report.notes.append(f"the tool's line {report.tool!r} names no version known here")
        elif not report.tool:
            report.notes.append("no line names the tool and its version: it was read, and counted, as version 10.2")
        elif report.version and not OLDEST <= report.release <= NEWEST:
            report.notes.append(
                f"version {report.version} was never seen by this reader (4.0 to 12.0 were); it was read by the "
                "nearest layout, so look at what is listed as unread"
            )
        if self.table is not None and not self.table.closed:
            report.notes.append("the model table has no line of totals: the report may be cut")
            self._part("model")
        if self.second:
            report.notes.append(f"line {self.second} begins another report: the first of the file was read; put the other in a file of its own")
        self._close(self.block)
        if report.unread:
            report.notes.append(
                f"not understood: {len(report.unread)} of the lines, the first is line {report.unread[0][0]}: "
                f"{report.unread[0][1][:80]!r}"
            )
        return report

    def _close(self, block):
        """The last block of the file may be cut: it is whole where it has as many rows as it says, or its total."""
        report = self.report
        whole = {
            "arrays": len(report.arrays) == self.stated.get("arrays"),
            "layers": len(report.layers) == self.stated.get("layers"),
            "operations": "operations" in report.totals,
            "memory": any(s.module == "TOTAL" for s in report.sections),
            "types": self.shares > 99,
        }
        if not whole.get(block, True):
            self._part(block)

    def _part(self, block):
        """Note that a block lacks lines."""
        if block in LISTS and block not in self.report.partial:
            self.report.partial.append(block)

    # -- head and key/value block ------------------------------------------------------------------------------------
    def read_head(self, line, text, line_number):
        if TOOL.match(text):
            self.report.tool, self.report.version = text, tool_version(text)
            return True
        if found := KEY.match(text):
            self.report.header[found[1].strip()] = found[2].strip()
            return True
        return (
            bool(RULE.match(text))
            or text.startswith(("Analyzing", "Generating", "Validating", "Creating"))
            or self._command(text)
        )

    def _command(self, text):
        """The console log repeats the command line."""
        if ".exe" in text or "stedgeai" in text or "stm32ai" in text:
            self.report.header.setdefault("Parameters", text)
            return True
        return False

    def open_summary(self, text):
        self.report.header["summary"] = text.partition("(")[2].rstrip(")")

    def read_summary(self, line, text, line_number):
        if RULE.match(text) or text.startswith("(*)") or text.startswith("Computing AI RT"):
            return True
        if line.startswith(" ") and self.key and (text.startswith(":") or ":" not in text.split("'")[0].split(",")[0]):
            self.report.header[self.key] += " " + text.lstrip(": ")
            return True
        found = KEY.match(text)
        if not found:
            return False
        self.key, value = found[1].strip(), found[2].strip()
        self.report.header[self.key] = value
        return self._total(self.key, value)

    def _total(self, key, value):
        """Keep the figures of the key/value block as whole numbers -> whether such a figure was one (bytes, not KiB)."""
        totals, found = self.report.totals, SIZE.match(value)
        if key in TOTALS and found:
            totals[TOTALS[key]] = number(found[1])
        elif key == "ram (rw)" and (parts := re.match(r"([\d,]+) \+ ([\d,]+)", value)):
            totals["activations"], totals["io"] = number(parts[1]), number(parts[2])
        if key == "ram (total)" and (parts := re.search(r"= ([\d,]+) \+ ([\d,]+) \+ ([\d,]+)", value)):
            totals["ram_activations"], totals["io"] = number(parts[1]), number(parts[2]) + number(parts[3])
        return bool(found or key not in TOTALS or not re.match(r"\d", value))

    # -- the model table ---------------------------------------------------------------------------------------------
    def open_model(self, text):
        self.report.header.setdefault("table", text.removeprefix("Model name - "))

    def read_model(self, line, text, line_number):
        if self.table is None:
            return bool(RULE.match(text))
        understood = self.table.take(line, line_number, self.report)
        if self.table.closed and not understood:
            return self.read_summary(line, text, line_number)
        return understood

    # -- the C graph -------------------------------------------------------------------------------------------------
    def read_graph(self, line, text, line_number):
        if found := KEY.match(text):
            self.report.graph[found[1].strip()] = found[2].strip()
        return bool(found or RULE.match(text))

    def open_arrays(self, text):
        found = re.search(r"\((\d{1,9})\)", text)
        self.stated[self.block] = int(found[1]) if found else None

    open_layers = open_arrays

    def read_arrays(self, line, text, line_number):
        found = re.match(r"^(\d+)\s+(\S+)\s+(\d+)/(\d+)\s+(\S+)\s+(.*)$", text)
        if not found:
            return bool(RULE.match(text) or text.startswith("c_id"))
        rest = re.split(r"\s{2,}", found[6].strip())
        comment = rest.pop() if rest[-1].startswith("/") else ""
        c_type, format_ = (*rest, "", "")[:2]
        self.report.arrays.append(Array(*_as(found.groups()[:5], int, str, int, int, str), c_type, format_, comment))
        return True

    def read_layers(self, line, text, line_number):
        layers = self.report.layers
        found = re.match(r"^(\d+)\s+(\S+)\s+(\d+)\s+(\S+)\s+(\d+)\s+(\d+)\s+(?=[A-Z]: )(.*)$", text)
        if found:
            layers.append(CLayer(*_as(found.groups()[:6], int, str, int, str, int, int)))
            text = found[7]
        tensor = re.match(r"^([A-Z]): (\S+)\s*(.*)$", text)
        if tensor and layers:
            layers[-1].tensors.append(_tensor(*tensor.groups()))
            return True
        return bool(RULE.match(text) or text.startswith("c_id"))

    # -- operations, complexity, memory ------------------------------------------------------------------------------
    def read_operations(self, line, text, line_number):
        found = re.match(r"^(\d+)\s+(\d+)\s+(\S+) \((\S+)\)\s+([\d,]+)\s+\(?(\w+)\)?(?:\s+([\d,]+)\s+\(?([\d.]+)\)?)?$", text)
        if found:
            self.report.operations.append(Operation(*_as(found.groups(), int, int, str, str, number, str, number, float)))
        elif total := re.match(r"^total\s+([\d,]+)", text):
            self.report.totals["operations"] = number(total[1])
        return bool(found or text.startswith(("c_id", "total")) or RULE.match(text))

    def read_types(self, line, text, line_number):
        found = re.match(r"^(\w+)\s+([\d,]+)\s+([\d.]+)%$", text)
        if found:
            self.report.operation_types[found[1]] = number(found[2])
            self.shares += float(found[3])
        return bool(found or text.startswith(("operation type", "---")) or RULE.match(text))

    def open_complexity(self, text):
        for name, value in re.findall(r"(\w+)=([\d,]+)", text):
            self.report.totals[f"complexity_{name}"] = number(value)

    def read_complexity(self, line, text, line_number):
        found = re.match(
            r"^(\d+)\s+(.+?)\s+\|+\s+([\d.]+)%\s+\|+\s+([\d.]+)%\s*(\[[\d, ]*\]|)\s*(?:([\d.]+)%)?\s*(\S+)?(?: \*)?$", text
        )
        if found:
            self.report.complexity.append(Share(*_as(found.groups(), int, str.strip, float, float, str, float, float)))
        elif text.startswith("macc="):
            self.open_complexity(text)
        elif text.startswith("TOOL ERROR"):
            self.report.notes.append(text)
        return bool(found or text.startswith(("macc=", "id ", "m_id", "TOOL ERROR")) or RULE.match(text))

    def open_memory(self, text):
        self.report.header["memory target"] = text.partition('"')[2].partition('"')[0]

    def read_memory(self, line, text, line_number):
        found = re.match(r"^(\S.*?)\s+([\d,]+)\s+([\d,]+)\s+([\d,]+)\s+([\d,]+)$", text)
        if found:
            self.report.sections.append(Section(found[1].strip("*"), *(number(found[i]) for i in range(2, 6))))
        return bool(found or text.startswith(("module", "*")) or RULE.match(text))

    def read_summary_memory(self, line, text, line_number):
        totals, found = self.report.totals, re.match(r"^(RT total|TOTAL)\s+([\d,]+)(?:\s+[\d.]+%)?\s+([\d,]+)(?:\s+[\d.]+%)?$", text)
        if found:
            kind = "runtime_{}" if found[1] == "RT total" else "{}_total"
            totals[kind.format("flash")], totals[kind.format("ram")] = number(found[2]), number(found[3])
        return bool(found or text.startswith(("FLASH", ".\\device", "*")) or RULE.match(text))

    # -- validation, files, console ----------------------------------------------------------------------------------
    def read_evaluation(self, line, text, line_number):
        values = text.split()
        found = re.match(r"^(X-cross|HOST|TARGET|original model|.*c-model)\s*#\d+", text)
        if found and len(re.findall(r"-?\d+\.\d+|nan|n\.a\.", text)) >= 7:
            after = text[found.end() :].split()
            metrics = dict(zip(METRICS, map(figure, after[:8]), strict=False))
            self.report.metrics.append({"name": found[0], **metrics, "tensor": " ".join(after[8:])})
            return True
        self.report.log.append(text)
        return bool(values)

    def read_log(self, line, text, line_number):
        self.report.log.append(text)
        return True

    def read_pools(self, line, text, line_number):
        found = re.match(r"^(\S+)\s+(\d+)\s", text)
        if not found and not text.startswith("name") and not RULE.match(text):
            return self.read_summary(line, text, line_number)
        self.report.log.append(text)
        return True

    read_npu = read_log

    def read_files(self, line, text, line_number):
        if not RULE.match(text):
            self.report.files.append(text)
        return True

    def open_console(self, text):
        self.read_console(text, text, 0)

    def read_console(self, line, text, line_number):
        found = re.match(r"^([A-Za-z ]+):\s+([\d,]+) B", text)
        if found:
            self.report.graph[f"console {found[1].strip().lower()}"] = found[2]
        self.report.log.append(re.sub(r"<[^>]+>", "", text))
        return True


def _stated(header):
    """Figures inside the values of the key/value block: elements of all inputs, what the weights gained or lost."""
    items = []
    for key, value in header.items():
        if re.match(r"^input( \d{1,3}/\d{1,3})?$", key):
            found = re.search(r"([\d,]{1,15}) items", value) or re.search(r"\b\w{1,20}\((\d{1,9}(?:x\d{1,9}){0,8})\)", value)
            items.append(math.prod(int(n) for n in found[1].replace(",", "").split("x")) if found else None)
    stated = {"input_items": sum(items)} if items and None not in items else {}
    change = re.search(r"/ ([+-][\d,]{1,15})\(", header.get("weights (ro)", ""))
    return stated | ({"weights_change": int(change[1].replace(",", ""))} if change else {})


def _tensor(role, name, rest):
    """`f32(16x3x3x3) (14)`, `[1, 24, 3, 1] (7)`, `(1,30,27,1) (0)`, `c4(100x64) (3)` or nothing."""
    array = re.search(r"\((\d+)\)\s*$", rest)
    stated = rest[: array.start()].strip() if array and rest[: array.start()].strip() else rest
    format_ = re.match(r"^(\w+)\(", stated)
    return Tensor(
        role,
        name,
        tuple(int(v) for v in re.findall(r"\d+", stated[format_.end() if format_ else 0 :])),
        format_[1] if format_ else "",
        int(array[1]) if array else None,
    )


def _as(texts, *kinds):
    """The groups of a line's pattern, each turned by its function; None stays None."""
    return [None if text is None else kind(text) for text, kind in zip(texts, kinds, strict=True)]


def figure(value):
    """Return a number, or the text of one, perhaps in %, as a float; None for anything else."""
    try:
        return float(str(value).rstrip("%"))
    except ValueError:
        return None
