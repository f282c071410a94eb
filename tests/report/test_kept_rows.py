"""Rows that are made once: after a stop, of the same mark only, and as JSON has them."""
import json

import numpy as np

from tinyvgg.report.record import KeptRows, plain, write_json


def test_each_row_is_made_once_also_after_a_stop(tmp_path):
    made, out = [], tmp_path / "rows.jsonl"

    def make(n):
        made.append(n)
        return {"value": np.float32(n) / 2, "places": (n, n + 1)}

    for _ in range(2):
        kept = KeptRows(out, {"data": "a", "bits": (1, 2)})
        rows = [kept.get({"n": n}, lambda n=n: make(n)) for n in (1, 2, 1)]
        assert made == [1, 2] and ({"n": 2} in kept) and ({"n": 3} not in kept)
        assert rows == [{"n": 1, "value": 0.5, "places": [1, 2]}, {"n": 2, "value": 1.0, "places": [2, 3]}, rows[0]]
        with open(out, "a", encoding="utf-8") as file:
            file.write('{"mark": {"data": "a"')                   # a stop in the middle of a line
    assert KeptRows(out, {"data": "b", "bits": [1, 2]}).get({"n": 1}, lambda: make(7))["value"] == 3.5
    kept = KeptRows(out, {"data": "a", "bits": [1, 2]})
    assert kept.get({"n": 1}, dict) == rows[0]


def test_without_a_file_rows_live_in_memory():
    kept = KeptRows(None)
    assert kept.get({"n": 1}, lambda: {"v": 1}) == kept.get({"n": 1}, lambda: {"v": 2}) == {"n": 1, "v": 1}


def test_json_has_no_nan(tmp_path):
    value = {1: (np.arange(2), np.float64("nan")), "x": float("inf"), "y": np.int8(3), "z": None}
    assert plain(value) == {"1": [[0, 1], None], "x": None, "y": 3, "z": None}
    write_json(tmp_path / "v.json", value)
    assert json.loads((tmp_path / "v.json").read_text(encoding="utf-8")) == plain(value)
