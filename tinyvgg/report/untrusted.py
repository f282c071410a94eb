"""Plain data of unknown origin: JSON, ZIP archives, and a Budget of time and bytes that reading one file may cost."""
import contextlib
import io
import json
import math
import os
import stat
import time
import zipfile
import zlib
from dataclasses import dataclass, field

import numpy as np

from tinyvgg.errors import DataError, FormatError, TinyVGGError

MAX_TEXT = 64 << 20         # bytes of one description
MAX_DIGITS = 30             # of a whole number: more than 2^64 has
UNPACKED = 64 << 20         # bytes that one piece of compressed data may always unpack to, however small the file
ALL_UNPACKED = 256 << 20    # the same for all pieces of a file together
SECONDS = 10                # processor time of this process, for a file of a few megabytes
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass
class Budget:
    """Limits on processor time and unpacked bytes for reading one file; both follow from its size in bytes."""
    size: int
    largest: int = ALL_UNPACKED     # bytes that it may always unpack to
    bytes_read: int = 0
    started: float = field(default_factory=time.process_time)

    def check_time(self):
        """Raise FormatError if the file has taken more time than any valid file of its size."""
        allowed = SECONDS + self.size / 20e6
        if time.process_time() - self.started > allowed:
            raise FormatError(f"it took over {allowed:.0f} s to read its {self.size} bytes; an intact file takes less")

    def take(self, count):
        """Count bytes that are about to be read; raise FormatError above the limit."""
        self.bytes_read += count
        limit = max(self.largest, 8 * self.size)
        if self.bytes_read > limit:
            raise FormatError(f"it unpacks to over {limit:,} bytes")
        self.check_time()


def check_regular(path):
    """Raise DataError unless `path` is a regular file: reading a FIFO would wait for ever, and a device has no end."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        raise DataError(f"{path} does not exist" if isinstance(error, FileNotFoundError | NotADirectoryError) else
                        f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(mode):
        raise DataError(f"{path} is not a file")


def parse_json(text, what, *, finite=True):
    """Return parsed JSON (bytes or str). Raises FormatError, also for deep nesting, huge numbers and, with `finite`, NaN and
    infinity."""
    check = _finite if finite else float
    try:
        return json.loads(text, parse_int=_whole, parse_float=check, parse_constant=check)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{what} is not valid JSON: {str(error)[:120]}") from error


def _whole(digits):
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a whole number of {len(digits)} digits")
    return int(digits)


def _finite(digits):
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:20]}")
    return value


def read_json(path, largest=MAX_TEXT):
    """Return the JSON in the file at `path`; raise DataError if it cannot be read, FormatError if it is damaged or too large."""
    check_regular(path)
    try:
        if os.path.getsize(path) > largest:
            raise FormatError(f"{path} has {os.path.getsize(path):,} bytes; expected at most {largest:,}")
        with open(path, "rb") as f:
            text = f.read(largest + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    return parse_json(text, path)


@contextlib.contextmanager
def open_zip(path, what="archive", *, largest=ALL_UNPACKED):
    """Open a ZIP archive of unknown origin -> (ZipFile, Budget), as a context manager; read its members with `member`.

    An error of the archive inside the block becomes a FormatError that names the file.
    """
    check_regular(path)
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive, Budget(os.path.getsize(path), largest)
    except TinyVGGError:
        raise
    except (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, LookupError, zipfile.BadZipFile, zlib.error) as error:
        raise FormatError(f"{path} is damaged or no {what}: {type(error).__name__}: {str(error)[:160]}") from error


def member(archive, entry, budget):
    """Return the bytes of a ZIP member (a ZipInfo or a name) as a bytearray; raise FormatError.

    The size in the archive may be false, so the unpacked bytes are compared with it. Encrypted members and compression other than
    deflate are refused.
    """
    entry = archive.getinfo(entry) if isinstance(entry, str) else entry
    limit = max(UNPACKED, budget.size) if budget.largest == ALL_UNPACKED else budget.largest
    if entry.flag_bits & 1:
        raise FormatError(f"{entry.filename} is encrypted; expected it plain")
    if entry.compress_type not in PACKINGS:
        packed = zipfile.compressor_names.get(entry.compress_type, entry.compress_type)
        raise FormatError(f"{entry.filename} is packed by {packed}; expected deflate")
    if entry.file_size > limit:
        raise FormatError(f"{entry.filename} unpacks to over {limit:,} bytes")
    budget.take(entry.file_size)
    data = bytearray(entry.file_size)
    with archive.open(entry) as f:
        count = f.readinto(data)
        if f.read(1):
            raise FormatError(f"{entry.filename} unpacks to more than the {entry.file_size:,} bytes that it says")
    return data[:count] if count < len(data) else data


def npz_arrays(path, what="archive", *, largest=ALL_UNPACKED):
    """Return {name: array} of a .npz of unknown origin; raise DataError if there is none, FormatError if it is damaged."""
    with open_zip(path, what, largest=largest) as (archive, budget):
        return {entry.filename.removesuffix(".npy"): npy_array(member(archive, entry, budget), entry.filename)
                for entry in archive.infolist()}


def npy_array(data, name):
    """Return the array in the bytes of a .npy file; the shape in the header must match the number of bytes that follow."""
    buffer = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(buffer)
        if version != (1, 0):
            raise ValueError(f"version {version} of the format")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(buffer)
        if dtype.hasobject or dtype.kind not in "biufU":
            raise ValueError(f"an array of {dtype}")
        array = np.frombuffer(data, dtype, offset=buffer.tell())
        return array.reshape(shape, order="F" if fortran else "C")
    except Exception as error:          # a damaged header raises ValueError, SyntaxError, TokenError, RecursionError, OverflowError ...
        raise FormatError(f"{name} is not an intact array of numbers: {str(error)[:120]}") from error
