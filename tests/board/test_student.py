"""Our host against the course firmware as it is: a model of its loop, which knows no way out and no timeout."""
import numpy as np
import pytest

from tinyvgg.board import Board
from tinyvgg.errors import LinkTimeout


class CourseFirmware:
    """A link to the course's firmware: two-byte reads until 0xAB, 0xCD 0x00, then images for ever. Time is its own."""

    url = "course firmware"

    def __init__(self, lose=(), seconds=6.0, dead_after=None):
        self._in, self._out, self._synced, self._time = bytearray(), bytearray(), False, 0.0
        self._lose, self._sent, self._seconds = set(lose), 0, seconds      # positions of bytes that the line loses
        self.images, self._dead_after = 0, dead_after

    def write(self, data):
        for byte in data:
            if self._sent not in self._lose:
                self._in.append(byte)
            self._sent += 1
        while self._work():
            pass

    def _work(self):
        if not self._synced:
            if len(self._in) < 2:
                return False
            self._synced = self._in[0] == 0xAB
            del self._in[:2]
            if self._synced:
                self._out += b"\xcd\x00"
            return True
        if len(self._in) < 12288 or self.images == self._dead_after:
            return False
        image = np.frombuffer(bytes(self._in[:12288]), "<f4")
        del self._in[:12288]
        self.images += 1
        self._time += self._seconds
        scores = np.zeros(10, np.uint8)
        scores[int(np.clip(np.nan_to_num(image[0]) * 10, 0, 9))] = 250
        self._out += scores.tobytes()
        return True

    def read(self, timeout):
        if not self._out:
            self._time += max(timeout, 0.001)
        data, self._out = bytes(self._out), bytearray()
        return data

    def now(self):
        return self._time

    def set_baud(self, baud):
        pass

    reopen = close = lambda self: None


def images():
    x = np.random.default_rng(0).random((6, 32, 32, 3), np.float32)
    x[:, 0, 0, 0] = np.array([0.05, 0.35, 0.95, 0.15, 0.55, 0.75], np.float32)
    return x, np.array([0, 3, 9, 1, 5, 7])


@pytest.mark.parametrize("protocol", ["auto", "student"])
def test_images_one_after_the_other(protocol):
    x, labels = images()
    link = CourseFirmware()
    with Board(link=link, protocol=protocol) as board:
        assert board.protocol == "student"
        assert (board.labels(x) == labels).all()
        assert link.images == 6                       # none sent twice, although each takes six seconds
        assert board.scores(x).max() == np.float32(250 / 255)
        assert (board.labels((x * 255).astype(np.uint8)) == labels).all()


def test_it_is_evaluated_by_its_scores(monkeypatch):
    from tinyvgg.open import opened
    from tinyvgg.train import evaluate
    x, labels = images()
    link = CourseFirmware()
    monkeypatch.setattr("tinyvgg.board.Board", lambda url: Board(link=link, protocol="student"))
    with opened("/dev/ttyACM0") as classifier:
        result = evaluate(classifier, x, labels)
    assert result["accuracy"] == 1 and result["loss"] is None


@pytest.mark.parametrize("lost", [[100], [12300, 12301], [20000, 20001, 20002], [12290 + 12287]])
def test_lost_bytes_are_made_up_for(lost):
    """The board waits for the rest of an image; the host fills it up, drops the answer and sends the image again."""
    x, labels = images()
    with Board(link=CourseFirmware(lose=lost), protocol="student") as board:
        assert (board.labels(x) == labels).all()
        assert board._student.repeats >= 1


def test_a_board_that_dies():
    with Board(link=CourseFirmware(dead_after=2), protocol="student", reconnect=1.0) as board:
        with pytest.raises(LinkTimeout, match="image"):
            board.labels(images()[0])


class _Losing:
    """A link that loses the bytes at given positions of what is written, once."""

    def __init__(self, link, positions):
        self._link, self._positions, self._sent = link, set(positions), 0

    def __getattr__(self, name):
        return getattr(self._link, name)

    def write(self, data):
        self._link.write(bytes(b for i, b in enumerate(data, self._sent) if i not in self._positions))
        self._sent += len(data)


@pytest.mark.parametrize("lost", [[1000], [5000, 5001, 20000, 20001, 20002]])
def test_lost_bytes_with_our_firmware(url, lost):
    from tinyvgg.board import demonstration, open_link
    x = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    with Board(link=_Losing(open_link(url, flash_model="none"), lost), protocol="student") as board:
        answers = board.infer(x)
        assert (answers.raw.argmax(1) == demonstration.logits(x).argmax(1)).all()
        assert answers.repeats >= 1
