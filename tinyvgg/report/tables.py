"""Plain-text and Markdown tables of strings and numbers."""


def table(header, rows):
    """Return a text table with aligned columns, numbers to the right. header: strings; rows: lists of equally many cells."""
    cells = [[str(c) for c in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    right = [all(_is_number(row[i]) for row in cells[1:]) for i in range(len(header))]
    lines = ["  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def markdown(header, rows, *, right=()):
    """Return a Markdown table; right: for each column, whether it is aligned to the right (default: none)."""
    lines = [header, ["--:" if r else "---" for r in right or [False] * len(header)], *rows]
    return "\n".join("| " + " | ".join(str(c) for c in row) + " |" for row in lines)


def _is_number(text):
    return bool(text) and text.strip("+-%").replace(",", "").replace(".", "").replace("e-", "").replace("e+", "").isdigit() or text in ("", "-")
