"""The arrays of weights in generated C: one array, or one for each tensor (`--split-weights`), as bytes in the order of the
table. All patterns are bounded, so the time to read is proportional to the file's size, whatever its content.
"""

import re

import numpy as np

from tinyvgg.errors import FormatError

WORDS = ("weights", "data", "bias", "_array_u")
WIDTH = {"ai_u64": 8, "uint64_t": 8, "ai_u32": 4, "uint32_t": 4, "ai_u8": 1, "uint8_t": 1}
GAP = r"\s{0,80}"
ARRAY = re.compile(
    rf"\b(ai_u64|uint64_t|ai_u32|uint32_t|ai_u8|uint8_t)\s{{1,80}}(\w{{1,300}}){GAP}\[{GAP}(\w{{0,80}}){GAP}\]{GAP}={GAP}\{{"
)
TABLE = re.compile(rf"\bai_handle\s{{1,80}}\w{{0,200}}_weights_table{GAP}\[[^\]\n]{{0,80}}\]{GAP}={GAP}\{{")
POINTER = re.compile(rf"AI_HANDLE_PTR\({GAP}(\w{{1,300}}){GAP}\)")
# A comment without an end extends to the end of the text.
COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.S)
WORD = re.compile(r"\b(0[xX][0-9a-fA-F]{1,16}|\d{1,20})(?=[uUlL]{0,3}\s{0,200}(?:,|$))")


def read_arrays(text, file, notes, several=False):
    """Return [(name, bytes)] of the arrays of weights in a file, in the order in which the runtime numbers them.

    several: whether the code reads more than one array; without a table they are numbered in the order of the file.
    """
    starts = list(ARRAY.finditer(text))
    found = {}
    for start, after in zip(starts, [*(m.start() for m in starts[1:]), len(text)], strict=False):
        if any(word in start[2] for word in WORDS):
            end = text.find("}", start.end(), after)
            found[start[2]] = _bytes(start, text[start.end() : end if end >= 0 else after], file, notes)
    table = TABLE.search(text)
    body = text[table.end() : max(table.end(), text.find("}", table.end()))] if table else ""
    named = [name for name in POINTER.findall(body) if name in found]
    if named:
        return [(name, found[name]) for name in named]
    if several:
        return list(found.items())
    best = max(found.items(), key=lambda pair: len(pair[1]), default=None)
    return [best] if best else []


def _bytes(start, body, file, notes):
    """The bytes of one array; one that is cut is read as far as it goes."""
    kind, name, stated = start[1], start[2], start[3]
    words = WORD.findall(COMMENT.sub(" ", body).strip())
    width = WIDTH[kind]
    values = [int(word, 16 if word[:2] in ("0x", "0X") else 10) for word in words]
    if any(value >> (8 * width) for value in values):
        raise FormatError(f"{file.name}: a value of {name} is larger than {8 * width} bits", "the file as X-CUBE-AI wrote it")
    if stated.isdigit() and int(stated) != len(values):
        notes.append(
            f"{file.name}: {name} is declared with {int(stated):,} words and holds {len(values):,}: the file is cut or edited"
        )
    return np.array(values, f"<u{width}").tobytes()
