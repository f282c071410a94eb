"""Charts and pages: well-formed, within their frame, right where it can be computed."""
import re
import struct
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest

from tinyvgg.report import html, svg

CHARTS = {
    "lines": svg.lines({"a & b": [(1, 10), (2, 20, 15, 25)], "<c>": [(1, 5)]}, title="t", description="d", x="x", y="y"),
    "one point": svg.lines({"a": [(3, 7)]}, title="t", description="d", x="x", y="y", log_x=True),
    "ruled": svg.lines({"a": [(1, 0), (1000, 1)]}, title="t", description="d", x="x", y="y", log_x=True, rule=(0.1, "r")),
    "scatter": svg.scatter([(f"point {i}", 10.0 ** i, i % 3, "ab"[i % 2]) for i in range(7)], title="t", description="d", x="x",
                           y="y",
                           log_x=True, most=2),
    "heat": svg.heat([[1, None], [0, 3]], ["a", "b"], ["long name", "d"], title="t", description="d", y="y", x="x"),
    "bars": svg.bars([("a", 0, "g"), ("b", 0, "h")], title="t", description="d", x="x"),
    "strip": svg.strip([("a", 0, 10, "code"), ("b", 20, 5, "data")], 64, title="t", description="d"),
}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_well_formed_and_stays_in_its_frame(name):
    root = ElementTree.fromstring(CHARTS[name])
    left, top, width, height = map(float, root.get("viewBox").split())
    assert root.find("title").text == "t" and root.find("desc").text == "d"
    numbers = [(element.tag, key, float(element.get(key))) for element in root.iter()
               for key in ("x", "y", "cx", "cy", "x1", "y1")
               if element.get(key)]
    assert numbers
    assert all(np.isfinite(value) and -2 <= value <= (width if "x" in key else height) + 2 for _, key, value in numbers)
    for element in root.iter("polyline"):
        for pair in element.get("points").split():
            x, y = map(float, pair.split(","))
            assert svg.LEFT - 1 <= x <= width and 0 <= y <= height - svg.BOTTOM + 1


def test_positions_are_those_of_the_values():
    chart = svg.lines({"a": [(0, 0), (5, 50), (10, 100)]}, title="t", description="d", x="x", y="y", y_range=(0, 100))
    points = [tuple(map(float, p.split(","))) for p in re.search(r'<polyline[^>]*points="([^"]*)"', chart)[1].split()]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x1 == pytest.approx((x0 + x2) / 2, abs=0.1) and y1 == pytest.approx((y0 + y2) / 2, abs=0.1) and y0 > y2
    assert y0 == pytest.approx(svg.HEIGHT - svg.BOTTOM, abs=0.1)


def test_zeros_of_a_matrix_are_written_where_they_mean_something():
    rows = [[0, None], [0, 3]], ["a", "b"], ["c", "d"]
    words = {"title": "t", "description": "d", "y": "y", "x": "x"}
    assert svg.heat(*rows, **words).count(">0<") == 0 and svg.heat(*rows, **words, zeros=True).count(">0<") == 2


def test_the_front_joins_what_no_other_beats():
    assert svg._staircase([(1, 1), (2, 0), (3, 5), (4, 4), (5, 5), (6, 6)]) == [(1, 1), (3, 1), (3, 5), (6, 5), (6, 6)]


@pytest.mark.parametrize("values, log, expected", [
    ((0, 10), False, [0, 2.5, 5, 7.5, 10]), ((0.5, 0.52), False, [0.5, 0.505, 0.51, 0.515, 0.52]),
    ((1, 1000), True, [1, 10, 100, 1000]),
    ((100, 1000), True, [100, 200, 500, 1000])])
def test_ticks_are_round(values, log, expected):
    assert svg._Axis(values, log=log).ticks() == pytest.approx(expected)


def test_labels_do_not_cover_each_other():
    near = [("first scheme", 10, 50, "g"), ("second scheme", 10.1, 50.1, "g"), ("third scheme", 10.2, 50, "g"),
            ("far", 20, 60, "g")]
    root = ElementTree.fromstring(svg.scatter(near, title="t", description="d", x="x", y="y"))
    boxes = []
    for text in (t for t in root.iter("text") if t.text in {p[0] for p in near}):
        wide = svg.CHARACTER * len(text.text)
        left = float(text.get("x")) - wide * {"start": 0, "middle": 0.5, "end": 1}[text.get("text-anchor")]
        boxes.append((left, float(text.get("y")), wide))
    assert len(boxes) == 4
    for i, (x, y, wide) in enumerate(boxes):
        assert all(x + wide <= a or a + w <= x or abs(y - b) >= 13.9 for a, b, w in boxes[i + 1:])


def test_a_line_to_a_name_passes_behind_no_other_name():
    near = [("int8_fast", 93, 100, "integers", 99.6, 100), ("int8_512k", 119, 100, "integers", 99.6, 100), ("none", 1150, 100, "floats", 99.6, 100),
            ("shared4_256k", 150, 100, "integers", 99.6, 100), ("int8_direct", 370, 100, "integers", 99.6, 100)]
    root = ElementTree.fromstring(svg.scatter(near, title="t", description="d", x="x", y="y", log_x=True, most=100))
    names = [(float(t.get("x")), float(t.get("y")), t.get("text-anchor"), svg.CHARACTER * len(t.text))
             for t in root.iter("text") if t.get("class") == "text name"]
    boxes = [(x - wide * {"start": 0, "middle": 0.5, "end": 1}[anchor], y - 10, wide) for x, y, anchor, wide in names]
    lines = [re.fullmatch(r"M(.+) (.+)L(.+) (.+)", p.get("d")) for p in root.iter("path") if "L" in p.get("d", "")]
    assert len(boxes) == 5 and lines
    for x0, y0, x1, y1 in (map(float, line.groups()) for line in lines):
        for k in range(1, 10):
            px, py = x0 + (x1 - x0) * k / 10, y0 + (y1 - y0) * k / 10
            assert not any(left < px < left + wide and top < py < top + 10 for left, top, wide in boxes)


def test_what_people_write_is_escaped():
    page = html.page("<t>", [("a", "<h>", html.table("<c>", ["<x>"], [["<y>"], [html.Html("<b>y</b>")]]) + html.note("<n>")
                              + html.again("<command>") + html.image(np.zeros((2, 2, 3), np.uint8), 'a "quoted" <alt>'))])
    assert not re.search(r"<[tchxyn]>|<command>|<alt>", page) and "<b>y</b>" in page and "&quot;quoted&quot;" in page


def test_columns_of_numbers_stand_to_the_right():
    table = html.table("c", ["name", "bytes", "share"], [["a", "1,024", "99.5 %"], ["b", "-", "-"]])
    assert table.count('class="n"') == 6 and '<th scope="row">a</th>' in table


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_holds_its_pixels(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    data, at, chunks = html.png(pixels), 8, {}
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8:at + 8 + size]
        assert struct.unpack_from(">I", data, at + 8 + size)[0] == zlib.crc32(kind + body)
        chunks[kind], at = body, at + 12 + size
    assert struct.unpack(">IIBB", chunks[b"IHDR"][:10]) == (7, 5, 8, 0 if channels == 1 else 2)
    raw = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(5, 1 + 7 * channels)
    assert not raw[:, 0].any() and (raw[:, 1:].reshape(pixels.shape) == pixels).all()


def test_intervals_and_lines_to_names_are_drawn():
    """A point's interval is an upright line; a name that had to move is led to; points on one another share a name."""
    points = [("a", 10, 50, "g", 45, 55), ("b", 10, 50, "g", 45, 55), ("c", 10.3, 50, "g", 45, 55), ("d", 20, 60, "h", 55, 65)]
    root = ElementTree.fromstring(svg.scatter(points, title="t", description="d", x="x", y="y", most=100))
    assert len([p for p in root.iter("path") if "span" in p.get("class")]) == 3
    assert "a, b" in [t.text for t in root.iter("text")]


def test_an_axis_spans_something():
    """Equal accuracies stand on an axis of five points at least; a short logarithmic stretch has more than one tick."""
    root = ElementTree.fromstring(svg.scatter([("a", 92, 100, "g"), ("b", 108, 100, "g")], title="t", description="d", x="x", y="y",
                                              log_x=True, most=100))
    numbers = [float(t.text) for t in root.iter("text") if t.text.replace(".", "").isdigit()]
    assert sum(90 < n < 112 and n != 100 for n in numbers) >= 3 and min(numbers) <= 97


def test_a_defence_that_wins_nothing_back_is_named():
    from tinyvgg.demo.sections_attacks import _recovers_nothing
    said = _recovers_nothing([("crc", True, 0.0), ("radar", True, 0.2), ("replicas", False, 0.0)])
    assert "crc (notices the flips, repairs nothing)" in said and "replicas (does not notice these flips)" in said and "radar" not in said
    assert _recovers_nothing([("radar", True, 0.2)]) == ""
