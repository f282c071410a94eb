"""The wire between the host and the native UART of hooks.py: bytes with the cycle at which they arrive, and wrong baud rates."""
import numpy as np

from tinyvgg.board.virtual import hooks


class Line:
    """Bytes to and from the board. `clock()` gives the core clock in Hz, `now()` core cycles since the start."""

    def __init__(self, state, clock, now):
        self._state, self._clock, self._now = state, clock, now
        self._unsent = bytearray()
        self._arrival = 0

    @property
    def waiting(self):
        """Whether bytes wait that did not fit the ring."""
        return bool(self._unsent)

    def clear(self):
        """Forget what was not received yet."""
        self._unsent.clear()

    def send(self, data, baud=None):
        """Put bytes on the wire to the board. If `baud` differs by more than 3 % from the device's, other bytes arrive."""
        self._unsent += garbled(data, baud, self.baud_of(int(self._state[hooks.BRR])))

    def receive(self, baud=None):
        """Take the bytes that have come from the board, read at `baud` (None: the right one)."""
        s = self._state
        start, end = int(s[hooks.TX_READ]), int(s[hooks.TX_WRITE])
        entries = s[int(hooks.TX_AT) + np.arange(start, end) % hooks.RING]
        s[hooks.TX_READ] = end
        data = (entries & np.uint64(255)).astype(np.uint8).tobytes()
        divider = int(entries[0] >> np.uint64(8)) if end > start else 0
        return garbled(data, baud, self.baud_of(divider))

    def baud_of(self, divider):
        """Rate that a divider in BRR makes."""
        return (self._clock() << int(self._state[hooks.BRR_SHIFT])) / divider if divider else 0

    def fill(self):
        """Move what was sent into the ring that the UART reads from, each byte with the cycle at which it has arrived."""
        s = self._state
        write = int(s[hooks.RX_WRITE])
        count = min(len(self._unsent), hooks.RING - (write - int(s[hooks.RX_READ])))
        if not count:
            return
        data = np.frombuffer(bytes(self._unsent[:count]), np.uint8).astype(np.uint64)
        del self._unsent[:count]
        if s[hooks.TIMED]:
            per_byte = max(10 * int(s[hooks.BRR]) >> int(s[hooks.BRR_SHIFT]), 1)
            first = max(self._arrival, self._now()) + per_byte
            self._arrival = first + per_byte * (count - 1)
            data |= (np.uint64(first) + np.uint64(per_byte) * np.arange(count, dtype=np.uint64)) << np.uint64(8)
        s[int(hooks.RX_AT) + np.arange(write, write + count) % hooks.RING] = data
        s[hooks.RX_WRITE] = write + count


def garbled(data, host, device):
    """At a wrong rate a UART samples the wrong moments; what it reads depends on the bytes, and is not them."""
    if host is None or not data or (device and abs(host - device) <= 0.03 * device):
        return bytes(data)
    ratio = host / device if device else 0.0
    count = max(1, int(len(data) / max(ratio, 0.1))) if ratio > 1 else len(data)
    return bytes((data[i % len(data)] * 167 + 13 * i + 0x81) & 0xFF for i in range(count))
