"""The C that X-CUBE-AI generates: `network.c` says where each tensor is, `network_data_params.c` (before version 7
`network_data.c`) has the bytes. Both APIs are read: the legacy one (`AI_...`) and st-ai (`STAI_...`). No C is run or compiled.
All patterns are bounded, so the time to read is proportional to the file's size, whatever its content.
"""

import math
import re
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path

import numpy as np

from tinyvgg.analyze.st import lut_bytes
from tinyvgg.errors import FormatError
from tinyvgg.report.shown import briefly
from tinyvgg.xcubeai.cblob import read_arrays
from tinyvgg.xcubeai.lut import decode_lut
from tinyvgg.xcubeai.text import decode, read_bytes
from tinyvgg.xcubeai.textreport import core_version

GAP, NAME, NUMBER = r"\s{0,200}", r"\w{1,300}", r"\d{1,12}"
ARRAY = re.compile(
    rf"AI_ARRAY_OBJ_DECLARE\({GAP}({NAME})_array,{GAP}([\w|\s]{{1,200}}),{GAP}\w{{1,80}},{GAP}\w{{1,80}},{GAP}({NUMBER})\b"
)
TENSOR = re.compile(
    rf"AI_TENSOR_OBJ_DECLARE\({GAP}{NAME},[^;]{{0,400}}?AI_SHAPE_INIT\({NUMBER},{GAP}([\d,\s]{{1,200}})\)"
    rf"[^;]{{0,600}}?&({NAME})_array\b"
)
PLACE = re.compile(
    rf"\b({NAME})_array\.(data|data_start){GAP}={GAP}AI_PTR\({GAP}[\w>.\-]{{0,200}}weights\w{{0,200}}(?:\[({NUMBER})\])?"
    rf"{GAP}\+{GAP}({NUMBER}){GAP}\)"
)
POINTER = re.compile(
    rf"\bconst\s{{1,80}}(\w{{1,80}}){GAP}\*{GAP}(?:const\s{{1,80}})?({NAME}?)_t_weight_({NUMBER})_ptr\w{{0,80}}{GAP}={GAP}"
    rf"[^;=]{{0,200}}?_weights\[({NUMBER})\]{GAP}\+{GAP}({NUMBER})"
)
SECTION = re.compile(rf"LITE_KERNEL_SECTION\s{{1,20}}BEGIN\s{{1,20}}({NAME})")
ARGUMENT = re.compile(
    rf"\.(weights|bias|recurrent|scale){GAP}={GAP}\((\w{{1,80}}){GAP}\*{GAP}\){GAP}\([^;=]{{0,200}}?_weights\[({NUMBER})\]"
    rf"{GAP}\+{GAP}({NUMBER})"
)
CHANNELS = re.compile(rf"\.n_channel_in{GAP}={GAP}({NUMBER}),{GAP}\.n_channel_out{GAP}={GAP}({NUMBER})")
WEIGHTS = re.compile(r"_weights\w{0,80}\s{0,80}\[[^\]\n]{0,80}\]\s{0,80}=\s{0,80}\{")
BITS = {"FLOAT": 32, "S8": 8, "U8": 8, "S16": 16, "S32": 32, "LUT4_FLOAT": 4, "LUT8_FLOAT": 8, "BOOL": 8}
DTYPE = {"FLOAT": "<f4", "S8": "i1", "U8": "u1", "S16": "<i2", "S32": "<i4"}
C_FORMAT = {
    word: format_
    for format_, words in {
        "FLOAT": "ai_float float", "S8": "ai_i8 int8_t", "U8": "ai_u8 uint8_t", "S16": "ai_i16 int16_t", "S32": "ai_i32 int32_t"
    }.items()
    for word in words.split()
}
MACC = re.compile(rf"\.n_macc{GAP}={GAP}(\d{{1,18}})")
SIGNATURE = re.compile(r'MODEL_SIGNATURE\s{1,80}"?(?:0x)?([0-9a-fA-F]{32})')
VERSION = re.compile(r"AI_TOOLS_VERSION_(MAJOR|MINOR)\s{1,40}\(?(\d{1,4})")

UNKNOWN = -1
MISSING = 1 << 40  # where an array is that no file holds: values there are refused, and said to be
PADDING = 8  # bytes between tensors, or at an array's end, that are alignment


@briefly
@dataclass(frozen=True)
class StoredTensor:
    """One constant of the network: format (FLOAT, S8, S32, LUT4_FLOAT, LUT8_FLOAT ...), where its bytes begin, its number of
    items. `shape`: as declared in the C, (inputs, outputs, 1, 1) for a dense kernel; a row of 4-bit indices belongs to one input.
    """

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
    def row(self):
        """Number of weights of one output, or 0 if the code does not say it."""
        return self.shape[0] if self.shape and math.prod(self.shape) == self.items else 0

    @property
    def size_bytes(self):
        """Number of bytes in the weights, codebook included."""
        if self.shared:
            return lut_bytes(self.items, BITS[self.format], self.row)
        return (self.items * BITS.get(self.format, 32) + 7) // 8


@briefly
@dataclass
class Generated:
    """The contents of generated C: the blob of weights, its tensors by position, and what could not be read. Weights in several
    arrays are joined to one blob, in the runtime's order. `covered`: how many of its bytes belong to tensors.
    """

    folder: str
    name: str = ""
    blob: bytes = b""
    tensors: dict = field(default_factory=dict)
    macc: int | None = None
    size_bytes: int | None = None
    signature: str = ""
    version: str = ""
    api: str = ""
    files: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    covered: int = 0

    def codebook(self, name):
        """Return the Codebook of a LUT tensor, or None for a tensor without codebook."""
        tensor = self.tensors[name]
        if not tensor.shared:
            return None
        return decode_lut(self.blob[tensor.start :], tensor.items, BITS[tensor.format], tensor.row)

    def values(self, name):
        """Return a tensor's values (items,) in ST's order: codebooks looked up, integers unchanged."""
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


def read_generated(path, name=""):
    """Read the generated C in a folder (or in the folder of a file); return Generated. name: the network, if a folder has several
    ("network", "network_1"); by default the first, and the notes name the others. Raises FormatError if no weights are found.
    Without network.c the places of the tensors are unknown; the notes say so, and also how many bytes of weights belong to no
    tensor.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    networks = _networks(sorted(folder.glob("*.c")) or [path] * path.is_file())
    wanted = name if path.is_dir() else _stem(path)
    chosen = wanted if wanted in networks else next(iter(networks), "")
    found = Generated(str(folder), chosen)
    if len(networks) > 1:
        others = ", ".join(n for n in networks if n != chosen)
        found.notes.append(
            f"the folder holds {len(networks)} networks: {chosen} was read, not {others}; name another by its file"
        )
    segments = _read(found, networks.get(chosen, []))
    if not found.blob:
        raise FormatError(
            f"no array of weights in {', '.join(f.name for f in sorted(folder.glob('*.c'))[:6]) or folder}",
            "the folder X-CUBE-AI/App of the project, which holds network.c and network_data_params.c",
        )
    _take_headers(found, folder)
    _close_last(found)
    _cover(found, segments)
    return found


def _stem(path):
    """The network of a file: `network` of network.c, network_data.c and network_data_params.c."""
    return re.sub(r"(_data_params|_data)$", "", path.stem)


def _networks(files):
    """{network: [(file, text)]} of the files that hold weights or tensors; parts that have no partner belong together."""
    groups = {}
    for file in files:
        text, _ = decode(read_bytes(file))
        if "weights" in text or "AI_ARRAY_OBJ_DECLARE" in text:
            groups.setdefault(_stem(file), []).append((file, text))

    def holds(group, what):
        return any(what(text) for _, text in group)

    weights = [n for n, g in groups.items() if holds(g, WEIGHTS.search)]
    places = [n for n, g in groups.items() if holds(g, lambda t: PLACE.search(t) or POINTER.search(t) or ARGUMENT.search(t))]
    if len(weights) == 1 and len(places) == 1 and weights != places:
        return {places[0]: groups[places[0]] + groups[weights[0]]}
    whole = [n for n in weights if n in places] or weights
    return {n: groups[n] for n in sorted(whole)} if whole else groups


def _read(found, parts):
    """Take blob, tensors and figures from the files of one network -> where each array of weights begins in the blob."""
    arrays = []
    several = any(int(m[3] or 0) > 0 for _, text in parts for m in PLACE.finditer(text))
    for file, text in parts:
        own = read_arrays(text, file, found.notes, several)
        if sum(len(data) for _, data in own) > sum(len(data) for _, data in arrays):
            arrays = own
            found.files.append(file.name)
    *segments, end = accumulate((len(data) for _, data in arrays), initial=0)
    found.blob = b"".join(data for _, data in arrays)
    for file, text in parts:
        tensors = _tensors(text, segments)
        if tensors:
            found.tensors.update(tensors)
            found.api = "st-ai" if "STAI_API_ENTRY" in text else "legacy"
            found.files.append(file.name)
        if macc := MACC.search(text):
            found.macc = int(macc[1])
        if signature := SIGNATURE.search(text):
            found.signature = signature[1].lower()
    found.tensors = {t.name: t for t in sorted(found.tensors.values(), key=lambda t: t.start)}
    return [*segments, end]


def _take_headers(found, folder):
    """The tool's version stands in the headers, and st-ai keeps its figures there; of several networks only the chosen one's."""
    version = {}
    for header in sorted(folder.glob(f"{found.name}*.h")):
        if re.sub(r"(_data_params|_data|_config|_details)$", "", header.stem) != found.name or header.stat().st_size >= 4 << 20:
            continue
        text = decode(read_bytes(header))[0]
        if found.macc is None and (macc := re.search(r"STAI_\w{1,200}?_MACC_NUM\s{1,80}\(?(\d{1,18})", text)):
            found.macc = int(macc[1])
        if size := re.search(r"_WEIGHTS_SIZE(?:_BYTES)?\s{1,80}\(?(\d{1,12})", text):
            found.size_bytes = int(size[1])
        if not found.signature and (signature := SIGNATURE.search(text)):
            found.signature = signature[1].lower()
        version |= dict(VERSION.findall(text))
    if "MAJOR" in version:
        stated = f"{version['MAJOR']}.{version.get('MINOR', 0)}"
        found.version = core_version(stated) if int(version["MAJOR"]) < 4 else stated  # ST Edge AI Core counts from 1 again


def _close_last(found):
    """The last tensor of st-ai's light kernels ends where the weights end: the header says where, the array is padded."""
    for name, tensor in found.tensors.items():
        if tensor.items == UNKNOWN:
            size = (found.size_bytes or len(found.blob)) - tensor.start
            found.tensors[name] = replace(tensor, items=max(0, size * 8 // BITS[tensor.format]))


def _cover(found, segments):
    """Count the bytes that tensors name, and say which are of none."""
    if not found.tensors:
        found.notes.append("no network.c with the places of the tensors beside the weights: only the blob was read")
        return
    end, gaps = 0, []
    lost = [t.name for t in found.tensors.values() if t.start >= MISSING]
    if lost:
        found.notes.append(f"{len(lost)} tensors lie in arrays that no file holds, the first is {lost[0]}")
    for tensor in (t for t in found.tensors.values() if t.start < MISSING):
        if tensor.start - end >= PADDING:
            gaps.append((end, tensor.start))
        end = max(end, tensor.start + tensor.size_bytes)
    found.covered = sum(min(b, len(found.blob)) - a for a, b in _spans(found) if a < len(found.blob))
    last = min(found.size_bytes or len(found.blob), len(found.blob))
    if last - end >= PADDING:
        gaps.append((end, last))
    gaps = [gap for gap in gaps if not any(gap[0] <= s - 1 < gap[1] and s - gap[0] < PADDING and gap[1] == s for s in segments)]
    if gaps:
        missed = sum(b - a for a, b in gaps)
        found.notes.append(
            f"{missed:,} of {last:,} bytes of weights are of no tensor that was found in {found.name}.c, the first at byte "
            f"{gaps[0][0]:,}"
        )


def _spans(found):
    """(first, behind the last) byte of every tensor, those that overlap as one."""
    spans = []
    for tensor in sorted(found.tensors.values(), key=lambda t: t.start):
        first, last = tensor.start, tensor.start + tensor.size_bytes
        if spans and first < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(last, spans[-1][1]))
        else:
            spans.append((first, last))
    return spans


def _tensors(text, segments):
    """Return {name: StoredTensor} of everything that lies in the weights."""
    arrays = {m[1]: (m[2].split("|")[0].strip().removeprefix("AI_ARRAY_FORMAT_"), int(m[3])) for m in ARRAY.finditer(text)}
    shapes = {m[2]: tuple(int(v) for v in m[1].split(",") if v.strip()) for m in TENSOR.finditer(text)}
    places = {}
    for name, kind, segment, offset in PLACE.findall(text):
        places.setdefault(name, {})[kind] = _place(segments, segment, offset)
    tensors = [
        StoredTensor(name, *arrays[name], place.get("data_start", place.get("data", 0)), shapes.get(name, ()))
        for name, place in places.items()
        if name in arrays
    ]
    known = {t.name for t in tensors}
    tensors += [t for t in _arguments(text, segments) if t.name not in known]
    return {t.name: t for t in tensors + _light(text, {t.name for t in tensors}, segments)}


def _place(segments, segment, offset):
    """Where byte `offset` of array number `segment` lies in the blob; behind all of it where there is no such array."""
    number = int(segment or 0)
    return (segments[number] if number < len(segments) else MISSING) + int(offset)


def _arguments(text, segments):
    """st-ai's float dense layers: a structure of arguments names places and channels, in the section of its layer."""
    sections = [(m.start(), m[1]) for m in SECTION.finditer(text)] + [(len(text), "")]
    tensors = []
    if len(sections) == 1:
        sections = [(0, "dense"), *sections]
    for (start, name), (end, _) in zip(sections, sections[1:], strict=False):
        body = text[start:end]
        sizes = CHANNELS.search(body)
        into, out = (int(sizes[1]), int(sizes[2])) if sizes else (0, 0)
        for role, kind, segment, offset in ARGUMENT.findall(body):
            format_ = C_FORMAT.get(kind, "U8")
            items = {"weights": into * out, "bias": out}.get(role, 0) or UNKNOWN
            shape = (into, out) if role == "weights" and into else ()
            tensors.append(StoredTensor(f"{name}_{role}", format_, items, _place(segments, segment, offset), shape))
    return _ended(tensors, text, segments)


def _ended(tensors, text, segments):
    """Give a tensor without a size the bytes up to the next place that the code names."""
    every = sorted({t.start for t in tensors} | {_place(segments, m[3], m[4]) for m in PLACE.finditer(text)})
    every = sorted({*every, *(_place(segments, m[4], m[5]) for m in POINTER.finditer(text))})
    ended = []
    for tensor in tensors:
        after = next((p for p in every if p > tensor.start), None)
        if tensor.items == UNKNOWN and after is not None:
            tensor = replace(tensor, items=(after - tensor.start) * 8 // BITS[tensor.format])
        ended.append(tensor)
    return ended


def _light(text, known, segments):
    """st-ai's light kernels name a place and a type but no size: each reaches to the next place, or to the end of the weights."""
    tensors = []
    for kind, name, index, segment, offset in sorted(set(POINTER.findall(text))):
        number = int(index)
        full = f"{name}_{('weights', 'bias')[number] if number < 2 else f'weights{number}'}"
        if full not in known:
            format_ = C_FORMAT.get(kind, "U8")
            tensors.append(StoredTensor(full, format_, UNKNOWN, _place(segments, segment, offset)))
    return _ended(tensors, text, segments)
