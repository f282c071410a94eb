"""A cache of compiled C files, so that a process compiles each kernel once.

A file is identified by its text and the text of the headers in its folder that it includes.
"""
import hashlib
import re
from pathlib import Path

ROOM = 64 << 20             # bytes of objects that are kept at most
_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"/\\]+)"', re.MULTILINE)
_OBJECTS: dict[str, bytes] = {}


def with_headers(path):
    """Return {file name: text} of a C file and of the headers in its folder that it includes, directly or indirectly."""
    found, todo = {}, [Path(path).name]
    while todo:
        name = todo.pop()
        file = Path(path).parent / name
        if name not in found and file.is_file():
            found[name] = file.read_text(encoding="utf-8")
            todo += _INCLUDE.findall(found[name])
    return found


def digest(*parts):
    """Return the SHA-256 of the repr of parts: texts, or dicts of texts in any order."""
    return hashlib.sha256(repr([sorted(p.items()) if isinstance(p, dict) else p for p in parts]).encode()).hexdigest()


def objects(sources, command, run, place):
    """Write the object files of C `sources` (of different names) into the folder `place` and return their paths.

    command: list, the compiler and its options without -c; run(command): runs it in `place`, for the sources that this process
    has not compiled yet.
    """
    keys = {source: digest(command, with_headers(source)) for source in sources}
    missing = [source for source in sources if keys[source] not in _OBJECTS]
    paths = {source: Path(place) / f"{Path(source).stem}.o" for source in sources}
    if missing:
        run([*command, "-c", *missing])
    for source in sources:
        if source not in missing:
            paths[source].write_bytes(_OBJECTS[keys[source]])
    if sum(map(len, _OBJECTS.values())) > ROOM:
        _OBJECTS.clear()
    _OBJECTS.update({keys[source]: paths[source].read_bytes() for source in missing})
    return [str(path) for path in paths.values()]
