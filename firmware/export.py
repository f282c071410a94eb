"""A network for a user's own application: its C, and X-CUBE-AI's client calls on top, for CubeIDE and CMake."""
import re
from pathlib import Path
from string import Template

from tinyvgg._version import __version__
from tinyvgg.codegen.emit import check_name
from tinyvgg.codegen.generate import generate, graph_of, model_sha256
from tinyvgg.codegen.ops._common import map_shape
from tinyvgg.errors import OptionError
from tinyvgg.firmware.network import float_place, head_text
from tinyvgg.firmware.selftest import main_text
from tinyvgg.report.record import write_bytes

CLIENT = Path(__file__).parent / "client"
# For each client: files that are copied, then {file: template}; NAME stands for the name of the network.
_LEGACY = (("ai_datatypes_defines.h", "ai_observer.c", "ai_platform_interface.h", "app_x-cube-ai.h"),
           {"ai_platform.h": "ai_platform.h", "NAME.h": "client.h", "NAME_data.h": "client_data.h", "NAME_client.c": "client.c"})
CLIENTS = {"5": _LEGACY, "7": _LEGACY,
           "stai": (("stai.h", "stai_debug.h"),
                    {"NAME.h": "stai_client.h", "NAME_data.h": "stai_client_data.h", "NAME_client.c": "stai_client.c"})}
_DEFINED = re.compile(r"^(?!static\b)(?:[a-z]\w*[ *]+)+(tv_\w+)\(", re.M)


def export(model, folder, *, name="network", client="7"):
    """Write the C of a model with X-CUBE-AI's client calls (ai_NAME_create_and_init, ...) into `folder`; return plain data.

    model: nn.Model, QuantizedModel, CompressedModel or Graph, for images. The client's input and output are float32. client: the
    version of the calls: "5" (X-CUBE-AI 5 to 7.0, whose buffers have n_batches), "7" (7.1 to 10) or "stai" (the st-ai API).
    Raises OptionError for a name that is not a C identifier.
    """
    if client not in CLIENTS:
        raise OptionError(f"client {client!r}; expected {', '.join(CLIENTS)}", "--client 7")
    graph = graph_of(model)
    folder = Path(folder)
    program = generate(graph, folder, name=check_name(name), header=f"{name}_tinyvgg.h", more_kernels=("tv_softmax_f32",))
    values = _values(program, model_sha256(graph)) | {"client": client}
    copied, templates = CLIENTS[client]
    texts = {file: (CLIENT / file).read_text(encoding="utf-8") for file in copied}
    texts["tv_quantize.h"] = (Path(__file__).parent / "common" / "tv_quantize.h").read_text(encoding="utf-8")
    readme = "README.stai.md" if client == "stai" else "README.legacy.md"
    for file, template in {**templates, "sections.ld": "sections.ld", "README.md": readme}.items():
        texts[file.replace("NAME", name)] = _filled(template, values)
    texts |= {path.name: weak(path.read_text(encoding="utf-8")) for path in folder.glob("tv_*.c")}
    for file, text in texts.items():
        write_bytes(folder / file, text)
    sources = sorted(p.name for p in folder.glob("*.c"))
    values["sources"] = "\n".join(f"    {s}" for s in sources)
    values["zephyr_sources"] = "\n".join(f"    ../{s}" for s in sources)
    write_bytes(folder / "main.c", main_text(program, (CLIENT / "main.c.in").read_text(encoding="utf-8"), values))
    for file, template in (("CMakeLists.txt", "CMakeLists.txt"), ("library.json", "library.json"),
                           ("zephyr/module.yml", "module.yml"), ("zephyr/CMakeLists.txt", "zephyr.cmake")):
        write_bytes(folder / file, _filled(template, values))
    return {"name": name, "folder": str(folder), "files": sorted(p.name for p in folder.iterdir()), "sha256": values["sha256"],
            "constants_bytes": values["constants"], "arena_bytes": program.arena_bytes,
            "activations_bytes": values["activations"]}


def weak(text):
    """Return a kernel file with weak functions, because two exported networks in one project define the same functions."""
    names = sorted(set(_DEFINED.findall(text)))
    end = "\n/* Another network of tinyvgg's in the same project may bring this too. */\n"
    return text.rstrip("\n") + "\n" + end + "".join(f"#pragma weak {name}\n" for name in names)


def _filled(name, values):
    return Template((CLIENT / f"{name}.in").read_text(encoding="utf-8")).substitute(values)


def _values(program, sha256):
    graph, (height, width, channels) = program.graph, map_shape(program.image.shape)
    classes, softmax = graph.logits.shape[-1], program.softmax is not None
    float_offset, arena = float_place(program)
    low, high = graph.input_range
    integer = program.image.dtype == "uint8"
    return {
        "name": program.name, "UPPER": program.name.upper(), "version": __version__, "sha256": sha256, "signature": sha256[:16],
        "model_name": "".join(c if c.isalnum() or c in "_-. " else "_" for c in graph.name), "layers": len(program.layers),
        "height": height, "width": width, "channels": channels, "input_count": height * width * channels,
        "input_bytes": 4 * height * width * channels, "classes": classes, "output_bytes": 4 * classes,
        "activations": arena + 4 * classes, "float_offset": float_offset, "output_offset": arena,
        "constants": program.constant_bytes(),
        "macc": sum(op.macc for op in graph.ops), "input_meaning": f"an image in {low:g}..{high:g}, channels last",
        "output_meaning": "the probabilities" if softmax else "the logits", "null_probabilities": "NULL, " if softmax else "",
        "own_input": "uint8 images" if integer else "float32 images", "own_logits": graph.logits.dtype,
        "convert": _CONVERT_INTEGER.format(upper=program.name.upper(), rule="" if low == 0 else "_from",
                                           end="LOW" if low else "ZERO") if integer else _CONVERT_FLOAT,
        "finish": _finish(program)}


def _finish(program):
    """Return the C that turns `logits` into `values`."""
    upper, dtype = program.name.upper(), program.graph.logits.dtype
    if program.softmax is not None:
        return f"        {head_text(program, 'logits', 'values', indent=8)}"
    value = "logits[i]" if dtype == "float32" else f"{upper}_LOGIT_SCALE * (float)(logits[i] - {upper}_LOGIT_ZERO)"
    return f"        for (uint32_t i = 0; i < {upper}_CLASSES; i++) values[i] = {value};"


_CONVERT_INTEGER = """/* Float pixels become the bytes that the network takes. */
static const void *convert(const void *input)
{{
    uint8_t *image = arena + {upper}_IMAGE_OFFSET;
    tv_quantize{rule}((const float *)input, image, {upper}_INPUT_COUNT, {upper}_INPUT_SCALE, {upper}_INPUT_{end});
    return image;
}}"""
_CONVERT_FLOAT = "static const void *convert(const void *input) { return input; }"
