"""Charts as SVG text for a page, without a library. The page's style sheet sets the colours, for light and dark mode.

Classes: s0 to s7 for series, `axis`, `grid`, `text`. Every chart has a title and a description, which screen readers read out.
Coordinates are in units of a drawing 400 wide, which is scaled to the page. On a phone 390 pixels wide the text is still 11
pixels high.
"""

import math
import random
from html import escape
from itertools import count

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM = 400, 290, 54, 14, 46
CHARACTER, LINE = 7.6, 17  # width of a character and height of a line of text
COLOURS = 8
_ids = count()


def lines(series, *, title, description, x, y, log_x=False, y_range=None, rule=None):
    """Draw series {name: [(x, y)] or [(x, y, low, high)]} as lines with markers, and bands from low to high.

    x, y: names of the axes. y_range: (low, high), else that of the data. rule: (y, name), a dotted line across.
    """
    points = [p for rows in series.values() for p in rows]
    xs, ys = [p[0] for p in points], [v for p in points for v in p[1:]]
    plot = _Plot(xs, ys if rule is None else [*ys, rule[0]], x, y, log_x=log_x, y_range=y_range, legend=list(series))
    for i, rows in enumerate(series.values()):
        banded = [p for p in rows if len(p) == 4]
        if banded:
            edge = [(p[0], p[3]) for p in banded] + [(p[0], p[2]) for p in reversed(banded)]
            plot.add(f'<polygon class="s{i % COLOURS} band" points="{plot.path(edge)}"/>')
        plot.add(f'<polyline class="s{i % COLOURS} line d{i % 4}" points="{plot.path(rows)}"/>')
        plot.parts += [_marker(i, *plot.at(*p[:2])) for p in rows]
    if rule is not None:
        at = plot.at(None, rule[0])[1]
        plot.add(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        plot.add(_text(WIDTH - RIGHT, at - 4, rule[1], "end"))
    return plot.svg(title, description)


def scatter(points, *, title, description, x, y, log_x=False, most=None, least=5.0):
    """Draw points [(name, x, y, group) or (name, x, y, group, low, high)] with their names, and their Pareto front: small x,
    large y. low and high are drawn as a vertical interval.

    Groups have colours and a legend. most: the largest possible y. least: the y axis spans at least this much.
    """
    groups = list(dict.fromkeys(p[3] for p in points))
    ys = [v for p in points for v in (p[2], *p[4:])]
    if most is not None and max(ys) - min(ys) < least:
        ys = [*ys, max(min(ys) - (least - max(ys) + min(ys)), 0.0)]
    plot = _Plot([p[1] for p in points], ys, x, y, log_x=log_x, legend=groups, roomy=True, most=most)
    plot.add(f'<polyline class="front" points="{plot.path(_staircase([(p[1], p[2]) for p in points]))}"/>')
    taken = [(*_around(*plot.at(p[1], p[2])),) for p in points]
    joined = _joined(points, plot)
    taken += [(px - 4, plot.at(None, interval[1])[1], px + 4, plot.at(None, interval[0])[1]) for _, (px, _), _, interval in joined if interval]
    for _, (px, py), group, interval in joined:
        if interval:
            (_, high), (_, low) = plot.at(None, interval[1]), plot.at(None, interval[0])
            caps = "".join(f"M{px - 4:.1f} {end:.1f}h8" for end in (high, low))
            plot.add(f'<path class="s{groups.index(group) % COLOURS} span" d="M{px:.1f} {high:.1f}V{low:.1f}{caps}"/>')
        plot.add(_marker(groups.index(group), px, py, size=5))
    labels = _labels([(name, *place) for name, place, _, _ in joined], taken, plot.top)
    plot.parts += [line for line, _ in labels if line] + [text for _, text in labels]
    return plot.svg(title, description)


def _joined(points, plot):
    """Return [(name, place, group, interval)]; points of one group at the same place share a name, such as "medium, high"."""
    found = []
    for name, x, y, group, *interval in points:
        px, py = plot.at(x, y)
        same = next((row for row in found if row[2] == group and abs(row[1][0] - px) < 1 and abs(row[1][1] - py) < 1), None)
        if same is None:
            found.append([name, (px, py), group, interval])
        else:
            same[0] += f", {name}"
    return found


def heat(values, down, across, *, title, description, y, x, unit="", most=None, zeros=False):
    """Draw a matrix as coloured cells with their numbers; None is left blank, and so is 0 unless `zeros`.

    most: the value with the strongest colour.
    """
    most = most or max((v for row in values for v in row if v is not None), default=1) or 1
    left = 12 + LINE + CHARACTER * max(map(len, down), default=1)
    below = 30 + 0.75 * CHARACTER * max(map(len, across), default=1)
    cell = (WIDTH - RIGHT - left) / len(across)
    tall = max(min(cell, 30), 110 / len(down))          # with few rows, each is tall enough that the axis' name fits beside them
    parts, height = [], 8 + tall * len(down) + below
    for i, row in enumerate(values):
        parts.append(_text(left - 6, 8 + tall * (i + 0.5) + 4, down[i], "end"))
        for j, value in enumerate(row):
            share = 0 if value is None else min(value / most, 1)
            parts.append(
                f'<rect class="cell" x="{left + j * cell:.1f}" y="{8 + i * tall:.1f}" width="{cell - 1:.1f}" '
                f'height="{tall - 1:.1f}" fill-opacity="{0.06 + 0.94 * share:.3f}"/>'
            )
            if value or zeros and value is not None:
                kind = "text strong" if share > 0.55 else "text"
                parts.append(_text(left + (j + 0.5) * cell, 8 + tall * (i + 0.5) + 4, f"{value:.0f}{unit}", "middle", kind))
    bottom = 8 + tall * len(down) + 14
    for j, name in enumerate(across):
        px = left + (j + 0.5) * cell
        parts.append(
            f'<text class="text" text-anchor="end" transform="translate({px + 4:.1f} {bottom:.1f}) rotate(-45)">'
            f"{escape(name)}</text>"
        )
    parts.append(_text((left + WIDTH - RIGHT) / 2, height - 4, x, "middle"))
    parts.append(_vertical(12, 8 + tall * len(down) / 2, y))
    return _svg(parts, height, title, description)


def bars(rows, *, title, description, x, number="{:,.0f}"):
    """Draw horizontal bars [(name, value, group)], the first at the top, each with its number."""
    groups = list(dict.fromkeys(row[2] for row in rows))
    left = 10 + CHARACTER * max(len(row[0]) for row in rows)
    room = CHARACTER * max(len(number.format(row[1])) for row in rows) + 8
    top, tall, most = (len(groups) > 1) * LINE * _legend_rows(groups) + 8, 19, max(row[1] for row in rows) or 1
    parts = _legend(groups) if len(groups) > 1 else []
    for i, (name, value, group) in enumerate(rows):
        at, wide = top + i * tall, (WIDTH - RIGHT - left - room) * value / most
        parts.append(_text(left - 6, at + 13, name, "end"))
        parts.append(
            f'<rect class="s{groups.index(group) % COLOURS} bar" x="{left:.1f}" y="{at + 2:.1f}" '
            f'width="{max(wide, 1):.1f}" height="{tall - 4}"/>'
        )
        parts.append(_text(left + wide + 5, at + 13, number.format(value)))
    height = top + len(rows) * tall + 24
    parts.append(_text((left + WIDTH - RIGHT) / 2, height - 6, x, "middle"))
    return _svg(parts, height, title, description)


def strip(parts, total, *, title, description, unit="B", capacity=None):
    """Draw a memory as one strip of `total` bytes, with a legend of sizes. parts: [(name, start, size, group)]; the rest is
    empty.

    capacity: bytes of the whole memory, if the strip shows only a part.
    """
    groups = list(dict.fromkeys(p[3] for p in parts))
    sizes = {g: sum(p[2] for p in parts if p[3] == g) for g in groups}
    free = (capacity or total) - sum(sizes.values())
    legend = [f"{g} {sizes[g]:,} {unit}" for g in groups] + [f"free {free:,} {unit}"]
    rows = _legend(legend, empty=len(groups))
    top, wide = LINE * _legend_rows(legend) + 10, WIDTH - 2 * RIGHT
    drawn = [f'<rect class="axis box" x="{RIGHT}" y="{top}" width="{wide}" height="42"/>']
    for name, start, size, group in parts:
        drawn.append(
            f'<rect class="s{groups.index(group) % COLOURS} bar" x="{RIGHT + wide * start / total:.2f}" y="{top}" '
            f'width="{max(wide * size / total, 0.3):.2f}" height="42"><title>{escape(name)}: {size:,} {unit}</title>'
            "</rect>"
        )
    for k, anchor in enumerate(("start", "middle", "end")):
        drawn.append(_text(RIGHT + wide * k / 2, top + 58, f"{total * k / 2 / 1000:,.0f} KB", anchor))
    return _svg([*rows, *drawn], top + 66, title, description)


# --- axes ------------------------------------------------------------------------------------------------------------------
class _Axis:
    """Maps values to positions 0..1 on an axis, linear or logarithmic, with ticks."""

    def __init__(self, values, *, log=False, limits=None, roomy=False, most=None):
        low, high = limits or (min(values), max(values))
        self.log = log and low > 0
        if self.log:
            low, high = math.log10(low), math.log10(high)
        spare = (high - low or abs(high) or 1) * (0.08 if roomy else 0.02)
        self.low, self.high = (low, high) if limits else (low - spare, high + spare)
        if most is not None and self.high > most >= max(values):
            self.high = most + 0.03 * (self.high - self.low)
        if self.low == self.high:
            self.high = self.low + 1

    def share(self, value):
        value = math.log10(value) if self.log else value
        return (value - self.low) / (self.high - self.low)

    def ticks(self):
        """Return about five round values on the axis; on a logarithmic axis, powers of ten, with 2 and 5 between if there are
        few."""
        if self.log:
            powers = range(math.floor(self.low), math.ceil(self.high) + 1)
            factors = (1,) if self.high - self.low > 2.5 else (1, 2, 5)
            found = [f * 10.0**p for p in powers for f in factors]
            if sum(0 <= self.share(t) <= 1 for t in found) < 3:          # a short stretch: round values in even steps
                low, high = 10**self.low, 10**self.high
                step = _nice((high - low) / 5)
                found = [step * k for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
        else:
            step = _nice((self.high - self.low) / 5)
            found = [step * k for k in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        return [t for t in found if -1e-9 <= self.share(t) <= 1 + 1e-9]


def _nice(step):
    power = 10.0 ** math.floor(math.log10(step))
    return next(f * power for f in (1, 2, 2.5, 5, 10) if step <= f * power * (1 + 1e-9))


def short(value):
    """Return a number as text for an axis: 0.5, 20, 1.5K, 2M."""
    for limit, letter in ((1e6, "M"), (1e4, "K")):
        if abs(value) >= limit:
            return f"{value / (1e6 if letter == 'M' else 1e3):g}{letter}"
    return f"{value:.6g}"


class _Plot:
    """A frame with two axes; y values grow upwards."""

    def __init__(self, xs, ys, x, y, *, log_x=False, y_range=None, legend=(), roomy=False, most=None):
        self.top = LINE * _legend_rows(legend) + 10
        self.x, self.y = _Axis(xs, log=log_x, roomy=roomy), _Axis(ys, limits=y_range, roomy=roomy, most=most)
        if not xs:
            raise ValueError("a chart needs a point")
        self.parts = _legend(legend)
        for tick in self.y.ticks():
            at = self.at(None, tick)[1]
            self.add(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
            self.add(_text(LEFT - 6, at + 4, short(tick), "end"))
        for tick in self.x.ticks():
            at = self.at(tick, None)[0]
            self.add(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{self.top}" y2="{HEIGHT - BOTTOM}"/>')
            self.add(_text(at, HEIGHT - BOTTOM + 16, short(tick), "middle"))
        self.add(f'<path class="axis" d="M{LEFT} {self.top}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>')
        self.add(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x, "middle"))
        self.add(_vertical(13, (self.top + HEIGHT - BOTTOM) / 2, y))

    def add(self, text):
        self.parts.append(text)

    def at(self, x, y):
        px = LEFT if x is None else LEFT + self.x.share(x) * (WIDTH - RIGHT - LEFT)
        py = self.top if y is None else HEIGHT - BOTTOM - self.y.share(y) * (HEIGHT - BOTTOM - self.top)
        return px, py

    def path(self, points):
        return " ".join(f"{px:.1f},{py:.1f}" for px, py in (self.at(*p[:2]) for p in points))

    def svg(self, title, description):
        return _svg(self.parts, HEIGHT, title, description)


# --- pieces ----------------------------------------------------------------------------------------------------------------
def _svg(parts, height, title, description):
    name = f"chart{next(_ids)}"
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-labelledby="{name}t {name}d">'
        f'<title id="{name}t">{escape(title)}</title><desc id="{name}d">{escape(description)}</desc>{"".join(parts)}</svg>'
    )


def _text(x, y, text, anchor="start", kind="text"):
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(str(text))}</text>'


def _vertical(x, y, text):
    return f'<text class="text" text-anchor="middle" transform="translate({x} {y:.1f}) rotate(-90)">{escape(text)}</text>'


def _marker(i, x, y, size=3.5):
    """Return a disc, square, triangle or diamond, so that series differ in shape as well as colour."""
    kind, colour = i % 4, f'class="s{i % COLOURS} mark"'
    if kind == 0:
        return f'<circle {colour} cx="{x:.1f}" cy="{y:.1f}" r="{size}"/>'
    if kind == 1:
        return f'<rect {colour} x="{x - size:.1f}" y="{y - size:.1f}" width="{2 * size}" height="{2 * size}"/>'
    s = 1.35 * size
    corners = [(x, y - s), (x + s, y + s), (x - s, y + s)] if kind == 2 else [(x, y - s), (x + s, y), (x, y + s), (x - s, y)]
    return f'<polygon {colour} points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in corners)}"/>'


def _rows_of(names):
    """Break a legend into rows that fit the width: [[(index, name, x)]]."""
    rows, at = [[]], 8.0
    for i, name in enumerate(names):
        wide = 26 + CHARACTER * len(name)
        if at + wide > WIDTH and rows[-1]:
            rows.append([])
            at = 8.0
        rows[-1].append((i, name, at))
        at += wide
    return rows


def _legend_rows(names):
    return len(_rows_of(names)) if names else 0


def _legend(names, empty=None):
    """Markers and names; `empty` is the index of an entry without a marker's colour."""
    parts = []
    for row, entries in enumerate(_rows_of(names) if names else []):
        for i, name, at in entries:
            y = 8 + row * LINE + 4
            parts.append(
                f'<rect class="axis box" x="{at + 2:.1f}" y="{y - 5:.1f}" width="9" height="9"/>'
                if i == empty
                else _marker(i, at + 6, y)
            )
            parts.append(_text(at + 15, y + 4, name))
    return parts


def _staircase(points):
    """Return the corners of the staircase through the front's points; x and y grow from point to point."""
    front = []
    for x, y in sorted(points, key=lambda p: (p[0], -p[1])):
        if not front or y > front[-1][1]:
            front += [(x, front[-1][1])] if front else []
            front.append((x, y))
    return front


def _around(x, y, half=6):
    return x - half, y - half, x + half, y + half


def _labels(points, taken, top, tries=200):
    """Return [(line or "", name)] for points [(name, x, y)]. Several orders of placing the names are tried; the one with the
    fewest crossings and shortest lines is returned."""
    orders = [points, sorted(points, key=lambda p: p[1]), sorted(points, key=lambda p: -p[1])]
    generator = random.Random(0)
    orders += [generator.sample(points, len(points)) for _ in range(tries if len(points) > 2 else 0)]
    best, below = None, [(x - 2, y, x + 2, y + 48) for _, x, y in points]            # where lines to names are likely to run
    for k, order in enumerate(orders):
        covered = list(taken)
        placed = [_label(*point, covered, top, k % 4, below if k % 2 else ()) for point in order]
        cost = sum(p[0] for p in placed)
        if best is None or cost < best[0]:
            best = cost, [p[1:] for p in placed]
        if k > 40 and best[0] < 1000:                   # nothing is crossed
            break
    return best[1]


def _label(name, x, y, taken, top, first=0, below=()):
    """Return (cost, line to the point or "", the point's name) at a free place: beside the point, above or below, ever
    farther."""
    rows = [4, -9, 17, -22, 30, -35, 43, 56, 69, 82, 95]
    beside, around = ((9, "start"), (-9, "end")), [(0, "middle"), (7, "start"), (-7, "end"), (0, "start"), (30, "start")]
    around = around[first:] + around[:first]
    others = [t for t in taken if abs((t[0] + t[2]) / 2 - x) > 0.5]          # a line may cross its own point's interval
    rest = [b for b in below if abs((b[0] + b[2]) / 2 - x) > 0.5]
    free = clear = None
    for place in [(dx, dy, anchor) for dy in rows for dx, anchor in (beside if dy == 4 else around)]:
        box = _box(name, x, y, *place)
        if not _is_free(box, taken, top):
            continue
        free = free or place
        if any(_meet(b, t) for b in _leader(box, x, y, place[1])[1] for t in others):
            continue
        clear = clear or place
        if not any(_meet(box, b) for b in rest):
            break
    else:
        place = clear or free or place
    dx, dy, anchor = place
    box = _box(name, x, y, dx, dy, anchor)
    line, covered = _leader(box, x, y, dy)
    taken += [box, *covered]
    return abs(dy) + 1000 * (not clear) + 1000 * (not free), line, _text(x + dx, y + dy, name, anchor, "text name")


def _box(name, x, y, dx, dy, anchor):
    """Return the box that a name covers: left, top, right, bottom."""
    wide = CHARACTER * len(name)
    left = x + dx - wide * {"start": 0, "middle": 0.5, "end": 1}[anchor]
    return left - 3, y + dy - 11, left + wide + 3, y + dy + 3


def _is_free(box, taken, top):
    inside = box[0] >= LEFT and box[2] <= WIDTH and box[1] >= top - 3 and box[3] <= HEIGHT - BOTTOM
    return inside and not any(_meet(box, other) for other in taken)


def _meet(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _leader(box, x, y, dy):
    """Return the line from a point to its name ("" if the name is beside it), and small boxes along the line."""
    if dy == 4:
        return "", []
    sign = 1 if dy > 0 else -1
    x1, y1 = min(max(x, box[0] + 3), box[2] - 3), max(box[1], y + 7) if dy > 0 else min(box[3], y - 7)
    y0 = y + 6 * sign
    steps = [(x + (x1 - x) * k / 8, y0 + (y1 - y0) * k / 8) for k in range(1, 8)]
    line = f'<path class="axis" d="M{x:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"/>'
    return line, [_around(px, py, 1) for px, py in steps if not _meet(_around(px, py, 1), box) and abs(py - y) > 8]
