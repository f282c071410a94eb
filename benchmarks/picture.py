"""The README's picture, cut out of a story's page: python benchmarks/picture.py demo docs/figures/demo.svg

`demo` is the folder that `tinyvgg demo --out demo` wrote. The picture has the first attacked images of its report.html and two of
its charts, in the page's colours (light or dark, as the reader's browser is set); nothing is computed anew. Take a story on
generated images: the picture holds its images.
"""
import argparse
import re
from html import escape, unescape
from pathlib import Path

from tinyvgg.errors import FormatError, TinyVGGError
from tinyvgg.report.record import write_bytes

CHARTS = {"Accuracy against eps": "accuracy under PGD, by size of the change", "Accuracy against flipped bits": "accuracy by number of flipped bits"}
SHOTS, SIDE, GAP, WIDTH = 4, 84, 14, 1180
RULES = re.compile(r"^(?::root|@media \(prefers-color-scheme: dark\)) .*?(?=^\S+ ?\{|^\*)|^svg \..*?$|^\.s0 .*?$", re.M | re.S)
SHOT = re.compile(r'<div><img[^>]*?src="(data:image/png;base64,[A-Za-z0-9+/=]+)"[^>]*>(?:<b>)?([^<]*)')


def picture(page):
    """Return the SVG for the text of a report.html; FormatError where it lacks a piece."""
    style = "\n".join(RULES.findall(_between(page, "<style>", "</style>")))
    shots = [SHOT.findall(text) for text in page.split('<div class="shot">')[1:SHOTS + 1]]
    if not shots or any(len(shot) != 3 for shot in shots):
        raise FormatError("the page has no attacked images", "the report.html of a whole story")
    top = SIDE + 2 * GAP + 40
    parts = [_frame(GAP / 2, GAP / 2, WIDTH - GAP, top - GAP)]
    wide = (WIDTH - GAP * 2) / SHOTS
    for i, shot in enumerate(shots):
        for j, (source, text) in enumerate(shot):
            x = GAP * 1.5 + i * wide + j * (SIDE + 8)
            parts.append(f'<image href="{source}" x="{x:.0f}" y="{GAP * 1.5:.0f}" width="{SIDE}" height="{SIDE}" class="pixels"/>')
            parts += [f'<text class="text" x="{x:.0f}" y="{GAP * 1.5 + SIDE + 15 + 15 * k:.0f}">{escape(line)}</text>'
                      for k, line in enumerate(_lines(unescape(text)))]
    wide = WIDTH / len(CHARTS)
    for i, (title, caption) in enumerate(CHARTS.items()):
        box, chart = _chart(page, title)
        tall = (wide - 2 * GAP) * box[1] / box[0]
        parts.append(_frame(GAP / 2 + i * wide, top + GAP / 2, wide - GAP, tall + 46))
        parts.append(f'<svg x="{GAP + i * wide:.0f}" y="{top + GAP:.0f}" width="{wide - 2 * GAP:.0f}" height="{tall:.0f}" '
                     f'viewBox="0 0 {box[0]} {box[1]}">{chart}</svg>')
        parts.append(f'<text class="text" x="{GAP * 1.5 + i * wide:.0f}" y="{top + tall + 38:.0f}">{caption}</text>')
    height = top + tall + 46 + GAP
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}">\n'
            "<title>Attacked images, and the network's accuracy by the size of a change and by flipped bits</title>\n"
            f"<style>\n{style}\n.pixels {{ image-rendering: pixelated; }}\n"
            ".frame { fill: var(--raised); stroke: var(--edge); }\n</style>\n" + "\n".join(parts) + "\n</svg>\n")


def _chart(page, title):
    """The ((width, height), content) of the page's chart of this title."""
    found = re.search(rf'<svg viewBox="0 0 (\d+) (\d+)"[^>]*><title[^>]*>{title}</title>(.*?)</svg>', page, re.S)
    if found is None:
        raise FormatError(f"the page has no chart '{title}'", "the report.html of a whole story")
    return (int(found[1]), int(found[2])), re.sub("<desc.*?</desc>", "", found[3])


def _between(text, start, end):
    if start not in text or end not in text.split(start, 1)[1]:
        raise FormatError(f"the page has no {start}", "the report.html that tinyvgg demo writes")
    return text.split(start, 1)[1].split(end, 1)[0]


def _frame(x, y, width, height):
    return f'<rect class="frame" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="10"/>'


def _lines(text):
    """A class and how sure of it, one below the other."""
    name, _, share = text.strip().partition(" ")
    return [name, share] if share else [name]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("story", type=Path, help="folder of a story")
    parser.add_argument("out", type=Path, help="the SVG")
    arguments = parser.parse_args()
    try:
        write_bytes(arguments.out, picture((arguments.story / "report.html").read_text(encoding="utf-8")))
    except TinyVGGError as error:
        parser.error(str(error))
    except (OSError, UnicodeDecodeError) as error:
        parser.error(f"{arguments.story}/report.html cannot be read ({error}); expected the folder of tinyvgg demo --out demo")
    print(arguments.out)


if __name__ == "__main__":
    main()
