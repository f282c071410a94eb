"""Kept answers: an evaluation that was stopped anywhere ends as an unbroken one; a damaged answer is asked again, never believed."""
import json

import pytest

from tinyvgg.board.answers import Answers
from tinyvgg.errors import OptionError
from tinyvgg.rng import generator
from tinyvgg.testing.mutations import mutated

KEY = {"images": "a", "model": "b", "protocol": "tinyvgg"}
HEAD = {**KEY, "seed": 0}


def row(i):
    return {"i": i, "raw": [i, -3, 40 * i], "cycles": 100 + i, "seconds": 0.25, "instructions": None}


def evaluate(path, n=6, stop=None):
    """What evaluate_board does with the file, stopped after `stop` new answers."""
    kept = Answers(path, HEAD, KEY, n, 3)
    waiting = [i for i in range(n) if i not in kept.rows][:stop]
    if waiting:
        kept.begin()
    for i in waiting:
        kept.add(row(i))
    if stop is None:
        kept.finish()
        assert [kept.rows[i]["raw"] for i in range(n)] == [row(i)["raw"] for i in range(n)]
    return path.read_bytes()


def test_stopped_anywhere(tmp_path):
    """Also between head and first answer, where a second head was once written."""
    whole = evaluate(tmp_path / "whole.jsonl")
    for cut in range(len(whole) + 1):
        path = tmp_path / f"{cut}.jsonl"                # a file that is written again would wait for the disk
        path.write_bytes(whole[:cut])
        if 0 < cut < whole.index(b"\n"):                # half a head belongs to nobody
            pytest.raises(OptionError, evaluate, path)
        else:
            assert evaluate(path) == whole


def test_damage_is_asked_again_or_told(tmp_path):
    whole = evaluate(tmp_path / "whole.jsonl")
    outcomes = {"same": 0, "refused": 0}
    for i in range(400):
        path = tmp_path / f"{i}.jsonl"
        path.write_bytes(mutated(whole, ".jsonl", generator(0, "answers", i))[1])
        try:
            again = evaluate(path)
        except OptionError:
            outcomes["refused"] += 1
        else:
            lines = again.splitlines()
            assert lines[1:] == whole.splitlines()[1:] and {k: json.loads(lines[0])[k] for k in KEY} == KEY
            outcomes["same"] += 1
    assert outcomes["same"] > 200


def test_answers_of_something_else(tmp_path):
    evaluate(tmp_path / "a.jsonl")
    with pytest.raises(OptionError, match="another model"):
        Answers(tmp_path / "a.jsonl", HEAD, {**KEY, "model": "c"}, 6, 3)
    kept = Answers(tmp_path / "a.jsonl", HEAD, KEY, 6, 4)           # another number of classes
    assert not kept.rows
    (tmp_path / "b.jsonl").write_bytes(b"\0" * 50)
    with pytest.raises(OptionError, match="holds no answers"):
        Answers(tmp_path / "b.jsonl", HEAD, KEY, 6, 3)


def test_nothing_kept():
    kept = Answers(None, HEAD, KEY, 2, 3)
    kept.begin()
    kept.add(row(1))
    kept.finish()
    assert kept.rows == {1: row(1)}


def test_a_mark_for_each_image_of_the_flash():
    """The times of an ELF that was built anew with other settings are others, though its model is the same."""
    from types import SimpleNamespace

    from tinyvgg.board.evaluator import image_sha256
    from tinyvgg.firmware.elf import Segment

    def mark(data, load=0x08000000, text=None):
        elf = SimpleNamespace(segments=[Segment(load, load, data, len(data))], board_text=text)
        return image_sha256(SimpleNamespace(link=SimpleNamespace(machine=SimpleNamespace(elf=elf))))

    marks = [mark(b"1234"), mark(b"1235"), mark(b"1234", 0x08001000), mark(b"1234", text="clock_hz = 4")]
    assert len({*marks}) == 4 and mark(b"1234") == marks[0]
    assert image_sha256(SimpleNamespace(link=SimpleNamespace())) is None
