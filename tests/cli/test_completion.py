"""The shell's Tab key, as argcomplete asks: by the environment, answered in a file."""
import os
import subprocess
import sys

import pytest

pytest.importorskip("argcomplete", reason="completion needs the extra completion")


@pytest.mark.parametrize(("line", "words"), [
    ("tinyvgg ev", {"evaluate"}), ("tinyvgg attack pgd light_cifar10 --ep", {"--eps"}),
    ("tinyvgg compress light_cifar10 --scheme shared", {"shared8", "shared4", "shared3", "shared2"})])
def test_the_tab_key(line, words, tmp_path):
    answer = tmp_path / "answer"
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
             "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-m", "tinyvgg"], env={**os.environ, **asked}, capture_output=True, timeout=60)
    assert {word.strip() for word in answer.read_text().split("\v")} == words
