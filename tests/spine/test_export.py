"""The exported folder: an application written for X-CUBE-AI compiles against it unchanged, and answers as the simulation does."""
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tinyvgg.errors import OptionError
from tinyvgg.firmware.export import export

HERE = Path(__file__).parent
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
                                    "app_x-cube-ai.h", "CMakeLists.txt", "README.md", "sections.ld"}
    return request.param, model, folder


def compiled(folder, program, sources, flags=()):
    if not shutil.which("gcc"):
        pytest.skip("no gcc here")
    subprocess.run(["gcc", "-std=gnu11", "-O2", "-Wno-incompatible-pointer-types", *flags, f"-I{folder}", f"-I{HERE}",
                    *map(str, sources), *map(str, sorted(folder.glob("*.c"))), "-o", str(program)],
                   check=True, capture_output=True, text=True)
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
    program = compiled(folder, tmp_path / "older", [source], ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"])
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
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_bad_name(mini, tmp_path):
    with pytest.raises(OptionError, match="no name for a C identifier"):
        export(mini[1], tmp_path / "x", name="cifar-10")
