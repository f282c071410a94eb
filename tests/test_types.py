"""What an editor sees of the library; what mypy sees is in test_checks.py."""
import inspect
import typing

import numpy as np
import pytest

from tinyvgg import attacks, faults, train, types


def test_the_options_that_are_handed_on_are_those_of_the_function():
    for options, function in ((types.FitOptions, train.fit), (types.EvaluateOptions, train.evaluate)):
        taken = {p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY}
        assert set(typing.get_type_hints(options)) == taken
    run = inspect.signature(attacks.run.run).parameters
    assert set(typing.get_type_hints(types.RunOptions)) <= set(run)


def test_packages_list_what_they_have():
    for package in (faults, attacks, train):
        assert set(package.__all__) <= set(dir(package)) and all(getattr(package, name) is not None for name in package.__all__)


def test_an_option_that_is_not_there_names_the_attack():
    for name, wrong, right in (("pgd", "restart", "restarts"), ("square", "query", "queries"), ("cw", "out_", "out")):
        eps = {} if name == "cw" else {"eps": 0.1}
        with pytest.raises(TypeError, match=rf"^{name}\(\) got an unexpected keyword argument '{wrong}'; did you mean {right}\?"):
            getattr(attacks, name)(None, np.zeros((1, 8, 8, 3), np.float32), [0], **{wrong: 3}, **eps)
