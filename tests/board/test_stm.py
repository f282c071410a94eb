"""ST's protocol: our firmware by our host, by what ST's runner once said to it, and our host against a device of ST's kind."""
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyvgg.board import Board, demonstration, open_link
from tinyvgg.board import stm_messages as stm
from tinyvgg.board.stm import StmSession
from tinyvgg.errors import DeviceError, LinkError, LinkTimeout, OptionError

RECORDED = Path(__file__).parent / "golden" / "stm_exchange.npz"     # benchmarks/interop/stm_runner.py --record


def images(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)


# --- messages ---------------------------------------------------------------------------------------------------------------
@given(st.dictionaries(st.integers(1, 40), st.integers(0, 2**64 - 1) | st.binary(max_size=300), max_size=6))
def test_messages_come_back(values):
    assert stm.parse(stm.message(values)) == {k: [v] for k, v in values.items()}


@given(st.binary(max_size=200))
def test_any_bytes_are_a_response_or_refused(data):
    try:
        assert isinstance(stm.response(data), stm.Response)
    except LinkError as error:
        assert "no message of ST's protocol" in str(error)


@given(st.binary(max_size=200), st.sampled_from([1, 11, 13, 15, 17]))
def test_any_network_is_described_or_refused(data, field):
    try:
        network = stm.parse(stm.message({1: "n", 3: "s", 11: stm.message({1: "x"}), 13: b"", field: data}))
        stm.info({}, network, 0)
    except LinkError:
        pass


def test_packets_are_of_33_bytes():
    """A length, then the message, in pieces of 32 padded with zeros."""
    body = bytes(range(1, 200))
    packets = stm.packets(body)
    assert {len(p) for p in packets} == {33} and [p[0] for p in packets] == [32] * 6 + [9]
    assert b"".join(p[1:1 + p[0]] for p in packets) == b"\xc7\x01" + body and packets[-1][10:] == bytes(23)


# --- our firmware -----------------------------------------------------------------------------------------------------------
def test_our_firmware_by_our_host(url):
    """What it says of itself, outputs, times, in one conversation and beside the other protocols."""
    x = images(2)
    with Board(url, "stm") as board:
        assert (board.info.model, board.info.device_id, board.info.clock_hz) == ("demonstration", 0x470, 120_000_000)
        assert board.input_shape == (32, 32, 3) and board.n_classes == 10 and board.info.layer_count == 2
        answers = board.infer(x)
        expected = np.float32(1e-6) * demonstration.logits(x).astype(np.float32)
        assert np.array_equal(answers.raw, expected) and np.array_equal(board.scores(x / np.float32(255)), expected)
        layers = dict(board.profile())
        assert set(layers) == {"input", "filters"} and 0 <= sum(layers.values()) - answers.cycles[-1] + 2000 < 4000
        assert 0 < board.usage()["stack_used"] < 4096
        with pytest.raises(OptionError, match="no logits"):
            board.logits(x)
        link = board.link
        for protocol in ("tinyvgg", "student", "tinyvgg", "stm"):        # one image of each, on one line, one after the other
            with Board(link=_Kept(link), protocol=protocol) as other:
                assert other.labels(x[:1]) == expected[0].argmax(), protocol


class _Kept:
    """A link that `close` leaves open."""

    def __init__(self, link):
        self._link = link

    def __getattr__(self, name):
        return getattr(self._link, name)

    def close(self):
        pass


def test_what_is_refused_is_said(url):
    link = open_link(url)
    session = StmSession(link)
    assert session.synchronise().model == "demonstration"
    for ask, words in ((lambda: session._ask(20, "data", patience=1.0), "a wrong parameter"),
                       (lambda: session._ask(stm.NETWORK_INFO, "minfo", 1, patience=1.0), "a wrong parameter"),
                       (lambda: session._ask(stm.NETWORK_RUN, "ack", 1, "another", patience=1.0), "a wrong parameter"),
                       (lambda: session._run(bytes(12), False), "a wrong size .12288"),
                       (lambda: (session._send(b"\x07\xff"), session._expect("data", None, 1.0)), "a wrong format")):
        with pytest.raises(DeviceError, match=words):
            ask()
    session._send(stm.ACKNOWLEDGEMENT)                                   # to nothing: nothing is said
    assert np.array_equal(session.infer(np.zeros((32, 32, 3)))[0], np.zeros(10))
    link.close()


def test_bytes_that_are_lost(url):
    """A packet that lacks a byte: half a second of silence ends it, and the image is sent again."""
    link = open_link(url)
    write, lose = link.write, [40]

    def lossy(data):
        lose[0] -= 1
        write(data[:-1] if lose[0] == 0 else data)

    link.write = lossy
    session = StmSession(link)
    session.synchronise()
    x = images(1)[0] / np.float32(255)
    assert np.allclose(session.infer(x)[0], 1e-6 * demonstration.logits(images(1))[0]) and session.repeats == 1
    link.close()


def test_what_sts_runner_said_once(url):
    """The bytes that ST's unchanged stm_ai_runner sent, to connect, learn, classify, time layers and time alone: our firmware
    answers as it did, times apart."""
    kept = np.load(RECORDED)
    parts = np.split(kept["bytes"], np.cumsum(kept["lengths"])[:-1])
    link, now, expected = open_link(url), b"", 0
    link.read(0.1)
    for part, host in zip(parts, kept["host"], strict=True):
        if host:
            link.write(part.tobytes())
            continue
        expected, end = expected + len(part), link.now() + 0.5
        while len(now) < expected and link.now() < end:
            now += link.read(0.05)
    then = b"".join(p.tobytes() for p, h in zip(parts, kept["host"], strict=True) if not h)
    link.close()
    assert len(now) == len(then)
    for mine, theirs in zip(_responses(now), _responses(then), strict=True):
        assert (mine.request, mine.state, mine.kind) == (theirs.request, theirs.state, theirs.kind)
        if mine.kind in ("tensor", "ack", "sync", "sinfo"):
            assert mine.fields == theirs.fields
        if mine.kind == "op":
            assert stm.operator(mine.fields).name == stm.operator(theirs.fields).name
    kinds = [r.kind for r in _responses(then)]
    assert kinds.count("tensor") == 3 and kinds.count("op") == 5 and kinds[:4] == ["sync", "minfo", "ack", "sinfo"]


def _responses(data):
    """Responses in a stream of packets, with the single bytes that ask for more left out."""
    found, body, at = [], b"", 0
    while at < len(data):
        if data[at] == stm.NEXT and not body:
            at += 1
            continue
        body += data[at + 1:at + 1 + (data[at] & 127)]
        if data[at] & stm.LAST:
            found.append(stm.response(body))
            body = b""
        at += 33
    return found


# --- a device of ST's kind ----------------------------------------------------------------------------------------------------
class Device:
    """A link to a validation firmware as ST writes one: messages by the letter, a log between, int8 in and out where asked.

    Its network: logit i is the mean of the image, in units of a level, times i + 1.
    """

    url = "a device"

    def __init__(self, *, dtype="float32", log=False, version=3 << 8 | 1, signature="0xa678", dead_after=None, order=stm._ROWS_FIRST):
        self.dtype, self.log, self.version, self.signature, self.order = dtype, log, version, signature, order
        self.out, self.body, self.need, self.time, self.dead_after, self.sent = bytearray(), b"", None, 0.0, dead_after, 0
        self.awaits, self.mode = "request", 0

    def write(self, data):
        self.sent += 1
        if self.dead_after is not None and self.sent > self.dead_after:
            return
        assert len(data) == 33
        self.body += data[1:1 + data[0]]
        if self.need is None:
            n, at = stm._take_varint(self.body, 0)
            self.body, self.need = self.body[at:], n
        if len(self.body) < self.need:
            self.out += b"\xaa"
            return
        fields, self.body, self.need = stm.parse(self.body[:self.need]), b"", None
        getattr(self, self.awaits)(fields)

    def read(self, timeout):
        if not self.out:
            self.time += max(timeout, 0.001)
        data, self.out = bytes(self.out[:50]), self.out[50:]
        return data

    def now(self):
        return self.time

    def set_baud(self, baud):
        pass

    reopen = close = lambda self: None

    def say(self, state, kind, body):
        data = stm.message({1: self.id, 2: state, kind: body})
        for i in range(0, len(data), 32):
            part = data[i:i + 32]
            self.out += bytes([len(part) | (128 if i + 32 >= len(data) else 0)]) + part.ljust(32, b"\0")

    def describe(self, name, shape):
        word = {v: k for k, v in stm._TYPES.items()}[self.dtype] | 1 << 27
        dims = b"".join(stm.message({5: n}) for n in shape)
        scale = stm.varint(6 << 3 | 5) + struct.pack("<f", 0.0 if self.dtype == "float32" else 1 / 255 if name == "x" else 0.5)
        zero = 0 if self.dtype == "float32" else -128 if name == "x" else 3
        return (stm.message({1: name, 2: word, 3: int(np.prod(shape)), 4: self.order << 24 | len(shape)}) + dims + scale
                + stm.message({7: zero & 0xFFFFFFFFFFFFFFFF, 8: 0, 9: 1}))

    def request(self, f):
        self.id, command, self.mode = f[1][0], f[2][0], f[3][0]
        if self.log:
            self.say(stm.IDLE, 13, stm.message({1: 1, 2: "hello"}))
            self.awaits, self.after = "logged", command
            return
        self.answer(command)

    def logged(self, fields):
        assert set(fields) == {1, 2}
        self.awaits = "request"
        self.answer(self.after)

    def answer(self, command):
        shape = (1, 4, 6, 3) if self.order == stm._ROWS_FIRST else (1, 3, 6, 4)
        if command == stm.SYNC:
            self.say(stm.IDLE, 10, stm.message({1: self.version, 4: 1, 5: 1 | 1 << 16}))
        elif command == stm.SYS_INFO:
            self.say(stm.IDLE, 11, stm.message({1: 0x450, 2: 400_000_000, 3: 200_000_000, 4: 0}))
        elif command == stm.NETWORK_INFO:
            self.say(stm.IDLE, 22, stm.message({1: "network", 2: 1, 3: self.signature, 4: "now", 5: 10 << 24, 6: 10 << 24 | 2 << 16, 7: 72,
                                                8: 1, 10: 1, 11: self.describe("x", shape), 12: 1, 13: self.describe("y", (1, 1, 1, 5)),
                                                14: 0, 16: 0, 20: "ST.AI"}))
        elif command == stm.NETWORK_RUN:
            self.say(stm.WAITING, 12, stm.message({1: 0, 2: 0}))
            self.awaits = "data"

    def data(self, f):
        self.x = np.frombuffer(f[4][0], self.dtype).astype(np.float32)
        assert f[2][0] == len(f[4][0]) and self.x.size == 72
        self.say(stm.PROCESSING, 12, stm.message({1: 0, 2: 0}))
        self.awaits = "run"

    def run(self, fields):
        x = self.x if self.dtype == "float32" else (self.x + 128) / 255
        y = x.mean() * np.arange(1, 6, dtype=np.float32)
        times = stm.varint(4 << 3 | 5) + struct.pack("<f", 0.25) + stm.message({5: 1 << 16, 6: 100_000, 7: 2**64 - 1, 8: 0})
        if self.mode & 6:
            self.say(stm.PROCESSING, 16, stm.message({1: "conv", 2: 3 << 24 | 0x103, 3: 0}) + times)
            self.say(stm.PROCESSING, 17, stm.message({1: self.describe("c", (1, 1, 1, 9)), 2: stm.message({1: 0, 2: 0, 3: 0, 4: b""})}))
        self.say(stm.PROCESSING, 16, stm.message({1: "network", 2: 0, 3: 0}) + times)
        raw = y.astype("<f4") if self.dtype == "float32" else np.clip(np.rint(y / 0.5) + 3, -128, 127).astype(np.int8)
        self.say(stm.DONE, 17, stm.message({1: self.describe("y", (1, 1, 1, 5)), 2: stm.message({1: 0, 2: raw.nbytes, 3: 0, 4: raw.tobytes()})}))
        self.awaits = "request"


@pytest.mark.parametrize("options", [{}, {"log": True}, {"dtype": "int8"}, {"order": stm._CUBE_AI}])
def test_a_device_of_sts_kind(options):
    x = np.random.default_rng(1).integers(0, 256, (3, 4, 6, 3), dtype=np.uint8)
    expected = (x / np.float32(255)).reshape(3, -1).mean(axis=1)[:, None] * np.arange(1, 6, dtype=np.float32)
    with Board(link=Device(**options), protocol="stm") as board:
        assert board.input_shape == (4, 6, 3) and board.sha256 is None and board.info.clock_hz == 400_000_000
        answers = board.infer(x)
        assert np.abs(answers.raw - expected).max() <= (0.26 if "dtype" in options else 1e-6)
        assert list(answers.cycles) == [100_000] * 3 and board.profile() == [("conv", 100_000)]
        assert board.usage()["stack_used"] is None


def test_bounds_come_from_who_knows_them():
    with Board(link=Device(), protocol="stm", bounds=(-1, 1)) as board:
        zero, grey = board.infer(np.full((1, 4, 6, 3), 0, np.uint8)).raw, board.infer(np.zeros((1, 4, 6, 3), np.float32)).raw
    assert zero[0, 0] == -1 and grey[0, 0] == 0


def test_devices_that_do_not_answer_right():
    with pytest.raises(DeviceError, match="version 2 of ST's protocol"):
        Board(link=Device(version=2 << 8 | 2), protocol="stm")
    with pytest.raises(LinkError, match="nobody answered at a device in ST's protocol"):
        Board(link=Device(dead_after=0), protocol="stm")
    board = Board(link=Device(dead_after=8), protocol="stm", reconnect=0.1)
    with pytest.raises(LinkTimeout, match="did not answer an image"):
        board.infer(images(1)[:, :4, :6])


# --- ports and boards that cannot ----------------------------------------------------------------------------------------------
def test_a_rate_that_the_port_cannot_do_is_refused_at_once(monkeypatch):
    """Before the board is asked to change to it."""
    import serial

    class Port:
        baudrate, is_open, asked = 115200, True, []

        def __init__(self, *_, **options):
            pass

        def __setattr__(self, name, value):
            if name == "baudrate" and value > 1_000_000:
                raise ValueError(f"Invalid baud rate: {value}")
            object.__setattr__(self, name, value)

        in_waiting = 0
        open = flush = close = lambda self: None

        def write(self, data):
            self.asked.append(data)

        def read(self, n):
            return b""

    monkeypatch.setattr(serial, "serial_for_url", Port)
    for protocol in ("auto", "student", "stm"):
        with pytest.raises(LinkError, match="cannot run at 2000000 baud .Invalid baud rate"):
            Board("/dev/ttyOLD", protocol, baud=2_000_000)
    assert not Port.asked


def test_hints_for_a_board_that_does_not_answer():
    class Silent(Device):
        def write(self, data):
            pass
    silent = Silent()
    silent.machine = SimpleNamespace(elf=None)
    with pytest.raises(LinkError, match="nobody answered at a device in our protocol or the student's") as virtual:
        Board(link=silent)
    assert "firmware build" in virtual.value.hint and "reset button" not in virtual.value.hint
    with pytest.raises(LinkError, match="nobody answered at a device") as real:
        Board(link=Silent())
    assert "tinyvgg firmware flash" in real.value.hint and "--protocol stm" in real.value.hint


@pytest.mark.parametrize("kind", ["log", "op"])
def test_a_board_that_never_stops_sending_is_noticed(monkeypatch, kind):
    """Logs before an answer, or layers of one image, without end."""
    session = StmSession(SimpleNamespace(url="serial:babble", now=lambda: 0.0))
    told = SimpleNamespace(kind=kind, request=0, state=0, fields={})
    monkeypatch.setattr("tinyvgg.board.stm.MOST_MESSAGES", 20)
    if kind == "log":
        session._buffer = bytearray([stm.LAST]) + bytearray(stm.PACKET)
        monkeypatch.setattr(session, "_read", lambda end: bytearray([stm.LAST]) + bytearray(stm.PACKET))
        monkeypatch.setattr(stm, "response", lambda body: told)
        monkeypatch.setattr(session, "_send", lambda message: None)
        with pytest.raises(LinkError, match="20 messages and no answer"):
            session._receive(1.0)
        return
    session.info = SimpleNamespace(model="net")
    for name in ("_ask", "_send", "_expect"):
        monkeypatch.setattr(session, name, lambda *a, **k: None)
    monkeypatch.setattr(session, "_receive", lambda patience: told)
    monkeypatch.setattr(stm, "data", lambda image: b"")
    monkeypatch.setattr(stm, "operator", lambda fields: None)
    with pytest.raises(LinkError, match="20 messages of one image"):
        session._run(b"", False)
