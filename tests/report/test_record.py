"""Records: whole files or none, lines that survive a cut, hashes."""
import os
import sys

import numpy as np
import pytest

from tinyvgg.errors import WriteError
from tinyvgg.report import record


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    record.write_json(path, {"a": 1})
    with pytest.raises(RuntimeError):
        with record.atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError
    assert path.read_text() == '{\n  "a": 1\n}\n' and os.listdir(tmp_path) == ["a.json"]


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(WriteError, match="out is a file; expected a folder"):
        record.write_bytes(tmp_path / "out" / "x", b"")
    with pytest.raises(WriteError):
        record.append_line(tmp_path / "out" / "x", {})


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_full_disk_is_a_sentence():
    with pytest.raises(WriteError, match="No space left"):
        record.append_line("/dev/full", {"a": 1})


def test_lines_survive_a_cut(tmp_path):
    path = tmp_path / "rows.jsonl"
    record.append_line(path, {"n": 1})
    record.append_line(path, {"n": 2})
    with open(path, "a") as f:
        f.write('{"n": 3')
    assert record.read_lines(path) == [{"n": 1}, {"n": 2}] and record.read_lines(tmp_path / "none") == []
    record.append_line(path, {"n": 4})
    assert record.read_lines(path)[-1] == {"n": 4}


def test_hashes_tell_shape_and_type_apart():
    a = np.arange(6, dtype=np.float32)
    hashes = {record.sha256_arrays(x) for x in (a, a.reshape(2, 3), a.astype(np.float64), a + 1)}
    assert len(hashes) == 4 and record.sha256_arrays(a) == record.sha256_arrays(a.copy())


def test_versions_name_this_python():
    assert record.versions()["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}")
