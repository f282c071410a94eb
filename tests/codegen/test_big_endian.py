"""Generated C on a machine whose words begin with the highest byte: the same bytes, with kernels for fixed shapes that pad."""
import shutil
import subprocess

import numpy as np
import pytest

from tinyvgg import codegen, testing
from tinyvgg.codegen.objects import objects

COMPILER, EMULATOR = shutil.which("s390x-linux-gnu-gcc"), shutil.which("qemu-s390x-static") or shutil.which("qemu-s390x")
MAIN = """#include <stdio.h>
#include "net.h"
static uint8_t arena[NET_ARENA_BYTES] TV_ARENA;
static const uint8_t x[][NET_INPUT_COUNT] = {%s};
int main(void)
{
    net_logit y[NET_CLASSES];
    for (unsigned n = 0; n < sizeof x / sizeof *x; n++) {
        net_run(x[n], y, %sarena, 0);
        for (unsigned i = 0; i < NET_CLASSES; i++) printf("%%d ", (int)y[i]);
    }
    return 0;
}
"""


@pytest.mark.skipif(not (COMPILER and EMULATOR), reason="no s390x-linux-gnu-gcc and qemu-s390x here")
@pytest.mark.parametrize("seed", [1, 2, 6, 10])
def test_random_networks(seed, tmp_path):
    model = testing.random_integer_network(100 + seed, widest=17)
    x = testing.random_images(model.input_shape, 5, np.random.default_rng(seed))
    program = codegen.generate(model.graph, tmp_path, name="net")
    images = ",".join("{" + ",".join(map(str, image.ravel())) + "}" for image in x)
    (tmp_path / "main.c").write_text(MAIN % (images, "0, " if program.softmax is not None else ""))
    command = [COMPILER, "-O1"]
    kernels = objects(list(map(str, tmp_path.glob("tv_*.c"))), command, lambda words: subprocess.run(words, check=True, cwd=tmp_path), tmp_path)
    rest = [str(path) for path in tmp_path.glob("*.c") if not path.name.startswith("tv_")]
    subprocess.run([*command, "-static", f"-I{tmp_path}", *rest, *kernels, "-o", str(tmp_path / "main")], check=True)
    told = subprocess.run([EMULATOR, str(tmp_path / "main")], check=True, capture_output=True, text=True, timeout=120).stdout
    assert np.array_equal(np.array(told.split(), int).reshape(5, -1), model.integer_logits(x))
