"""Writing C: identifiers, numbers, arrays, struct initialisers. The text depends on the arguments only."""
import functools
import re

import numpy as np

from tinyvgg.errors import OptionError

LINE = 120
KEYWORDS = frozenset("""auto break case char const continue default do double else enum extern float for goto if inline int long
register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while _Bool _Complex
_Imaginary asm typeof main NULL""".split())
CTYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "uint16": "uint16_t", "int32": "int32_t",
          "uint32": "uint32_t", "float32": "float"}


def check_name(name):
    """Return `name` if it can be the name of a network in C, else raise OptionError."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,30}", name) or name in KEYWORDS:
        near = identifier(name)[:31]
        raise OptionError(f"{name!r} is not possible as a C identifier: " + (
            "it is a keyword of C" if name in KEYWORDS else "expected a letter, then letters, digits or _, at most 31"),
                          f"--name {near if near not in KEYWORDS else near + '_net'}")
    if name.startswith("tv_"):
        raise OptionError(f"the name {name!r} begins with tv_, as the kernels' own names do", f"--name {name[3:] or 'network'}")
    return name


def identifier(text):
    """Return `text` as part of a C identifier: every character that is not a letter or digit becomes _."""
    text = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")
    return text if text[:1].isalpha() else f"n{text}"


def number(value):
    """Return a C literal: an int, or a float32 with the fewest digits that read back as the same number."""
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, int | np.integer):
        return "INT32_MIN" if value == -2 ** 31 else str(int(value))
    text = str(np.float32(value))
    if text in ("nan", "inf", "-inf"):
        raise OptionError(f"a weight is {text}; expected finite numbers")
    return f"{text}f"


def _literals(array):
    flat = array.ravel()
    if flat.dtype.kind == "f":
        if not np.isfinite(flat).all():
            raise OptionError("a weight is NaN or infinite; expected finite numbers")
        return [f"{v!s}f" for v in flat.astype(np.float32)]
    if flat.dtype == np.int32:
        return ["INT32_MIN" if v == -2 ** 31 else str(v) for v in flat.tolist()]
    if flat.dtype == np.uint64:
        return [f"0x{v:016x}U" for v in flat.tolist()]
    return [str(v) for v in flat.tolist()]


def array_text(declaration, array, end=";"):
    """Return `declaration = { ... };`, with as many numbers on a line as fit."""
    array = np.asarray(array)
    return f"{declaration} = {{\n{_lines(array.tobytes(), array.dtype.str)}\n}}{end}\n"


@functools.lru_cache(128)
def _lines(data, dtype):
    """Return the lines of an array's numbers; cached, because a network is printed once for planning and once for building."""
    lines, line, length = [], [], 4
    for text in _literals(np.frombuffer(data, dtype)):
        if length + len(text) + 2 > LINE:
            lines.append("    " + ", ".join(line))
            line, length = [], 4
        line.append(text)
        length += len(text) + 2
    lines.append("    " + ", ".join(line))
    return ",\n".join(lines)


def initializer(fields, indent=4):
    """Return a C99 designated initialiser of a dict: values are numbers, verbatim text or nested dicts; None is left out."""
    pad, parts = " " * indent, []
    for key, value in fields.items():
        if value is None:
            continue
        text = initializer(value, indent + 4) if isinstance(value, dict) else value if isinstance(value, str) else number(value)
        parts.append(f".{key} = {text}")
    return "{\n" + "".join(f"{pad}{line},\n" for line in _filled(parts, LINE - indent)) + " " * (indent - 4) + "}"


def _filled(parts, width):
    """Join parts by commas into lines of at most `width` characters."""
    lines = [parts[0]]
    for part in parts[1:]:
        last = lines[-1].split("\n")[-1]
        if "\n" not in part and len(last) + len(part) + 2 < width and not last.strip().startswith("}"):
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    return lines


def numbers(values):
    """Return { a, b, ... }, the initialiser of an array of a few numbers."""
    return "{ " + ", ".join(map(number, values)) + " }"


def c_string(text):
    """Return `text` in a form that is safe inside a C string."""
    return re.sub(r'[^ -~]|["\\?]', "_", text)


def comment(text):
    """Return `text` in a form that is safe inside a C comment."""
    return re.sub(r"[^\x20-\x7e]", "?", text).replace("*/", "* /").replace("/*", "/ *")
