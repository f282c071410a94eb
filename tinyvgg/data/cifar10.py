"""CIFAR-10 (Krizhevsky, 2009, "Learning multiple layers of features from tiny images") in both official layouts.

cifar-10-batches-py: pickled dicts {b"data": (n, 3072) uint8, b"labels": n ints}; cifar-10-batches-bin: records of a label
byte and 3072 pixel bytes. In both, a row has the red plane, then green, then blue, each row by row. Folder or .tar.gz; any number
of records in a file. Pickles are read by data.batch_pickle, which runs no code of the file.
"""
import gzip
import lzma
import os
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyvgg.data.batch_pickle import read_batch
from tinyvgg.data.dataset import DataSet, check_labels
from tinyvgg.errors import DataError, FormatError

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
BYTES = 170_498_071
SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PIXELS = 3072
ARCHIVE_LIMIT = 4 << 30                     # bytes inside an archive: the official one has 186 million
TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))
LAYOUTS = ("cifar-10-batches-bin", "cifar-10-batches-py")


@dataclass(frozen=True)
class Kind:
    """A data set in these formats: title and names of classes; batches of its two parts; folders and archives of its layouts, the
    binary one first; how many bytes precede the pixels of a binary record, and which of them (`label_byte`) is the label; a
    pickle's key of the labels."""

    name: str
    title: str
    classes: tuple[str, ...]
    train: tuple[str, ...]
    test: tuple[str, ...]
    layouts: tuple[str, ...]
    archives: tuple[str, ...]
    label_bytes: int = 1
    label_byte: int = 0
    key: str = "labels"

    @property
    def record(self):
        """Number of bytes of a binary record."""
        return self.label_bytes + PIXELS


CIFAR10 = KIND = Kind("cifar10", "CIFAR-10", CLASSES, TRAIN, ("test_batch",), LAYOUTS, ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz"))


def places():
    """Return the folders that are searched for CIFAR-10, in order."""
    chosen = os.environ.get("TINYVGG_DATA")
    keras = Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")) / "datasets"
    return [*([Path(os.path.expanduser(chosen))] if chosen else []), Path("data"), keras]


def find(kind=CIFAR10):
    """Return the first folder or archive of CIFAR-10 (or another Kind) among `places()`, or None."""
    for place in places():
        if place.is_file() or _folders(place, kind):
            return place
        for name in kind.archives:
            if (place / name).is_file():
                return place / name
    return None


def load(path, kind=CIFAR10):
    """Return the DataSet of a folder (either layout, or a folder that contains one, such as Keras' cache) or an archive.

    Raises DataError or FormatError if a record is cut, a label is not a class, or the file is something else.
    """
    path = Path(path)
    try:
        files = _from_folder(path, kind) if path.is_dir() else archive_files(path, kind)
        parts = [_read(path, files, names, kind) for names in (kind.train, kind.test)]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    (x_train, y_train), (x_test, y_test) = parts
    return DataSet(kind.name, x_train, y_train, x_test, y_test, kind.classes, str(path))


def _read(path, files, names, kind):
    """Read the batches `names` of {stem: (file name, function that returns its bytes)}: images (N, 32, 32, 3), labels (N,)."""
    rows, labels = [], [np.zeros(0, np.int64)]
    for stem in names:
        if stem in files:
            name, read = files[stem]
            source = f"{path}: {name}"
            x, y = read_records(read(), source, kind) if name.endswith(".bin") else read_batch(read(), source, kind.key)
            check_labels(y, len(kind.classes), source)
            rows.append(x)
            labels.append(y)
    return _channels_last(rows), np.concatenate(labels)


def _channels_last(batches):
    """Return images (N, 32, 32, 3) of batches of rows (n, 3072), each copied once, in blocks that a cache holds."""
    images, at = np.empty((sum(map(len, batches)), PIXELS // 3, 3), np.uint8), 0
    for rows in batches:
        for first in range(0, len(rows), 64):
            block = rows[first:first + 64]
            for channel, plane in enumerate(np.split(block, 3, axis=1)):
                images[at:at + len(block), :, channel] = plane
            at += len(block)
    return images.reshape(-1, 32, 32, 3)


def read_records(data, source, kind=CIFAR10):
    """Split the bytes of a binary batch into rows (n, 3072) uint8 and labels (n,) int64."""
    if len(data) == 0 or len(data) % kind.record:
        raise FormatError(f"{source} has {len(data):,} bytes; expected whole records of {kind.record} bytes (label, pixels)",
                          f"a fresh copy: the file is cut, or is not {kind.title}")
    records = np.frombuffer(data, np.uint8).reshape(-1, kind.record)
    return records[:, kind.label_bytes:], records[:, kind.label_byte].astype(np.int64)


def _batches(names, kind=CIFAR10):
    """Return {stem: name} for the batch files of one layout among `names`, or {}."""
    stems = {*kind.train, *kind.test}
    for suffix in (".bin", ""):
        found = {name.removesuffix(suffix): name for name in names if name.removesuffix(suffix) in stems and
                 name.endswith(".bin") == (suffix == ".bin")}
        if found:
            return found
    return {}


def _folders(path, kind=CIFAR10):
    """Return the folders at or below `path` that hold batches, the binary layout first."""
    keras3 = [Path(f"{layout}-target", layout) for layout in kind.layouts]
    candidates = [path, *(path / layout for layout in kind.layouts), *(path / p for p in keras3)]
    return [f for f in candidates if f.is_dir() and _batches([p.name for p in f.iterdir() if p.is_file()], kind)]


def _from_folder(path, kind):
    folders = _folders(path, kind)
    if not folders:
        archives = [p for p in (path / name for name in reversed(kind.archives)) if p.is_file()]
        if archives:
            return archive_files(archives[0], kind)
        _refuse_other(path, [p.name for p in path.iterdir()], kind)
        raise DataError(f"{path} holds no {kind.title} batch; expected {kind.train[0]} ... {kind.test[0]}, with or without .bin",
                        f"the folder above {' or '.join(reversed(kind.layouts))}, or --data shapes")
    # The layout with more batches: one half unpacked must not hide one that is whole.
    folder = max(folders, key=lambda f: len(_batches([p.name for p in f.iterdir()], kind)))
    return {stem: (name, (folder / name).read_bytes) for stem, name in _batches([p.name for p in folder.iterdir()], kind).items()}


def archive_files(path, kind=CIFAR10):
    """Return {stem: (file name, function that returns its bytes)} for the batches of an archive in one layout."""
    members, total = {}, 0
    try:
        with tarfile.open(path) as archive:
            while (member := archive.next()) is not None:
                total += member.size
                if total > ARCHIVE_LIMIT:
                    raise FormatError(f"{path} unpacks to more than {ARCHIVE_LIMIT >> 30} GiB; expected {kind.title}, 0.2 GiB")
                name = member.name.rsplit("/", 1)[-1]
                if member.isfile() and not member.issparse() and _batches([name], kind):
                    members[name] = archive.extractfile(member).read()
                else:
                    _refuse_other(path, [member.name], kind)
            while total <= ARCHIVE_LIMIT and (rest := len(archive.fileobj.read(1 << 20))):
                total += rest               # gzip checks its sum at the very end
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, ValueError) as error:
        if isinstance(error, FormatError | DataError):
            raise
        raise FormatError(f"{path} is not a whole .tar.gz archive ({error or type(error).__name__})",
                          f"tinyvgg data download, or a folder of {kind.title}") from error
    if not members:
        raise DataError(f"{path} holds no {kind.title} batch; expected {kind.train[0]} ... {kind.test[0]}, with or without .bin")
    return {stem: (name, lambda name=name: members[name]) for stem, name in _batches(members, kind).items()}


def _refuse_other(path, names, kind):
    if kind is CIFAR10 and (any("cifar-100" in name for name in (*names, path.name)) or {"train", "test", "meta"} <= set(names)):
        raise DataError(f"{path} is CIFAR-100; expected CIFAR-10", "cifar-10-python.tar.gz, or --data shapes")
