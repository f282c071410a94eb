"""Serve a virtual board to other programs: on a TCP socket, or on a pseudo-terminal that looks like /dev/ttyACM0."""
import contextlib
import os
import select
import socket
import time
from urllib.parse import urlsplit

from tinyvgg.errors import LinkError, OptionError

_TICK = 0.01                     # seconds of real time between looks at a quiet line


def serve(machine, port, *, ready=None, stop=None):
    """Run `machine` (a Machine) for clients of `port`: "pty" or socket://HOST:PORT (port 0: a free one).

    ready(url) is called once with the URL to connect to; stop() is called now and then; if it returns True, serving ends. While
    the board waits, simulated time passes at least as fast as real time. Returns the machine's fault if it stopped with one, else
    None.
    """
    with contextlib.closing(_open(port)) as line:
        if ready:
            ready(line.url)
        last = time.monotonic()
        while not (stop and stop()):
            reason = machine.run(0.05)
            line.send(machine.receive(line.baud()))
            if reason == "fault":
                return machine.fault
            data = line.receive(_TICK if reason == "idle" else 0.0)
            if data:
                machine.send(data, line.baud())
            now = time.monotonic()
            if reason == "idle":
                machine.advance(now - last)
            last = now
    return None


def _open(port):
    if port == "pty":
        return _Pty()
    if port.startswith("socket://"):
        return _Socket(port)
    raise OptionError(f"a virtual board cannot be served on {port!r}; expected pty or socket://HOST:PORT", "--port socket://localhost:4404")


class _Socket:
    """One client at a time; another is turned away, and may come when the first has gone."""

    def __init__(self, url):
        try:
            parts = urlsplit(url)
            host, number = parts.hostname or "localhost", parts.port
        except ValueError:
            number = None
        if number is None:
            raise OptionError(f"{url} names no port number", "--port socket://localhost:4404")
        try:
            self._listener = socket.create_server((host, number))
        except OSError as error:
            raise LinkError(f"{url} cannot be served ({error.strerror or error})", "another port number") from error
        self._client = None
        self.url = f"socket://{host}:{self._listener.getsockname()[1]}"

    def close(self):
        """Close the client's line and the port."""
        for s in (self._client, self._listener):
            if s:
                s.close()

    def baud(self):
        """A socket has no rate."""

    def send(self, data):
        """Send to the client, if there is one; what nobody hears is lost, as on a wire."""
        if self._client and data:
            try:
                self._client.sendall(data)
            except OSError:
                self._hang_up()

    def receive(self, timeout):
        """Return what the client sent; accept a client where there is none."""
        ready = select.select([s for s in (self._client, self._listener) if s], [], [], timeout)[0]
        if self._client not in ready:                    # one that has hung up must be noticed before the next is answered
            if ready:
                self._accept()
            return b""
        try:
            data = self._client.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._hang_up()
        return data

    def _accept(self):
        client, _ = self._listener.accept()
        if self._client:
            client.close()
            return
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = client

    def _hang_up(self):
        self._client.close()
        self._client = None


class _Pty:
    """A pseudo-terminal; the rate that the other side has set on it is heeded."""

    def __init__(self):
        try:
            import termios
            import tty
        except ImportError as error:
            raise LinkError("this system has no pseudo-terminals", "--port socket://localhost:4404") from error
        self._termios = termios
        self._ours, self._theirs = os.openpty()          # theirs stays open, or a closed terminal would end the service
        tty.setraw(self._theirs)
        self._rates = {getattr(termios, name): int(name[1:]) for name in dir(termios) if name[0] == "B" and name[1:].isdigit()}
        self._rates[termios.B38400] = None               # what a fresh terminal has: nobody has chosen
        os.set_blocking(self._ours, False)
        self.url = os.ttyname(self._theirs)

    def close(self):
        """Close both sides."""
        os.close(self._ours)
        os.close(self._theirs)

    def baud(self):
        """The rate that the other side has chosen, or None."""
        return self._rates.get(self._termios.tcgetattr(self._theirs)[5])

    def send(self, data):
        """Send; what a terminal that nobody reads does not take is lost."""
        while data:
            try:
                data = data[os.write(self._ours, data):]
            except BlockingIOError:
                if not select.select([], [self._ours], [], 1.0)[1]:
                    return

    def receive(self, timeout):
        """Return what was written to the terminal."""
        if not select.select([self._ours], [], [], timeout)[0]:
            return b""
        try:
            return os.read(self._ours, 65536)
        except OSError:
            return b""
