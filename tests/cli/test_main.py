"""The command line as a whole: overview, help of each verb, unknown verbs, exit codes."""
import os
import subprocess
import sys

import pytest

from tinyvgg import cli, errors
from tinyvgg.report import record


def test_without_argument_it_lists_the_verbs(capsys):
    assert cli.main([]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in cli.verbs()) and "example" in out


NESTED = ("board", "firmware")              # their sub-verbs have the options


@pytest.mark.parametrize("verb", cli.verbs())
def test_help_of_each_verb_has_an_example(verb, capsys):
    assert cli.main([verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"tinyvgg {verb}" in out and (verb in NESTED or all(option in out for option in ("--json", "--seed", "--quiet"))) and cli.verbs()[verb]


@pytest.mark.parametrize("verb", cli.FLOW)
def test_every_verb_of_the_design_answers(verb, capsys):
    assert verb in cli.verbs() and cli.main([verb, "--help"]) == 0
    assert cli.verbs()[verb] in capsys.readouterr().out


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_standard_output(unbuffered):
    """Told in a sentence, whether the bytes leave at once or at the end."""
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "tinyvgg", "--version"], stdout=full, stderr=subprocess.PIPE, text=True,
                              env={**os.environ, "PYTHONUNBUFFERED": unbuffered, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode != 0 and done.stderr.startswith("tinyvgg: No space left") and "Traceback" not in done.stderr


def test_a_mistyped_verb_is_guessed(capsys):
    assert cli.main(["evaluat"]) == 2
    assert "evaluate" in capsys.readouterr().err
    assert cli.main(["--verison"]) == 2
    assert "did you mean '--version'?" in capsys.readouterr().err


def test_version_names_what_matters(capsys):
    assert cli.main(["--version"]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("tinyvgg", "python", "numpy", "numba", "h5py", "pyserial"))
    tools = record.toolchain()
    assert all(f"{name} {version}" in out for name, version in tools.items()) and (tools or "tinyvgg[all]" in out)


def test_errors_are_sentences_with_their_exit_code(capsys, monkeypatch):
    verb = next(iter(cli.verbs()))
    module = __import__(f"tinyvgg.cli.{verb}", fromlist=["run"])
    for error, code in ((errors.DataError("it is cut", "another file"), 2), (errors.CheckFailed("they differ"), 1)):
        def fail(arguments, error=error):
            raise error
        monkeypatch.setattr(module, "run", fail)
        monkeypatch.setattr(module, "add_arguments", lambda parser: None)
        assert cli.main([verb]) == code
        err = capsys.readouterr().err
        assert err.startswith("tinyvgg: ") and "Traceback" not in err


def test_a_plan_of_nothing_says_so(capsys):
    assert cli.main(["firmware", "plan", "light.h5", "--board", "stm32l4r9i-disco"]) == 2
    assert "light.h5" in capsys.readouterr().err
