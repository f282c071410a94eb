"""The generation of X-CUBE-AI's client API for which an application was written: the values of `firmware export --client`."""
import re
from pathlib import Path

_LARGEST = 1 << 22               # bytes of a source that is looked at
CLIENTS = {"5": "X-CUBE-AI 5 to 7.0", "7": "X-CUBE-AI 7.1 to 10", "stai": "the st-ai API"}
_STAI = re.compile(r"\bstai_(?!runtime_)\w+_(?:init|run|set_\w+)\s*\(")
_LEGACY = re.compile(r"\bai_\w+_(?:create|create_and_init|init|run)\b")
# Buffers with n_batches; arrays that are initialised with what later generations have as a call.
_OLD = re.compile(r"\bn_batches\b|\bai_buffer\s+\w+\s*\[[^\]]*\]\s*=\s*AI_\w+_(?:IN|OUT)\s*;")


def client_of(text):
    """Return "5", "7" or "stai", the generation for which the C source `text` is written; None if it calls no network."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)
    if _STAI.search(text):
        return "stai"
    if not _LEGACY.search(text):
        return None
    return "5" if _OLD.search(text) else "7"


def clients_beside(report):
    """Return {path: client} of the applications (app_x-cube-ai.c) in the folder of a report, or in the folder `report`."""
    folder = Path(report)
    folder = folder if folder.is_dir() else folder.parent
    found = {}
    for path in sorted(folder.glob("*.c")):
        if path.name.lower() == "app_x-cube-ai.c" and path.stat().st_size <= _LARGEST:
            client = client_of(path.read_text(encoding="utf-8", errors="replace"))
            found |= {str(path): client} if client else {}
    return found
