"""CIFAR-10 (Krizhevsky, 2009, "Learning multiple layers of features from tiny images") in both official layouts.

cifar-10-batches-py: pickled dicts {b"data": (n, 3072) uint8, b"labels": n ints}; cifar-10-batches-bin: records of a label
byte and 3072 pixel bytes. In both a row holds the red plane, then green, then blue, each by rows. Folder or .tar.gz; any
number of records a file. Pickles are read by data.batch_pickle, which runs nothing that stands in the file.
"""
import gzip
import lzma
import os
import tarfile
import zlib
from pathlib import Path

import numpy as np

from tinyvgg.data.batch_pickle import read_batch
from tinyvgg.data.dataset import DataSet, check_labels
from tinyvgg.errors import DataError, FormatError

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
BYTES = 170_498_071
SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORD = 1 + 3072
ARCHIVE_LIMIT = 4 << 30                     # bytes inside an archive: the official one has 186 million
TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))
LAYOUTS = ("cifar-10-batches-bin", "cifar-10-batches-py")


def places():
    """Return the folders that are searched for CIFAR-10, in order."""
    chosen = os.environ.get("TINYVGG_DATA")
    keras = Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")) / "datasets"
    return [*([Path(os.path.expanduser(chosen))] if chosen else []), Path("data"), keras]


def find():
    """Return the first folder or archive of CIFAR-10 among `places()`, or None."""
    for place in places():
        if place.is_file() or _folders(place):
            return place
        for name in ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz"):
            if (place / name).is_file():
                return place / name
    return None


def load(path):
    """Return the DataSet of a folder (either layout, or one that holds them, also Keras' cache) or an archive.

    Raises DataError or FormatError where a record is cut, a label is outside 0..9, or the file is something else.
    """
    path = Path(path)
    try:
        files = _from_folder(path) if path.is_dir() else archive_files(path)
        parts = [_read(path, files, names) for names in (TRAIN, ("test_batch",))]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    (x_train, y_train), (x_test, y_test) = parts
    return DataSet("cifar10", x_train, y_train, x_test, y_test, CLASSES, str(path))


def _read(path, files, names):
    """Read the batches `names` of {stem: (file name, function that returns its bytes)}: images (N, 32, 32, 3), labels (N,)."""
    rows, labels = [np.zeros((0, 3072), np.uint8)], [np.zeros(0, np.int64)]
    for stem in names:
        if stem in files:
            name, read = files[stem]
            x, y = (read_records if name.endswith(".bin") else read_batch)(read(), f"{path}: {name}")
            check_labels(y, 10, f"{path}: {name}")
            rows.append(x)
            labels.append(y)
    images = np.concatenate(rows).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), np.concatenate(labels)


def read_records(data, source):
    """Split the bytes of a binary batch into rows (n, 3072) uint8 and labels (n,) int64."""
    if len(data) == 0 or len(data) % RECORD:
        raise FormatError(f"{source} has {len(data):,} bytes; expected whole records of {RECORD} bytes (label, pixels)",
                          "a fresh copy: the file is cut, or is not CIFAR-10")
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    return records[:, 1:], records[:, 0].astype(np.int64)


def _batches(names):
    """Return {stem: name} for the batch files of one layout among `names`, or {}."""
    stems = {*TRAIN, "test_batch"}
    for suffix in (".bin", ""):
        found = {name.removesuffix(suffix): name for name in names if name.removesuffix(suffix) in stems and
                 name.endswith(".bin") == (suffix == ".bin")}
        if found:
            return found
    return {}


def _folders(path):
    """Return the folders at or below `path` that hold batches, the binary layout first."""
    keras3 = [Path(f"{layout}-target", layout) for layout in LAYOUTS]
    candidates = [path, *(path / layout for layout in LAYOUTS), *(path / p for p in keras3)]
    return [f for f in candidates if f.is_dir() and _batches([p.name for p in f.iterdir() if p.is_file()])]


def _from_folder(path):
    folders = _folders(path)
    if not folders:
        archives = [p for p in (path / "cifar-10-binary.tar.gz", path / "cifar-10-python.tar.gz") if p.is_file()]
        if archives:
            return archive_files(archives[0])
        _refuse_cifar100(path, [p.name for p in path.iterdir()])
        raise DataError(f"{path} holds no CIFAR-10 batch; expected data_batch_1 ... test_batch, with or without .bin",
                        "the folder above cifar-10-batches-py or cifar-10-batches-bin, or --data shapes")
    # The layout with more batches: one half unpacked must not hide one that is whole.
    folder = max(folders, key=lambda f: len(_batches([p.name for p in f.iterdir()])))
    return {stem: (name, (folder / name).read_bytes) for stem, name in _batches([p.name for p in folder.iterdir()]).items()}


def archive_files(path):
    """Return {stem: (file name, function that returns its bytes)} for the batches of an archive, of one layout."""
    members, total = {}, 0
    try:
        with tarfile.open(path) as archive:
            while (member := archive.next()) is not None:
                total += member.size
                if total > ARCHIVE_LIMIT:
                    raise FormatError(f"{path} unpacks to more than {ARCHIVE_LIMIT >> 30} GiB; expected CIFAR-10, 0.2 GiB")
                name = member.name.rsplit("/", 1)[-1]
                if member.isfile() and not member.issparse() and _batches([name]):
                    members[name] = archive.extractfile(member).read()
                else:
                    _refuse_cifar100(path, [member.name])
            while total <= ARCHIVE_LIMIT and (rest := len(archive.fileobj.read(1 << 20))):
                total += rest               # gzip checks its sum at the very end
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, ValueError) as error:
        if isinstance(error, FormatError | DataError):
            raise
        raise FormatError(f"{path} is not a whole .tar.gz archive ({error or type(error).__name__})",
                          "tinyvgg data download, or a folder of CIFAR-10") from error
    if not members:
        raise DataError(f"{path} holds no CIFAR-10 batch; expected data_batch_1 ... test_batch, with or without .bin")
    return {stem: (name, lambda name=name: members[name]) for stem, name in _batches(members).items()}


def _refuse_cifar100(path, names):
    if any("cifar-100" in name for name in (*names, path.name)) or {"train", "test", "meta"} <= set(names):
        raise DataError(f"{path} is CIFAR-100; expected CIFAR-10", "cifar-10-python.tar.gz, or --data shapes")
