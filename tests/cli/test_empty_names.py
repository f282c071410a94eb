"""What a verb says of an empty name of data, and `summary` of a compressed model: one sentence and exit code 2."""
import pytest

from tinyvgg.cli import main, summary
from tinyvgg.errors import OptionError


def test_an_empty_name_of_data_is_refused_not_replaced(capsys):
    assert main(["data", "info", "--data", ""]) == 2
    assert "the name of the data is empty" in capsys.readouterr().err


def test_summary_refuses_a_compressed_model(monkeypatch):
    compressed = type("Compressed", (), {"graph": None})()
    monkeypatch.setattr("tinyvgg.open.open_model", lambda spec, board: compressed)
    with pytest.raises(OptionError, match="compressed"):
        summary.summarize("light.tvq")
