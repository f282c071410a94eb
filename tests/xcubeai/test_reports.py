"""Reports are read without losing a row, whatever the version; damage is named and the rest is kept."""

import importlib.util
from pathlib import Path

import pytest

from tinyvgg.errors import DataError, FormatError
from tinyvgg.xcubeai import read_report
from tinyvgg.xcubeai.textreport import tool_version

spec = importlib.util.spec_from_file_location("samples", Path(__file__).with_name("samples.py"))
samples = importlib.util.module_from_spec(spec)
spec.loader.exec_module(samples)


def write(tmp_path, text, name="network_generate_report.txt", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def test_every_real_report_adds_up(real_reports):
    reports = sorted(real_reports.glob("*.txt"))
    assert len(reports) >= 20
    for path in reports:
        report = read_report(path)
        checks = report.checks()
        assert report.rows and len(checks) >= 4, path.name
        assert not [c for c in checks if not c.ok], path.name
        assert not report.unread, path.name
        stated = path.name.split("_")[0].removeprefix("v")
        assert report.version == {"EMSE": "10.2", "9": "9.1"}.get(stated, stated)


def test_every_table_line_is_a_row_or_a_connection(real_reports):
    """Count the lines of each table by themselves: those between rules are rows, or name one more input."""
    for path in sorted(real_reports.glob("*.txt")):
        lines = path.read_text(encoding="utf-8").replace("\r", "").split("\n")
        lines = [line.split("] ", 1)[1] if line.lstrip().startswith("[AI:") else line for line in lines]
        first = next(i for i, line in enumerate(lines) if "layer (" in line and "shape" in line)
        last = next(i for i in range(first, len(lines)) if "macc=" in lines[i])
        body = [line for line in lines[first + 1 : last] if line.strip() and set(line.strip()) - set("- ")]
        report = read_report(path)
        assert len(report.rows) + sum(max(0, len(r.inputs) - 1) for r in report.rows) == len(body), path.name


def test_the_student_projects_four_logs(real_reports):
    weights = {"sans": 5_372_584, "low": 2_228_904, "medium": 1_702_696, "high": 1_702_696}
    flash = {"sans": 5_393_034, "low": 2_249_370, "medium": 1_723_162, "high": 1_723_162}
    for level, size in weights.items():
        report = read_report(real_reports / f"EMSE_CIFAR10_CNN_v10_{level}_compression.txt")
        assert report.totals["weights"] == size and report.totals["flash_total"] == flash[level]
        assert report.totals["macc"] == 32_997_984 and report.totals["parameters"] == 1_343_146
        assert report.totals["activations"] == 143_468 and report.totals["ram_total"] == 152_124
        assert report.compression == {"sans": "none"}.get(level, level)


def test_c_info(real_reports):
    report = read_report(real_reports / "v10.2_resnet_v1_32_validate__network_c_info.json")
    text = read_report(real_reports / "v10.2_resnet_v1_32_validate.txt")
    for name in ("parameters", "macc", "weights", "activations"):
        assert report.totals[name] == text.totals[name]
    assert [layer.name for layer in report.layers] == [layer.name for layer in text.layers]
    assert report.metrics[0]["l2r"] == pytest.approx(1.2616177e-06)
    assert all(c.ok for c in report.checks())


def test_version_8_layout(tmp_path):
    report = read_report(write(tmp_path, samples.V8))
    assert report.version == "8.1" and report.model_hash == "00112233445566778899aabbccddeeff"
    assert [r.name for r in report.rows][:2] == ["x", "conv"]
    assert report.rows[0].shape == (4, 4, 2)
    assert report.totals["activations"] == 300 and "32 items" in report.header["input 1/1"]
    assert any("no line of totals" in note for note in report.notes)


def test_version_5_layout(tmp_path):
    report = read_report(write(tmp_path, samples.V5))
    assert report.release == (5, 2) and report.compression == "medium"
    conv, dense = report.rows[1], report.rows[3]
    assert (conv.shape, conv.parameters, conv.macc, conv.size_bytes) == ((4, 4, 2), 38, 610, 152)
    assert dense.compressed and dense.inputs == ["conv_nl"] and conv.id == 0
    assert all(c.ok for c in report.checks()) and not report.unread


def test_console_prefix_and_carriage_returns(tmp_path):
    text = "\r\n".join(f" [AI:net]  {line}" for line in samples.V5.split("\n"))
    report, plain = read_report(write(tmp_path, text)), read_report(write(tmp_path, samples.V5, "plain.txt"))
    assert [(r.name, r.shape, r.macc) for r in report.rows] == [(r.name, r.shape, r.macc) for r in plain.rows]
    assert report.totals == plain.totals


def test_git_conflict_is_read_on_its_first_side_and_named(tmp_path):
    text = samples.V5.replace(
        "macc               : 690\n", "<<<<<<< HEAD\nmacc               : 690\n=======\nmacc               : 999\n>>>>>>> other\n"
    )
    report = read_report(write(tmp_path, text))
    assert report.totals["macc"] == 690
    assert any("git conflict" in note for note in report.notes)


def test_conflict_without_end(tmp_path):
    report = read_report(
        write(tmp_path, samples.V5.replace("1   dense", "=======\n1   dense").replace("0   input", "<<<<<<< HEAD\n0   input"))
    )
    assert any("has no end" in note for note in report.notes) and len(report.rows) == 3


@pytest.mark.parametrize("encoding", ["utf-16", "cp1251", "latin-1", "utf-8-sig"])
def test_other_encodings(tmp_path, encoding):
    name = "модель" if encoding == "cp1251" else "modèle"
    report = read_report(write(tmp_path, samples.V5.replace("models", name), encoding=encoding))
    assert report.totals["macc"] == 690 and len(report.rows) == 4
    assert (encoding == "utf-8-sig") or report.notes


@pytest.mark.parametrize("keep", [0.1, 0.4, 0.6, 0.8, 0.97])
def test_a_cut_report_gives_what_it_holds(tmp_path, keep):
    report = read_report(write(tmp_path, samples.V5[: int(len(samples.V5) * keep)]))
    assert report.version == "5.2" and (keep < 0.3 or report.header["type"].startswith("keras"))
    if report.rows and "tiny p=" not in samples.V5[: int(len(samples.V5) * keep)]:
        assert any("may be cut" in note for note in report.notes)


def test_a_planted_change_breaks_a_sum(tmp_path):
    report = read_report(write(tmp_path, samples.V5.replace("610", "611")))
    wrong = [c for c in report.checks() if not c.ok]
    assert wrong and all(c.rows == c.total + 1 for c in wrong)


def test_a_version_never_seen(tmp_path):
    report = read_report(write(tmp_path, samples.V5.replace("AI tools v5.2.0", "AI tools v17.3.0")))
    assert report.version == "17.3" and any("never seen" in note for note in report.notes) and len(report.rows) == 4


def test_lines_of_no_block_are_named(tmp_path):
    text = samples.V5.replace("1   dense (Dense)", "nobody knows this line\n1   dense (Dense)")
    assert [t for _, t in read_report(write(tmp_path, text)).unread] == ["nobody knows this line"]


def test_tool_versions():
    for line, version in (
        ("Neural Network Tools for STM32 v1.0.0 (AI tools v4.0.0)", "4.0"),
        ("STEdgeAI Core v9.0.0-19802", "9.0"),
        ("Neural Network Tools for STM32AI v1.4.1 (STM.ai v6.0.0-RC6)", "6.0"),
        ("ST Edge AI Core v1.0.0-19894", "9.1"),
        ("ST Edge AI Core v2.2.0-20266 2adc00962", "10.2"),
        ("ST Edge AI Core v4.0.1", "12.0"),
    ):
        assert tool_version(line) == version


@pytest.mark.parametrize("data", [b"", b"\x00" * 400, b"hello\nworld\n", b"{]", b"\xff\xfe\x00"])
def test_strangers_are_refused_in_a_sentence(tmp_path, data):
    path = tmp_path / "x.txt"
    path.write_bytes(data)
    with pytest.raises(FormatError):
        read_report(path)
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(FormatError):
        read_report(path)


def test_missing(tmp_path):
    for path in (tmp_path, tmp_path / "nothing.txt"):
        with pytest.raises(DataError):
            read_report(path)


def test_json_of_other_shapes(tmp_path):
    for text in (
        '{"graphs": []}',
        '{"graphs": [{}], "environment": {}}',
        '{"rom_n_macc": 1}',
        "[1]",
        '{"c_layers": [{}], "c_arrays": []}',
        "[" * 100_000,
    ):
        with pytest.raises(FormatError):
            read_report(write(tmp_path, text, "network_report.json"))


def test_old_json(tmp_path):
    text = (
        '{"cli_parameters": "generate --compression 8", "cli_version_str": "1.4.0", "hash": "aa", "model_n_params": 20,'
        '"model_size": 80,'
        '"rom_n_macc": 16, "rom_size": 44, "ram_size": [24, 24], "ram_io_size": [8, 8], "model_type": "keras",'
        '"tools_version": {"extra": null, "major": 5, "micro": 0, "minor": 2},'
        '"compression": {"factor": 4.0, "layers": {"dense_weights": 8.0}}, "layers": [{"id": 0, "name": "dense", "type": "Dense",'
        '"inputs": ["x"], "out_shapes": [[4]], "extras": {"n_macc": 16, "n_params": 20, "psize": 80, "rom_size": 44,'
        '"rom_trans": "c"}}]}'
    )
    report = read_report(write(tmp_path, text, "network_report.json"))
    assert (
        report.version == "5.2"
        and report.compression == "medium"
        and report.rows[0].compressed
        and report.totals["activations"] == 24
    )
    assert all(c.ok for c in report.checks()) and len(report.checks()) >= 4


def test_utf_16_without_its_mark_and_a_tool_without_a_name(tmp_path):
    path = tmp_path / "r.txt"
    path.write_bytes(samples.V5.encode("utf-16-le"))
    report = read_report(path)
    assert report.version == "5.2" and report.totals["macc"] == 690 and "utf-16" in report.notes[0]
    report = read_report(write(tmp_path, samples.V5.replace("Neural Network Tools for STM32", "Tools"), "r.txt"))
    assert report.totals["macc"] == 690 and any("no line names the tool" in note for note in report.notes)
