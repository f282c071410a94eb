"""Records: atomic files, JSON lines that survive an interruption, SHA-256 of arrays and files, versions."""
import contextlib
import contextvars
import functools
import hashlib
import json
import math
import os
import platform
import shutil
import subprocess
import tempfile
import zlib
from importlib import metadata
from pathlib import Path

import numpy as np

from tinyvgg._version import __version__
from tinyvgg.errors import FormatError, WriteError
from tinyvgg.report.untrusted import check_regular, parse_json

_HOST = f"{zlib.crc32(platform.node().encode()):08x}"          # files may lie on a disk that several machines share


@contextlib.contextmanager
def atomic_path(path):
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds, else remove it. Raises WriteError."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.{_HOST}-{os.getpid()}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise _write_error(path, error) from error
    try:
        yield Path(name)
        _give_usual_mode(name)
        with open(name, "rb+") as f:
            os.fsync(f.fileno())
        os.replace(name, path)
    except OSError as error:
        raise _write_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)


def _remove_abandoned(path):
    """Remove temporary files for `path` that killed processes of this machine left behind."""
    start = f".{path.name}.{_HOST}-"
    for name in os.listdir(path.parent):
        if name.startswith(start) and not _is_alive(name[len(start):].split("-")[0]):
            with contextlib.suppress(OSError):
                os.unlink(path.parent / name)


def _is_alive(process):
    """Whether a process with this number (text) is running; True if that is unknown."""
    if not process.isdecimal() or os.name != "posix":
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


def _give_usual_mode(name):
    """Set the permissions that open() would have set: mkstemp makes files that only their owner can read."""
    if os.name == "posix":
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)


def check_folder(path, option="--out"):
    """Raise WriteError if `path`, which shall become a folder, or one of its parents is a file."""
    file = next((place for place in (Path(path), *Path(path).parents) if os.path.isfile(place)), None)
    if file is not None:
        raise WriteError(f"{file} is a file; expected a folder", f"another name with {option}")


def _write_error(path, error):
    if isinstance(error, WriteError):
        return error
    try:
        check_folder(Path(path).parent)
    except WriteError as found:
        return found
    return WriteError(f"{path} cannot be written: {error.strerror or error}", "another folder with --out, or free some space")


def write_bytes(path, data):
    """Write bytes or text (UTF-8) to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def plain(value):
    """Return `value` as JSON data: arrays and tuples become lists, keys text, NaN and infinity None."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path, value):
    """Write `plain` data as indented JSON, whole or not at all."""
    write_bytes(path, json.dumps(plain(value), indent=2, sort_keys=False) + "\n")


def append_line(path, row):
    """Append one JSON line to `path` and flush it to the disk. If an interruption cut the last line, the new row starts a new
    line."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        cut = path.exists() and _ends_within_a_line(path)
        with open(path, "a", encoding="utf-8") as f:
            f.write("\n" * cut + json.dumps(row) + "\n")
            f.flush()
            os.fsync(f.fileno())
    except OSError as error:
        raise _write_error(path, error) from error


def _ends_within_a_line(path):
    with open(path, "rb") as f:
        if not f.seekable() or f.seek(0, os.SEEK_END) == 0:
            return False
        f.seek(-1, os.SEEK_END)
        return f.read(1) != b"\n"


def read_lines(path):
    """Return the rows of a JSON-lines file, without cut or damaged lines; a missing file has no rows.

    Raises DataError if `path` is not a regular file.
    """
    path = Path(path)
    if not path.exists():
        return []
    check_regular(path)
    rows = []
    with open(path, "rb") as f:
        for line in f:
            with contextlib.suppress(FormatError, MemoryError):
                rows.append(parse_json(line, path.name, finite=False))
    return rows


def keep_row(path, row):
    """Append a dict with its CRC-32, so that a later run can check that it is complete; return the stored row."""
    kept = {**row, "crc": _checksum(row)}
    append_line(path, kept)
    return kept


def kept_rows(path):
    """Return the intact rows that keep_row wrote to a file, including "crc"; damaged ones are left out, to be computed again."""
    return [row for row in read_lines(path) if isinstance(row, dict) and row.get("crc") == _checksum(row)]


def _checksum(row):
    return zlib.crc32(json.dumps({k: v for k, v in row.items() if k != "crc"}, sort_keys=True).encode())


class KeptRows:
    """Rows that are computed once and kept in a file of JSON lines, so that interrupted work continues where it stopped.

        kept = KeptRows("runs/rows.jsonl", {"data": sha256})
        row = kept.get({"seed": 3}, lambda: {"accuracy": measure(3)})       # {"seed": 3, "accuracy": ...}

    out: the file; None: memory only. mark: everything the rows depend on; lines with another mark are ignored.
    """

    def __init__(self, out, mark=None):
        self.out, self.mark, self._rows = out, plain(mark), {}
        for line in [] if out is None else kept_rows(out):
            if line.get("mark") == self.mark and {"key", "row"} <= set(line):
                self._rows[self._text(line["key"])] = line["row"]

    def __contains__(self, key):
        return self._text(key) in self._rows

    def get(self, key, make):
        """Return the row {**key, **make()} of `key` (a dict), kept or newly made."""
        text = self._text(key)
        if text not in self._rows:
            self._put(key, make())
        return self._rows[text]

    def all(self, keys, place, function, shared, tasks, advance):
        """Return the rows {**keys[i], **function(shared, *tasks[i])} of `keys`; rows that are not kept are computed at `place`.

        place: see report.parallel. advance(i) is called for each row, as it comes.
        """
        todo = [i for i, key in enumerate(keys) if key not in self]
        for i in sorted(set(range(len(keys))) - set(todo)):
            advance(i)
        for k, row in place.each(function, shared, [tasks[i] for i in todo]):
            self._put(keys[todo[k]], row)
            advance(todo[k])
        return [self._rows[self._text(key)] for key in keys]

    def _put(self, key, made):
        self._rows[self._text(key)] = row = plain({**key, **made})
        if self.out is not None:
            keep_row(self.out, {"mark": self.mark, "key": plain(key), "row": row})

    @staticmethod
    def _text(key):
        return json.dumps(plain(key), sort_keys=True)


def sha256_file(path):
    """Return the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def sha256_arrays(*arrays):
    """Return the SHA-256 of the shapes, dtypes and contents of arrays, in hexadecimal."""
    digest = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


_told = contextvars.ContextVar("told", default=None)


@contextlib.contextmanager
def results():
    """Inside the block, `told()` returns the facts given to `tell`: the command and the data."""
    token = _told.set({})
    try:
        yield
    finally:
        _told.reset(token)


def tell(**facts):
    """Record facts about the results that follow; has no effect outside `results`."""
    if _told.get() is not None:
        _told.get().update(facts)


def told():
    """Return the recorded facts as plain data for a result: {"command", "data", "part", ...}, or {}."""
    return dict(_told.get() or {})


def versions():
    """Return {name: version} of the software that determines a result."""
    packages = {name: _version(name) for name in ("numpy", "numba", "h5py", "pyserial")}
    return {"tinyvgg": __version__, "python": platform.python_version(), **packages}


@functools.cache
def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def toolchain():
    """Return {name: version} of the optional packages and board compilers that are installed."""
    found = {}
    for name in ("ziglang", "unicorn", "capstone", "pyelftools", "matplotlib"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    compiler = shutil.which("arm-none-eabi-gcc")
    if compiler:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            told = subprocess.run([compiler, "-dumpversion"], capture_output=True, text=True, timeout=20, check=True)
            found["arm-none-eabi-gcc"] = told.stdout.strip()
    return found
