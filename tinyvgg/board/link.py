"""Bytes to and from a board: any pyserial URL, a TCP socket, or a virtual board in this process; tracing; faults on purpose.

A link has `write(data)`, `read(timeout)` (all waiting bytes, at least one, or b"" after `timeout` seconds), `set_baud(baud)`,
`reopen()`, `close()`, `now()` (seconds, of the clock that its timeouts use) and `url`.
"""
import contextlib
import select
import socket
import sys
import time
from urllib.parse import urlsplit

from tinyvgg.errors import DeviceError, LinkError, OptionError
from tinyvgg.rng import generator

try:
    from termios import error as _TerminalError  # pyserial lets it through
except ImportError:                                  # Windows has none
    _TerminalError = OSError

_CHUNK = 65536
START_BAUD = 115200
_ONE_CLIENT = "a board serves one program at a time: close the other one"


def open_link(url, baud=START_BAUD, *, trace=None, **virtual):
    """Open the link that `url` names: /dev/ttyACM0, COM3, socket://HOST:PORT, virtual:FILE.elf or another pyserial URL.

    trace: a text stream, or True for standard error, that shows every byte. virtual: options of `Machine`.
    """
    if not isinstance(url, str) or url.strip() in ("", "virtual:"):
        raise OptionError(f"a port is {url!r}; expected its name", "--port virtual:FILE.elf, or /dev/ttyACM0")
    if url.startswith("virtual:"):
        link = VirtualLink(url, baud, **virtual)
    elif url.lower().endswith(".elf") and "://" not in url:
        raise OptionError(f"{url} is firmware, not a port", f"virtual:{url}, a virtual board that runs it")
    elif url.startswith("socket://"):
        link = SocketLink(url)
    else:
        link = SerialLink(url, baud)
    return TraceLink(link, sys.stderr if trace is True else trace) if trace else link


class SerialLink:
    """A serial port by pyserial: a device name, or one of its URLs (rfc2217://, loop://, ...)."""

    def __init__(self, url, baud=START_BAUD):
        self.url, self.baud, self._port = url, baud, None
        self.reopen()

    def reopen(self):
        """Close and open the port again."""
        import serial
        self.close()
        try:
            self._port = serial.serial_for_url(self.url, baudrate=START_BAUD, timeout=0.02, write_timeout=5, do_not_open=True)
            if self._port.__class__.__module__.startswith("serial.serial"):      # URL handlers know no exclusive use
                self._port.exclusive = True
            self._port.open()
        except (serial.SerialException, OSError, ValueError, _TerminalError) as error:
            self._port = None
            raise _no_port(self.url, error) from error
        if self.baud != START_BAUD:
            self.set_baud(self.baud)

    def read(self, timeout):
        """Return what is waiting, or b"" after `timeout` seconds."""
        import serial
        if self._port is None:
            raise LinkError(f"{self.url} is closed")
        end = time.monotonic() + timeout
        try:
            while True:
                data = self._port.read(max(1, self._port.in_waiting))
                if data or time.monotonic() >= end:
                    return data
        except (serial.SerialException, OSError, TypeError) as error:
            raise LinkError(f"{self.url} was disconnected ({error})", "check the cable") from error

    def write(self, data):
        """Send `data`; return when the operating system has taken it."""
        import serial
        if self._port is None:
            raise LinkError(f"{self.url} is closed")
        try:
            self._port.write(data)
        except (serial.SerialException, OSError) as error:
            raise LinkError(f"{self.url} does not take data ({error})", "check the cable") from error

    def set_baud(self, baud):
        """Change this side's rate; on an error raise LinkError and keep the old rate."""
        import serial
        if self._port is None:
            raise LinkError(f"{self.url} is closed")
        before = self._port.baudrate
        try:
            self._port.flush()
            self._port.baudrate = baud
            self.baud = baud
        except (serial.SerialException, OSError, ValueError, _TerminalError) as error:
            with contextlib.suppress(serial.SerialException, OSError, ValueError, _TerminalError):
                self._port.baudrate = before
            raise LinkError(f"{self.url} cannot run at {baud} baud ({error})", "--baud 115200") from error

    def close(self):
        """Close the port."""
        if self._port is not None:
            self._port.close()
            self._port = None

    now = staticmethod(time.monotonic)


def _no_port(url, error):
    text = str(error)
    if "lock" in text or "busy" in text.lower() or "denied" in text and sys.platform == "win32":
        return LinkError(f"{url} is in use by another program", "close it (a terminal, CubeIDE, another tinyvgg)")
    if "Permission" in text or "denied" in text:
        return LinkError(f"you may not open {url}", "sudo usermod -aG dialout $USER, then log in again")
    if "configure port" in text:
        return LinkError(f"{url} is no serial port", "--port /dev/ttyACM0, or virtual:FILE.elf")
    from serial.tools import list_ports
    ports = ", ".join(p.device for p in list_ports.comports()) or "none"
    return LinkError(f"there is no port {url} ({text.splitlines()[0] if text else error}); found: {ports}",
                     "plug the board in, or use virtual:FILE.elf")


class SocketLink:
    """A TCP connection, as `tinyvgg board run FILE.elf --port socket://HOST:PORT` and ser2net serve it."""

    def __init__(self, url):
        self.url, self._socket = url, None
        try:
            parts = urlsplit(url)
            self._address = (parts.hostname or "localhost", parts.port)
        except ValueError:
            self._address = ("", None)
        if self._address[1] is None:
            raise OptionError(f"{url} names no port", "--port socket://localhost:4404")
        self.reopen()

    def reopen(self):
        """Close the connection and open it again."""
        self.close()
        try:
            self._socket = socket.create_connection(self._address, timeout=5)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            self._socket = None
            raise LinkError(f"no program listens at {self.url} ({error})",
                            "tinyvgg board run FILE.elf --port socket://localhost:4404") from error

    def read(self, timeout):
        """Return what is waiting, or b"" after `timeout` seconds."""
        if self._socket is None:
            raise LinkError(f"{self.url} is closed")
        try:
            if not select.select([self._socket], [], [], max(timeout, 0))[0]:
                return b""
            data = self._socket.recv(_CHUNK)
        except OSError as error:
            raise LinkError(f"{self.url} was disconnected ({error})", _ONE_CLIENT) from error
        if not data:
            raise LinkError(f"{self.url} was closed by the other side", _ONE_CLIENT)
        return data

    def write(self, data):
        """Send `data`."""
        if self._socket is None:
            raise LinkError(f"{self.url} is closed")
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise LinkError(f"{self.url} was disconnected ({error})") from error

    def set_baud(self, baud):
        """A socket has no rate."""

    def close(self):
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    now = staticmethod(time.monotonic)


class VirtualLink:
    """A virtual board in this process. It runs only during a read and has its own simulated time, so a timeout causes no
    waiting."""

    def __init__(self, url, baud=START_BAUD, **options):
        from tinyvgg.board.virtual.machine import Machine
        self.url, self.baud = url, baud
        self.machine = Machine(url.removeprefix("virtual:"), **options)
        self.machine.run(1.0)

    def reopen(self):
        """Forget what is on the wire."""
        self.machine.receive()

    def write(self, data):
        """Send `data`."""
        self.machine.send(data, self.baud)

    def read(self, timeout):
        """Run until the board has answered and waits again, or `timeout` simulated seconds have passed."""
        machine, end = self.machine, self.now() + timeout
        while True:
            reason = machine.run(max(end - self.now(), 0.0001))
            data = machine.receive(self.baud)
            if data:
                return data
            if reason == "fault":
                raise DeviceError(f"the firmware stopped with a {machine.fault}")
            if self.now() >= end:
                return b""
            if reason == "idle":                 # in small steps: the firmware's own timeouts pass on the way
                machine.advance(min(0.01, max(end - self.now(), 1e-6)))

    def set_baud(self, baud):
        """Change this side's rate."""
        self.baud = baud

    def close(self):
        """Free the emulator's memory."""
        self.machine.close()

    def now(self):
        """Simulated seconds."""
        return self.machine.seconds


class TraceLink:
    """Show every byte that passes on a text stream: time, direction, hexadecimal."""

    def __init__(self, link, stream):
        self._link, self._stream, self._start = link, stream, link.now()

    def __getattr__(self, name):
        return getattr(self._link, name)

    def write(self, data):
        """Send `data` and show it."""
        self._show(">", data)
        self._link.write(data)

    def read(self, timeout):
        """Read and show it."""
        data = self._link.read(timeout)
        self._show("<", data)
        return data

    def _show(self, arrow, data):
        for i in range(0, len(data), 32):
            print(f"{self._link.now() - self._start:10.4f} {arrow} {data[i:i + 32].hex(' ')}", file=self._stream)


class FaultyLink:
    """A bad line, for tests: each byte, in both directions, is dropped, flipped (one bit), doubled or delayed with a probability.

    A delayed byte comes `seconds` late, and later bytes wait behind it, as on a wire. `counts`: how many of each fault; `on`
    switches the faults off and on.
    """

    def __init__(self, link, seed=0, *, drop=0.01, flip=0.01, double=0.01, delay=0.01, seconds=0.02):
        self._link, self._random = link, generator(seed, "faulty link")
        self._chances = (drop, flip, double, delay)
        self._seconds, self._late, self.on = seconds, [], True
        self.counts = {"bytes": 0, "dropped": 0, "flipped": 0, "doubled": 0, "delayed": 0}

    def __getattr__(self, name):
        return getattr(self._link, name)

    def write(self, data):
        """Send `data` with faults. A delayed byte would hold back the rest; here that wait is skipped."""
        for part, late in self._spoil(data):
            if late:
                early = self._link.read(self._seconds)
                if early:
                    self._late.append((self._link.now(), early))
            self._link.write(part)

    def read(self, timeout):
        """Return the waiting bytes, with faults."""
        end = self._link.now() + timeout
        while not self._late:
            data = self._link.read(max(end - self._link.now(), 0))
            if not data:
                return b""
            at = self._link.now()
            for part, late in self._spoil(data):
                at += self._seconds if late else 0
                self._late.append((at, part))
        while self._late[0][0] > self._link.now():
            left = self._late[0][0] - self._link.now()
            if self._link.now() >= end:
                return b""
            data = self._link.read(min(left, max(end - self._link.now(), 0)))
            if data:
                self._late += [(max(self._late[-1][0], self._link.now()), part) for part, _ in self._spoil(data)]
        return self._late.pop(0)[1]

    def _spoil(self, data):
        """Return [(bytes, whether they come late)]."""
        if not self.on:
            return [(data, False)]
        parts, current, late = [], bytearray(), False
        draws, bits = self._random.random(len(data)), self._random.integers(0, 8, len(data))
        drop, flip, double, delay = self._chances
        self.counts["bytes"] += len(data)
        for byte, draw, bit in zip(data, draws, bits, strict=True):
            if draw < drop:
                self.counts["dropped"] += 1
                continue
            if draw < drop + flip:
                self.counts["flipped"] += 1
                byte ^= 1 << int(bit)
            elif draw < drop + flip + double:
                self.counts["doubled"] += 1
                current.append(byte)
            elif draw < drop + flip + double + delay:
                self.counts["delayed"] += 1
                if current:
                    parts.append((bytes(current), late))
                current, late = bytearray(), True
            current.append(byte)
        if current:
            parts.append((bytes(current), late))
        return parts
