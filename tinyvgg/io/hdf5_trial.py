"""Try files with unknown structure (see hdf5_structure.py) in a separate process, which may crash or hang without harm. The
process visits every object, link and attribute that the library finds, within limits of time and memory.
"""
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from tinyvgg.errors import FormatError

SECONDS = 4                 # of the process' own time
PATIENCE = 40               # of the clock's, on a busy machine
MEMORY = 2 << 30
KEPT = 256                  # files whose trial is remembered
_known = {}                 # {path and hash of the bytes, or the hash alone: what is wrong, or None}


def key_of(data):
    """What a file's bytes are known by."""
    return hashlib.sha256(data).digest()


def try_file(path, key=None):
    """Raise FormatError if the library cannot read the whole file at `path`. key: of its bytes; what this process has tried is known."""
    _try_once(key and (str(path), key), [str(path)], None)


def try_image(image):
    """Raise FormatError if the library cannot read the whole file in memory."""
    _try_once(key_of(image), [], image)


def _try_once(key, arguments, data):
    wrong, lasting = (_known[key], False) if key in _known else _try(arguments, data)
    if lasting and key is not None:
        _known[key] = wrong
        if len(_known) > KEPT:
            del _known[next(iter(_known))]
    if wrong:
        raise FormatError(wrong)


def _try(arguments, data):
    """Return what is wrong with a file, or None, and whether another trial would say the same."""
    root = str(Path(__file__).resolve().parent.parent.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-P", __file__, *arguments]              # by its path: as a module it would begin with all of tinyvgg.io
    try:
        done = subprocess.run(command, input=data, stdin=None if data is not None else subprocess.DEVNULL, capture_output=True,
                              timeout=PATIENCE, env=environment)
    except subprocess.TimeoutExpired:
        return f"the HDF5 library does not come to an end with it in {PATIENCE} s", False
    told = done.stderr.decode("utf-8", "replace").strip().splitlines()
    if done.returncode == 2 and told:
        return told[-1][:300], True
    if done.returncode:
        return f"the HDF5 library cannot read it (exit code {done.returncode} of a separate process)", False
    return None, True


def visit(file):
    """Visit every object, link and attribute of an open h5py.File; raise FormatError for data in another file."""
    import h5py
    groups, seen = [file], set()
    while groups:
        group = groups.pop()
        for name in group:
            kind = group.id.links.get_info(name.encode("utf-8", "surrogateescape")).type
            if kind not in (h5py.h5l.TYPE_HARD, h5py.h5l.TYPE_SOFT):
                raise FormatError("it has a link to another file; expected everything in this one")
            if kind == h5py.h5l.TYPE_SOFT:
                continue
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            for attribute in item.attrs:
                h5py.h5a.open(item.id, attribute.encode("utf-8", "surrogateescape")).get_space()
            if isinstance(item, h5py.Group):
                groups.append(item)
            elif isinstance(item, h5py.Dataset):
                properties = item.id.get_create_plist()
                if properties.get_layout() == h5py.h5d.VIRTUAL or properties.get_external_count():
                    raise FormatError("an array lies in another file; expected it in this one")


def main():
    """Try the file named as argument, or the bytes on standard input."""
    try:
        import resource
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ImportError, ValueError, OSError):          # Windows has none; the clock still counts
        pass
    import h5py
    file = sys.argv[1] if len(sys.argv) > 1 else h5py.h5f.open_file_image(sys.stdin.buffer.read())
    try:
        with h5py.File(file, "r") if isinstance(file, str) else h5py.File(file) as opened:
            visit(opened)
    except FormatError as error:
        sys.exit(_said(error.problem))
    except Exception as error:                          # h5py raises nearly every class there is on damaged files
        sys.exit(_said(f"the HDF5 library finds damage: {type(error).__name__} {' '.join(str(error).split())[:160]}"))


def _said(sentence):
    sys.stderr.write(sentence + "\n")
    return 2


if __name__ == "__main__":
    main()
