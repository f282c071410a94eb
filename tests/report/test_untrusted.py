"""Plain data of unknown origin: JSON, ZIP archives and arrays give their content or one sentence, within a budget."""
import io
import os
import zipfile

import numpy as np
import pytest

from tinyvgg.errors import DataError, FormatError, TinyVGGError
from tinyvgg.report import record
from tinyvgg.report.untrusted import check_regular, member, npz_arrays, open_zip, parse_json, read_json


@pytest.mark.parametrize("text", ["9" * 5000, "1" * 31, "NaN", "[Infinity]", "1e999", "[" * 100_000, '{"a":' * 100_000, "{", b"\xff\xfe", ""])
def test_json_that_is_none(text):
    with pytest.raises(FormatError, match="the plan is not valid JSON"):
        parse_json(text, "the plan")


def test_json_that_is(tmp_path):
    assert parse_json(b'{"a": [1, 2.5, 18446744073709551615, null]}', "x") == {"a": [1, 2.5, 2 ** 64 - 1, None]}
    (tmp_path / "a.json").write_text("[1]")
    assert read_json(tmp_path / "a.json") == [1]
    with pytest.raises(FormatError, match="expected at most 2"):
        read_json(tmp_path / "a.json", largest=2)


def archive(path, change=None, **settings):
    with zipfile.ZipFile(path, "w", **settings) as z:
        buffer = io.BytesIO()
        np.save(buffer, np.arange(6, dtype=np.float32).reshape(2, 3))
        z.writestr("x.npy", buffer.getvalue())
    if change:
        data = bytearray(path.read_bytes())
        change(data)
        path.write_bytes(data)
    return path


def encrypt(data):
    data[6] |= 1
    data[data.rindex(b"PK\1\2") + 8] |= 1


def lie(data):
    """The member says that it is one byte, and unpacks to more."""
    at = data.rindex(b"PK\1\2")
    data[22:26] = data[at + 24:at + 28] = (100).to_bytes(4, "little")


def test_archives(tmp_path):
    whole = archive(tmp_path / "a.npz", compression=zipfile.ZIP_DEFLATED)
    assert npz_arrays(whole)["x"].tolist() == [[0, 1, 2], [3, 4, 5]] and npz_arrays(whole)["x"].flags.writeable
    wrong = {"packed by lzma": {"compression": zipfile.ZIP_LZMA}, "packed by bzip2": {"compression": zipfile.ZIP_BZIP2},
             "is encrypted": {"change": encrypt}, "unpacks to more|damaged": {"change": lie, "compression": zipfile.ZIP_DEFLATED}}
    for words, settings in wrong.items():
        with pytest.raises(FormatError, match=words):
            npz_arrays(archive(tmp_path / "b.npz", **settings))
    for cut in (5, 60, len(whole.read_bytes()) - 10):
        (tmp_path / "c.npz").write_bytes(whole.read_bytes()[:cut])
        pytest.raises(FormatError, npz_arrays, tmp_path / "c.npz")


def test_an_archive_is_refused_by_what_it_says_before_it_is_unpacked(tmp_path):
    """7 MB that unpack to 1.5 GB: nothing of it is read."""
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z:
        for i in range(5):
            z.writestr(f"a{i}.npy", bytes(60 << 20))
    with open_zip(tmp_path / "bomb.npz") as (z, budget), pytest.raises(FormatError, match="unpacks to over"):
        for i in range(5):
            budget.take(z.getinfo(f"a{i}.npy").file_size)
    with open_zip(tmp_path / "bomb.npz", largest=1000) as (z, budget), pytest.raises(FormatError, match="unpacks to over 1,000"):
        member(z, "a0.npy", budget)


@pytest.mark.parametrize("header", ["{'descr': '|O', 'fortran_order': False, 'shape': (2, 3), }", "{'descr': '<f4', 'shape': (2, 3), }",
                                    "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999, 99999999), }", "(" * 5000, "{" * 300,
                                    "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 6), }"])
def test_headers_of_arrays(tmp_path, header):
    text = header.encode() + b"\n"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as z:
        z.writestr("x.npy", b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + bytes(24))
    if "(-1" in header:
        assert npz_arrays(tmp_path / "a.npz")["x"].size == 6
        return
    with pytest.raises(FormatError, match="x.npy is not an intact array"):
        npz_arrays(tmp_path / "a.npz")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFO")
def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, "/dev/null", tmp_path / "none", tmp_path / "none" / "x", "a\0b"):
        with pytest.raises(DataError):
            check_regular(path)
    for reader in (read_json, npz_arrays, record.read_lines):
        with pytest.raises(TinyVGGError):
            reader(tmp_path / "fifo")


def test_rows_with_a_checksum(tmp_path):
    """A digit that changed is seen; whole rows stay."""
    out = tmp_path / "rows.jsonl"
    for i in range(3):
        record.keep_row(out, {"i": i, "value": 10 + i})
    assert [row["i"] for row in record.kept_rows(out)] == [0, 1, 2]
    lines = out.read_bytes().replace(b'"value": 11', b'"value": 12')
    out.write_bytes(lines + b'{"i": 9, "value": 1}\n[1]\n"x"\n' + b"9" * 5000 + b"\n\xff\n" + b"[" * 100_000)
    assert [row["i"] for row in record.kept_rows(out)] == [0, 2]


def test_temporary_files_of_a_killed_process_go(tmp_path):
    """Those of a process that runs stay."""
    with record.atomic_path(tmp_path / "x.json") as temporary:
        mine = temporary.name
        dead = mine.replace(f"-{os.getpid()}-", "-999999999-")
        (tmp_path / dead).write_text("half")
        record.write_json(tmp_path / "x.json", [1])
        assert (tmp_path / mine).exists() and not (tmp_path / dead).exists()
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
