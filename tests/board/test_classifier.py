"""A board as a classifier, over the virtual UART, in both protocols."""
import struct
import zlib

import numpy as np
import pytest

from tinyvgg.board import Board, demonstration, quantize
from tinyvgg.errors import DataError, DeviceError, LinkError, OptionError, ShapeError


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def board(url):
    with Board(url) as board:
        yield board


@pytest.mark.parametrize("wire", ["uint8", "int8", "float32"])
def test_answers_are_those_of_numpy(url, images, wire):
    expected = demonstration.logits(images)
    with Board(url, wire=wire, flash_model="none") as board:
        answers = board.infer(images)
        assert (answers.raw == expected).all()
        assert (answers.cycles > 100_000).all()
        assert (board.labels(images / np.float32(255)) == expected.argmax(1)).all()
        assert np.allclose(board.logits(images), expected * 1e-6)


def test_student_protocol(url, images):
    with Board(url, "student", flash_model="none") as student, Board(url, flash_model="none") as ours:
        p = ours.scores(images)
        bytes_ = student.infer(images).raw
        assert (np.abs(bytes_ - np.floor(255 * p)) <= 1).all()            # the board's float32 softmax may round one down
        assert (student.labels(images) == demonstration.logits(images).argmax(1)).all()
        with pytest.raises(OptionError, match="no logits"):
            student.logits(images)


def test_the_student_scripts_bytes_by_hand(demonstration, images):
    """What the student's host script does, byte for byte, against the virtual UART."""
    from tinyvgg.board.virtual.machine import Machine
    machine = Machine(demonstration.elf, flash_model="none")
    answer = b""
    while answer[:1] != b"\xcd":
        machine.send(b"\xab")
        machine.run(0.1)
        answer += machine.receive()
    assert answer == b"\xcd\x00"
    for image in images:
        machine.send((image / np.float32(255)).astype("<f4").tobytes())
        machine.run(1.0)
        assert len(machine.receive()) == 10


def test_hello(board, demonstration):
    info = board.info
    assert (info.model, info.input_shape, info.n_classes, info.clock_hz) == ("demonstration", (32, 32, 3), 10, 120_000_000)
    assert info.flash_used == demonstration.flash_bytes
    assert info.ram_static + info.stack_bytes == demonstration.ram_bytes
    assert info.device_id & 0xFFF == 0x470


def test_services(board):
    assert board.echo(bytes(512)) == bytes(512)
    data, cycles = board.call(demonstration.CRC, b"tinyvgg")
    assert struct.unpack("<I", data)[0] == zlib.crc32(b"tinyvgg") and cycles > 0
    x = np.arange(100, dtype="<f4")
    assert np.isclose(np.frombuffer(board.call(demonstration.NORM, x.tobytes())[0], "<f4")[0], np.linalg.norm(x))
    usage = board.usage()
    assert 0 < usage.stack_used < usage.stack_bytes and usage.damaged_frames == 0
    cycles = board.infer(np.zeros((1, 32, 32, 3), np.uint8)).cycles[0]
    profile = board.profile()
    assert [name for name, _ in profile] == ["input", "filters"]
    assert 0.99 * cycles < sum(c for _, c in profile) < cycles


def test_memory_access(board, demonstration):
    from tinyvgg.firmware.elf import Elf
    place = Elf(demonstration.elf).symbols["image"].address
    data = bytes(range(256)) * 3
    board.write_memory(place, data)
    assert board.read_memory(place, len(data)) == data
    assert board.crc_memory(place, len(data)) == zlib.crc32(data)
    for address in (0x1FFFFFFF, 0x60000000, 0x200A0000 - 100, 0xFFFFFFFF):
        with pytest.raises(DeviceError, match="ADDRESS"):
            board.read_memory(address, 200)
    with pytest.raises(DeviceError, match="ADDRESS"):
        board.write_memory(0x08000000, b"flash is not RAM")


def test_memory_access_is_compiled_in_on_request_only(tmp_path, images):
    pytest.importorskip("ziglang")
    from tinyvgg.firmware.build import build_demonstration
    with Board(f"virtual:{build_demonstration(tmp_path / 'plain').elf}") as board:
        assert not board.info.memory_access
        with pytest.raises(DeviceError, match="DISABLED"):
            board.read_memory(0x20000000, 4)


def test_baud(url):
    with Board(url, baud=921600) as board:
        assert board.echo(b"fast") == b"fast"
        assert abs(board.info.baud - 115200) < 300
        with pytest.raises(DeviceError, match="BAUD"):
            board._session.set_baud(100_000_000)
        assert board.echo(b"still here") == b"still here"


def test_reset(board, images):
    board.reset()
    assert board.link.machine.resets == 1
    assert (board.infer(images).raw == demonstration.logits(images)).all()


@pytest.mark.parametrize("x, error", [
    (np.zeros((1, 3, 32, 32), np.uint8), ShapeError), (np.zeros((1, 32, 32, 3), int), DataError),
    (np.full((1, 32, 32, 3), 255.0), DataError), (np.full((1, 32, 32, 3), np.nan), DataError)], ids=["shape", "type", "range", "NaN"])
def test_wrong_images(board, x, error):
    with pytest.raises(error):
        board.infer(x)


def test_another_model_is_refused(url):
    with pytest.raises(LinkError, match="expected 123456789012"):
        Board(url, sha256="123456789012" + "0" * 52)


def test_quantize_is_the_firmwares_rule():
    q = np.arange(256, dtype=np.uint8)
    assert (quantize(q / np.float32(255), np.float32(1 / 255), 0) == q).all()
    special = np.array([np.nan, -1, 2, np.inf, -np.inf, 0.5 / 255, 0.4999 / 255], np.float32)
    assert quantize(special, np.float32(1 / 255), 0).tolist() == [0, 0, 255, 255, 0, 1, 0]
