"""The right word: of options, attacks and files that other libraries call otherwise; in Python's words or the command line's."""
import inspect

import pytest

from tinyvgg import attacks, cli, models, nn
from tinyvgg.attacks import losses
from tinyvgg.errors import OptionError, in_python
from tinyvgg.words import ATTACKS, OPTIONS, VERBS, nearest


@pytest.mark.parametrize(("command", "told"), [
    ("attack pgd m.h5 --epsilon 8/255", "there is no option --epsilon; did you mean --eps?"),
    ("attack pgd m.h5 --iterations 3", "there is no option --iterations; did you mean --steps?"),
    ("attack pgd m.h5 --alpha 3", "did you mean --step?"),
    ("attack pgd m.h5 --batch_size 3", "did you mean --batch-size?"),
    ("attack pgd m.h5 --samples 3", "did you mean -n?"),
    ("train --iterations 3 --out x", "did you mean --epochs?"),
    ("train --output x", "did you mean --out?"),
    ("compress m.h5 --bits 8", "did you mean --scheme?"),
    ("board evaluate --device /dev/ttyACM0", "did you mean --port?"),
    ("summary --model m.h5", "MODEL stands without --model"),
    ("attack PGD m.h5", "did you mean pgd?"),
    ("attack carlini m.h5", "did you mean cw?"),
    ("attack autoattack m.h5", "did you mean ladder?"),
    ("attack curve m.h5 --attack BIM", "did you mean pgd?"),
    ("quantize m.h5", "did you mean 'compress'?"),
    ("evaluate build/light.elf", "build/light.elf is firmware, not a model.\nTry: virtual:build/light.elf"),
    ("board evaluate --port build/light.elf", "build/light.elf is firmware, not a port.\nTry: virtual:build/light.elf")])
def test_the_word_of_another_library_is_understood(command, told, capsys):
    assert cli.main(command.split()) == 2
    said = capsys.readouterr()
    assert told in said.err and "--help?" not in said.err and said.out == ""


def test_the_words_name_what_there_is():
    verbs = [cli.parser_of(verb) for verb in cli.verbs()]
    parsers = [p for parser in verbs for p in (parser, *parser.of_action.values())]
    known = {name for parser in parsers for name in parser._option_string_actions}
    assert not {name for name in OPTIONS if not {f"-{name}", f"--{name}"} & known}
    assert set(ATTACKS) == set(attacks.ATTACKS) and set(VERBS) <= set(cli.verbs())


def test_nearest():
    assert nearest("Eps", ["--eps", "--steps"], OPTIONS) == "--eps" and nearest("xyz", ["--eps"]) is None
    assert nearest("epsilon", ["--steps"], OPTIONS) is None         # what it means is not there


def test_python_has_the_same_words():
    for call, told in ((lambda: nn.layers.Conv2D(3, 3, stride=2), "strides=..."), (lambda: nn.layers.Dense(3, act="relu"), "activation=..."),
                       (lambda: losses.get("xent"), "did you mean ce?"), (lambda: models.build("ligth"), "did you mean light?")):
        with pytest.raises(OptionError, match=told.replace("?", r"\?")):
            call()
    with pytest.raises(TypeError, match=r"did you mean eps\?"):
        attacks.pgd(None, None, None, eps=1, epsilon=3)


@pytest.mark.parametrize(("text", "python"), [
    ("--flash-model calibrated", 'flash_model="calibrated"'), ("--baud 115200", "baud=115200"), ("--eps 8/255", 'eps="8/255"'),
    ("another --out, or remove it", "another out, or remove it"), ("the same without --input-range", "the same without input_range"),
    ("--mean and --deviation belong together", "mean and deviation belong together"), ("--source 3 --target 5", "source=3 target=5"),
    ("--resume to go on with it, or another folder", "resume=True to go on with it, or another folder"),
    ("tinyvgg train --resume --out runs/first", "tinyvgg train --resume --out runs/first"),
    ("'--odd.npy' is missing", "'--odd.npy' is missing"), ('pip install "tinyvgg[plot]"', 'pip install "tinyvgg[plot]"')])
def test_an_error_speaks_python_in_python(text, python):
    assert in_python(text) == python and str(OptionError("it is wrong", text)) == f"it is wrong.\nTry: {python}"


@pytest.mark.parametrize(("command", "told"), [
    ("attack fgsm light_cifar10 --data shapes -n 2 --batch-size 0", "--batch-size is 0; expected"),
    ("attack fgsm light_cifar10 --data shapes -n 2 --eps two", "--eps is 'two'; expected a number or a fraction"),
    ("evaluate light_cifar10 --data shapes --input-range 3", "--input-range is '3'; expected two numbers"),
    ("data info --data x.npy", "--data x.npy,labels.npy")])
def test_the_command_line_speaks_of_options(command, told, capsys):
    assert cli.main(command.split()) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_help_of_an_attack_shows_its_own_options_and_defaults(name, capsys):
    from tinyvgg.cli.attack import SETTINGS
    assert cli.main(["attack", name, "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    takes = inspect.signature(attacks.ATTACKS[name]).parameters
    for option in SETTINGS:
        assert (f" --{option} {option[0].upper()} " in told) == (option in takes), option
    if "steps" in takes:
        assert f"number of steps (default {takes['steps'].default})" in told
    assert "--victims A" not in told and "--attack NAME" not in told and f"tinyvgg attack {name} " in told
