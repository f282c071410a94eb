"""The messages of ST's protocol (stm32msg 3.1), host side: the part of protocol buffers that they need. docs/protocol-stm.md.

A message to the board begins with its length and is sent in packets of 33 bytes: the first byte says how many of the other 32 are
used. A message from the board has no length; bit 7 of the first byte marks its last packet.
"""
import struct
from dataclasses import dataclass, fields

import numpy as np

from tinyvgg.errors import LinkError

SYNC, SYS_INFO, NETWORK_INFO, NETWORK_RUN = 0, 1, 10, 11
IDLE, WAITING, PROCESSING, DONE, FAILED = range(5)
IO_ONLY, PER_LAYER = 1, 2                # what a run is asked for, a sum
PACKET = 32
NEXT = 0xAA                              # the board: another packet, please
LAST = 0x80
LARGEST = 1 << 22                        # bytes: a message larger than this is a stranger's stream
KINDS = {10: "sync", 11: "sinfo", 12: "ack", 13: "log", 15: "data", 16: "op", 17: "tensor", 22: "minfo"}
ERRORS = {0: "no error", 1: "a wrong size", 2: "a wrong format", 3: "a wrong state", 4: "a wrong parameter", 5: "a wrong shape",
          6: "a wrong command", 7: "a network that is not initialised", 8: "too little memory", 10: "a failure"}
_LAYER = 1                               # a flag of an operator
_TYPES = {0x00821040: "float32", 0x00040440: "uint8", 0x00840440: "int8", 0x00840840: "int16"}       # ST's words for element types
_TYPE_BITS = 0x009E3F80                  # of such a word, those that say the type
_CUBE_AI, _ROWS_FIRST = 1, 2             # orders of a shape: batch, channels, columns, rows; batch, rows, columns, channels


# --- protocol buffers ---------------------------------------------------------------------------------------------------------
def varint(n):
    """Return a number as protocol buffers write it: seven bits a byte, the lowest first."""
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def message(values):
    """Return the bytes of a message: `values` {field: int, bytes or str}, in order."""
    out = b""
    for field, value in values.items():
        if isinstance(value, int):
            out += varint(field << 3) + varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            out += varint(field << 3 | 2) + varint(len(data)) + data
    return out


def parse(data):
    """Return {field: [values]} of a message: ints, floats, bytes; LinkError if it is not a message."""
    found, at = {}, 0
    while at < len(data):
        key, at = _take_varint(data, at)
        kind, number = key & 7, key >> 3
        if kind == 0:
            value, at = _take_varint(data, at)
        elif kind in (1, 2, 5):
            size = 8 if kind == 1 else 4
            if kind == 2:
                size, at = _take_varint(data, at)
            value = bytes(data[at:at + size])
            if len(value) < size:
                raise _damaged()
            value, at = struct.unpack("<f", value)[0] if kind == 5 else value, at + size
        else:
            raise _damaged()
        found.setdefault(number, []).append(value)
    return found


def _take_varint(data, at):
    n, shift = 0, 0
    while at < len(data) and shift < 70:
        n |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if not data[at - 1] & 128:
            return n & 0xFFFFFFFFFFFFFFFF, at
    raise _damaged()


def _damaged():
    return LinkError("the board sends what is no message of ST's protocol", "its validation firmware, or the right --baud")


def packets(body):
    """Return the packets, of 33 bytes each, in which a message goes to the board."""
    data = varint(len(body)) + body
    parts = [data[i:i + PACKET] for i in range(0, len(data), PACKET)]
    return [bytes([len(part)]) + part.ljust(PACKET, b"\0") for part in parts]


# --- what the host says -----------------------------------------------------------------------------------------------------
def request(number, command, parameter=0, name="", option=0):
    """Return the bytes of a request."""
    return message({1: number, 2: command, 3: parameter, 4: name, 5: option})


def data(values):
    """Return the bytes of a message with an input's bytes."""
    return message({1: 0, 2: len(values), 3: 0, 4: values})


ACKNOWLEDGEMENT = message({1: 0, 2: 0})


# --- what the board says ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Response:
    """An answer: the request's number, the board's state, what it is ("sync", "ack", "op", ...) and its fields."""
    request: int
    state: int
    kind: str
    fields: dict

    @property
    def error(self):
        """(number, parameter) of an acknowledgement."""
        return number(self.fields, 2), number(self.fields, 1)


def response(body):
    """Return the Response whose bytes are `body`; LinkError if it is not one."""
    found = parse(body)
    kind = next((k for k in KINDS if k in found), None)
    if kind is None or not isinstance(found[kind][-1], bytes):
        raise _damaged()
    return Response(number(found, 1), number(found, 2), KINDS[kind], parse(found[kind][-1]))


def number(found, field, default=0):
    """The last value of a field that should be a number."""
    value = found.get(field, [default])[-1]
    if isinstance(value, bytes):
        raise _damaged()
    return value


def text(found, field):
    """The last value of a field that should be a text; what cannot be printed is "?"."""
    value = found.get(field, [b""])[-1]
    if not isinstance(value, bytes):
        raise _damaged()
    return "".join(c if c.isprintable() else "?" for c in value.decode("utf-8", "replace"))[:200]


@dataclass(frozen=True)
class Tensor:
    """A description: name, dtype's name, shape without the batch (channels last), scale and zero point (0: none)."""
    name: str
    dtype: str
    shape: tuple
    scale: float
    zero: int
    count: int

    def numbers(self, x):
        """Return what is sent over the wire for floats (...): unchanged, or rounded to levels."""
        if self.dtype == "float32":
            return np.ascontiguousarray(x, "<f4")
        low, high = np.iinfo(self.dtype).min, np.iinfo(self.dtype).max
        q = np.rint(np.asarray(x, np.float32) / np.float32(self.scale or 1)) + self.zero
        return np.clip(q, low, high).astype(self.dtype)

    def reals(self, raw):
        """Bytes of the wire -> float32 (n,)."""
        values = np.frombuffer(raw, np.dtype(self.dtype).newbyteorder("<")).astype(np.float32)
        return values if self.dtype == "float32" else np.float32(self.scale or 1) * (values - np.float32(self.zero))


def tensor(found):
    """Return the Tensor of a description's fields; LinkError for element types that networks of images do not have."""
    word, scale = number(found, 2), number(found, 6, 0.0)
    dtype = next((name for w, name in _TYPES.items() if w & _TYPE_BITS == word & _TYPE_BITS), None)
    if dtype is None:
        raise LinkError(f"the board's network has a tensor {text(found, 1)!r} of the element type {word:#010x}; expected float32, uint8, "
                        "int8 or int16")
    zero = number(found, 7)
    shape = [v if isinstance(v, int) else 0 for v in found.get(5, [])][1:]
    if number(found, 4) >> 24 & 15 == _CUBE_AI and len(shape) == 3:
        shape = shape[::-1]                              # channels, columns, rows
    if len(shape) == 3 and shape[:2] == [1, 1]:          # a vector, as ST pads it
        shape = shape[2:]
    return Tensor(text(found, 1), dtype, tuple(shape), float(scale), zero - (1 << 64) if zero >> 63 else zero, number(found, 3))


def inner(found, field):
    """Return the fields of each message within a message."""
    parts = found.get(field, [])
    if not all(isinstance(part, bytes) for part in parts):
        raise _damaged()
    return [parse(part) for part in parts]


@dataclass(frozen=True)
class Operator:
    """Times of a layer, or of the whole network: name, ms, core cycles (None if the board counts something else)."""
    name: str
    is_layer: bool
    ms: float
    cycles: int | None
    stack_used: int | None               # None: not told


def operator(found):
    """Return the Operator of an op message's fields."""
    flags, kind = number(found, 2) >> 24, number(found, 5)
    counters = [v for v in found.get(6, []) if isinstance(v, int)]
    cycles = None
    if counters and not kind & 0xFFFF:
        cycles = counters[0] if kind >> 16 or len(counters) < 2 else counters[0] | counters[1] << 32
    return Operator(text(found, 1), bool(flags & _LAYER), float(number(found, 4, 0.0)), cycles,
                    None if number(found, 7) >> 31 else number(found, 7))


@dataclass(frozen=True)
class StmInfo:
    """A board's facts about itself and its network in ST's protocol. Sizes in bytes, rates in Hz, shapes without the batch.
    sha256: the signature, if it can be one of tinyvgg's, else None. input_bounds: not in this protocol.
    """
    model: str
    signature: str
    sha256: str | None
    device_id: int
    clock_hz: int
    input: Tensor
    output: Tensor
    layer_count: int
    observes: bool
    macc: int
    arena_bytes: int
    constants_bytes: int
    runtime: str
    tool_version: str
    input_bounds: tuple = (0.0, 1.0)

    output_type, output_scale, output_zero = "float32", 1.0, 0
    input_types = ("float32",)
    input_shape = property(lambda self: self.input.shape)
    n_classes = property(lambda self: self.output.count)

    def as_dict(self):
        """Return plain data for a report."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return plain | {"input": vars(self.input), "output": vars(self.output), "input_bounds": list(self.input_bounds)}


def info(system, network, capability):
    """Return the StmInfo of the fields of SYS_INFO and NETWORK_INFO, and SYNC's capability."""
    inputs, outputs = inner(network, 11), inner(network, 13)
    if len(inputs) != 1 or len(outputs) != 1:
        raise LinkError(f"the board's network has {len(inputs)} inputs and {len(outputs)} outputs; expected one of each")
    name, x, y = text(network, 1), tensor(inputs[0]), tensor(outputs[0])
    if not name or not x.shape or 0 in x.shape or not 0 < y.count <= 65536:
        raise LinkError("the board's description of its network contradicts itself")
    signature, version = text(network, 3), number(network, 6)
    ours = len(signature) == 64 and set(signature) <= set("0123456789abcdef") and signature.strip("0")
    return StmInfo(name, signature, signature if ours else None, number(system, 1), number(system, 2), x, y, number(network, 8),
                   bool(capability & 1), number(network, 7), _bytes_of(network, 15), _bytes_of(network, 17),
                   text(network, 20), ".".join(str(version >> shift & 255) for shift in (24, 16, 8)))


def _bytes_of(network, field):
    return sum(number(part, 3) for part in inner(network, field))
