"""The command line as a whole: overview, help of each verb, unknown verbs, exit codes."""
import io
import os
import subprocess
import sys

import pytest

from tinyvgg import cli, errors, zoo
from tinyvgg.report import record
from tinyvgg.report.progress import Progress


def test_without_argument_it_lists_the_verbs(capsys):
    assert cli.main([]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in cli.verbs()) and "example" in out


NESTED = ("board", "firmware")              # their sub-verbs have the options


@pytest.mark.parametrize("verb", cli.verbs())
def test_help_of_each_verb_has_an_example(verb, capsys):
    assert cli.main([verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"tinyvgg {verb}" in out and cli.verbs()[verb]
    assert verb in NESTED or all(option in out for option in ("--json", "--seed", "--quiet"))


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


@pytest.mark.parametrize("command, problem, hint", [
    ("train --epocs 3", "tinyvgg train: there is no option --epocs; did you mean --epochs?", "tinyvgg train --help"),
    ("train --epochs 3", "tinyvgg train: --out must be given.", "tinyvgg train --arch light"),
    ("train --out x --epochs three", "tinyvgg train: --epochs is 'three'; expected a whole number.", "tinyvgg train --help"),
    ("train --out x y", "tinyvgg train: 'y' is one word too many.", "tinyvgg train --help"),
    ("train --arch lihgt --out x",
     "tinyvgg train: --arch is 'lihgt'; expected one of light, base, notebook, resnet8, teacher; did you mean light?",
     "tinyvgg train --help"),
    ("train --out", "tinyvgg train: --out was given no value.", "tinyvgg train --help"),
    ("board evalute", "tinyvgg board: ACTION is 'evalute'; expected one of demo, run, info, evaluate, profile, validate; "
     "did you mean evaluate?", "tinyvgg board --help"),
    ("board evaluate", "tinyvgg board evaluate: --port or --build must be given.", "tinyvgg board evaluate --"),
    ("board evaluate --port x --modle y", "tinyvgg board evaluate: there is no option --modle; did you mean --model?",
     "tinyvgg board evaluate --help"),
    ("board evaluate --port x --build y", "tinyvgg board evaluate: --build and --port exclude each other.",
     "tinyvgg board evaluate --help"),
    ("attack", "tinyvgg attack: NAME and MODEL must be given.", "tinyvgg attack pgd runs/first"),
    ("summary light_cifar01",
     "tinyvgg: there is neither a file 'light_cifar01' here nor a network of that name in the zoo, which has", None),
    ("attack pgd light_cifar10 --data shapes -n 2 --budget -1", "tinyvgg: --budget is -1; expected a whole number, 0 or more",
     None)])
def test_a_mistake_is_one_sentence_with_the_nearest_word(command, problem, hint, capsys):
    assert cli.main(command.split()) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith(problem) and "usage" not in told.err
    assert hint is None or told.err.splitlines()[1].startswith(f"Try: {hint}") and len(told.err.splitlines()) == 2


@pytest.mark.parametrize("words", [(verb, action) for verb in NESTED for action in cli.parser_of(verb).of_action])
def test_help_of_each_action_has_an_example(words, capsys):
    assert cli.main([*words, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.count(f"tinyvgg {' '.join(words)} ") >= 2 or words == ("board", "demo") and "    tinyvgg board demo\n" in out
    assert all(option in out for option in ("--json", "--seed", "--quiet", "--trace"))


def test_help_before_the_verb(capsys):
    assert cli.main(["help", "train"]) == 0
    first = capsys.readouterr().out
    assert cli.main(["train", "--help"]) == 0 and capsys.readouterr().out == first


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


def as_process(line, *, redirect="", **environment):
    command = f"{sys.executable} -m tinyvgg {line} {redirect}"
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, env={**os.environ, **environment}, timeout=120)


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&-", "<&-", ">/dev/full"])
def test_closed_streams(redirect):
    """No traceback, and no file that is opened takes the stream's place."""
    done = as_process("summary light_cifar10", redirect=redirect)
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert done.returncode == (2 if "full" in redirect else 0)


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
def test_an_umlaut_on_an_ascii_terminal(tmp_path):
    out = tmp_path / "gr\u00fc\u00dfe.h5"
    done = as_process(f"convert {zoo.path('light_cifar10')} {out}", PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert done.returncode == 0 and "Traceback" not in done.stderr and out.exists()
    done = as_process(f"summary {tmp_path}/fehlt-\u00fc.h5", PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert done.returncode == 2 and "Traceback" not in done.stderr


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("term", "escapes"), [("xterm-256color", True), ("dumb", False), ("", False)])
def test_escape_codes_only_where_they_are_known(term, escapes, monkeypatch):
    monkeypatch.setenv("TERM", term)
    stream = Terminal()
    bar = Progress(10, "work", stream=stream)
    bar.advance(5, "a long note")
    bar.say("told")
    bar.close()
    assert ("\x1b" in stream.getvalue()) == escapes
    lines = stream.getvalue().split("\r")
    assert escapes or len(lines[2].rstrip("\n")) >= len(lines[1])         # spaces cover the longer line before
