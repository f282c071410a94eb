"""One self-contained HTML page: style, headings, tables, figures, images. Made from plain data; loads nothing from the
network."""

import base64
from html import escape
from importlib import resources

from tinyvgg.report.png import png


def page(title, sections, *, lead="", language="en"):
    """Return a whole page. sections: [(id, heading, HTML)], listed at its top; lead: HTML under the title."""
    style = resources.files("tinyvgg.report").joinpath("page.css").read_text(encoding="utf-8")
    links = "".join(f'<li><a href="#{name}">{escape(heading)}</a></li>' for name, heading, _ in sections)
    body = "".join(
        f'<section id="{name}" aria-labelledby="h-{name}"><h2 id="h-{name}">{escape(heading)}</h2>{text}</section>'
        for name, heading, text in sections
    )
    return (
        f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f'<title>{escape(title)}</title><style>{style}</style></head><body><a class="skip" href="#main">To the content</a>'
        f'<header><h1>{escape(title)}</h1>{lead}<nav aria-label="Sections"><ol>{links}</ol></nav></header>'
        f'<main id="main">{body}</main></body></html>\n'
    )


def table(caption, header, rows):
    """Return a table with a caption; the first cell of a row is its heading, columns of numbers are aligned to the right.

    Cells are text, or Html. On a narrow screen only the table scrolls, also by keyboard.
    """
    right = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(header))]
    kinds = [' class="n"' if r else "" for r in right]
    head = "".join(f'<th scope="col"{k}>{_cell(c)}</th>' for c, k in zip(header, kinds, strict=True))
    body = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row"{k}>{_cell(c)}</th>' if i == 0 else f"<td{k}>{_cell(c)}</td>"
            for i, (c, k) in enumerate(zip(row, kinds, strict=True))
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption, quote=True)}"><table>'
        f"<caption><span>{escape(caption)}</span></caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def figure(content, caption, command=None, *, wide=False):
    """Return a figure: SVG or other HTML, its caption, and the command that reproduces its numbers."""
    return (
        f"<figure{' class=wide' if wide else ''}>{content}<figcaption>{escape(caption)}"
        f"{again(command) if command else ''}</figcaption></figure>"
    )


def again(*commands):
    """Return the commands that reproduce a section, with a heading."""
    if not commands:
        return ""
    lines = "\n".join(escape(c) for c in commands)
    return f'<details class="again"><summary>Repeat it</summary><pre><code>{lines}</code></pre></details>'


def note(text, kind="note"):
    """Return a highlighted paragraph. kind: `note`, or `skipped` for a step that could not be done."""
    return f'<p class="{kind}">{escape(text)}</p>'


def paragraph(text):
    """Return a paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def tiles(rows):
    """Return the most important numbers as tiles. rows: [(number, what it is)]."""
    cells = "".join(f"<div><dt>{escape(what)}</dt><dd>{escape(number)}</dd></div>" for number, what in rows)
    return f'<dl class="tiles">{cells}</dl>'


def terms(words):
    """Return {word: what it means} as a list of definitions."""
    cells = "".join(f"<div><dt>{escape(word)}</dt><dd>{escape(text)}</dd></div>" for word, text in words.items())
    return f'<dl class="terms">{cells}</dl>'


def image(pixels, alt, *, size=96):
    """Return an image (H, W, 3) uint8 as a PNG inside the page, with enlarged pixels."""
    data = base64.b64encode(png(pixels)).decode()
    return f'<img alt="{escape(alt, quote=True)}" width="{size}" height="{size}" src="data:image/png;base64,{data}">'


class Html(str):
    """Text that is already HTML."""


def _cell(value):
    return value if isinstance(value, Html) else escape(str(value))


def _is_number(cell):
    text = str(cell).replace(",", "").replace("\u2212", "-").rstrip(" %")
    try:
        float(text)
    except ValueError:
        return text in ("-", "")
    return True
