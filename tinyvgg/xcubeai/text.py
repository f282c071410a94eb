"""The text of a report as clean lines: decoded, without log prefixes, conflict markers and carriage returns. Reports come as they
were committed or copied: console logs of STM32CubeMX have ` [AI:name] ` before each line, files are in Windows code pages, and
some contain the markers of an unresolved git merge. `notes` lists what was repaired.
"""

import codecs
import re
from pathlib import Path

from tinyvgg.errors import DataError, FormatError

LARGEST_BYTES = 64 << 20
# What logs and mails put before a line: STM32CubeMX's ` [AI:name] `, a time, a quotation's `> `.
PREFIX = re.compile(
    r"^(?:> ?|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?Z? ?(?:(?:DEBUG|INFO|WARNING|ERROR) ?)?"
    r"|[ \t]{0,20}\[AI:[^\]\n]{0,200}\] ?){1,3}"
)
COLOUR = re.compile(r"\x1b\[[0-9;]{0,20}m")
# Groups of three digits as other systems part them: 1'343'146, or with narrow spaces. (A point or a space could be something else.)
GROUPS = re.compile("(?<=\\d)['\u2019\u00a0\u202f\u2009](?=\\d{3}(?!\\d))")
CONFLICT = re.compile(r"^(<{7}|\|{7}|={7}|>{7})( .*)?$")


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
    """Read a report's file -> (list of (line number from 1, line), notes on what was repaired)."""
    return clean(*decode(read_bytes(path)))


def decode(data):
    """Decode bytes -> (str, notes): UTF-8, UTF-16 with a byte order mark, else Windows code pages, which accept every byte."""
    for mark, encoding in ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding, "replace"), [f"the file is in {encoding}"] if encoding == "utf-16" else []
    head = data[:4096]
    for encoding, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if len(head) > 64 and zeros.count(0) > len(head) // 4:
            return data.decode(encoding, "replace"), ["the file is in utf-16, without its mark"]
    try:
        return data.decode("utf-8"), []
    except UnicodeDecodeError as error:
        encoding = "cp1251" if sum(192 <= byte for byte in data) > 3 else "latin-1"
        text = data.decode(encoding, "replace")
        return text, [
            f"byte {error.start:,} is not UTF-8; the file was read as {encoding} (names may be misspelt, numbers are not)"
        ]


def clean(text, notes=()):
    """Cut the text into lines, as read_text. Of a git conflict the first side is used; the notes mention the second."""
    lines, notes, state, start = [], list(notes), "", 0
    text = GROUPS.sub(",", COLOUR.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))
    last = text[text.rfind("\n") + 1 :]
    if re.search(r"[\d,]$", last):
        text = text[: len(text) - len(last)]
        notes.append(f"the last line has no end, and may be cut within a number: {last[-60:]!r} was not read")
    for number, line in enumerate(text.split("\n"), 1):
        marker = CONFLICT.match(line)
        if marker and (state or marker[1] == "<" * 7):
            state, start = _conflict(marker[1], state, start, number, notes)
        elif state in ("", "ours"):
            lines.append((number, PREFIX.sub("", line).expandtabs().rstrip()))
    if state:
        notes.append(f"the git conflict that opens at line {start} has no end; only its first side was read")
    return lines, notes


def _conflict(marker, state, start, number, notes):
    """Return the next (state, start) after a conflict marker; note a conflict when it is closed."""
    if marker[0] == "<":
        return "ours", number
    if marker[0] in "|=":
        return "theirs", start
    notes.append(f"lines {start}-{number} are a git conflict that nobody resolved; its first side was read, its second was not")
    return "", 0
