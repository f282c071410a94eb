"""The C that X-CUBE-AI generates: `network.c` says where each tensor lies, `network_data_params.c` (before version 7
`network_data.c`) holds the bytes. Both APIs: the legacy one (`AI_...`) and st-ai (`STAI_...`). No C is run or compiled.
"""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tinyvgg.errors import FormatError
from tinyvgg.xcubeai.lut import decode_lut, lut_bytes
from tinyvgg.xcubeai.text import decode, read_bytes

BLOB = re.compile(
    r"(?:const\s+)?(ai_u64|uint64_t|ai_u32|uint32_t|ai_u8|uint8_t)\s+(\w*weights\w*|\w*data\w*)\s*\[\s*(\w*)\s*\]\s*=\s*\{"
)
WIDTH = {"ai_u64": 8, "uint64_t": 8, "ai_u32": 4, "uint32_t": 4, "ai_u8": 1, "uint8_t": 1}
ARRAY = re.compile(r"AI_ARRAY_OBJ_DECLARE\(\s*(\w+)_array,\s*([\w|\s]+?),\s*\w+,\s*\w+,\s*(\d+)")
TENSOR = re.compile(r"AI_TENSOR_OBJ_DECLARE\(\s*(\w+),[^;]*?AI_SHAPE_INIT\(\d+,\s*([\d,\s]+)\)[^;]*?&(\w+)_array\b", re.S)
PLACE = re.compile(r"(\w+)_array\.(data|data_start)\s*=\s*AI_PTR\(\s*[\w\->\.]*weights\w*(?:\[0\])?\s*\+\s*(\d+)\s*\)")
LITE = re.compile(r"const\s+(\w+)\s*\*\s*(?:const\s+)?(\w+?)_t_weight_(\d+)_ptr\w*\s*=\s*\(?[^;=]*?_weights\[0\]\s*\+\s*(\d+)")
BITS = {"FLOAT": 32, "S8": 8, "U8": 8, "S16": 16, "S32": 32, "LUT4_FLOAT": 4, "LUT8_FLOAT": 8, "BOOL": 8}
DTYPE = {"FLOAT": "<f4", "S8": "i1", "U8": "u1", "S16": "<i2", "S32": "<i4"}
LITE_FORMAT = {"ai_float": "FLOAT", "ai_i8": "S8", "ai_u8": "U8", "ai_i16": "S16", "ai_i32": "S32"}


UNKNOWN = -1


@dataclass(frozen=True)
class StoredTensor:
    """One constant of the network: format (FLOAT, S8, S32, LUT4_FLOAT, LUT8_FLOAT ...), where its bytes begin, its items."""

    name: str
    format: str
    items: int
    start: int
    shape: tuple = ()

    @property
    def shared(self):
        """Whether the values are in a codebook."""
        return self.format in ("LUT4_FLOAT", "LUT8_FLOAT")

    @property
    def size_bytes(self):
        """Bytes in the weights, the codebook included."""
        if self.shared:
            return lut_bytes(self.items, BITS[self.format])
        return (self.items * BITS.get(self.format, 32) + 7) // 8


@dataclass
class Generated:
    """Generated C, read: the blob of weights, its tensors in the order of their places, and what could not be read."""

    folder: str
    blob: bytes = b""
    tensors: dict = field(default_factory=dict)
    macc: int | None = None
    size_bytes: int | None = None
    signature: str = ""
    api: str = ""
    files: list = field(default_factory=list)
    notes: list = field(default_factory=list)

    def codebook(self, name):
        """Return the Codebook of a LUT tensor, or None for a tensor stored plainly."""
        tensor = self.tensors[name]
        if not tensor.shared:
            return None
        return decode_lut(self.blob[tensor.start :], tensor.items, BITS[tensor.format])

    def values(self, name):
        """Return a tensor's values (items,) in ST's order: codebooks looked up, integers as they are."""
        tensor = self.tensors[name]
        if tensor.shared:
            return self.codebook(name).values
        if tensor.format not in DTYPE:
            raise FormatError(f"{name} is stored as {tensor.format}, which this reader does not know")
        if tensor.start + tensor.size_bytes > len(self.blob):
            raise FormatError(
                f"{name} lies at bytes {tensor.start:,}-{tensor.start + tensor.size_bytes:,}; the weights hold "
                f"{len(self.blob):,}",
                "the *_data_params.c that was generated with this network.c",
            )
        return np.frombuffer(self.blob, DTYPE[tensor.format], tensor.items, offset=tensor.start)


def read_generated(path):
    """Read the generated C in a folder (or beside a file of it) -> Generated.

    Raises FormatError where no weights are found; a missing network.c only loses the places of the tensors, and is noted.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    files = sorted(folder.glob("*.c")) if path.is_dir() else sorted({path, *_siblings(path)})
    found = Generated(str(folder))
    for file in files:
        text, _ = decode(read_bytes(file))
        if "weights" in text or "AI_ARRAY_OBJ_DECLARE" in text:
            _take(found, file, text)
    if not found.blob:
        raise FormatError(
            f"no array of weights in {', '.join(f.name for f in files[:6]) or folder}",
            "the folder X-CUBE-AI/App of the project, which holds network.c and network_data_params.c",
        )
    _take_header(found, folder)
    _close_last(found)
    if not found.tensors:
        found.notes.append("no network.c with the places of the tensors beside the weights: only the blob was read")
    return found


def _close_last(found):
    """The last tensor of st-ai's light kernels ends where the weights end: the header says where, the array is padded."""
    for name, tensor in found.tensors.items():
        if tensor.items == UNKNOWN:
            size = (found.size_bytes or len(found.blob)) - tensor.start
            found.tensors[name] = replace(tensor, items=max(0, size * 8 // BITS[tensor.format]))


def _siblings(path):
    stem = re.sub(r"(_data_params|_data)?$", "", path.stem)
    return [p for p in (path.with_name(f"{stem}{end}.c") for end in ("", "_data", "_data_params")) if p.is_file()]


def _take(found, file, text):
    blob = _blob(text, file, found.notes)
    if len(blob) > len(found.blob):
        found.blob = blob
        found.files.append(file.name)
    tensors = _tensors(text)
    if tensors:
        found.tensors.update(tensors)
        found.api = "st-ai" if "STAI_API_ENTRY" in text else "legacy"
        found.files.append(file.name)
    if macc := re.search(r"\.n_macc\s*=\s*(\d+)", text):
        found.macc = int(macc[1])
    if signature := re.search(r'MODEL_SIGNATURE\s+"(?:0x)?([0-9a-fA-F]{32})"', text):
        found.signature = signature[1].lower()


def _take_header(found, folder):
    """st-ai keeps the figures in the header."""
    for header in sorted(folder.glob("*.h")):
        if header.stat().st_size < 4 << 20 and (text := decode(read_bytes(header))[0]):
            if found.macc is None and (macc := re.search(r"STAI_\w+_MACC_NUM\s+\(?(\d+)", text)):
                found.macc = int(macc[1])
            if size := re.search(r"_(?:DATA_)?WEIGHTS_SIZE(?:_BYTES)?\s+\(?(\d+)", text):
                found.size_bytes = int(size[1])
            if not found.signature and (signature := re.search(r'MODEL_SIGNATURE\s+"?(?:0x)?([0-9a-fA-F]{32})', text)):
                found.signature = signature[1].lower()


def _blob(text, file, notes):
    """Return the bytes of the largest array of weights in a file; an array that is cut is read as far as it goes."""
    best = b""
    for found in BLOB.finditer(text):
        end = text.find("}", found.end())
        body = text[found.end() : end if end >= 0 else len(text)]
        if "/*" in body:
            body = re.sub(r"/\*.*?\*/", "", body, flags=re.S)
        words = re.findall(r"\b(0[xX][0-9a-fA-F]{1,16}|\d{1,20})(?=[uUlL]*\s*(?:,|$))", body.strip())
        width = WIDTH[found[1]]
        values = [int(word, 16 if word[:2] in ("0x", "0X") else 10) for word in words]
        if any(value >> (8 * width) for value in values):
            raise FormatError(
                f"{file.name}: a value of {found[2]} is larger than {8 * width} bits", "the file as X-CUBE-AI wrote it"
            )
        data = np.array(values, f"<u{width}").tobytes()
        if found[3].isdigit() and int(found[3]) != len(values):
            notes.append(
                f"{file.name}: {found[2]} is declared with {int(found[3]):,} words and holds {len(values):,}: the file is cut "
                "or edited"
            )
        best = max(best, data, key=len)
    return best


def _tensors(text):
    """Return {name: StoredTensor} of everything that lies in the weights, in the order of the places."""
    arrays = {m[1]: (m[2].split("|")[0].strip().removeprefix("AI_ARRAY_FORMAT_"), int(m[3])) for m in ARRAY.finditer(text)}
    shapes = {m[3]: tuple(int(v) for v in m[2].split(",")) for m in TENSOR.finditer(text)}
    places = {}
    for name, kind, offset in PLACE.findall(text):
        places.setdefault(name, {})[kind] = int(offset)
    tensors = [
        StoredTensor(name, *arrays[name], place.get("data_start", place.get("data", 0)), shapes.get(name, ()))
        for name, place in places.items()
        if name in arrays
    ]
    return {t.name: t for t in sorted(tensors + _lite(text, {t.name for t in tensors}), key=lambda t: t.start)}


def _lite(text, known):
    """st-ai's light kernels name a place and a type but no size: each reaches to the next place, or to the end of the weights."""
    places = sorted(
        {(int(offset), name, int(index), LITE_FORMAT.get(kind, "U8")) for kind, name, index, offset in LITE.findall(text)}
    )
    every = sorted({p[0] for p in places} | {int(m[3]) for m in PLACE.finditer(text)})
    tensors = []
    for start, name, index, format_ in places:
        after = next((p for p in every if p > start), -1)
        full = f"{name}_{('weights', 'bias')[index] if index < 2 else f'weights{index}'}"
        if full not in known:
            tensors.append(StoredTensor(full, format_, (after - start) * 8 // BITS[format_] if after > 0 else UNKNOWN, start))
    return tensors
