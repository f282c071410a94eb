"""The checks that a commit passes: ruff and mypy, by the settings of pyproject.toml and setup.cfg."""
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def check(*words):
    if importlib.util.find_spec(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed (extra test)")
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_ruff_is_clean():
    check("ruff", "check", "--no-cache", ".")


def test_mypy_is_clean():
    check("mypy", "--cache-dir", os.devnull)            # nobody would read what it keeps
