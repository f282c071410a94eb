"""Printing a Program: header, calls, constants, the kernels it uses, a Makefile, a page of sizes."""
import math
import re
from pathlib import Path
from string import Template

import numpy as np

from tinyvgg._version import __version__
from tinyvgg.codegen.emit import CTYPES, array_text, c_string, comment, number
from tinyvgg.codegen.variants import plain_sha256
from tinyvgg.images import grey_level
from tinyvgg.quant.schedule import kept_rows

HERE = Path(__file__).parent
# Headers that a kernel file includes, beside tv_kernels.h.
_HEADERS = ("tv_kernels.h", "tv_intrinsics.h", "tv_decode.h", "tv_shared.h", "tv_lite.h", "tv_tail.h", "tv_dot.h", "tv_float.h", "tv_guard.h",
            "tv_mac.h", "tv_fixed.h", "tv_conv2d_s16.h", "tv_winograd.h", "tv_winograd_run.h", "tv_winograd2.h", "tv_winograd4.h",
            "tv_winograd4_m4.h", "tv_expand_m4.h")

# Kernels made from the text of another kernel, with another tail.
LITE = {f"tv_lite_{name}_u8": f"tv_{name}_u8" for name in ("conv2d", "depthwise", "dense")}


def files(program, *, sha256="", header=None, more_files=None, more_code=""):
    """Return {file name: text} of a generated folder. header: name of the network's header, by default NAME.h; more_files:
    further sources and headers; more_code: declarations for the network's own file."""
    header = header or f"{program.name}.h"
    facts = _facts(program, sha256, header)
    coded = "#define TV_CODED 1\n" if "tv_decode" in program.kernels else ""
    kernels = {f"{k}.c": (coded if k.endswith("_u8") or k == "tv_dot" else "") + _kernel(k) for k in program.kernels}
    for step in program.steps.values():
        kernels |= step.sources
    kernels |= {h: _read(h) for h in _needed_headers(kernels.values())} | (more_files or {})
    sources = [f"{program.name}.c", f"{program.name}_weights.c", *(k for k in kernels if k.endswith(".c"))]
    makefile = facts | {"objects": " ".join(s[:-2] + ".o" for s in sources),
                        "headers": " ".join([header, f"{program.name}_weights.h", *(k for k in kernels if k.endswith(".h"))])}
    return {header: _filled("network.h", facts),
            f"{program.name}.c": _filled("network.c", facts | _code(program, more_code)),
            f"{program.name}_weights.h": _filled("weights.h", facts | {"declarations": _externs(program)}),
            f"{program.name}_weights.c": _weights(program, facts),
            **kernels,
            "Makefile": _filled("Makefile", makefile),
            "SIZES.md": _filled("SIZES.md", facts | {"rows": _rows(program)})}


def _read(name):
    return (HERE / "kernels" / name).read_text(encoding="utf-8")


def _kernel(name):
    """Return the text of a kernel file.

    tv_mac_UxN and tv_mac_UxN_B, inner loops for a depth of U * N words, are made from tv_mac.h. A kernel that ends in TensorFlow
    Lite's arithmetic is made from the one with the usual tail.
    """
    if name in LITE:
        own = LITE[name]
        renamed = {f: f.replace("tv_", "tv_lite_", 1) for f in (own, f"{own}_layer")} | {"tv_tail_u8": "tv_lite_tail"}
        return '#include "tv_lite.h"\n' + "".join(f"#define {a} {b}\n" for a, b in renamed.items()) + _read(f"{own}.c")
    made = re.fullmatch(r"tv_mac_(\d+)x(\d+)(?:_(\d))?", name)
    if not made:
        return _read(f"{name}.c")
    unroll, chunks, blocks = made.groups()
    return (f"#define TV_MAC {name}\n#define TV_UNROLL {unroll}\n#define TV_CHUNKS {chunks}\n#define TV_BLOCKS {blocks or 0}\n"
            '#include "tv_mac.h"\n')


def _filled(name, values):
    return Template((HERE / "templates" / f"{name}.in").read_text(encoding="utf-8")).substitute(values)


def _needed_headers(texts):
    """Return the names of the headers that the kernel files include, directly or indirectly, in a fixed order."""
    needed, waiting = {"tv_kernels.h"}, list(texts)
    while waiting:
        text = waiting.pop()
        found = {h for h in _HEADERS if f'#include "{h}"' in text} - needed
        needed |= found
        waiting += [_read(h) for h in found]
    return [h for h in _HEADERS if h in needed]


def _facts(program, sha256, header):
    graph, image, logits = program.graph, program.image, program.graph.logits
    low, high = graph.input_range
    integer = image.dtype == "uint8"
    probability = CTYPES[program.softmax.dtype] if program.softmax else None
    return {
        "title": comment(f"{program.name} ({graph.name})"), "version": __version__,
        "name": program.name, "UPPER": program.name.upper(),
        "header": header, "weights_header": f"{program.name}_weights.h", "sha256": sha256 or "0" * 64,
        "plain_sha256": plain_sha256(graph),
        "macc": sum(op.macc for op in graph.ops), "constants": program.constant_bytes(), "arena": program.arena_bytes,
        "image_offset": program.offsets[image.name],
        "layers": len(program.layers), "input_type": CTYPES[image.dtype], "logit_type": CTYPES[logits.dtype],
        "input_meaning": "the image's bytes, 0..255" if integer else f"{low:g}..{high:g}",
        "logit_meaning": "see LOGIT_SCALE below" if logits.dtype != "float32" else "as it is",
        "probability_typedef": _probability_typedef(program, probability),
        "probabilities_parameter": f"{program.name}_probability *probabilities, " if probability else "",
        "probabilities_comment": "\n * probabilities: room for as many, or NULL." if probability else "",
        "null_probabilities": "NULL" if probability else "", "null_separator": ", " if probability else "",
        "shape_defines": _shape_defines(program), "input_count": math.prod(image.shape), "input_bytes": image.nbytes,
        "classes": math.prod(logits.shape),
        "input_scale": number(grey_level(graph.input_range) if integer else np.float32(1)),
        "input_zero": round(-low / float(grey_level(graph.input_range))) if integer else 0,
        "input_low": number(np.float32(low)), "input_high": number(np.float32(high)),
        "logit_scale": number(np.float32(logits.scale if logits.dtype != "float32" else 1)),
        "logit_zero": logits.zero if logits.dtype != "float32" else 0,
        "aligned_arguments": _aligned_arguments(program),
    }


def _probability_typedef(program, ctype):
    if ctype is None:
        return ""
    unit = round(1 / program.softmax.scale) if ctype == "uint8_t" else 1
    meaning = f"in units of 1/{unit}" if ctype == "uint8_t" else "0..1"
    return f"typedef {ctype} {program.name}_probability;        /* {meaning} */\n"


def _shape_defines(program):
    upper, shape = program.name.upper(), program.image.shape
    names = ("HEIGHT", "WIDTH", "CHANNELS")[3 - len(shape):]
    return "\n".join(f"#define {upper}_INPUT_{n} {v}u" for n, v in zip(names, shape, strict=True))


def _aligned_arguments(program):
    """Return the pointers that must be multiples of 4, because they point to floats."""
    floats = [name for name, op in (("image", program.image), ("logits", program.graph.logits)) if op.dtype == "float32"]
    return " | ".join(f"(uintptr_t){name}" for name in floats) or "0u"


def _pointer(program, name):
    """Return the C expression for the address of the tensor of op `name`."""
    if name == program.image.name and name not in program.steps:
        return "image"
    if name == program.graph.logits.name:
        return "logits"
    if program.softmax is not None and name == program.softmax.name:
        return "probabilities"
    place = f"a + {program.offsets[name]}"
    return place if program.graph[name].dtype == "uint8" else f"(void *)({place})"


def _code(program, more):
    declarations, calls = [program.steps[op.name].declaration for op in program.computed], []
    for number_, op in enumerate(program.layers):
        inputs = [_pointer(program, i) for i in op.inputs] or ["image"]
        y = _pointer(program, op.name)
        scratch = f"a + {program.offsets[f'{op.name}/scratch']}" if program.scratch[op.name] else "0"
        call = program.steps[op.name].call.format(x=inputs[0], inputs=", ".join(inputs), y=y, scratch=scratch)
        stream = program.schedule.stream_of(op.name)
        if stream:
            declarations.append(stream_table(program, stream))
            x = _pointer(program, program.graph[stream[0]].inputs[0])
            call = f"tv_stream_u8({program.symbol(op)}_stages, {len(stream)}u, {x}, {y}, a, {scratch})"
        if op is program.softmax:
            calls += ["    if (!probabilities) return TV_OK;"]
        calls += [f"    {call};", f"    observe(observer, {number_}u, {y}, {op.nbytes}u);"]
    names = ",\n".join(f'    "{c_string(op.name)}"' for op in program.layers)
    arena = "    uint8_t *const a = (uint8_t *)arena;\n" if re.search(r"\ba\b", "".join(calls)) else ""
    return {"arena_pointer": arena, "declarations": "\n\n".join([*declarations, *([more] if more else [])]),
            "calls": "\n".join(calls), "layer_names": names}


def stream_table(program, stream):
    """Return the C of a stream: a function for a row of each op, and the table of its stages."""
    functions, stages, rows = [], [], kept_rows(program.graph, stream)
    for name in stream:
        op = program.graph[name]
        window, body = program.steps[name].row
        function = f"{program.symbol(op)}_row"
        functions.append(f"static void {function}(const tv_window *window, const uint8_t *x, uint8_t *y, void *scratch)\n"
                         f"{{\n    {body}\n}}")
        kept, offset = (rows[name], program.offsets[name]) if name in rows else (op.shape[0], 0)
        stages.append(f"    {{ {function}, {window}, {kept}u, {offset}u }}")
    table = ",\n".join(stages)
    return "\n\n".join([*functions, f"static const tv_stage {program.symbol(op)}_stages[] = {{\n{table}\n}};"])


def _externs(program):
    if not program.in_one_struct:
        return "\n".join(f"extern TV_CONST {c.ctype} {program.name}_{c.name}[{c.array.size}];" for c in program.constants)
    members = "\n".join(f"    {c.ctype} {c.name}[{c.array.size}];" for c in program.constants)
    return ("/* Layer by layer: weights (or codebook, then indices), bias, gain, shift, as X-CUBE-AI lays them out. */\n"
            f"typedef struct {{\n{members}\n}} {program.name}_weights_type;\n\n"
            f"extern TV_CONST {program.name}_weights_type {program.name}_weights;")


def _weights(program, facts):
    head = (f'/* The constants of {facts["title"]}. Generated by tinyvgg {__version__}. */\n'
            f'#include "{facts["weights_header"]}"\n\n')
    if program.in_one_struct:
        members = [_about(c) + array_text(f".{c.name}", c.array, end=",") for c in program.constants]
        return f"{head}TV_CONST {program.name}_weights_type {program.name}_weights TV_WEIGHTS = {{\n{''.join(members)}}};\n"
    return head + "\n".join(_about(c) + array_text(f"TV_CONST {c.ctype} {program.name}_{c.name}[{c.array.size}] "
                                                   f"{'TV_HELD' if c.held else 'TV_WEIGHTS'}", c.array)
                            for c in program.constants)


def _about(constant):
    return f"/* {comment(constant.comment)} */\n" if constant.comment else ""


def _rows(program):
    rows = []
    for op in program.computed:
        step = program.steps[op.name]
        where = program.offsets.get(op.name, "caller's")
        cells = [c_string(op.name), step.kernels[0], "x".join(map(str, op.shape)), op.macc, program.constant_bytes(op),
                 op.nbytes, where, step.scratch]
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(rows)
