"""The line: faults on purpose, cuts, resets, strangers, ports that are not there."""
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tinyvgg.board import Board, FaultyLink, demonstration
from tinyvgg.board import link as links
from tinyvgg.errors import DeviceError, FormatError, LinkError, OptionError


def open_link(url):
    """A virtual board whose flash takes no time: what is tested here is the line."""
    return links.open_link(url, flash_model="none")


def exchange(url, n, *, seed=0, **faults):
    """n ECHO exchanges over a faulty line; return (session, link)."""
    random = np.random.default_rng(seed)
    link = FaultyLink(open_link(url), seed, **faults)
    link.on = False
    board = Board(link=link, attempts=1000)
    link.on = True
    for _ in range(n):
        data = random.bytes(int(random.integers(1, 17)))
        assert board.echo(data) == data
    return board._session, link


def test_echo_over_a_faulty_line(url):
    session, link = exchange(url, 300)
    assert session.repeats > 300
    assert min(link.counts.values()) > 100


@pytest.mark.slow
def test_ten_thousand_echoes_over_a_faulty_line(url):
    session, link = exchange(url, 10_000, seed=1)
    for name in ("dropped", "flipped", "doubled", "delayed"):
        assert 0.009 < link.counts[name] / link.counts["bytes"] < 0.011


def test_late_answers_are_not_taken_for_the_next(url):
    """Delays longer than the host's patience: each answer comes when the next is awaited."""
    session, _ = exchange(url, 100, seed=2, drop=0, flip=0, double=0, delay=0.01, seconds=0.4)
    assert session.stale > 10


def test_images_over_a_faulty_line(url):
    images = np.random.default_rng(3).integers(0, 256, (10, 32, 32, 3), dtype=np.uint8)
    link = FaultyLink(open_link(url), 3, drop=1e-4, flip=1e-4, double=1e-4, delay=1e-4)
    with Board(link=link, attempts=1000) as board:
        answers = board.infer(images)
        assert answers.repeats > 0
        assert (answers.raw == demonstration.logits(images)).all()


@contextlib.contextmanager
def served(elf, port="socket://localhost:0"):
    """A virtual board served from a thread; yields (url, machine)."""
    from tinyvgg.board.virtual.machine import Machine
    from tinyvgg.board.virtual.serve import serve
    machine, ready, done, urls = Machine(elf, flash_model="none"), threading.Event(), threading.Event(), []
    thread = threading.Thread(target=serve, args=(machine, port),
                              kwargs={"ready": lambda u: (urls.append(u), ready.set()), "stop": done.is_set}, daemon=True)
    thread.start()
    try:
        assert ready.wait(10)
        yield urls[0], machine
    finally:
        done.set()
        thread.join(10)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)


def test_socket(demonstration, images):
    from tinyvgg.board import demonstration as expected
    with served(demonstration.elf) as (url, _):
        for protocol in ("tinyvgg", "student"):              # one client after the other
            with Board(url, protocol) as board:
                assert (board.labels(images) == expected.logits(images).argmax(1)).all()


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_pty_in_both_protocols_and_at_another_rate(demonstration, images):
    from tinyvgg.board import demonstration as expected
    with served(demonstration.elf, "pty") as (url, _):
        with Board(url, "auto", baud=921600) as board:
            assert (board.infer(images).raw == expected.logits(images)).all()
            assert board.link.baud == 921600
        with Board(url, "student") as board:
            assert (board.labels(images) == expected.logits(images).argmax(1)).all()
        with Board(url) as board:                            # ours gets through although the board speaks the student's
            assert board.protocol == "tinyvgg"
        with pytest.raises(LinkError, match="baud"):
            Board(url, "student", baud=57600)


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_a_port_in_use(demonstration):
    with served(demonstration.elf, "pty") as (url, _), Board(url), pytest.raises(LinkError, match="in use"):
        Board(url)


def test_a_second_program_is_turned_away(demonstration):
    with served(demonstration.elf) as (url, _):
        with Board(url) as first:
            with pytest.raises(LinkError, match="one program at a time"):
                Board(url)
            assert first.echo(b"still there") == b"still there"
        with Board(url) as second:
            assert second.echo(b"the next") == b"the next"


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_a_serial_port_that_vanishes():
    ours, theirs = os.openpty()
    link = open_link(os.ttyname(theirs))
    os.close(theirs)
    os.close(ours)
    for work in (lambda: link.set_baud(921600), lambda: link.write(b"x"), lambda: link.read(0.1)):
        with pytest.raises(LinkError):
            work()
    link.close()
    with pytest.raises(LinkError, match="is closed"):
        link.set_baud(921600)


def test_a_cut_cable(demonstration, images):
    from tinyvgg.board import demonstration as expected
    with served(demonstration.elf) as (url, _), Board(url) as board:
        def cut(i, *_):
            if i in (1, 3):
                board.link._socket.shutdown(socket.SHUT_RDWR)
        answers = board.infer(images, on_answer=cut)
        assert (answers.raw == expected.logits(images)).all()
        assert board.reconnects == 2


def test_a_board_that_goes_and_comes_back(demonstration, images):
    """The service dies in the middle and another, freshly started board takes its place at the same port."""
    from tinyvgg.board import demonstration as expected
    with served(demonstration.elf) as (url, _):
        board = Board(url)
        first = board.infer(images[:3])
    timer, after = threading.Event(), contextlib.ExitStack()

    def restart():
        time.sleep(0.3)
        after.enter_context(served(demonstration.elf, url))
        timer.set()
    threading.Thread(target=restart, daemon=True).start()
    second = board.infer(images[3:])
    assert timer.wait(5)
    assert (np.concatenate([first.raw, second.raw]) == expected.logits(images)).all()
    assert board.reconnects >= 1
    board.close()
    after.close()


class _ResettingLink:
    """Resets the virtual board in the middle of every seventh frame."""

    def __init__(self, link):
        self._link, self.writes = link, 0

    def __getattr__(self, name):
        return getattr(self._link, name)

    def write(self, data):
        self.writes += 1
        if self.writes % 7:
            return self._link.write(data)
        self._link.write(data[:len(data) // 2])
        self._link.machine.run(0.01)
        self._link.machine.reset()
        self._link.write(data[len(data) // 2:])


@pytest.mark.parametrize("baud", [115200, 921600])
def test_a_reset_in_the_middle(url, images, baud):
    link = _ResettingLink(open_link(url))
    with Board(link=link, baud=baud, attempts=5) as board:
        x = np.concatenate([images] * 3)
        assert (board.infer(x).raw == demonstration.logits(x)).all()
        assert link.writes >= 18


# --- strangers ------------------------------------------------------------------------------------------------------------
def _silence(client, stop):
    stop.wait()


def _random(client, stop):
    random = np.random.default_rng(0)
    while not stop.wait(0.001):
        client.sendall(random.bytes(200))


def _http(client, stop):
    client.settimeout(0.05)
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            if not client.recv(4096):
                return
            client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def _acknowledges_everything(client, stop):
    while not stop.wait(0.01):
        client.sendall(b"\xcd\x00")


def _echo(client, stop):
    client.settimeout(0.05)
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            client.sendall(client.recv(4096))


@contextlib.contextmanager
def stranger(behaviour):
    stop = threading.Event()
    listener = socket.create_server(("localhost", 0))

    def work():
        with contextlib.suppress(OSError):
            client, _ = listener.accept()
            behaviour(client, stop)
    threading.Thread(target=work, daemon=True).start()
    try:
        yield f"socket://localhost:{listener.getsockname()[1]}"
    finally:
        stop.set()
        listener.close()


STRANGERS = {_silence: "nobody answered", _random: "neither protocol", _http: "neither protocol",
             _acknowledges_everything: "neither protocol", _echo: "sends back"}


@pytest.fixture(scope="module", autouse=True)
def met():
    """{behaviour: a future of (what is raised, seconds)} of all strangers, met while other tests run: most of it is waiting."""
    def meet(behaviour):
        with stranger(behaviour) as url:
            start, error = time.monotonic(), None
            try:
                Board(url)
            except Exception as raised:
                error = raised
            return error, time.monotonic() - start

    with ThreadPoolExecutor(len(STRANGERS)) as executor:
        yield {behaviour: executor.submit(meet, behaviour) for behaviour in STRANGERS}


@pytest.mark.parametrize("behaviour", STRANGERS)
def test_strangers(met, behaviour):
    error, seconds = met[behaviour].result()
    with pytest.raises(LinkError, match=STRANGERS[behaviour]):
        raise error
    assert seconds < 5


# --- bad input --------------------------------------------------------------------------------------------------------------
def test_no_such_port():
    with pytest.raises(LinkError, match="no port /dev/ttyNOWHERE"):
        Board("/dev/ttyNOWHERE")
    with pytest.raises(LinkError, match="no program listens"):
        Board("socket://localhost:1")
    for url in ("", None, "socket://localhost", "socket://localhost:99999999"):
        with pytest.raises((OptionError, LinkError)):
            Board(url)
    with pytest.raises(OptionError, match="protocol"):
        Board("virtual:x.elf", "stm32msg")
    for baud in (0, -5, 1199, 10**11):
        with pytest.raises(OptionError, match="expected 1200 to 7500000"):
            Board("virtual:x.elf", baud=baud)


@pytest.mark.skipif(sys.platform == "win32", reason="no /dev/null")
def test_a_file_that_is_no_port():
    with pytest.raises(LinkError, match="/dev/null is no serial port"):
        Board("/dev/null")


def test_no_module_of_posix_is_needed():
    """Windows has none of these modules; only a pseudo-terminal may ask for them, when it is opened."""
    program = """
import importlib, pkgutil, sys
sys.modules |= dict.fromkeys(("termios", "tty", "pty", "fcntl", "resource", "pwd", "grp"))
import tinyvgg.board, tinyvgg.firmware
for package in (tinyvgg.board, tinyvgg.firmware):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
from tinyvgg.board.virtual.serve import serve
try:
    serve(None, "pty")
except OSError as error:
    print(error)
"""
    pytest.importorskip("unicorn")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert "no pseudo-terminals" in done.stdout, done.stderr


def test_no_such_image(tmp_path):
    with pytest.raises(FormatError, match="cannot be read"):
        Board(f"virtual:{tmp_path / 'nothing.elf'}")


def test_the_firmware_that_stops(url):
    with Board(url) as board:
        with pytest.raises(DeviceError, match="bus fault.*0x60000000.*tv_app_call"):
            board.call(demonstration.MISBEHAVE, bytes(4))


class DropAnswer:
    """Loses one answer to INFER, once armed: ACCEPTED comes, the answer does not."""

    def __init__(self, link):
        self.link, self.armed, self.seen = link, False, b""

    def __getattr__(self, name):
        return getattr(self.link, name)

    def read(self, timeout):
        data = self.link.read(timeout)
        if not self.armed or not data:
            return data
        self.seen += data
        if self.seen.count(b"\0") < 3:
            return b""
        first = b"\0" + self.seen.split(b"\0")[1] + b"\0"
        self.armed, self.seen = False, b""
        self.link.read(0.5)
        return first


def test_the_wait_does_not_grow_with_lost_answers(url):
    """2.5, 12.5, 52.5, 212 s it was: the wait for a lost answer was taken for the time of an inference."""
    link = DropAnswer(open_link(url))
    board, x = Board(link=link, protocol="tinyvgg"), np.zeros((1, 32, 32, 3), np.uint8)
    board.infer(x)
    waits = []
    for _ in range(5):
        link.armed, start = True, link.now()
        board.infer(x)
        waits.append(link.now() - start)
    assert max(waits) < 1.5 * min(waits) < 10


@pytest.mark.parametrize("protocol", ["auto", "tinyvgg", "student"])
def test_a_good_line_after_a_failed_reconnection(url, protocol):
    """The board stays as it was known, and answers again."""
    link = FaultyLink(open_link(url), drop=1.0, flip=0, double=0, delay=0)
    link.on = False
    board, x = Board(link=link, protocol=protocol, attempts=2, reconnect=2.0), np.zeros((1, 32, 32, 3), np.uint8)
    before, info = board.labels(x), board.info
    for _ in range(2):
        link.on = True
        for request in (board.labels, board.infer):
            with pytest.raises(LinkError):
                request(x)
            assert board.info == info and board.input_shape == (32, 32, 3)
        link.on = False
        assert board.labels(x) == before
        assert protocol == "student" or board.usage().flash_used > 0


def test_answers_are_not_answered(url):
    """On a line that echoes, board and line once went round for ever."""
    from tinyvgg.board import protocol
    link = open_link(url)
    for kind in (*range(0x80, 0x100, 5), protocol.ERROR, protocol.ACCEPTED, protocol.HELLO | protocol.ANSWER):
        link.write(protocol.encode(protocol.Frame(kind, 77, b"")))
        assert link.read(0.5) == b""
    link.write(protocol.encode(protocol.Frame(protocol.HELLO, 78, b"")))
    heard, rounds = link.read(1.0), 0
    while heard and rounds < 20:                        # the line sends back what it hears
        link.write(heard)
        heard, rounds = link.read(0.5), rounds + 1
    assert 0 < rounds < 20


def test_trace(url, capsys):
    with Board(url, trace=sys.stderr) as board:
        board.echo(b"trace me")
    shown = capsys.readouterr().err
    assert " > " in shown and " < " in shown
    assert b"trace me".hex(" ") in shown


def test_serve_refuses_other_ports(demonstration):
    from tinyvgg.board.virtual.machine import Machine
    from tinyvgg.board.virtual.serve import serve
    with pytest.raises(OptionError, match="pty or socket"):
        serve(Machine(demonstration.elf), "/dev/ttyACM0")
