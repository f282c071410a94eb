"""Frames: COBS, CRC-32, decoding of whatever comes."""
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyvgg.board import protocol
from tinyvgg.board.protocol import Decoder, Frame, cobs_decode, cobs_encode, decode, encode
from tinyvgg.errors import LinkError


@pytest.mark.parametrize("data, encoded", [
    (b"", "01"), (b"\0", "0101"), (b"\0\0", "010101"), (b"\x11\x22\0\x33", "0311220233"), (b"\x11\0\0\0", "0211010101"),
    (bytes(range(1, 255)), "ff" + bytes(range(1, 255)).hex()),
    (b"\0" + bytes(range(1, 255)), "01ff" + bytes(range(1, 255)).hex()),
    (bytes(range(1, 256)), "ff" + bytes(range(1, 255)).hex() + "02ff"),
    (bytes(range(2, 256)) + b"\0", "ff" + bytes(range(2, 256)).hex() + "0101"),
    (bytes(range(3, 256)) + b"\0\1", "fe" + bytes(range(3, 256)).hex() + "0201")])
def test_cobs_examples(data, encoded):
    """The examples of the COBS article, by hand."""
    assert cobs_encode(data).hex() == encoded
    assert cobs_decode(bytes.fromhex(encoded)) == data


@given(st.binary(max_size=2000) | st.lists(st.sampled_from([0, 1, 255]), max_size=1200).map(bytes)
       | st.integers(0, 1100).map(lambda n: b"\1" * n))
def test_cobs_round_trip(data):
    encoded = cobs_encode(data)
    assert 0 not in encoded
    assert len(encoded) <= len(data) + len(data) // 254 + 1
    assert cobs_decode(encoded) == data


@given(st.binary(max_size=300))
def test_any_bytes_decode_or_are_refused(data):
    frame = decode(data)
    assert frame is None or isinstance(frame, Frame)


@given(st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=600), st.data())
def test_frames_survive_any_cutting(kind, sequence, payload, draw):
    frame = Frame(kind, sequence, payload)
    wire = b"noise\0" + encode(frame) * 3
    cut = draw.draw(st.integers(0, len(wire)))
    decoder = Decoder()
    found = [f for part in (wire[:cut], wire[cut:]) for f in decoder.push(part)[0]]
    assert found == [frame] * 3


def test_single_damage_is_always_seen():
    random = np.random.default_rng(0)
    frame = Frame(protocol.ECHO, 77, random.bytes(60))
    wire = encode(frame)
    for i in range(len(wire)):
        flips = [wire[:i] + bytes([wire[i] ^ 1 << bit]) + wire[i + 1:] for bit in range(8)]
        for damaged in [*flips, wire[:i] + wire[i + 1:], wire[:i] + wire[i:i + 1] * 2 + wire[i + 1:]]:
            found, _ = Decoder().push(damaged + b"\0")
            assert all(f == frame for f in found)                # a doubled delimiter does no harm


def test_a_stream_without_end_is_not_kept():
    decoder = Decoder()
    for _ in range(40):
        decoder.push(b"\xff" * 65536)
    assert len(decoder._partial) <= 1 << 20


def test_answers_that_cannot_be():
    for decoder, payload in ((protocol.decode_info, b"short"), (protocol.decode_info, bytes(200)), (protocol.decode_usage, b""),
                             (protocol.decode_profile, b"")):
        with pytest.raises(LinkError):
            decoder(payload)
    assert "damaged" in protocol.describe_fault(b"")
    assert protocol.describe_error(struct.pack("<II", 99, 0))[1].startswith("?")


def test_both_sides_have_the_same_numbers():
    """The C header and this module agree on every request, answer and error."""
    import re

    from tinyvgg.firmware.build import HERE
    header = (HERE / "common" / "tv_protocol.h").read_text()
    numbers = {name: int(value, 0) for name, value in re.findall(r"TV_(\w+) = (0x[0-9A-Fa-f]+|\d+)", header)}
    for name in ("HELLO", "ECHO", "SET_BAUD", "USAGE", "PROFILE", "CALL", "RESET", "INFER", "READ", "WRITE", "CRC", "ANSWER",
                 "ACCEPTED", "FAULT", "ERROR"):
        assert numbers[name] == getattr(protocol, name)
    errors = {n[6:]: v for n, v in numbers.items() if n.startswith("ERROR_")}
    assert {n: code for code, (n, _) in protocol.ERRORS.items()} == errors
    assert int(re.search(r"TV_SMALL_BYTES (\d+)", header)[1]) == protocol.SMALL
