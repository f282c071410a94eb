"""Requests and answers of the tinyvgg protocol over a link. Requests are repeated up to a limit; outdated answers are ignored."""
import os
import struct

from tinyvgg.board import protocol
from tinyvgg.board.link import START_BAUD
from tinyvgg.errors import DeviceError, LinkError, LinkTimeout

PATIENCE = 0.25                  # seconds for an answer to begin, beyond the time on the wire
_HELLO_PATIENCE = 0.3


class Session:
    """One conversation. Sequence numbers start at random, so that answers of an earlier conversation are not mistaken for its
    own.

    attempts: how often a request is sent before LinkTimeout. elf: an Elf, to name the function of a fault (optional).
    """

    def __init__(self, link, *, attempts=40, elf=None):
        self.link, self.attempts, self.elf = link, attempts, elf
        self.repeats = self.stale = self.frames = self.damaged = 0
        self.took = 0.0                              # seconds of the last request, from its last sending to its answer
        self.baud = START_BAUD
        self._decoder, self._sequence = protocol.Decoder(), int.from_bytes(os.urandom(4), "little")
        self._waiting = []

    def hello(self, attempts=3, persist=0.0):
        """Return the BoardInfo, or None if nothing spoke this protocol; raise LinkError for another version of it. persist: how
        many seconds to continue after `attempts` if frames of this protocol came but not the answer (a bad line).
        """
        end, tried = self.link.now() + persist, 0
        while tried < attempts or self.frames and self.link.now() < end:
            tried += 1
            frame = self._frame_without_sync(protocol.HELLO)
            self.link.write(protocol.encode(frame))
            answer = self._await(frame, _HELLO_PATIENCE + self._wire_seconds(200), 0)
            if isinstance(answer, protocol.Frame):
                return protocol.decode_info(answer.payload)
        return None

    def request(self, kind, payload=b"", *, answer_within=5.0):
        """Send a request and return the payload of its answer.

        answer_within: seconds that the work may take after the board has accepted it. Raises DeviceError if the board refuses or
        faults, LinkTimeout when no answer came in `attempts` tries, LinkError when the line broke.
        """
        frame = self._frame(kind, payload)
        data = protocol.encode(frame)
        for attempt in range(self.attempts):
            self.repeats += attempt > 0
            sent = self.link.now()
            self.link.write(data)
            patience = PATIENCE + self._wire_seconds(len(data) + protocol.SMALL)
            answer = self._await(frame, patience, answer_within)
            if isinstance(answer, protocol.Frame):
                self.took = self.link.now() - sent
                return answer.payload
        raise LinkTimeout(f"{self.link.url} did not answer {protocol.NAMES.get(kind, kind)} in {self.attempts} tries",
                          "check the cable, or press the board's reset button")

    def _frame(self, kind, payload=b""):
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        return protocol.Frame(kind, self._sequence, payload)

    def _frame_without_sync(self, kind):
        """A frame without the byte 0xAB: the student project's firmware would take that as its own host's."""
        while True:
            frame = self._frame(kind)
            if 0xAB not in protocol.encode(frame):
                return frame
            self._sequence = int.from_bytes(os.urandom(4), "little")

    def _wire_seconds(self, count):
        return 10.0 * count / self.baud

    def _await(self, request, patience, answer_within):
        """Return the answer to `request`, "damaged" where the board asks for a repetition, or None when the time is over."""
        end = self.link.now() + patience
        while True:
            while self._waiting:
                frame = self._waiting.pop(0)
                verdict = self._judge(frame, request)
                if verdict == "accepted":
                    end = max(end, self.link.now() + answer_within)
                elif verdict is not None:
                    return verdict
            left = end - self.link.now()
            if left <= 0:
                return None
            frames, damaged = self._decoder.push(self.link.read(left))
            self._waiting += frames
            self.frames += len(frames)
            self.damaged += damaged

    def _judge(self, frame, request):
        """Return what a frame means to `request`: the Frame, "damaged", "accepted", or None for one that is not for us."""
        if frame.type == protocol.FAULT and frame.version == protocol.VERSION:
            function_at = self.elf.function_at if self.elf else None
            raise DeviceError(f"the firmware stopped with a {protocol.describe_fault(frame.payload, function_at)}",
                              "a larger stack: tinyvgg firmware build --stack 8192" if protocol.overflowed(frame.payload) else "")
        if frame.type == protocol.ERROR and frame.payload[:4] == b"\1\0\0\0":        # its sequence number means nothing
            return "damaged"
        if (frame.type, frame.sequence) == (request.type, request.sequence):
            raise LinkError(f"{self.link.url} sends back what it is sent: its two lines are joined, or it is a terminal's echo",
                            "check the wiring and the port")
        if frame.sequence != request.sequence:
            self.stale += 1
            return None
        if frame.type == protocol.ERROR:
            _, text = protocol.describe_error(frame.payload)
            raise DeviceError(f"the board refused {protocol.NAMES.get(request.type, request.type)}: {text}")
        if frame.type == protocol.ACCEPTED:
            return "accepted"
        return frame if frame.type == request.type | protocol.ANSWER else None

    # --- what more than one caller needs --------------------------------------------------------------------------
    def set_baud(self, baud):
        """Change both sides to `baud` and test it; return the board's exact rate. If the test fails, both return to the old rate
        (the board by itself, after a second of silence) and LinkError is raised.
        """
        old = self.baud
        actual = struct.unpack("<I", self.request(protocol.SET_BAUD, struct.pack("<I", baud)))[0]
        self._switch(baud)
        if self.hello(attempts=3) is not None:
            return actual
        self._switch(old)
        self.link.read(1.5)
        if self.hello(attempts=4) is None:
            raise LinkError(f"{self.link.url} was lost while changing to {baud} baud", "press the board's reset button")
        raise LinkError(f"{self.link.url} does not work at {baud} baud; it is back at {old}", f"--baud {old}")

    def _switch(self, baud):
        self.link.set_baud(baud)
        self.baud = baud
        self._decoder = protocol.Decoder()
        self._waiting.clear()
