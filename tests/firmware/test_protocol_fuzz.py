"""The device side of all three protocols on this machine, under sanitizers."""
import json
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COMMON = HERE.parent.parent / "firmware" / "common"


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory):
    if not shutil.which("cc"):
        pytest.skip("no C compiler for this machine")
    program = tmp_path_factory.mktemp("fuzz") / "fuzz"
    command = ["cc", "-std=gnu99", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined",
               "-fno-sanitize-recover=all", "-DTV_HOST", "-DTV_MEMORY_ACCESS=1", f"-I{COMMON}", *map(str, COMMON.glob("*.c")),
               f"-I{HERE}", *map(str, HERE.glob("fuzz_*.c")), "-o", str(program)]
    built = subprocess.run(command, capture_output=True, text=True)
    if "cannot find" in built.stderr and "san" in built.stderr:
        pytest.skip("this compiler has no sanitizers")
    assert built.returncode == 0, built.stderr
    return program


def run(program, frames, seed):
    done = subprocess.run([program, str(frames), str(seed)], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["frames"] == frames == result["right"] + result["damaged"]
    assert min(result[k] for k in ("right", "damaged", "silences", "in_student_mode", "stm_right", "stm_damaged", "calls", "resets")) > 0
    return result


def test_fuzz(fuzz):
    run(fuzz, 30_000, 1)


@pytest.mark.slow
def test_a_million_frames(fuzz):
    run(fuzz, 1_000_000, 2)
