"""Which code a story was told by, so that results of other code are not taken for its own."""

import hashlib
import importlib
from functools import cache
from pathlib import Path

PACKAGES = ("tinyvgg", "tinyvgg.codegen", "tinyvgg.firmware")
SUFFIXES = (".py", ".c", ".h", ".in", ".ld", ".toml")
SHOWING = ("cli/", "demo/page.py", "demo/sections_", "report/html.py", "report/svg.py", "testing/")  # change no result


@cache
def sources_sha256():
    """Return the SHA-256 of all that the stages may run: the package's Python, C and tables, but not what only shows results."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        folder = Path(importlib.import_module(package).__file__).parent
        for name, path in sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*")):
            if path.suffix in SUFFIXES and not name.startswith(SHOWING):
                content = path.read_bytes().replace(b"\r\n", b"\n")
                digest.update(f"{package}/{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()
