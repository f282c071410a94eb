"""ST's protocol over a link, host side, for the validation firmware of ST and of tinyvgg: docs/protocol-stm.md. It has no
checksum: changed bytes are noticed only if a message makes no sense any more.
"""
from dataclasses import replace

import numpy as np

from tinyvgg.board import stm_messages as stm
from tinyvgg.errors import DeviceError, LinkError, LinkTimeout

PATIENCE = 0.5                   # seconds for an answer to begin, as ST's host has it for SYNC
QUIET = 0.7                      # after so long a silence our firmware forgets a message that was begun
FIRST_ANSWER = 60.0              # seconds for the first inference
ATTEMPTS = 3
MOST_MESSAGES = 10_000           # before an answer, so that a board that never stops sending is noticed


class StmSession:
    """One conversation by ST's protocol over a link; repeats: images that were sent again; layers: Operators of the last run."""

    def __init__(self, link, *, baud=115200):
        self.link, self.baud, self.repeats, self.info = link, baud, 0, None
        self.layers, self.whole, self.noise = [], None, b""
        self._number, self._first, self._longest, self._buffer = 0, True, 0.0, bytearray()

    def synchronise(self, attempts=ATTEMPTS):
        """Send SYNC and read the facts of the board and its network; return the StmInfo, or None if the board does not speak this
        protocol."""
        for attempt in range(attempts):
            try:
                self._forget(0.05 if attempt == 0 else QUIET)
                sync = self._ask(stm.SYNC, "sync", patience=PATIENCE)
                if stm.number(sync.fields, 1) >> 8 != 3:
                    raise DeviceError(f"{self.link.url} speaks version {stm.number(sync.fields, 1) >> 8} of ST's protocol; expected 3",
                                      "a validation firmware of X-CUBE-AI 9 or later")
                system = self._ask(stm.SYS_INFO, "sinfo", patience=2.0)
                network = self._ask(stm.NETWORK_INFO, "minfo", patience=5.0)
            except DeviceError:
                raise
            except LinkError:
                continue
            self.info = stm.info(system.fields, network.fields, stm.number(sync.fields, 4))
            return self.info
        return None

    def infer(self, x, *, per_layer=False):
        """Classify one image x, floats; return (outputs float32 (n,), core cycles or 0). An image without an answer is sent again."""
        for attempt in range(ATTEMPTS):
            self.repeats += attempt > 0
            try:
                return self._run(self.info.input.numbers(x).tobytes(), per_layer)
            except LinkTimeout:
                self._forget(QUIET)
        raise LinkTimeout(f"{self.link.url} did not answer an image in {ATTEMPTS} tries", "press the board's reset button")

    def _run(self, image, per_layer):
        start, layers = self.link.now(), []
        mode = stm.IO_ONLY | (stm.PER_LAYER if per_layer else 0)
        self._ask(stm.NETWORK_RUN, "ack", mode, self.info.model, int(self._first), patience=2.0)
        self._send(stm.data(image))
        self._expect("ack", stm.PROCESSING, 2.0)
        self._send(stm.ACKNOWLEDGEMENT)
        patience = 4 * self._longest + 2 if self._longest else FIRST_ANSWER
        for _ in range(MOST_MESSAGES):
            answer = self._receive(patience)
            if answer.kind == "tensor" and answer.state == stm.DONE:
                break
            if answer.kind == "op":
                layers.append(stm.operator(answer.fields))
            elif answer.kind != "tensor":
                raise self._refused(answer)
        else:
            raise LinkError(f"{self.link.url} sent {MOST_MESSAGES:,} messages of one image and no result", "press the board's reset button")
        self._first, self._longest = False, max(self._longest, self.link.now() - start)
        self.layers = [op for op in layers if op.is_layer]
        self.whole = next((op for op in reversed(layers) if not op.is_layer), None)
        return self._outputs(answer), self._cycles()

    def _outputs(self, answer):
        parts = {field: stm.inner(answer.fields, field) for field in (1, 2)}
        if not all(parts.values()):
            raise LinkError("the board's outputs come without their description")
        output = stm.tensor(parts[1][0])
        raw = parts[2][0].get(4, [b""])[-1]
        expected = self.info.n_classes * np.dtype(output.dtype).itemsize
        if not isinstance(raw, bytes) or len(raw) != expected:
            raise DeviceError(f"the board sent {len(raw) if isinstance(raw, bytes) else 0} bytes of outputs; its network has {expected}")
        return output.reals(raw)

    def _cycles(self):
        if self.whole is None:
            return 0
        return self.whole.cycles or round(self.whole.ms * self.info.clock_hz / 1000)

    # --- messages -----------------------------------------------------------------------------------------------------
    def _ask(self, command, kind, parameter=0, name="", option=0, *, patience):
        self._number += 1
        self._send(stm.request(self._number, command, parameter, name, option))
        return self._expect(kind, {"sync": stm.IDLE, "ack": stm.WAITING}.get(kind), patience)

    def _expect(self, kind, state, patience):
        answer = self._receive(patience)
        if answer.kind != kind or state is not None and answer.state != state:
            raise self._refused(answer)
        return answer

    def _refused(self, answer):
        if answer.kind != "ack":
            return LinkError(f"{self.link.url} answered with {answer.kind!r} out of turn", "press the board's reset button")
        error, parameter = answer.error
        return DeviceError(f"the board refused: {stm.ERRORS.get(error, f'error {error}')} ({parameter})")

    def _send(self, body):
        first, *rest = stm.packets(body)
        self.link.write(first)
        for packet in rest:
            self._await_next()
            self.link.write(packet)

    def _await_next(self):
        """Wait for the board to ask for the next packet; ST's firmware may say so by any byte."""
        end = self.link.now() + 2.0
        while not self._buffer:
            self._buffer += self._read(end)
        if self._buffer[0] & stm.LAST and len(self._buffer) > stm.PACKET:      # it answers already: what it got was no message
            raise self._refused(self._receive(1.0))
        del self._buffer[0]

    def _receive(self, patience):
        """Return the next Response to our last request; the board's log is acknowledged and left out."""
        for _ in range(MOST_MESSAGES):
            body, last = bytearray(), False
            end = self.link.now() + patience + 33 * 10 / self.baud
            while not last:
                while len(self._buffer) <= stm.PACKET:
                    self._buffer += self._read(end)
                head, last = self._buffer[0] & 127, bool(self._buffer[0] & stm.LAST)
                if head > stm.PACKET or len(body) > stm.LARGEST:
                    raise LinkError(f"{self.link.url} sends bytes that are not a packet of ST's protocol", "the right --baud")
                body += self._buffer[1:1 + (head if last else stm.PACKET)]
                del self._buffer[:stm.PACKET + 1]
                end = max(end, self.link.now() + PATIENCE + 33 * 10 / self.baud)
            answer = stm.response(bytes(body))
            if answer.kind == "log":
                self._send(stm.ACKNOWLEDGEMENT)
            elif answer.request == self._number:
                return answer
            elif answer.kind == "ack" and answer.state == stm.FAILED:
                raise self._refused(answer)
        raise LinkError(f"{self.link.url} sent {MOST_MESSAGES:,} messages and no answer", "press the board's reset button")

    def _read(self, end):
        left = end - self.link.now()
        if left <= 0:
            raise LinkTimeout(f"{self.link.url} did not answer in ST's protocol", "press the board's reset button")
        data = self.link.read(left)
        self.noise = (self.noise + data)[-64:]
        return data

    def _forget(self, seconds):
        """Read whatever comes until the line has been quiet for so long."""
        self._buffer.clear()
        for _ in range(100):
            if not self.link.read(seconds):
                return

    def usage(self):
        """Return the last run's memory report: {"stack_used", "arena_bytes", "constants_bytes"}."""
        return {"stack_used": self.whole.stack_used if self.whole else None, "arena_bytes": self.info.arena_bytes,
                "constants_bytes": self.info.constants_bytes}

    def with_bounds(self, bounds):
        """Set the bounds of the real inputs, which the protocol does not tell; return the StmInfo."""
        if bounds is not None:
            self.info = replace(self.info, input_bounds=tuple(map(float, bounds)))
        return self.info
