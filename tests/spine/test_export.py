"""The exported folder: an application written for X-CUBE-AI compiles against it unchanged, and answers as the simulation does."""
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinyvgg.codegen.objects import objects
from tinyvgg.errors import OptionError
from tinyvgg.firmware.export import export

HERE = Path(__file__).parent
SANITIZED = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
STRICT = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
# The older way of the same API: create, then init with parameters; buffers of the client's own; a report.
OLDER = """
#include <stdio.h>
#include <string.h>
#include "NAME.h"
#include "NAME_data.h"
static ai_handle network = AI_HANDLE_NULL;
AI_ALIGNED(4) static ai_u8 activations[AI_UPPER_DATA_ACTIVATIONS_SIZE];
AI_ALIGNED(4) static ai_float in_data[AI_UPPER_IN_1_SIZE], out_data[AI_UPPER_OUT_1_SIZE];
int main(void)
{
    ai_error err = ai_NAME_create(&network, AI_UPPER_DATA_CONFIG);
    ai_network_report report;
    const ai_network_params wrong = { AI_UPPER_DATA_WEIGHTS(0), AI_UPPER_DATA_ACTIVATIONS(0) };
    const ai_network_params params = AI_NETWORK_PARAMS_INIT(AI_UPPER_DATA_WEIGHTS(ai_NAME_data_weights_get()),
                                                            AI_UPPER_DATA_ACTIVATIONS(activations));
    const ai_network_params positional = { AI_UPPER_DATA_WEIGHTS(ai_NAME_data_weights_get()),
                                           AI_UPPER_DATA_ACTIVATIONS(activations) };
    ai_buffer input, output;
    if (err.type != AI_ERROR_NONE) return 1;
    input = ai_NAME_inputs_get(network, NULL)[0], output = ai_NAME_outputs_get(network, NULL)[0];
    if (ai_NAME_run(network, &input, &output) != 0 || ai_NAME_get_error(network).type != AI_ERROR_INVALID_STATE) return 2;
    if (ai_NAME_init(network, &wrong)) return 3;
    err = ai_NAME_get_error(network);
    if (err.type != AI_ERROR_INIT_FAILED || err.code != AI_ERROR_CODE_NETWORK_ACTIVATIONS) return 4;
    if (!ai_NAME_init(network, &params) || !ai_NAME_init(network, &positional)) return 5;
    if (!ai_NAME_get_info(network, &report) || report.n_inputs != 1 || report.inputs->size != AI_UPPER_IN_1_SIZE) return 6;
    if (AI_BUFFER_SHAPE_ELEM(report.inputs, AI_SHAPE_CHANNEL) != AI_UPPER_IN_1_CHANNEL) return 7;
    input.data = NULL;
    if (ai_NAME_run(network, &input, &output) != 0 || ai_NAME_get_error(network).type != AI_ERROR_INVALID_INPUT) return 8;
    input.data = in_data, output.data = out_data;
    while (fread(in_data, 1, sizeof in_data, stdin) == sizeof in_data) {
        if (ai_NAME_run(network, &input, &output) != 1) return 9;
        fwrite(out_data, 1, sizeof out_data, stdout);
    }
    network = ai_NAME_destroy(network);
    return network != AI_HANDLE_NULL;
}
"""


@pytest.fixture(scope="module", params=["int8", "float"])
def exported(request, mini, tmp_path_factory):
    """(kind, the model, the folder of its export as cifar10)."""
    model = mini[1] if request.param == "int8" else mini[0]
    folder = tmp_path_factory.mktemp(request.param) / "cifar10"
    result = export(model, folder, name="cifar10")
    assert set(result["files"]) >= {"cifar10.h", "cifar10_data.h", "cifar10_tinyvgg.h", "ai_platform.h", "ai_datatypes_defines.h",
                                    "app_x-cube-ai.h", "CMakeLists.txt", "README.md", "sections.ld", "main.c", "library.json", "zephyr"}
    return request.param, model, folder


LINKER = """
MEMORY {{ CODE (rx) : ORIGIN = {code}, LENGTH = {code_length}  RAM (rwx) : ORIGIN = {ram}, LENGTH = {ram_length} }}
ENTRY(start)
SECTIONS {{ .text : {{ KEEP(*(.vectors)) *(.text .text.*) *(.rodata .rodata.*) *(.ARM.exidx* .ARM.extab*) . = ALIGN(8); }} > CODE
 .data : {{ *(.data .data.*) . = ALIGN(8); }} > RAM
 .bss (NOLOAD) : {{ bss_start = .; *(.bss .bss.*) *(COMMON) . = ALIGN(8); bss_end = .; end = .; }} > RAM
 stack_top = ORIGIN(RAM) + LENGTH(RAM); }}
"""
MPS2 = {"code": 0, "code_length": "4M", "ram": 0x20000000, "ram_length": "4M"}
# Machine, the core's flags, where its memories lie.
CORES = {"m0": ("microbit", ["-mcpu=cortex-m0"], {"code": 0, "code_length": "256K", "ram": 0x20000000, "ram_length": "16K"}),
         "m3": ("mps2-an385", ["-mcpu=cortex-m3"], MPS2),
         "m4": ("mps2-an386", ["-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"], MPS2),
         "m7": ("mps2-an500", ["-mcpu=cortex-m7", "-mfpu=fpv5-d16", "-mfloat-abi=hard"], MPS2),
         "m33": ("mps2-an505", ["-mcpu=cortex-m33"], {**MPS2, "code": 0x10000000, "ram": 0x38000000})}
LIKE_OTHERS = ("m3", "m7")              # no DSP as m0; another FPU than m4
IN_BRIEF = pytest.mark.parametrize("exported", ["int8", pytest.param("float", marks=pytest.mark.slow)], indirect=True)
# The client of X-CUBE-AI 5: buffers by initialisers, n_batches; and that of the st-ai API.
FIVE = """
#include <stdio.h>
#include "cifar10.h"
#include "cifar10_data.h"
#include "ai_datatypes_defines.h"
static ai_u8 activations[AI_CIFAR10_DATA_ACTIVATIONS_SIZE] AI_ALIGNED(8);
AI_STATIC ai_float in_data[AI_CIFAR10_IN_1_SIZE], out_data[AI_CIFAR10_OUT_1_SIZE];
AI_DECLARE_STATIC ai_int is_float(const ai_buffer *b) { return AI_BUFFER_FORMAT(b) == 0x01821040; }
int main(void)
{
    ai_handle network = AI_HANDLE_NULL;
    ai_buffer in[AI_CIFAR10_IN_NUM] = AI_CIFAR10_IN;
    ai_buffer out[AI_CIFAR10_OUT_NUM] = AI_CIFAR10_OUT;
    const ai_network_params params = { AI_CIFAR10_DATA_WEIGHTS(ai_cifar10_data_weights_get()), AI_CIFAR10_DATA_ACTIVATIONS(activations) };
    if (ai_cifar10_create(&network, AI_CIFAR10_DATA_CONFIG).type != AI_ERROR_NONE || !ai_cifar10_init(network, &params)) return 1;
    if (in[0].channels != AI_CIFAR10_IN_1_CHANNEL || in[0].height != 32 || !is_float(in)) return 2;
    in[0].n_batches = 1, in[0].data = AI_HANDLE_PTR(in_data);
    out[0].n_batches = 1, out[0].data = AI_HANDLE_PTR(out_data);
    while (fread(in_data, 1, sizeof in_data, stdin) == sizeof in_data) {
        if (ai_cifar10_run(network, &in[0], &out[0]) != 1) return 3;
        fwrite(out_data, 1, sizeof out_data, stdout);
    }
    return 0;
}
"""
STAI = """
#include <stdio.h>
#include "cifar10.h"
#include "cifar10_data.h"
STAI_NETWORK_CONTEXT_DECLARE(network, STAI_CIFAR10_CONTEXT_SIZE)
STAI_ALIGNED(8) static uint8_t activations[STAI_CIFAR10_ACTIVATIONS_SIZE];
static float in_data[STAI_CIFAR10_IN_1_SIZE], out_data[STAI_CIFAR10_OUT_1_SIZE];
int main(void)
{
    stai_ptr pool[] = { activations }, in[] = { (stai_ptr)in_data }, out[] = { (stai_ptr)out_data }, weights[] = {
    (stai_ptr)g_cifar10_weights_array };
    stai_network_info info;
    stai_size n = 0;
    if (stai_runtime_init() != STAI_SUCCESS || stai_cifar10_run(network, STAI_MODE_SYNC) != STAI_ERROR_NETWORK_INVALID_CONTEXT_HANDLE) return 1;
    if (stai_cifar10_init(network) != STAI_SUCCESS || stai_cifar10_run(network, STAI_MODE_SYNC) == STAI_SUCCESS) return 2;
    if (stai_cifar10_get_error(network) != STAI_ERROR_NETWORK_INVALID_ACTIVATIONS_PTR || stai_cifar10_get_error(network) != STAI_SUCCESS) return 3;
    if (stai_cifar10_set_activations(network, pool, 2) != STAI_ERROR_NETWORK_INVALID_ACTIVATIONS_NUM) return 4;
    if (stai_cifar10_set_activations(network, pool, 1) || stai_cifar10_set_weights(network, weights, 1)) return 5;
    if (stai_cifar10_get_inputs(network, pool, &n) || n != 1 || pool[0] < activations) return 6;
    if (stai_cifar10_set_inputs(network, in, 1) || stai_cifar10_set_outputs(network, out, 1)) return 7;
    if (stai_cifar10_get_info(network, &info) || info.inputs[0].shape.size != 4 || info.inputs[0].shape.data[3] != 3) return 8;
    while (fread(in_data, 1, sizeof in_data, stdin) == sizeof in_data) {
        if (stai_cifar10_run(network, STAI_MODE_SYNC) != STAI_SUCCESS) return 9;
        fwrite(out_data, 1, sizeof out_data, stdout);
    }
    return 0;
}
"""


def compiled(folder, program, sources, flags=()):
    if not shutil.which("gcc"):
        pytest.skip("no gcc here")
    command = ["gcc", "-std=gnu11", "-O1", "-Wno-incompatible-pointer-types", *(flag for flag in flags if flag[:2] != "-I")]
    kernels = sorted(folder.glob("tv_*.c"))             # the same in each export: compiled once
    place = program.parent / f"{program.name}-kernels"
    place.mkdir()

    def run(words):
        subprocess.run(words, check=True, capture_output=True, text=True, cwd=place)
    rest = [*sources, *sorted(set(folder.glob("*.c")) - set(kernels))]
    run([*command, *flags, f"-I{folder}", f"-I{HERE}", *map(str, rest), *objects(list(map(str, kernels)), command, run, place), "-o", str(program)])
    return program


def test_an_unchanged_application(exported, images, tmp_path):
    kind, model, folder = exported
    app = tmp_path / "app_x-cube-ai.c"
    app.write_text((HERE / "client_app.c").read_text().replace("NAME", "cifar10").replace("UPPER", "CIFAR10"))
    program = compiled(folder, tmp_path / "app", [app, HERE / "client_main.c"])
    x = images[:4] / np.float32(255)
    done = subprocess.run([program], input=b"\x00\x01\xab\xab" + x.tobytes(), capture_output=True, timeout=60)
    assert done.stdout[:2] == b"\xcd\0" and len(done.stdout) == 2 + 40
    scores = np.frombuffer(done.stdout[2:], np.uint8).reshape(4, 10)
    expected = np.floor(255 * model.predict(images[:4] if kind == "int8" else x).astype(np.float64))
    assert np.abs(scores - expected).max() <= 1


def test_the_older_calls(exported, images, tmp_path):
    kind, model, folder = exported
    source = tmp_path / "older.c"
    source.write_text(OLDER.replace("NAME", "cifar10").replace("UPPER", "CIFAR10"))
    program = compiled(folder, tmp_path / "older", [source], SANITIZED)
    x = images[:3] / np.float32(255)
    done = subprocess.run([program], input=x.tobytes(), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    got = np.frombuffer(done.stdout, np.float32).reshape(3, 10)
    assert np.abs(got - model.predict(images[:3] if kind == "int8" else x)).max() < 1e-6


def test_strict(exported, tmp_path):
    if not shutil.which("gcc"):
        pytest.skip("no gcc here")
    done = subprocess.run(["gcc", *STRICT, "-O2", "-c", *map(str, exported[2].glob("*.c"))], cwd=tmp_path, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr


@IN_BRIEF
def test_cmake(exported, tmp_path):
    if not shutil.which("cmake"):
        pytest.skip("no cmake here")
    subprocess.run(["cmake", "-S", exported[2], "-B", tmp_path, "-DTV_SECTIONS=ON"], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", tmp_path], check=True, capture_output=True)


def test_sections(exported, tmp_path):
    """With TV_SECTIONS the constants lie in a section of their own."""
    if not shutil.which("gcc") or not shutil.which("objdump"):
        pytest.skip("no gcc or objdump here")
    kind, _, folder = exported
    subprocess.run(["gcc", "-DTV_SECTIONS", "-c", str(folder / "cifar10_weights.c"), "-o", str(tmp_path / "w.o")], check=True)
    text = subprocess.run(["objdump", "-h", str(tmp_path / "w.o")], capture_output=True, text=True).stdout
    size = next(int(line.split()[2], 16) for line in text.splitlines() if ".tv_weights" in line)
    assert size >= 2_000


def test_twice_the_same(mini, exported, tmp_path):
    kind, model, folder = exported
    export(model, tmp_path / "again", name="cifar10")
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(folder)).read_bytes()


def test_bad_name(mini, tmp_path):
    with pytest.raises(OptionError, match="not possible as a C identifier"):
        export(mini[1], tmp_path / "x", name="cifar-10")


@pytest.mark.parametrize("client, source", [("5", FIVE), ("stai", STAI)])
def test_other_generations(mini, images, tmp_path, client, source):
    """The same answers through the calls of X-CUBE-AI 5 and of the st-ai API."""
    folder = tmp_path / "cifar10"
    export(mini[1], folder, name="cifar10", client=client)
    (tmp_path / "app.c").write_text(source)
    strict = subprocess.run(["gcc", *STRICT, "-c", *map(str, folder.glob("*.c"))], cwd=tmp_path, capture_output=True, text=True) \
        if shutil.which("gcc") else pytest.skip("no gcc here")
    assert strict.returncode == 0, strict.stderr
    program = compiled(folder, tmp_path / "app", [tmp_path / "app.c"], SANITIZED)
    x = images[:2] / np.float32(255)
    done = subprocess.run([program], input=x.tobytes(), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    assert np.abs(np.frombuffer(done.stdout, np.float32).reshape(2, 10) - mini[1].predict(images[:2])).max() < 1e-6


OBSERVED = """
#include <stdio.h>
#include "NAME.h"
#include "NAME_data.h"
#include "NAME_tinyvgg.h"
AI_ALIGNED(8) static ai_u8 activations[AI_UPPER_DATA_ACTIVATIONS_SIZE];
static ai_float in_data[AI_UPPER_IN_1_SIZE], out_data[AI_UPPER_OUT_1_SIZE];
static int before, after;
static ai_u32 on_node(const ai_handle cookie, const ai_u32 flags, const ai_observer_node *node)
{
    if (cookie != activations) printf("cookie ");
    if (flags & AI_OBSERVER_PRE_EVT) before++;
    if (flags & AI_OBSERVER_POST_EVT) after++;
    printf("%d%s%s%s%s ", node->c_idx, flags & AI_OBSERVER_PRE_EVT ? "<" : "", flags & AI_OBSERVER_POST_EVT ? ">" : "",
           flags & AI_OBSERVER_FIRST_EVT ? "F" : "", flags & AI_OBSERVER_LAST_EVT ? "L" : "");
    return (flags & AI_OBSERVER_POST_EVT ? node->output != NULL && node->output_bytes : node->output == NULL) ? 0 : printf("output ");
}
int main(void)
{
    ai_handle network = AI_HANDLE_NULL;
    const ai_handle pool[] = { activations };
    const ai_u32 both = AI_OBSERVER_PRE_EVT | AI_OBSERVER_POST_EVT;
    ai_observer_node info = { .c_idx = AI_UPPER_N_NODES };
    ai_observer_exec_ctx ctx = { .on_node = on_node, .cookie = activations, .flags = AI_OBSERVER_POST_EVT };
    ai_buffer in, out;
    if (ai_platform_observer_register(NULL, on_node, activations, both)) return 1;
    if (ai_NAME_create_and_init(&network, pool, NULL).type != AI_ERROR_NONE) return 2;
    in = *ai_NAME_inputs_get(network, NULL), out = *ai_NAME_outputs_get(network, NULL);
    in.data = in_data, out.data = out_data;
    if (ai_platform_observer_node_info(network, &info) || ai_NAME_get_error(network).type != AI_ERROR_INVALID_PARAM) return 3;
    info.c_idx = 1;
    if (!ai_platform_observer_node_info(network, &info) || info.id != 1) return 4;
    if (ai_platform_observer_register(network, NULL, activations, both)) return 5;
    if (!ai_platform_observer_register(network, on_node, activations, both)) return 6;
    if (ai_platform_observer_register(network, on_node, activations, both) || ai_platform_observer_register_s(network, &ctx)) return 7;
    if (ai_NAME_run(network, &in, &out) != 1 || before != AI_UPPER_N_NODES || after != before) return 8;
    if (ai_platform_observer_unregister(network, on_node, NULL) || !ai_platform_observer_unregister(network, on_node, activations)) return 9;
    if (ai_NAME_run(network, &in, &out) != 1 || after != AI_UPPER_N_NODES) return 10;
    if (!ai_platform_observer_register_s(network, &ctx) || ctx.n_nodes != AI_UPPER_N_NODES) return 11;
    if (ai_NAME_run(network, &in, &out) != 1 || after != 2 * AI_UPPER_N_NODES || before != AI_UPPER_N_NODES) return 12;
    if (!ai_platform_observer_unregister_s(network, &ctx) || ai_platform_observer_unregister_s(network, &ctx)) return 13;
    return 0;
}
"""


@pytest.mark.parametrize("client", ["5", "7"])
def test_an_observer_of_sts_kind(mini, tmp_path, client):
    """It is called before and after each layer, in order, the first and the last marked."""
    folder = tmp_path / "net"
    export(mini[1], folder, name="net", client=client)
    (tmp_path / "app.c").write_text(OBSERVED.replace("NAME", "net").replace("UPPER", "NET"))
    program = compiled(folder, tmp_path / "app", [tmp_path / "app.c"], SANITIZED)
    done = subprocess.run([program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr[-2000:])
    last = int(re.search(r"N_NODES \((\d+)\)", (folder / "net.h").read_text())[1]) - 1
    expected = [f"{i}{way}{'F' * (i == 0)}{'L' * (i == last)}" for i in range(last + 1) for way in "<>"]
    assert done.stdout.split() == expected + expected[1::2]


def test_an_unknown_client(mini, tmp_path):
    with pytest.raises(OptionError, match="client '6'; expected 5, 7, stai"):
        export(mini[1], tmp_path, client="6")


def test_it_proves_itself(exported, tmp_path):
    """The folder alone is a program that passes; with a weight changed it names a logit."""
    kind, _, folder = exported
    passed = subprocess.run([compiled(folder, tmp_path / "passes", [])], capture_output=True, text=True, timeout=60)
    assert (passed.returncode, passed.stdout) == (0, "self-test passed\n")
    harmed = tmp_path / "harmed"
    shutil.copytree(folder, harmed)
    weights = harmed / "cifar10_weights.c"
    text = weights.read_text()
    row = re.compile(r"(dense_1_weights.*?\{\s*)((?:-?[\d.e+-]+f?,\s*){12})", re.S)       # of logit 0: some of its inputs are 0
    wrong = ("99, " if kind == "int8" else "9.9f, ") * 12
    assert row.search(text)
    weights.write_text(row.sub(lambda m: m[1] + wrong, text, count=1))
    told = subprocess.run([compiled(harmed, tmp_path / "fails", [])], capture_output=True, text=True, timeout=60)
    assert told.returncode == 1 and "self-test FAILED: logit 0 is " in told.stdout and "logit 9" not in told.stdout, told.stdout


@IN_BRIEF
def test_two_networks_in_one_project(exported, mini, tmp_path):
    kind, model, folder = exported
    export(model, tmp_path / "other", name="other")
    (tmp_path / "main.c").write_text('#include "cifar10.h"\n#include "other.h"\nint cifar10_self_test(void);\nint other_self_test(void);\n'
                                     "int main(void) { return cifar10_self_test() | other_self_test(); }\n")
    program = compiled(folder, tmp_path / "two", [tmp_path / "main.c", *(tmp_path / "other").glob("*.c")], [f"-I{tmp_path / 'other'}"])
    done = subprocess.run([program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, 2 * "self-test passed\n")


@pytest.mark.parametrize("core", [pytest.param(core, marks=[pytest.mark.slow] * (core in LIKE_OTHERS)) for core in CORES])
def test_it_proves_itself_on_other_cores(mini, tmp_path, core):
    """By gcc, under QEMU, with semihosting."""
    if not shutil.which("arm-none-eabi-gcc") or not shutil.which("qemu-system-arm"):
        pytest.skip("no arm-none-eabi-gcc and qemu-system-arm here (Debian: gcc-arm-none-eabi, qemu-system-arm)")
    machine, flags, places = CORES[core]
    export(mini[1], tmp_path / "net", name="net")
    (tmp_path / "link.ld").write_text(LINKER.format(**places))
    elf = tmp_path / "net.elf"
    subprocess.run(["arm-none-eabi-gcc", "-mthumb", *flags, "-O1", "-std=c99", "-nostartfiles", "--specs=nano.specs", "--specs=rdimon.specs",
                    "-T", tmp_path / "link.ld", HERE / "semihosting.c", *sorted((tmp_path / "net").glob("*.c")), "-lm", "-o", elf],
                   check=True, capture_output=True)
    done = subprocess.run(["qemu-system-arm", "-M", machine, "-nographic", "-monitor", "none", "-serial", "none", "-semihosting-config",
                           "enable=on,target=native", "-kernel", elf], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "self-test passed\n"), done.stderr


def proves_itself(exported, tmp_path, compiler, run):
    subprocess.run([*compiler, "-O1", "-static", *sorted(exported[2].glob("*.c")), "-lm", "-o", tmp_path / "net"], check=True, capture_output=True)
    done = subprocess.run([run, tmp_path / "net"], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "self-test passed\n")


@pytest.mark.parametrize("prefix, emulator", [("s390x-linux-gnu", "qemu-s390x"), ("arm-linux-gnueabihf", "qemu-arm")])
def test_it_proves_itself_on_other_machines(exported, tmp_path, prefix, emulator):
    compiler, run = shutil.which(f"{prefix}-gcc"), shutil.which(f"{emulator}-static") or shutil.which(emulator)
    if not (compiler and run):
        pytest.skip(f"no {prefix}-gcc and {emulator} here (Debian: gcc-{prefix}, qemu-user)")
    proves_itself(exported, tmp_path, [compiler], run)


@pytest.mark.slow
def test_it_proves_itself_on_32_bit_arm_by_zig(exported, tmp_path):
    """Which builds a C library first."""
    pytest.importorskip("ziglang")
    run = shutil.which("qemu-arm-static") or shutil.which("qemu-arm") or pytest.skip("no qemu-arm here (Debian: qemu-user)")
    proves_itself(exported, tmp_path, [sys.executable, "-m", "ziglang", "cc", "-target", "arm-linux-musleabihf"], run)
