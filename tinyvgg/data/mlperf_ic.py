"""MLPerf Tiny's 200 samples of image classification: original images of CIFAR-10's test part, to evaluate only.

y_labels.csv has a row "file,classes,label" for each sample; each file has 3,072 bytes, RGB, row by row. They were in
datasets/ic01 of eembc/energyrunner until a commit removed them. DIR may be a folder with these files or a full clone, whose
history is then read.
"""
import io
import re
import subprocess
import tarfile
from pathlib import Path

import numpy as np

from tinyvgg.data.cifar10 import CLASSES, PIXELS
from tinyvgg.data.dataset import DataSet, check_labels
from tinyvgg.errors import DataError, FormatError
from tinyvgg.types import PathLike

PREFIX = "mlperf-ic:"
LABELS, FOLDER = "y_labels.csv", "datasets/ic01"
COMMIT = "c38c333^"                         # of energyrunner: the last that has them
LIMIT = 16 << 20                            # bytes of all samples: there are 0.6 million
HINT = f"a folder with {LABELS} and its files, or a full clone of https://github.com/eembc/energyrunner"


def load(folder: PathLike) -> DataSet:
    """Return the samples as the test part of a DataSet without training images; raise DataError or FormatError."""
    rows = samples(folder)
    x = np.stack([np.frombuffer(pixels, np.uint8).reshape(32, 32, 3) for _, pixels, _ in rows])
    y = np.array([label for *_, label in rows], np.int64)
    check_labels(y, len(CLASSES), f"{folder}: {LABELS}")
    return DataSet("mlperf-ic", x[:0], y[:0], x, y, CLASSES, f"{PREFIX}{folder}")


def samples(folder: PathLike) -> list[tuple[str, bytes, int]]:
    """Return (file name, 3,072 bytes, label) of each sample in the order of y_labels.csv."""
    folder = Path(folder).expanduser()
    read = _reader(folder)
    found = []
    for number, line in enumerate(read(LABELS).decode("utf-8", "replace").split(), 1):
        row = re.fullmatch(r"([\w.-]+),10,(\d{1,3})", line)
        if row is None:
            raise FormatError(f"{folder}: line {number} of {LABELS} is {line[:60]!r}; expected file,10,label")
        pixels = read(row[1])
        if len(pixels) != PIXELS:
            raise FormatError(f"{folder}: {row[1]} has {len(pixels):,} bytes; expected {PIXELS:,}, an RGB image of 32x32")
        found.append((row[1], pixels, int(row[2])))
    if not found:
        raise DataError(f"{folder}: {LABELS} names no sample", HINT)
    return found


def _reader(folder):
    """A function from the name of a file to its bytes."""
    for place in (folder, folder / FOLDER):
        if (place / LABELS).is_file():
            return lambda name: _file(place / name)
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}", HINT)
    members = _history(folder) if (folder / ".git").exists() or (folder / "HEAD").is_file() else None
    if members is None:
        raise DataError(f"{folder} holds no {LABELS}", HINT)
    def named(name):
        if name not in members:
            raise DataError(f"the history of {folder} has no {FOLDER}/{name}", HINT)
        return members[name]
    return named


def _file(path):
    try:
        with open(path, "rb") as file:
            return file.read(LIMIT)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}", HINT) from error


def _history(folder):
    """{file name: bytes} of the samples as a clone's history has them, or None."""
    try:
        done = subprocess.run(["git", "-C", str(folder), "archive", COMMIT, FOLDER], capture_output=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"the history of {folder} cannot be read: {error}", HINT) from error
    if done.returncode or len(done.stdout) > LIMIT:
        return None
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        return {Path(member.name).name: archive.extractfile(member).read() for member in archive if member.isfile()}
