"""The tinyvgg protocol, host side: COBS frames with a CRC-32. docs/protocol-tinyvgg.md is the specification.

    0x00  COBS(version u8, type u8, 0 u16, sequence u32, length u32, payload, CRC-32 u32)  0x00        all little endian
"""
import struct
import zlib
from dataclasses import dataclass, fields

from tinyvgg.errors import LinkError
from tinyvgg.report.shown import briefly

VERSION = 1
LARGEST_CLASSES = 4096                   # values of an answer
SMALL = 512                              # bytes: the largest payload of a frame that carries no image
_HEADER = struct.Struct("<BBHII")
_LARGEST = 1 << 20                       # a decoded frame larger than this is a stranger's stream, not a frame

HELLO, ECHO, SET_BAUD, USAGE, PROFILE, CALL, RESET, INFER, READ, WRITE, CRC = 1, 2, 3, 4, 5, 6, 7, 0x10, 0x20, 0x21, 0x22
ANSWER, ACCEPTED, FAULT, ERROR = 0x80, 0xFD, 0xFE, 0xFF
NAMES = {HELLO: "HELLO", ECHO: "ECHO", SET_BAUD: "SET_BAUD", USAGE: "USAGE", PROFILE: "PROFILE", CALL: "CALL", RESET: "RESET",
         INFER: "INFER uint8", INFER + 1: "INFER int8", INFER + 2: "INFER float32", READ: "READ", WRITE: "WRITE", CRC: "CRC"}
DAMAGED = 1
ERRORS = {1: ("DAMAGED", "the frame was damaged on the wire"), 2: ("VERSION", "it speaks another version of the protocol"),
          3: ("REQUEST", "it does not know the request"), 4: ("LENGTH", "the payload has the wrong length"),
          5: ("INPUT_TYPE", "its network does not take this input type"), 6: ("NETWORK", "its network failed with status {}"),
          7: ("ADDRESS", "there is no such memory at {:#010x}"),
          8: ("DISABLED", "the request is not compiled in; build with memory_access"),
          9: ("BAUD", "its clock cannot make {} baud"), 10: ("FUNCTION", "it has no function {}"),
          11: ("HARMED", "a check found its constants harmed, first array {}: it gives no class")}
TYPES = ("uint8", "int8", "float32", "int16", "int32")       # element types by their number on the wire


@briefly
@dataclass(frozen=True)
class Frame:
    """A decoded frame whose CRC was right."""
    type: int
    sequence: int
    payload: bytes
    version: int = VERSION


def cobs_encode(data):
    """Return `data` without zero bytes, by consistent overhead byte stuffing (Cheshire and Baker 1999)."""
    out, parts = bytearray(), bytes(data).split(b"\0")
    for i, part in enumerate(parts):
        full = len(part) // 254 * 254
        for at in range(0, full, 254):
            out += b"\xff" + part[at:at + 254]
        # A full block stands for no zero: one before a zero needs an empty block after it, one at the end does not.
        if len(part) > full or not full or i + 1 < len(parts):
            out.append(len(part) - full + 1)
            out += part[full:]
    return bytes(out)


def cobs_decode(data):
    """Return the bytes that cobs_encode got, or None if `data` is not such an encoding."""
    out, i = bytearray(), 0
    while i < len(data):
        code = data[i]
        block = data[i + 1:i + code]
        if code == 0 or len(block) != code - 1:
            return None
        out += block
        i += code
        if code < 255 and i < len(data):
            out.append(0)
    return bytes(out)


def encode(frame):
    """Return the bytes of a frame on the wire, delimiters included."""
    body = _HEADER.pack(frame.version, frame.type, 0, frame.sequence, len(frame.payload)) + frame.payload
    return b"\0" + cobs_encode(body + zlib.crc32(body).to_bytes(4, "little")) + b"\0"


def decode(data):
    """Return the Frame whose COBS bytes (without delimiters) are `data`, or None if anything in it is wrong."""
    body = cobs_decode(data)
    if body is None or len(body) < _HEADER.size + 4 or zlib.crc32(body[:-4]) != int.from_bytes(body[-4:], "little"):
        return None
    version, kind, _, sequence, length = _HEADER.unpack_from(body)
    payload = body[_HEADER.size:-4]
    return Frame(kind, sequence, payload, version) if length == len(payload) else None


class Decoder:
    """Collects frames from a stream of bytes."""

    def __init__(self):
        self._partial = bytearray()

    def push(self, data):
        """Add bytes; return (the Frames that are now complete, the number of damaged ones)."""
        *ended, rest = bytes(data).split(b"\0")
        found, damaged = [], 0
        for part in ended:
            whole, self._partial = bytes(self._partial + part), bytearray()
            if whole:
                frame = decode(whole)
                damaged += frame is None
                if frame is not None:
                    found.append(frame)
        self._partial += rest
        if len(self._partial) > _LARGEST:
            self._partial.clear()
            damaged += 1
        return found, damaged


@briefly
@dataclass(frozen=True)
class BoardInfo:
    """The answer to HELLO: the board and its network. Sizes in bytes, rates in Hz, shapes without the batch."""
    protocol_version: int
    memory_access: bool
    input_types: tuple
    output_type: str
    device_id: int
    clock_hz: int
    baud: int
    flash_bytes: int
    ram_bytes: int
    flash_used: int
    ram_static: int
    stack_bytes: int
    arena_bytes: int
    reset_cause: int
    input_count: int
    layer_count: int
    input_shape: tuple
    input_scale: float
    input_zero: int
    input_bounds: tuple
    output_scale: float
    output_zero: int
    n_classes: int
    sha256: str
    model: str

    def as_dict(self):
        """Return plain data for a report."""
        return {f.name: list(v) if isinstance(v := getattr(self, f.name), tuple) else v for f in fields(self)}


_INFO = struct.Struct("<4B12I4HfifffiHH32s")


def decode_info(payload):
    """Return the BoardInfo of a HELLO answer; raise LinkError if it is not one."""
    if len(payload) < _INFO.size:
        raise LinkError(f"the board's HELLO has {len(payload)} bytes; expected {_INFO.size} and a name",
                        "firmware of this version")
    v = _INFO.unpack_from(payload)
    name = payload[_INFO.size:]
    if v[27] != len(name) or v[3] >= len(TYPES) or not 0 < v[26] <= LARGEST_CLASSES:
        raise LinkError("the board's HELLO contradicts itself", "firmware of this version")
    shape = tuple(n for n in v[16:20] if n)
    return BoardInfo(v[0], bool(v[1]), tuple(t for i, t in enumerate(TYPES[:3]) if v[2] >> i & 1), TYPES[v[3]], *v[4:16], shape,
                     v[20], v[21], (v[22], v[23]), v[24], v[25], v[26], v[28].hex(), name.decode("ascii", "replace"))


@dataclass(frozen=True)
class Usage:
    """Memory in use, in bytes (for stack and arena the most since the start), and how much the line lost."""
    flash_used: int
    ram_static: int
    stack_bytes: int
    stack_used: int
    arena_bytes: int
    arena_used: int
    overruns: int
    damaged_frames: int


def decode_usage(payload):
    """Return the Usage of a USAGE answer."""
    if len(payload) != 32:
        raise LinkError(f"the board's USAGE has {len(payload)} bytes; expected 32")
    return Usage(*struct.unpack("<8I", payload))


def decode_profile(payload):
    """Return (first layer, number of layers, [(name, cycles)]) of a PROFILE answer."""
    if len(payload) < 8:
        raise LinkError(f"the board's PROFILE has {len(payload)} bytes; expected at least 8")
    first, count = struct.unpack_from("<II", payload)
    layers, at = [], 8
    while at + 5 <= len(payload):
        cycles, length = struct.unpack_from("<IB", payload, at)
        layers.append((payload[at + 5:at + 5 + length].decode("ascii", "replace"), cycles))
        at += 5 + length
    return first, count, layers


def describe_error(payload):
    """Return (number, sentence) of an ERROR answer."""
    code, detail = struct.unpack("<II", payload) if len(payload) == 8 else (0, 0)
    name, text = ERRORS.get(code, ("?", "an error of number {}"))
    return code, f"{name}: {text.format(detail if code in ERRORS else code)}"


def describe_fault(payload, function_at=None):
    """Return the sentence of a FAULT report; `function_at` (Elf.function_at) names the function if the ELF is known."""
    if len(payload) != 56:
        return "a fault, whose report is damaged"
    number, pc, lr, _, cfsr, hfsr, mmfar, bfar = struct.unpack_from("<8I", payload)
    kind = {2: "NMI", 3: "hard fault", 4: "memory fault", 5: "bus fault", 6: "usage fault"}.get(number, f"exception {number}")
    if overflowed(payload):
        where = bfar if cfsr >> 15 & 1 else mmfar if cfsr >> 7 & 1 else struct.unpack_from("<I", payload, 32)[0]
        return f"stack overflow: the stack left the memory, at {where:#010x} ({kind})"
    causes = [text for bit, text in _CAUSES.items() if cfsr >> bit & 1]
    address = f" at {bfar:#010x}" if cfsr >> 15 & 1 else f" at {mmfar:#010x}" if cfsr >> 7 & 1 else ""
    function = function_at(pc) if function_at else None
    if function_at and not function and function_at(lr):
        function = f"a call before {lr & ~1:#010x} in {function_at(lr)}"
    return (f"{kind} ({', '.join(causes) or f'CFSR {cfsr:#x}, HFSR {hfsr:#x}'}{address}) at pc {pc:#010x}"
            + (f" in {function}" if function else ""))


def overflowed(payload):
    """Return whether a FAULT report means that the stack left the memory: the core could not push its frame (STKERR, MSTKERR)."""
    return len(payload) == 56 and bool(struct.unpack_from("<I", payload, 16)[0] & (1 << 4 | 1 << 12))


_CAUSES = {0: "no execution there", 1: "no access there", 8: "a jump to where no code is", 9: "a wrong address",
           10: "a wrong address, late", 16: "an undefined instruction",
           17: "a state the core cannot have", 18: "a wrong return",
           19: "the FPU is off", 24: "an unaligned access", 25: "a division by zero"}
