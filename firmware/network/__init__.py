"""A network as firmware: its generated C, the application around it and the firmware base, linked together.

    image = build_network(tinyvgg.load_model("light.tvq"), "build", name="light")      # build/light.elf .bin .hex .map .tvq
"""
import math
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from string import Template

from tinyvgg._version import __version__
from tinyvgg.codegen.emit import c_string, check_name, identifier, number
from tinyvgg.codegen.generate import generate, graph_of, model_sha256
from tinyvgg.codegen.guard import parse_guard
from tinyvgg.codegen.program import Program
from tinyvgg.codegen.variants import plain_sha256
from tinyvgg.errors import BuildError, FormatError, OptionError
from tinyvgg.firmware.build import Image, build, kept
from tinyvgg.firmware.image import board_facts
from tinyvgg.images import grey_level
from tinyvgg.report.shown import briefly

ANSWER_BYTES = 508          # TV_OUTPUT_BYTES of tv_app.h
HERE = Path(__file__).parent
TRACE, CRCS, CHECK, PLAIN = 0, 1, 2, 3   # functions of tv_app_call
WEIGHTS = ("flash", "ram")               # where constants are while the board runs
MLPERF_INPUT = 32768                     # bytes: INPUT_BYTES of mlperf/tv_mlperf.c
CODE = ("auto", "sram2", "flash")        # where the kernels that are compiled for one shape run


@briefly
@dataclass(frozen=True)
class Network:
    """A built network: its Image, its model file, and the Program from which its C was printed."""
    image: Image
    tvq: Path
    program: Program
    sha256: str
    code: str = "flash"

    def as_dict(self):
        """Return plain data for a report."""
        return {**self.image.as_dict(), "code": self.code, "model": str(self.tvq), "sha256": self.sha256,
                "arena_bytes": self.program.arena_bytes, "constants_bytes": self.program.constant_bytes()}


def build_network(model, out, *, name=None, board="stm32l4r9i-disco", weights="flash", code="auto", defence="", check_every=1,
                  replace=False, **options):
    """Build the firmware of a model (nn.Model, QuantizedModel, CompressedModel) as OUT/NAME.elf .bin .hex .map; return a Network.

    The deployed model is written to OUT/NAME.tvq; its simulation gives the same bytes as the board.

    weights: "flash", or "ram" to copy the constants there at the start, so that they can be changed. code: "sram2" to copy
    kernels there at the start, so that they run without wait states (variables must then end below SRAM2); "flash"; or "auto" for
    SRAM2 if they fit. defence: checks of the constants, such as "crc,radar=128,ranges,replicas" (codegen/guard.py). They run at
    the start, before every `check_every`-th inference (0: never) and on demand. While they find damaged constants, the board
    reports this instead of a class. replace: also overwrite the files of another network. options: those of firmware.build.build.

    Raises BuildError if the firmware does not fit (by how much, the largest layer, what to do), OptionError if OUT/NAME.tvq is
    another network, whose firmware would be lost.
    """
    graph = graph_of(model)
    name = check_name(identifier(graph.name)[:31] if name is None else name)
    if weights not in WEIGHTS:
        raise OptionError(f"weights in {weights!r}; expected {' or '.join(WEIGHTS)}", "--weights ram")
    if code not in CODE:
        raise OptionError(f"code in {code!r}; expected {', '.join(CODE)}", "--code sram2")
    if not 0 <= check_every < 2 ** 31:
        raise OptionError(f"a check every {check_every} inferences; expected 0 (at the start only) to 2^31 - 1", "--check-every 1")
    if not replace:
        _check_another(graph, Path(out) / f"{name}.tvq")
    _check_constants(graph, name, board, weights)
    if options.get("protocol") == "mlperf":
        _check_mlperf(graph)
    guard = parse_guard(defence) if defence else None
    out, deployed = Path(out), _deployed(model, graph)
    with tempfile.TemporaryDirectory(prefix="tinyvgg-") as folder:
        program = generate(graph, folder, name=name, more_kernels=("tv_softmax_f32",), guard=guard)
        app = app_text(program, model_sha256(graph), check_every=check_every if guard else None)
        (Path(folder) / f"{name}_app.c").write_text(app, encoding="utf-8")
        defines = ["TV_SECTIONS", *(["TV_WEIGHTS_IN_RAM"] if weights == "ram" else []), *_answer(graph.logits), *options.pop("defines", ())]
        placed = _placed(folder, out / name, code, program, board, defines, options)
    deployed.save(out / f"{name}.tvq")
    return Network(placed[0], out / f"{name}.tvq", program, model_sha256(graph), placed[1])


def _answer(logits):
    """Return the C definition for an answer that is larger than the firmware's default buffers, or nothing."""
    size = -(-logits.nbytes // 4) * 4
    return [f"TV_OUTPUT_BYTES={size}"] if size > ANSWER_BYTES else []


def _check_another(graph, path):
    """Raise OptionError if the files of another network would be overwritten; the same network with another plan is allowed."""
    from tinyvgg.firmware.plan import plain_sha256
    from tinyvgg.quant.tvq import load_tvq
    try:
        found = load_tvq(path).graph if path.exists() else graph
    except FormatError:                     # not a .tvq of this library, so nothing can be lost
        return
    if plain_sha256(found) != plain_sha256(graph):
        raise OptionError(f"{path} is another network, {found.name!r}, whose firmware is in the same folder",
                          f"another --out, another --name, or remove {path}")


def _placed(folder, out, code, program, board, defines, options):
    """Build with the kernels in SRAM2 or in flash; return (Image, their place). "auto" takes flash if SRAM2 is not possible."""
    facts = board_facts(board)
    limit = facts.ram["length"] if facts.ramcode["in_ram"] is None else facts.ramcode["in_ram"]
    if code == "auto" and program.arena_bytes >= limit:
        code = "flash"
    for where in ("sram2", "flash") if code == "auto" else (code,):
        try:
            return build([kept(path) for path in sorted(Path(folder).glob("*.c"))], out, board=board,
                         defines=[*defines, *(["TV_RAMCODE"] if where == "sram2" else [])], **options), where
        except BuildError as error:
            if where == "flash" or code == "sram2" or not is_of_size(error):
                raise _explained(error, program) from error
    raise AssertionError("flash is the last place")


def is_of_size(error):
    """Whether a BuildError says that the image is too large."""
    return any(word in error.problem for word in ("missing", "lacks", "overlap"))


def _deployed(model, graph):
    """Return the model that the board computes."""
    if getattr(model, "graph", None) is graph:
        return model
    from tinyvgg.quant.compressed import CompressedModel
    from tinyvgg.quant.model import QuantizedModel
    return QuantizedModel(graph) if graph.ops[0].dtype == "uint8" else CompressedModel(graph)


def _check_constants(graph, name, board, weights="flash"):
    """Raise BuildError if the constants alone exceed the memory, because compiling them first would take minutes."""
    from tinyvgg.codegen.program import build_program
    facts, program = board_facts(board), build_program(graph, name)
    needs = (("constants", program.constant_bytes(), facts.flash["length"], "flash", "code"),
             ("an arena", program.arena_bytes, facts.ram["length"], "RAM", "stack"))
    if weights == "ram":
        needs += (("arena and constants", program.arena_bytes + program.constant_bytes(), facts.ram["length"], "RAM", "stack"),)
    for what, have, limit, kind, rest in needs:
        if have > limit:
            problem = (f"the image does not fit the {facts.part}: {what} of {have:,} bytes in {limit:,} bytes of {kind}: "
                       f"{have - limit:,} bytes are missing, and room for the {rest}")
            raise _explained(BuildError(problem), program)


def _check_mlperf(graph):
    """Raise BuildError if MLPerf Tiny's commands, which send an image as bytes, cannot be used with a network."""
    count = math.prod(graph.ops[0].shape)
    if count > MLPERF_INPUT:
        raise BuildError(f"MLPerf Tiny's commands send at most {MLPERF_INPUT:,} bytes an image; {graph.name!r} takes {count:,}",
                         "--protocol tinyvgg")
    if not takes_bytes(graph):
        raise BuildError(f"MLPerf Tiny's commands send bytes; {graph.name!r} takes floats, starting at {graph.input_range[0]:g}",
                         "an integer model: tinyvgg compress MODEL --scheme int8 --data DATA --out MODEL.tvq")


def takes_bytes(graph):
    """Whether the firmware of a Graph takes images as bytes: for an integer graph, and a float graph whose range begins at 0."""
    return graph.ops[0].dtype == "uint8" or graph.input_range[0] == 0


def _explained(error, program):
    """Return a BuildError about size with the largest layer and a suggestion added."""
    if "missing" not in error.problem and "lacks" not in error.problem:
        return error
    ram = "of RAM" in error.problem or "RAM of" in error.problem
    if ram:
        needs = {op.name: program.scratch[op.name] + op.nbytes for op in program.layers}
        hint = "an integer model: tinyvgg compress MODEL --scheme int8 --data DATA --out MODEL.tvq"
    else:
        needs = {op.name: program.constant_bytes(op) for op in program.computed}
        scheme = "shared4" if program.image.dtype == "uint8" else "int8"
        hint = f"fewer bits a weight: tinyvgg compress MODEL --scheme {scheme} --data DATA --out MODEL.tvq"
    largest = max(needs, key=needs.get)
    what = "output and scratch" if ram else "constants"
    return BuildError(f"{error.problem}; the largest layer is {largest!r}, with {needs[largest]:,} bytes of {what}", hint)


def app_text(program, sha256, header=None, check_every=None):
    """Return the C of the application around a generated network; check_every: inferences between checks, None without a guard."""
    name, graph, logits = program.name, program.graph, program.graph.logits
    integer = program.image.dtype == "uint8"
    low, high = graph.input_range
    types = ["TV_ACCEPTS(TV_U8)", "TV_ACCEPTS(TV_I8)"] if takes_bytes(graph) else []
    shape = [*program.image.shape, 0, 0, 0][:4]
    float_offset, arena_bytes = float_place(program)
    values = {
        "name": name, "UPPER": name.upper(), "version": __version__, "header": header or f"{name}.h",
        "arena_bytes": arena_bytes, "float_offset": float_offset, "model_name": c_string(graph.name)[:63],
        "layer_names": ", ".join(f'"{c_string(op.name)[:60]}"' for op in program.layers),
        "sha256_bytes": _bytes(sha256), "plain_sha256_bytes": _bytes(plain_sha256(graph)), "input_shape": ", ".join(map(str, shape)),
        "input_types": " | ".join([*types, "TV_ACCEPTS(TV_F32)"]),
        "output_type": {"int16": "TV_I16", "uint8": "TV_U8", "float32": "TV_F32"}[logits.dtype],
        "input_scale": f"{name.upper()}_INPUT_SCALE" if integer else number(grey_level(graph.input_range)),
        "probabilities": "" if program.softmax is None else f"static {name}_probability probabilities[{name.upper()}_CLASSES];",
        "probabilities_argument": "" if program.softmax is None else "probabilities, ",
        "convert": _CONVERT_INTEGER.replace("QUANTIZE", _quantize(low)) if integer else _CONVERT_BYTES if takes_bytes(graph) else _CONVERT_NOTHING,
        "softmax": head_text(program, "output", "p"), "outputs": _outputs(program), "tool_version": version_word(), **_guard(name, check_every)}
    return Template((HERE / "network_app.c.in").read_text(encoding="utf-8")).substitute(values)


def float_place(program):
    """Return (offset of a float32 image in the arena, bytes of an arena with room for it).

    The float image is converted to the network's image in place, or at a place that does not overlap it.
    """
    size, offset = 4 * math.prod(program.image.shape), program.offsets[program.image.name]
    place = 0 if program.image.dtype == "uint8" and offset >= size else offset
    return place, max(program.arena_bytes, -(-(place + size) // 8) * 8)


def _quantize(low):
    """Return the C that turns a float image into bytes: see tv_quantize.h."""
    rule, end = ("tv_quantize", "tv_app.input_zero") if low == 0 else ("tv_quantize_from", "tv_app.input_low")
    return f"{rule}((const float *)(const void *)float_image, image, tv_app.input_count, tv_app.input_scale, {end})"


def _bytes(digits):
    return ", ".join(map(str, bytes.fromhex(digits)))


def head_text(program, x, y, indent=4):
    """Return the C of the head in floats, from logits at `x` to probabilities at `y`: sigmoid if the network ends in one."""
    upper = program.name.upper()
    head = "sigmoid" if program.graph.head == "sigmoid" or program.graph.logits.shape == (1,) else "softmax"
    kind = {"int16": "s16_", "uint8": "u8_"}.get(program.graph.logits.dtype, "")
    fields = f"{upper}_CLASSES, {upper}_LOGIT_SCALE" if kind else f"{upper}_CLASSES"
    struct, fields = ("tv_sigmoid_scaled_layer", f"{{ {fields} }}, {upper}_LOGIT_ZERO") if kind and head == "sigmoid" else (
        "tv_softmax_scaled_layer" if kind else "tv_softmax_f32_layer", fields)
    return f"const {struct} layer = {{ {fields} }};\n{' ' * indent}tv_{head}_{kind}f32(&layer, {x}, {y});"


def _outputs(program):
    """Return the C of tv_app_outputs for a network that ends in a softmax; by default the base returns logits."""
    if program.softmax is None:
        return ""
    return f"void tv_app_outputs(const void *output, float *p)\n{{\n    {head_text(program, 'output', 'p')}\n}}\n\n"


def version_word():
    """Return this package's version in ST's form, in C: major << 24 | minor << 16 | patch << 8."""
    major, minor, patch = map(int, re.match(r"(\d+)\.(\d+)\.(\d+)", __version__).groups())
    return f"{major << 24 | minor << 16 | patch << 8:#010x}u"


def _guard(name, check_every):
    if check_every is None:
        return {"guard_include": "", "guard": _NO_GUARD}
    return {"guard_include": f'#include "{name}_guard.h"\n', "guard": Template(_GUARD).substitute(name=name, check_every=check_every)}


_NO_GUARD = """/* No check was built in: constants are believed. */
static void check(void) { }
static int harmed(void) { return 0; }
static int32_t report_check(int anew, uint8_t *out) { (void)anew, (void)out; return -1; }"""
_GUARD = """#define CHECK_EVERY ${check_every}u           /* inferences from one check of the constants to the next; 0: on demand only */
static tv_guard_report found;
static uint32_t check_cycles;

static void check(void)
{
    const uint32_t start = tv_cycles();
    tv_guard_check(&${name}_guard, &found);
    check_cycles = tv_cycles() - start;
}

/* 0, or the status of an inference that is not made because its constants are harmed. */
static int harmed(void)
{
    static uint32_t inferences;
    if (CHECK_EVERY && ++inferences >= CHECK_EVERY) {
        inferences = 0;
        check();
    }
    return found.harmed ? (int)(TV_HARMED | found.array) : 0;
}

static int32_t report_check(int anew, uint8_t *out)
{
    if (anew) check();
    memcpy(out, &found, sizeof found);
    memcpy(out + sizeof found, &check_cycles, sizeof check_cycles);
    return sizeof found + sizeof check_cycles;
}"""
_CONVERT_INTEGER = """/* Bytes as they are; int8 is q - 128; floats are quantised. */
static void convert(int type)
{
    if (type == TV_I8)
        for (uint32_t i = 0; i < tv_app.input_count; i++) image[i] ^= 0x80u;
    if (type == TV_F32)
        QUANTIZE;
}"""
_CONVERT_BYTES = """/* Floats as they are; byte q becomes high * q / 255 in place, the last first. */
static void convert(int type)
{
    float *x = (float *)(void *)image;
    if (type == TV_F32) return;
    for (uint32_t i = tv_app.input_count; i-- > 0;) {
        const uint8_t q = type == TV_I8 ? image[i] ^ 0x80u : image[i];
        x[i] = (float)q * tv_app.input_high / 255.0f;
    }
}"""
_CONVERT_NOTHING = """static void convert(int type) { (void)type; }"""
