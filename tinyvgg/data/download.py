"""Download CIFAR-10 or CIFAR-100. Size and SHA-256 are checked before anything is unpacked; an interrupted download continues
where it stopped."""
import contextlib
import http.client
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from tinyvgg.data import cifar10
from tinyvgg.errors import DataError, WriteError
from tinyvgg.report.progress import Progress
from tinyvgg.report.record import atomic_path, check_folder, sha256_file

BLOCK = 1 << 18
TIMEOUT = 30                                # seconds without a byte
ATTEMPTS = 5                                # in a row that brought nothing new


def download(folder=None, *, url=cifar10.URL, size=cifar10.BYTES, sha256=cifar10.SHA256, kind=cifar10.CIFAR10, quiet=False):
    """Download and unpack CIFAR-10 (or another Kind, from its url) into `folder` (default: $TINYVGG_DATA, else ./data); return
    the folder of the batches.

    If the folder already has the set, nothing is done. A partial download is kept as NAME.part, and the next call continues it.
    Raises DataError if the server fails or the file is not the expected one, WriteError if the disk is full.
    """
    folder = Path(os.path.expanduser(folder or os.environ.get("TINYVGG_DATA") or "data"))
    target = folder / kind.layouts[-1]
    if target.is_dir():
        cifar10.load(target, kind)          # raises where it is damaged
        return target
    check_folder(folder)
    archive = folder / url.rsplit("/", 1)[-1]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fetch(url, archive, size=size, sha256=sha256, quiet=quiet)
        _unpack(archive, target, kind)
    except OSError as error:
        if isinstance(error, WriteError):
            raise
        raise WriteError(f"{folder} cannot be written: {error.strerror or error}", "another folder, or free space") from error
    return target


def fetch(url, path, *, size, sha256, quiet=False):
    """Download `url` to `path`, in as many requests as needed; check size and SHA-256; return `path`."""
    if path.is_file() and path.stat().st_size == size and sha256_file(path) == sha256:
        return path
    part = path.with_name(path.name + ".part")
    progress = Progress(size, f"download {path.name}", "bytes", quiet=quiet)
    failures, have = 0, _size(part)
    progress.advance(have)
    while have < size:
        problem = _transfer(url, part, have, size, progress)
        before, have = have, _size(part)
        failures = 0 if have > before else failures + 1
        if failures == ATTEMPTS:
            raise DataError(f"{url} could not be fetched ({problem}); {have:,} of {size:,} bytes are kept in {part}",
                            "the same command later, or put the archive there yourself")
    progress.close()
    if have != size or sha256_file(part) != sha256:
        part.unlink()
        raise DataError(f"{url} brought {have:,} bytes whose SHA-256 is not {sha256[:16]}... of {size:,} bytes; removed",
                        "again, or another mirror with --url")
    os.replace(part, path)
    return path


def _size(path):
    return path.stat().st_size if path.exists() else 0


def _transfer(url, part, have, size, progress):
    """Append what the server sends from byte `have` on; return why it ended. One byte more than `size` is enough to refuse it."""
    try:
        request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            content_range = response.headers.get("Content-Range") or ""
            resumed = have and response.status == 206 and content_range.startswith(f"bytes {have}-")
            if have and not resumed:
                progress.advance(-have)
                have = 0
            with open(part, "ab" if resumed else "wb") as f:
                while have <= size and (block := response.read(min(BLOCK, size + 1 - have) or 1)):
                    f.write(block)
                    have += len(block)
                    progress.advance(len(block))
        return "the connection ended early"
    except urllib.error.HTTPError as error:
        return f"the server says {error.code} {error.reason}"
    except urllib.error.URLError as error:
        return error.reason
    except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
        return error or type(error).__name__
    except ValueError as error:
        raise DataError(f"{url!r} is not an address ({error})", f"--url {cifar10.URL}") from error


def _unpack(archive, target, kind):
    """Write the batches of `archive` into `target`, which appears whole or not at all."""
    files = cifar10.archive_files(archive, kind)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        for name, read in files.values():
            with atomic_path(scratch / name) as temporary:
                temporary.write_bytes(read())
        os.chmod(scratch, 0o755)
        os.replace(scratch, target)
        cifar10.load(target, kind)
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(scratch)
