"""The checks that a commit passes: ruff, and mypy by the settings of setup.cfg; mypy also sees the mistakes of a user's strict program."""
import configparser
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# What --strict turns on, and the settings of setup.cfg do not: for the program alone.
STRICT = ("disallow_any_generics", "disallow_subclassing_any", "disallow_untyped_calls", "disallow_untyped_defs",
          "disallow_incomplete_defs", "check_untyped_defs", "disallow_untyped_decorators", "warn_unused_ignores", "warn_return_any",
          "strict_equality", "extra_checks")
PROGRAM = """
import numpy as np
from tinyvgg import attacks, data, nn, quant, train, zoo
from tinyvgg.nn import layers as L
model = zoo.load("light_cifar10")
x, y = np.zeros((4, 32, 32, 3), np.float32), np.zeros(4, int)
result = attacks.pgd(model, x, y, eps="8/255")
q = quant.quantize(model, x)
for seen in (model, q):
    pass
reveal_type(model)
reveal_type(model.predict(x))
reveal_type(result)
reveal_type(result.robust_accuracy)
reveal_type(q)
reveal_type(q.labels(x))
reveal_type(data.load("shapes"))
reveal_type(nn.Sequential([L.InputLayer((4, 4, 1)), L.Flatten(), L.Dense(3)]))
model.predict("text")                   # wrong
model.fit(x, y, epoch=3)                # wrong
model.fit(x, y, verbose=0, validation_split=0.1)
attacks.square(model, x, y, eps=0.1, query=3)  # wrong
attacks.fgsm(model, x, y)               # wrong
result.robust_acuracy                   # wrong
nn.Sequential(L.Dense(3))               # wrong
train.fit(model, x, y, epochs="three")  # wrong
L.Conv2D(3, 3, stride=2)                # wrong
"""


def run(*words, **environment):
    if importlib.util.find_spec(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed (extra test)")
    return subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=600, env={**os.environ, **environment})


def settings(path, place):
    """Write the settings of setup.cfg into `place`, for the package alone: what is beside it is checked as --strict says."""
    given, made = configparser.ConfigParser(), configparser.ConfigParser()
    given.read(path)
    assert given.items("mypy")
    made["mypy"] = {"ignore_missing_imports": given["mypy"].pop("ignore_missing_imports")}
    made["mypy-tinyvgg,tinyvgg.*"] = {name: value for name, value in given["mypy"].items() if name != "packages"} | dict.fromkeys(STRICT, "False")
    for name in given.sections():
        if name.startswith("mypy-"):
            made[name] = given[name]
    with open(place, "w") as file:
        made.write(file)
    return place


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """(what mypy says of the program, what it says of the package), lines: read once for both."""
    folder = tmp_path_factory.mktemp("mypy")
    (folder / "program.py").write_text(PROGRAM)
    done = run("mypy", "--strict", "--config-file", settings(ROOT / "setup.cfg", folder / "mypy.ini"), "--cache-dir", os.devnull,
               "-p", "tinyvgg", "-m", "program", MYPYPATH=str(folder))
    lines = done.stdout.splitlines()
    assert done.returncode == 1 and not done.stderr and re.match(r"Found \d+ errors? .*\(checked [34]\d\d source files\)", lines.pop()), done
    return [line for line in lines if "program.py" in line], [line for line in lines if "program.py" not in line]


def test_ruff_is_clean():
    done = run("ruff", "check", "--no-cache", ".")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_mypy_is_clean(said):
    assert not [line for line in said[1] if ": note: By default the bodies" not in line]


def test_mypy_sees_mistakes_and_nothing_else(said):
    wrong = {number for number, line in enumerate(PROGRAM.splitlines(), 1) if line.endswith("# wrong")}
    assert {int(re.search(r":(\d+): error", line)[1]) for line in said[0] if " error: " in line} == wrong
    revealed = [line for line in said[0] if "Revealed type" in line]
    assert len(revealed) == 8 and not any(re.search(r"\bAny\b", line) for line in revealed)


@pytest.mark.slow
def test_mypy_is_clean_as_a_commit_runs_it():
    done = run("mypy", "--cache-dir", os.devnull)           # nobody would read what it keeps
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
