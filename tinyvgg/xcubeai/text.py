"""The text of a report as clean lines: decoded, without log prefixes, conflict markers and carriage returns. Reports come as they
were committed or copied: console logs of STM32CubeMX have ` [AI:name] ` before each line, files are in Windows code pages, and
some contain the markers of an unresolved git merge. `notes` lists what was repaired.
"""

import codecs
import re
from dataclasses import dataclass, field
from pathlib import Path

from tinyvgg.errors import DataError, FormatError

LARGEST_BYTES = 64 << 20
PREFIX = re.compile(r"^\s?\[AI:[^\]\n]{0,200}\] ?")
CONFLICT = re.compile(r"^(<{7}|\|{7}|={7}|>{7})( .*)?$")


@dataclass
class Text:
    """Lines of a report with their line numbers in the file (from 1), and what was repaired."""

    lines: list
    notes: list = field(default_factory=list)


def read_bytes(path):
    """Return the bytes of a file of at most 64 MiB, or raise an error."""
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise FormatError(
                f"{path} has {path.stat().st_size:,} bytes; a report has less than {LARGEST_BYTES:,}",
                "the text report that X-CUBE-AI wrote",
            )
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}", "the path of a report") from error


def read_text(path):
    """Read a report's file -> Text."""
    return clean(*decode(read_bytes(path)))


def decode(data):
    """Decode bytes -> (str, notes): UTF-8, UTF-16 with a byte order mark, else Windows code pages, which accept every byte."""
    for mark, encoding in ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding, "replace"), [f"the file is in {encoding}"] if encoding == "utf-16" else []
    head = data[:4096]
    if len(head) > 64 and head[1::2].count(0) > len(head) // 4:
        return data.decode("utf-16-le", "replace"), ["the file is in utf-16, without its mark"]
    try:
        return data.decode("utf-8"), []
    except UnicodeDecodeError as error:
        encoding = "cp1251" if sum(192 <= byte for byte in data) > 3 else "latin-1"
        text = data.decode(encoding, "replace")
        return text, [
            f"byte {error.start:,} is not UTF-8; the file was read as {encoding} (names may be misspelt, numbers are not)"
        ]


def clean(text, notes=()):
    """Cut the text into lines -> Text. Of a git conflict the first side is used; the notes mention the second."""
    lines, notes, state, start = [], list(notes), "", 0
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        marker = CONFLICT.match(line)
        if marker and (state or marker[1] == "<" * 7):
            state, start = _conflict(marker[1], state, start, number, notes)
        elif state in ("", "ours"):
            lines.append((number, PREFIX.sub("", line).rstrip()))
    if state:
        notes.append(f"the git conflict that opens at line {start} has no end; only its first side was read")
    return Text(lines, notes)


def _conflict(marker, state, start, number, notes):
    """Return the next (state, start) after a conflict marker; note a conflict when it is closed."""
    if marker[0] == "<":
        return "ours", number
    if marker[0] in "|=":
        return "theirs", start
    notes.append(f"lines {start}-{number} are a git conflict that nobody resolved; its first side was read, its second was not")
    return "", 0
