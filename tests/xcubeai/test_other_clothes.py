"""One report in other clothes: as other systems, logs and mails write it, cut, or twice in a file. None of it is a difference."""

import importlib.util
import json
import re
import time
from pathlib import Path

import pytest

from tinyvgg.cli import main
from tinyvgg.errors import FormatError
from tinyvgg.xcubeai import crosscheck, read_report

spec = importlib.util.spec_from_file_location("samples", Path(__file__).with_name("samples.py"))
samples = importlib.util.module_from_spec(spec)
spec.loader.exec_module(samples)

ROWS = [
    ("0", "x (Input, None)", "[b:1,h:8,w:8,c:3]", "", "", "", "", ""),
    ("1", "conv (Conv2D, Conv2D)", "[b:1,h:8,w:8,c:40]", "1,120/4,480", "69,160", "x", "", ""),
    ("2", "pool (Pool, MaxPooling2D)", "[b:1,h:4,w:4,c:40]", "", "2,560", "conv", "", ""),
    ("3", "flatten (Reshape, Flatten)", "[b:1,c:640]", "", "", "pool", "", ""),
    ("4", "dense (Dense, Dense)", "[b:1,c:10]", "6,410/25,640", "6,410", "flatten", "", ""),
]
GRAPH = """
Generated C-graph summary
------------------------------------------------------------
c-array #             : 3
macc                  : 78,130

C-Arrays (3)
------ ------------------ ----------- ----------------- ------------
c_id   name (*_array)     item/size   domain/mem-pool   c-type
------ ------------------ ----------- ----------------- ------------
0      conv_weights       1080/4320   weights/weights   const float
1      conv_bias          40/160      weights/weights   const float
2      dense_weights      6410/25640  weights/weights   const float
------ ------------------ ----------- ----------------- ------------

Number of operations per c-layer
------- ------ ---------------- ------------ --------------
c_id    m_id   name (type)                #op    type
------- ------ ---------------- ------------ --------------
0       1      conv (Conv2D)          69,160   smul_f32_f32
1       2      pool (Pool)             2,560    op_f32_f32
2       4      dense (Dense)           6,410   smul_f32_f32
------- ------ ---------------- ------------ --------------
total                                 78,130

Number of operation types
---------------- ----------- -----------
operation type             #           %
---------------- ----------- -----------
smul_f32_f32          75,570       96.7%
op_f32_f32             2,560        3.3%
"""
TEXT = samples.table(ROWS, macc=78130, weights=30120) + GRAPH


def grouped(mark):
    return re.sub(r"(?<=\d),(?=\d{3})", mark, TEXT)


def before(mark):
    return "".join(f"{mark}{line}\n" for line in TEXT.split("\n"))


CLOTHES = {
    "as it is": TEXT,
    "Windows": TEXT.replace("\n", "\r\n"),
    "Windows, twice": TEXT.replace("\n", "\r\r\n"),
    "old Mac": TEXT.replace("\n", "\r"),
    "UTF-16": TEXT.encode("utf-16"),
    "UTF-16, big-endian, no mark": TEXT.encode("utf-16-be"),
    "UTF-8 with a mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "STM32CubeMX": before(" [AI:network]  "),
    "indented log": before("     [AI:network]  "),
    "quoted": before("> "),
    "quoted log": before(">  [AI:network] "),
    "times": before("2025-03-01T10:11:12.1234567Z "),
    "times and levels": before("2025-03-01 10:11:12,345 INFO "),
    "colours": "".join(f"\x1b[1;32m{line}\x1b[0m\n" for line in TEXT.split("\n")),
    "apostrophes": grouped("'"),
    "narrow spaces": grouped("\u202f"),
    "Markdown": f"# my network\n\n```\n{TEXT}\n```\n",
}


def written(tmp_path, text):
    path = tmp_path / "network_generate_report.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("name", CLOTHES)
def test_it_reads_the_same(tmp_path, name):
    found = crosscheck(written(tmp_path, CLOTHES[name]))
    assert found.agrees and not found.not_rebuilt, (found.differences, found.not_rebuilt)
    assert found.report.totals["macc"] == 78130 and len(found.report.rows) == 5 and len(found.report.arrays) == 3
    assert len(found.sums) == len(crosscheck(written(tmp_path, TEXT)).sums) >= 10


@pytest.mark.parametrize("text", [grouped("."), grouped(" "), grouped("")], ids=["points", "spaces", "no groups"])
def test_what_could_be_misread_is_not_read(tmp_path, text):
    """Shorter numbers move the columns, and 78.130 is no whole number: such lines are said to be unread."""
    found = crosscheck(written(tmp_path, text))
    assert found.verdict != "differ" and (found.report.unread or found.report.totals["macc"] == 78130), found.differences


def test_kilobytes_are_no_bytes(tmp_path):
    text = re.sub(r"weights \(ro\) .*", "weights (ro)       :   29.41 KiB (1 segment)", TEXT)
    found = crosscheck(written(tmp_path, text))
    assert "weights" not in found.report.totals and found.agrees and found.report.unread


def test_a_report_that_is_cut_differs_in_nothing(tmp_path):
    """At every line and within lines; what is left of a number is no number."""
    for end in [*range(200, len(TEXT), 211), *(m.end() for m in re.finditer("\n", TEXT))]:
        found = crosscheck(written(tmp_path, TEXT[:end]))
        assert found.verdict != "differ", (end, TEXT[max(0, end - 60) : end], found.differences)


def test_a_row_that_is_gone_is_no_cut(tmp_path):
    lines = TEXT.split("\n")
    for gone in ("dense (Dense, Dense)", "2      dense_weights", "2       4      dense (Dense)", "op_f32_f32             2,560"):
        text = "\n".join(line for line in lines if gone not in line) + "\nComplexity report (model)\n"
        assert crosscheck(written(tmp_path, text)).verdict == "differ", gone


def test_a_cut_table_beside_a_model(tmp_path):
    from tinyvgg.analyze import describe_config

    def layer(kind, **config):
        return {"class_name": kind, "config": config}

    model = describe_config({"class_name": "Sequential", "config": {"layers": [
        layer("Conv2D", name="conv", filters=40, kernel_size=[3, 3], padding="same", batch_input_shape=[None, 8, 8, 3]),
        layer("MaxPooling2D", name="pool", pool_size=[2, 2]), layer("Flatten", name="flatten"), layer("Dense", name="dense", units=10),
    ]}}, "2.4.0")
    assert crosscheck(written(tmp_path, TEXT), model).verdict == "agree"
    found = crosscheck(written(tmp_path, TEXT[: TEXT.index("3      flatten")]), model)
    assert found.verdict == "agree" and any("dense" in line for line in found.not_rebuilt), found.differences
    wrong = TEXT.replace("69,160 ", "69,161 ")
    assert crosscheck(written(tmp_path, wrong[: wrong.index("3      flatten")]), model).verdict == "differ"


def test_two_reports_in_one_file(tmp_path):
    other = TEXT.replace("69,160", "69,161").replace("network", "second")
    found = crosscheck(written(tmp_path, TEXT + "\n" + other))
    assert found.agrees and any("begins another report" in note for note in found.notes), found.differences
    assert crosscheck(written(tmp_path, other + "\n" + TEXT)).verdict == "differ"


# --- hostile ---------------------------------------------------------------------------------------------------------------------

GRAPHS = {
    "c_arrays": [{"c_id": 0, "name": "d_weights_array", "size": 8, "c_size_in_byte": 32, "mem_pool": "weights", "c_type": "float",
                  "format": "float", "tensors": [{"name": "d_weights", "shape": [1, 4, 2, 1]}]}],
    "c_layers": [{"c_id": 0, "name": "d", "m_id": 1, "layer_type": "Dense", "macc": 8, "rom": 32,
                  "tensors": {"inputs": [], "outputs": [], "weights": ["d_weights"]}}],
    "macc": 8, "weights": 32, "activations": 8, "model_name": "d", "type": "keras",
}


def places(value, path=()):
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(inner, (*path, key))


def test_no_type_is_taken_for_granted(tmp_path):
    """Any value of any kind anywhere: a verdict or a sentence."""
    path = tmp_path / "network_c_graph.json"
    path.write_text(json.dumps(GRAPHS))
    assert read_report(path).totals["macc"] == 8
    for place in places(GRAPHS):
        for value in (None, True, 1.5, 10**40, "\u00b2", {}, [[1]]):
            changed = json.loads(json.dumps(GRAPHS))
            inner = changed
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = value
            path.write_text(json.dumps(changed))
            try:
                crosscheck(path).as_dict()
            except FormatError as error:
                assert len(str(error)) < 1000


def test_numbers_of_thousands_of_digits(tmp_path, capsys):
    path = tmp_path / "network_c_graph.json"
    path.write_text('{"c_layers": [], "macc": ' + "9" * 5000 + "}")
    assert main(["crosscheck", str(path)]) == 2 and "not whole JSON" in capsys.readouterr().err
    for line in ("c-array #             : \u00b2", "c-array #             : " + "9" * 5000, "macc : " + "9" * 5000):
        assert crosscheck(written(tmp_path, TEXT.replace("c-array #             : 3", line))).verdict != "differ"


def test_thousands_of_rows_of_one_name(tmp_path):
    row = ("1", "conv (Conv2D, Conv2D)", "[b:1,h:8,w:8,c:40]", "1,120/4,480", "69,160", "conv", "", "")
    text, start = samples.table([ROWS[0], *[row] * 5100]), time.process_time()
    found = crosscheck(written(tmp_path, text))
    assert len(found.report.rows) == 5000 and found.report.unread and time.process_time() - start < 8


# --- figures that are printed twice ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("right", "wrong", "words"), [
    ("30,120 B (29.41 KiB) (1 segment)", "30,120 B (39.41 KiB) (1 segment)", "and not the 39.41 KiB"),
    ("activations=--/900 io", "activations=--/700 io", "c model activations"),
    ("900 B (900 B) = 900 + 0 + 0", "900 B (900 B) = 700 + 0 + 0", "ram activations"),
    ("act=900 ram", "act=700 ram", "act of the complexity report"),
    ("1080/4320", "1080/4310", "1,080 items of 32 bits are 4,320 bytes, it says 4,310"),
])
def test_figures_that_are_printed_twice(tmp_path, right, wrong, words):
    text = TEXT.replace("30,120 B (1 KiB) (1 segment)", "30,120 B (29.41 KiB) (1 segment)\nactivations (rw)   :   900 B (900 B) (1 segment)\n"
                        "ram (total)        :   900 B (900 B) = 900 + 0 + 0").replace("activations=--/0 io", "activations=--/900 io")
    text += "\nComplexity report (model)\nmacc=78,130 weights=30,120 act=900 ram_io=0\n"
    assert crosscheck(written(tmp_path, text)).agrees and text.count(right) == 1
    found = crosscheck(written(tmp_path, text.replace(right, wrong)))
    said = " ".join(found.differences + found.not_rebuilt + found.notes)
    assert words in said
