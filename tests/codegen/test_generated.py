"""The generated folder: strict C, the same bytes twice, clean under sanitizers, sentences for what cannot be."""
import dataclasses
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tinyvgg import codegen
from tinyvgg.codegen.host import FLAGS, find_compiler
from tinyvgg.codegen.objects import objects
from tinyvgg.errors import NotYet, OptionError
from tinyvgg.quant import quantize
from tinyvgg.quant.ops.base import Op

STRICT = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
COMPILERS = {"gcc": ["gcc", "-fno-stack-protector"], "clang": ["clang"], "zig": [sys.executable, "-m", "ziglang", "cc"],
             "arm-none-eabi-gcc": ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"],
             "zig for the Cortex-M4": [sys.executable, "-m", "ziglang", "cc", "-target", "thumb-freestanding-eabihf",
                                       "-mcpu=cortex_m4+vfp4d16sp", "-isystem", "FIRMWARE"]}


def fixed(rng):
    """A graph with a convolution of each variant that is made for its shape."""
    from tests.quant.networks import randomise
    from tinyvgg import nn
    from tinyvgg.codegen import with_variants
    from tinyvgg.nn import layers as L
    from tinyvgg.quant.ops.weighted import VARIANTS
    convolutions = [L.Conv2D(6, 3, padding="same", activation="relu6" if i % 2 else "relu") for i in range(len(VARIANTS) - 2)]
    model = nn.Sequential([L.InputLayer((7, 9, 3)), *convolutions, L.MaxPooling2D(), L.Flatten(),
                           L.Dense(3, activation="softmax")])
    graph = quantize(randomise(model, rng), rng.integers(0, 256, (4, 7, 9, 3), dtype=np.uint8)).graph
    return with_variants(graph, {op.name: v for op, v in zip(graph.ops[1:], VARIANTS[2:], strict=False)})


def every_op(floats=False):
    """A network of the layers that the other graphs lack; `floats`: also those that have no integers."""
    from tinyvgg import nn
    from tinyvgg.nn import layers as L
    image = nn.Input((6, 5, 4))
    node = L.Conv2D(4, 3, padding="same")(image)
    for name in ("elu", "gelu", "sigmoid", "softplus", "mish"):
        node = L.Activation(name)(node)
    gate = L.Conv2D(4, 1, activation="sigmoid")(L.GlobalAveragePooling2D(keepdims=True)(node))
    node = L.Subtract()([L.Maximum()([L.Average()([L.Multiply()([node, gate]), image]), node]), image])
    node = L.Concatenate()([node, image])
    for layer in (L.UpSampling2D(), L.Cropping2D(1), L.Permute((3, 1, 2)), L.ZeroPadding2D(((1, 0), (0, 2))), L.MaxPooling2D(),
                  L.AveragePooling2D(3, strides=2, padding="same"), L.Softmax(),
                  L.PReLU("glorot_uniform"), *[L.LayerNormalization()] * floats, L.Flatten(), L.Activation("tanh"),
                  L.Reshape((3, -1)), L.Conv1D(6, 2), L.Flatten(), L.Dense(10, activation="softmax")):
        node = layer(node)
    return nn.Model(image, node)


def one_layer():
    """A graph from image to logits without anything between: it needs no arena."""
    from tinyvgg import nn
    from tinyvgg.nn import layers as L
    from tinyvgg.quant.fuse import fuse
    return fuse(nn.Sequential([L.InputLayer((9, 8, 3)), L.Flatten(), L.Dense(10, activation="softmax")]))


@pytest.fixture(scope="module")
def folders(small, tmp_path_factory):
    """Folders of the same small net as floats, int8, and codebooks."""
    from tinyvgg.quant.fuse import fuse
    from tinyvgg.testing.integer_networks import share_weights
    x = np.random.default_rng(1).integers(0, 256, (8, 9, 8, 3), dtype=np.uint8)
    q, rng = quantize(small, x), np.random.default_rng(0)
    graphs = {"floats": fuse(small), "int8": q.graph, "shared3": share_weights(q.graph, 3, rng, by_channel=True),
              "float_shared": share_weights(fuse(small), 4, rng, by_channel=False),
              "probabilities": quantize(small, x, softmax="float").graph}
    graphs["fixed"] = fixed(rng)
    graphs["one_layer"] = one_layer()
    graphs["ops"] = quantize(every_op(), rng.integers(0, 256, (4, 6, 5, 4), dtype=np.uint8)).graph
    graphs["float_ops"] = fuse(every_op(floats=True))
    root = tmp_path_factory.mktemp("generated")
    for name, graph in graphs.items():
        codegen.generate(graph, root / name, name=name)
    return root, graphs


def strict(folders, compiler, place):
    """Object files of all folders in `place`; what stands in several of them is compiled once. clang's warnings do not depend on -O."""
    command = COMPILERS[compiler]
    if "ziglang" in command:
        pytest.importorskip("ziglang")
    elif not shutil.which(command[0]):
        pytest.skip(f"no {compiler} here")
    from tinyvgg import firmware
    headers = os.path.join(os.path.dirname(firmware.__file__), "include")
    if "FIRMWARE" in command and not os.path.isdir(headers):
        pytest.skip("no firmware headers here")
    command = [headers if c == "FIRMWARE" else c for c in command]
    sources = {f.name if f.name.startswith("tv_") else str(f): f for folder in folders[0].iterdir() for f in folder.glob("*.c")}
    optimised = ["-O2"] if "gcc" in compiler else ["-O0", "-fno-sanitize=all"]
    done = subprocess.run([*command, *STRICT, *optimised, "-c", *map(str, sources.values())], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture(scope="module")
def by_gcc(folders, tmp_path_factory):
    return strict(folders, "gcc", tmp_path_factory.mktemp("gcc"))


@pytest.mark.parametrize("compiler", COMPILERS)
def test_strict(folders, compiler, tmp_path, request):
    assert any((request.getfixturevalue("by_gcc") if compiler == "gcc" else strict(folders, compiler, tmp_path)).glob("*.o*"))


def test_two_runs_write_the_same_bytes(folders, tmp_path):
    root, graphs = folders
    for name, graph in graphs.items():
        codegen.generate(graph, tmp_path / name, name=name)
        files = sorted(p.name for p in (root / name).iterdir())
        assert files == sorted(p.name for p in (tmp_path / name).iterdir())
        for file in files:
            assert (root / name / file).read_bytes() == (tmp_path / name / file).read_bytes()


def once(sources, command, place):
    """Object files of C sources: what stands in several of the folders is compiled for one of them."""
    place.mkdir()
    return objects(list(map(str, sources)), command, lambda words: subprocess.run(words, check=True, cwd=place), place)


def test_nothing_of_a_library(folders, by_gcc, tmp_path):
    """No malloc, no stdio: what remains undefined are memcpy and memset (and gcc's own runtime, of which these need nothing)."""
    if not shutil.which("nm"):
        pytest.skip("no nm here")
    for folder in folders[0].iterdir():
        library = tmp_path / f"{folder.name}.o"
        parts = [str(by_gcc / f"{path.stem}.o") for path in folder.glob("*.c")]
        subprocess.run(["gcc", "-r", "-nostdlib", *parts, "-o", str(library)], check=True)
        names = subprocess.run(["nm", "-u", library], capture_output=True, text=True).stdout
        undefined = {line.split()[-1] for line in names.splitlines()}
        assert undefined <= {"memcpy", "memset", "_GLOBAL_OFFSET_TABLE_"}, undefined
        text = "".join(p.read_text() for p in folder.iterdir())
        assert "stdio" not in text and "stdlib" not in text and "malloc" not in text


SANITIZED = """
#include <stdio.h>
#include <stdlib.h>
#include "NAME.h"
int main(void)
{
    NAME_input *image = malloc(UPPER_INPUT_COUNT * sizeof *image);
    NAME_logit *logits = malloc(UPPER_CLASSES * sizeof *logits);
    NAME_probability *probabilities = malloc(UPPER_CLASSES * sizeof *probabilities);
    unsigned char *arena = malloc(UPPER_ARENA_BYTES);
    unsigned state = 1;
    for (int n = 0; n < 20; n++) {
        for (unsigned i = 0; i < UPPER_INPUT_COUNT; i++) {
            state = state * 1664525u + 1013904223u;
            image[i] = (NAME_input)(n == 0 ? 0 : n == 1 ? 255 : state >> 24);
            if (sizeof *image == 4) image[i] = (NAME_input)(image[i] / 255);
        }
        if (NAME_run(image, logits, probabilities, arena, NULL) != TV_OK) return 2;
    }
    if (NAME_run(NULL, logits, probabilities, arena, NULL) != TV_NULL_POINTER) return 3;
    if (NAME_run(image, logits, probabilities, arena + 1, NULL) != TV_MISALIGNED) return 4;
    free(image); free(logits); free(probabilities); free(arena);
    puts("clean");
    return 0;
}
"""


def test_sanitizers(folders, tmp_path):
    if not shutil.which("gcc"):
        pytest.skip("no gcc here")
    command = ["gcc", "-std=c99", "-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    for folder in folders[0].iterdir():
        main = tmp_path / f"{folder.name}.c"
        main.write_text(SANITIZED.replace("NAME", folder.name).replace("UPPER", folder.name.upper()))
        program, sources = tmp_path / f"{folder.name}.run", once(folder.glob("*.c"), command, tmp_path / folder.name)
        subprocess.run([*command, f"-I{folder}", str(main), *sources, "-o", str(program)], check=True)
        done = subprocess.run([program], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "clean\n"), (folder.name, done.stderr[-2000:])


def test_makefile(folders, tmp_path):
    if not shutil.which("make"):
        pytest.skip("no make here")
    folder = shutil.copytree(folders[0] / "int8", tmp_path / "int8")
    subprocess.run(["make", "-s"], cwd=folder, check=True)
    assert (folder / "libint8.a").exists()


def test_an_op_without_an_emitter(folders):
    @dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
    class QLeakyReLU(Op):
        """An op of somebody else."""
    graph = folders[1]["int8"]
    strange = dataclasses.replace(graph, ops=(*graph.ops, QLeakyReLU(name="act3", inputs=(graph.ops[-1].name,), shape=(4,))))
    with pytest.raises(NotYet, match=r"no C emitter for QLeakyReLU \('act3'\): add one in codegen/ops/"):
        codegen.generate(strange, "nowhere", name="x")


def test_bad_name_and_model(folders, tmp_path):
    with pytest.raises(OptionError, match="not possible as a C identifier"):
        codegen.generate(folders[1]["int8"], tmp_path / "x", name="cifar-10")
    with pytest.raises(OptionError, match="from a model"):
        codegen.generate({"weights": 1}, tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("scheme", ["none", "high"])
def test_float_constants_lie_as_x_cube_ai_lays_them_out(scheme, tmp_path):
    """The bytes of the compiled struct are those of the weights array in X-CUBE-AI's layout."""
    import ctypes

    from tests.quant.networks import randomise
    from tinyvgg import nn
    from tinyvgg.nn import layers as L
    from tinyvgg.quant.blob import weights_blob
    from tinyvgg.quant.schemes import compress
    model = nn.Sequential([L.InputLayer((8, 8, 3)), L.Conv2D(4, 3, activation="relu"), L.BatchNormalization(), L.Flatten(),
                           L.Dense(64, activation="relu"), L.Dense(10, activation="softmax")], name="st")
    graph = compress(randomise(model, np.random.default_rng(0), dead=0), scheme).graph
    blob, _ = weights_blob(graph)
    codegen.generate(graph, tmp_path / "st", name="st")
    subprocess.run([*find_compiler(), *FLAGS, "-shared", "-fPIC", *map(str, (tmp_path / "st").glob("*.c")), "-o",
                    str(tmp_path / "st.so")], check=True)
    held = (ctypes.c_uint8 * len(blob)).in_dll(ctypes.CDLL(str(tmp_path / "st.so")), "st_weights")
    assert bytes(held) == blob and len(blob) == codegen.generate(graph, tmp_path / "st", name="st").constant_bytes()
