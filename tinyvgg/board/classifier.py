"""A board as a classifier: images go over the wire, labels come back.

    with Board("virtual:cifar10.elf") as board:         # or /dev/ttyACM0, COM3, socket://localhost:4404
        board.labels(images)                            # (N,) int64
        board.infer(images).cycles                      # (N,) core cycles of each inference
"""
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyvgg.board import protocol
from tinyvgg.board.link import START_BAUD, open_link
from tinyvgg.board.session import Session
from tinyvgg.board.stm import StmSession
from tinyvgg.board.student import StudentSession
from tinyvgg.classifier import as_classes, classes_of, labels_of
from tinyvgg.errors import DeviceError, LinkError, LinkTimeout, OptionError
from tinyvgg.images import byte_images, check_images, float_images, to_bytes
from tinyvgg.kernels.reference import softmax
from tinyvgg.report.shown import briefly
from tinyvgg.types import AnyArray, Floats, Images, Integers, Range, Shape

PROTOCOLS = ("auto", "tinyvgg", "student", "stm")
_RATES = (115200, 921600)
_SLOWEST, _FASTEST = 1200, 7_500_000     # baud that a board may be asked for
PLAIN = 3                                # a function of a network's firmware: firmware/network/network_app.c.in
_FIRST_ANSWER = 60.0                     # seconds for the first inference, whose length nobody knows yet


@briefly
@dataclass
class Answers:
    """The board's answers: raw (N, classes) in its output type; cycles (N,) of the core (0 if the protocol has none); seconds
    (N,) from sending an image to receiving its answer."""
    raw: np.ndarray
    cycles: np.ndarray
    seconds: np.ndarray
    repeats: int = field(default=0)      # how many frames had to be sent again


class Board:
    """A classifier at the other end of a line.

    url: /dev/ttyACM0, COM3, socket://HOST:PORT, virtual:FILE.elf, or any pyserial URL.
    protocol: "tinyvgg", "student" (0xAB/0xCD), "stm" (ST's, for its validation firmware and tinyvgg's), or "auto": tinyvgg's
    first, then the student's. bounds: (lowest, highest) of real inputs, for protocols that do not tell them. baud: the rate to
    use; tinyvgg's protocol starts at 115200 and then changes to it. wire: how images are sent, "auto", "uint8", "int8" or
    "float32". sha256: the model that the board must have, else LinkError. attempts: tries for each request. reconnect: seconds to
    wait for an interrupted line. trace: show every byte on standard error. link: an open link to use instead of `url`. virtual:
    more options of `Machine` for virtual: URLs (timed=True, ...). Raises LinkError (no port, port in use, no answer, unknown
    answer, another model), LinkTimeout, DeviceError.
    """

    made_for = None         # tinyvgg.classifier.MadeFor, where a file beside the image tells
    without_gradients = ("square, hopskipjump or rays, which need none; or attack the model's file with --out RUN and show the "
                         "images to the board: tinyvgg evaluate URL --data RUN")

    def __init__(self, url: str | None = None, protocol: str = "auto", *, baud: int = START_BAUD, wire: str = "auto",
                 sha256: str | None = None, attempts: int = 40, reconnect: float = 30.0, trace: Any = None, link: Any = None,
                 bounds: Any = None, **virtual: Any) -> None:
        if protocol not in PROTOCOLS:
            raise OptionError(f"protocol {protocol!r}; expected {', '.join(PROTOCOLS)}")
        if wire not in ("auto", "uint8", "int8", "float32"):
            raise OptionError(f"wire {wire!r}; expected auto, uint8, int8 or float32")
        if not _SLOWEST <= baud <= _FASTEST:
            raise OptionError(f"a rate of {baud} baud; expected {_SLOWEST} to {_FASTEST}", "--baud 115200")
        self._asked, self._baud, self._wire, self._sha256 = protocol, baud, wire, sha256
        self._attempts, self._patience = attempts, reconnect
        self._bounds = bounds
        start = baud if protocol in ("student", "stm") else START_BAUD
        self.link = open_link(url, start, trace=trace, **virtual) if link is None else link
        self.info, self.reconnects, self._longest, self._noise = None, 0, 0.0, b""
        self._session = self._student = self._stm = None
        self._repeats_before = 0                     # of conversations that a reconnection ended
        self._lost = None                            # why the last reconnection failed
        self._last_image = None                      # in ST's protocol
        try:
            self._try_rate(start)
            self._connect(protocol)
        except BaseException:
            self.link.close()
            raise

    def _try_rate(self, start):
        """Refuse a rate that this side's port cannot run at before anybody is asked to change to it."""
        if self._baud != start:
            self.link.set_baud(self._baud)
            self.link.set_baud(start)

    # --- connecting --------------------------------------------------------------------------------------------------
    def _connect(self, asked):
        """Begin a conversation in the protocol `asked`, "auto": ours first."""
        machine, self._repeats_before = getattr(self.link, "machine", None), self._repeats()
        self._student = self._stm = None
        self._session = Session(self.link, attempts=self._attempts, elf=machine and machine.elf)
        if asked == "stm":
            return self._connect_stm()
        if asked != "student":
            self.info = self._say_hello()
            if self.info is not None:
                self.protocol = "tinyvgg"
                self._check_model()
                if self._baud != self._session.baud:
                    self._session.set_baud(self._baud)
                return
        if asked != "tinyvgg":
            self.link.set_baud(self._baud)
            student = StudentSession(self.link, baud=self._baud)
            if student.synchronise():
                self.protocol, self._student = "student", student
                return
            self._noise += student.noise
        raise self._stranger()

    def _connect_stm(self):
        self.link.set_baud(self._baud)
        self._stm = StmSession(self.link, baud=self._baud)
        if self._stm.synchronise() is None:
            self._noise += self._stm.noise
            raise self._stranger()
        self.info, self.protocol = self._stm.with_bounds(self._bounds), "stm"
        self._check_model()

    def _say_hello(self):
        """Try the rates that a board may have been left at; the whole takes at most 4 seconds."""
        self._noise = self.link.read(0.05)
        rates, end = dict.fromkeys((START_BAUD, self._baud, *_RATES)), self.link.now() + 2.5
        for i, rate in enumerate(rates):
            self._session._switch(rate)
            info = self._session.hello(attempts=3 if i == 0 else 1, persist=max(end - self.link.now(), 0))
            if info is not None:
                return info
        self._session._switch(START_BAUD)
        return None

    def _stranger(self):
        url, heard = self.link.url, self._session.damaged or self._noise
        if self._session.frames:
            return LinkError(f"{url} speaks the tinyvgg protocol, but did not answer HELLO", "press the board's reset button")
        if heard:
            what = "not ST's protocol" if self._asked == "stm" else "neither protocol"
            return LinkError(f"{url} sends bytes that are {what}: another program's output, or another baud rate",
                             f"flash a tinyvgg firmware, or --baud (now {self._baud})")
        which = {"auto": "in our protocol or the student's", "stm": "in ST's protocol"}.get(self._asked, f"in the {self._asked} protocol")
        hint = "check the port, press the board's reset button, or flash an image: tinyvgg firmware flash build/NAME.elf"
        if getattr(self.link, "machine", None):
            hint = "an image of tinyvgg firmware build without --protocol mlperf; tinyvgg board run serves firmware of others"
        elif self._asked == "auto":
            hint += "; --protocol stm for a firmware of X-CUBE-AI's"
        return LinkError(f"nobody answered at {url} {which} ({self._baud} baud)", hint)

    def _check_model(self):
        if self._sha256 and self.info.sha256 and self.info.sha256 != self._sha256:
            raise LinkError(f"the board holds the model {self.info.model!r} with SHA-256 {self.info.sha256[:12]}...; expected "
                            f"{self._sha256[:12]}...", "flash the image built from that model")

    def _reconnected(self, work):
        """Do `work()`; when the line breaks, open it anew for up to `reconnect` seconds and do it again.

        Where that fails, the board stays as it was known, and the next request begins with opening the line.
        """
        if self._lost:
            self._reconnect(self._lost)
        for _ in range(3):
            try:
                return work()
            except DeviceError:
                raise
            except LinkError as error:
                self._reconnect(error)
        return work()

    def _reconnect(self, reason):
        known = self.info, self.protocol, self._student, self._stm
        self._lost = reason
        try:
            self._open_anew(reason)
            self._lost = None
        finally:
            if self._lost:
                self.info, self.protocol, self._student, self._stm = known
        self.reconnects += 1
        if known[0] and self.info and self.info.sha256 != known[0].sha256:
            raise LinkError("after the interruption another model answered", "start again")

    def _open_anew(self, reason):
        """Open the line again and again until the board answers in the protocol that it spoke; raise `reason` when time is over."""
        end, spoken = self.link.now() + self._patience, self.protocol
        while True:
            try:
                self.link.reopen()
                self.link.set_baud(START_BAUD if spoken == "tinyvgg" else self._baud)
                return self._connect(spoken)
            except DeviceError:
                raise
            except LinkError:
                if self.link.now() >= end:
                    raise reason from None
                _pause(self.link)

    # --- the classifier ------------------------------------------------------------------------------------------------
    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return classes_of((self.n_outputs,))

    @property
    def n_outputs(self) -> int:
        """How many numbers an answer has: one for each class, or a single one for two classes."""
        return self.info.n_classes if self.info else 10

    @property
    def takes_bytes(self) -> bool:
        """Whether floats are first rounded to levels; False if the board does not say."""
        return self.info is not None and self.info.output_type != "float32"

    @property
    def bounds(self) -> Range:
        """(lowest, highest) value of a real input."""
        return self.info.input_bounds if self.info else self._bounds or (0.0, 1.0)

    @property
    def input_shape(self) -> Shape:
        """Shape of one image, channels last."""
        return self.info.input_shape if self.info else (32, 32, 3)

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the board's model, as the board states it; None in the student protocol and for ST's firmware."""
        return self.info.sha256 if self.info else None

    @property
    def plain_sha256(self) -> str | None:
        """SHA-256 of that model without its plan, or None if the firmware does not tell it."""
        if self.protocol != "tinyvgg":
            return None
        try:
            return self.call(PLAIN)[0].hex()
        except DeviceError:                          # a firmware of before, or the demonstration
            return None

    def labels(self, x: Images) -> Integers:
        """Return (N,) int64, the class of each image of x (N, H, W, C), uint8 or float."""
        return self.labels_of(self.infer(x).raw)

    def labels_of(self, raw: Any) -> Integers:
        """Return (N,) int64, the class of each of the board's answers (N, n_outputs); a single probability above 0.5 is class
        1."""
        if self.protocol == "tinyvgg":
            return labels_of(self.outputs_of(raw))
        half = 127.5 if self.protocol == "student" else 0.5
        return labels_of(raw.astype(np.float32) - np.float32(half))

    def outputs_of(self, raw: Any) -> Floats:
        """Return float32 outputs before the softmax or sigmoid, for answers (N, n_outputs) in tinyvgg's protocol."""
        return np.float32(self.info.output_scale) * (raw.astype(np.float32) - np.float32(self.info.output_zero))

    def logits(self, x: Images) -> Floats:
        """x (N, H, W, C) -> (N, classes) float32. The student protocol and ST's have none: OptionError."""
        if self.protocol != "tinyvgg":
            raise OptionError(f"the {self.protocol} protocol carries scores, no logits", "board.scores(x), or a tinyvgg firmware")
        return as_classes(self.outputs_of(self.infer(x).raw))

    def scores(self, x: Images) -> AnyArray:
        """x (N, H, W, C) -> (N, classes) float32 in [0, 1]: softmax of the logits, the student protocol's byte / 255, or the
        network's own outputs in ST's protocol."""
        if self.protocol == "stm":
            return self.infer(x).raw
        if self.protocol == "student":
            return self.infer(x).raw.astype(np.float32) / np.float32(255)
        return softmax(self.logits(x))

    def infer(self, x: Images, *, on_answer: Callable[..., Any] | None = None) -> Answers:
        """Classify x (N, H, W, C) one image after another; return Answers.

        on_answer(i, raw row, cycles, seconds) is called after each image, for progress or to save results.
        """
        images, kind = self._prepare(x)
        raw, cycles, seconds = [], [], []
        repeats = self._repeats()
        for i, image in enumerate(images):
            data, start = image.tobytes(), self.link.now()
            answer, n = self._reconnected(lambda data=data: self._infer_one(data, kind))
            raw.append(answer)
            cycles.append(n)
            seconds.append(self.link.now() - start)
            if on_answer:
                on_answer(i, raw[-1], cycles[-1], seconds[-1])
        width = np.zeros((0, self.n_outputs), self._output_type())
        return Answers(np.array(raw) if raw else width, np.array(cycles, np.int64), np.array(seconds), self._repeats() - repeats)

    def _infer_one(self, data, kind):
        if self.protocol == "student":
            return np.frombuffer(self._student.infer(data), np.uint8), 0
        if self.protocol == "stm":
            self._last_image = np.frombuffer(data, "<f4").reshape(self.input_shape)
            return self._stm.infer(self._last_image)
        limit = 4 * self._longest + 2 if self._longest else _FIRST_ANSWER
        answer = self._session.request(protocol.INFER + protocol.TYPES.index(kind), data, answer_within=limit)
        self._longest = max(self._longest, self._session.took)      # what waiting for lost answers took is no inference's time
        dtype = self._output_type()
        if len(answer) != 4 + self.n_outputs * dtype.itemsize:
            raise DeviceError(f"the board's answer has {len(answer)} bytes; its HELLO announced "
                              f"{4 + self.n_outputs * dtype.itemsize}")
        return np.frombuffer(answer, dtype, offset=4), struct.unpack_from("<I", answer)[0]

    def _output_type(self):
        return np.dtype(self.info.output_type if self.info else "uint8").newbyteorder("<")

    def _repeats(self):
        return self._repeats_before + sum(s.repeats for s in (self._student, self._stm, self._session) if s)

    def _prepare(self, x):
        """Return (images as they go on the wire, their element type)."""
        x = self.check_images(x)
        kind = self._choose_wire(x)
        if kind == "float32":
            return float_images(x, self.bounds).astype("<f4", copy=False), kind
        q = byte_images(x, self.bounds)
        return (q if kind == "uint8" else (q ^ 0x80).view(np.int8)), kind

    def check_images(self, x: Images) -> AnyArray:
        """Return x, uint8 or floats in `bounds`, as an array, or raise ShapeError or DataError: see tinyvgg.images."""
        return check_images(x, self.input_shape, self.bounds)

    def _choose_wire(self, x):
        if self.protocol != "tinyvgg":
            return "float32"
        accepted = self.info.input_types
        if self._wire != "auto":
            if self._wire not in accepted:
                raise OptionError(f"the board's network takes {', '.join(accepted)}; not {self._wire}")
            return self._wire
        whole = x.dtype == np.uint8 or self.info.output_type != "float32"        # a network of integers quantises anyway
        preferred = ("uint8", "int8", "float32") if whole else ("float32", "uint8", "int8")
        return next((t for t in preferred if t in accepted), "uint8")

    # --- the board itself ------------------------------------------------------------------------------------------------
    def _request(self, kind, payload=b"", **options):
        if self.protocol != "tinyvgg":
            raise OptionError(f"the {self.protocol} protocol knows images only", "a tinyvgg firmware, --protocol tinyvgg")
        return self._reconnected(lambda: self._session.request(kind, payload, **options))

    def echo(self, data: bytes) -> bytes:
        """Send up to 512 bytes and return the same bytes from the board; raise if they differ."""
        _check_small(data)
        return self._request(protocol.ECHO, bytes(data))

    def usage(self) -> Any:
        """Return the memory in use (Usage): constants, variables, the most of stack and arena used so far. In ST's protocol: a
        dict of what it tells."""
        if self.protocol == "stm":
            return self._stm.usage()
        return protocol.decode_usage(self._request(protocol.USAGE))

    def profile(self):
        """Return [(layer name, core cycles)] of the last inference; empty if the firmware has no profile.

        In ST's protocol the last image is classified once more, layer by layer.
        """
        if self.protocol == "stm":
            return self._profile_stm()
        layers, count = [], 1
        while len(layers) < count:
            first, count, some = protocol.decode_profile(self._request(protocol.PROFILE, struct.pack("<I", len(layers))))
            if first != len(layers) or not some and count:
                raise DeviceError("the board's profile contradicts itself")
            layers += some
        return layers

    def _profile_stm(self):
        if not self.info.observes or self._last_image is None:
            return []
        self._reconnected(lambda: self._stm.infer(self._last_image, per_layer=True))
        clock = self.info.clock_hz
        return [(op.name, op.cycles if op.cycles is not None else round(op.ms * clock / 1000)) for op in self._stm.layers]

    def call(self, function: int, data: bytes = b"", *, answer_within: float = 30.0) -> Any:
        """Call a test function of the firmware (tv_app_call); return (bytes, core cycles)."""
        _check_small(data, 4)
        answer = self._request(protocol.CALL, struct.pack("<I", function) + bytes(data), answer_within=answer_within)
        return answer[4:], struct.unpack_from("<I", answer)[0]

    def check_constants(self, anew: bool = True):
        """Let a firmware built with a defence check its constants (or report its last check); return plain data. {"found": number
        of changed arrays, "repaired": bytes repaired, "harmed": changed arrays that remain, "array": number of the first one,
        "cycles"}.
        """
        words = struct.unpack("<5I", self.call(2, bytes([bool(anew)]))[0])
        return dict(zip(("found", "repaired", "harmed", "array", "cycles"), words, strict=True))

    def read_memory(self, address: int, count: int) -> bytes:
        """Return `count` bytes of memory (firmware built with memory_access)."""
        parts = [self._request(protocol.READ, struct.pack("<II", address + i, min(protocol.SMALL, count - i)))
                 for i in range(0, count, protocol.SMALL)]
        return b"".join(parts)

    def write_memory(self, address: int, data: bytes) -> None:
        """Write RAM (firmware built with memory_access); the board's CRC of the new content is checked."""
        import zlib
        for i in range(0, len(data), 256):
            part = bytes(data[i:i + 256])
            crc = struct.unpack("<I", self._request(protocol.WRITE, struct.pack("<I", address + i) + part))[0]
            if crc != zlib.crc32(part):
                raise DeviceError(f"the memory at {address + i:#010x} does not hold what was written")

    def crc_memory(self, address: int, count: int) -> int:
        """Return the CRC-32 of memory (firmware built with memory_access)."""
        return struct.unpack("<I", self._request(protocol.CRC, struct.pack("<II", address, count), answer_within=30.0))[0]

    def reset(self) -> None:
        """Restart the firmware and connect to it again."""
        try:
            self._session.request(protocol.RESET)
        except LinkTimeout as error:
            self._reconnect(error)
            return
        self._session._switch(START_BAUD)
        self._connect(self.protocol)

    def close(self) -> None:
        """Set the board back to 115200 baud, where the next program expects it, and close the line."""
        try:
            if self.protocol == "tinyvgg" and self._session.baud != START_BAUD:
                self._session.attempts = 2
                self._session.set_baud(START_BAUD)
        except LinkError:
            pass
        finally:
            self.link.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def quantize(x: Images, scale, zero):
    """Return uint8 inputs q for float x = scale * (q - zero): see tinyvgg.images.to_bytes."""
    return to_bytes(x, (-zero * scale, (255 - zero) * scale))


def _check_small(data, overhead=0):
    if len(data) > protocol.SMALL - overhead:
        raise OptionError(f"{len(data)} bytes are too many for one frame; at most {protocol.SMALL - overhead}")


def _pause(link):
    import time
    if link.url.startswith("virtual:"):
        link.read(0.5)
    else:
        time.sleep(0.5)
