"""What an editor and mypy see of the library: no Any where users look, and their mistakes."""
import inspect
import os
import re
import typing

import numpy as np
import pytest

from tinyvgg import attacks, faults, train, types

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


def test_mypy_sees_mistakes_and_nothing_else(tmp_path):
    api = pytest.importorskip("mypy.api")
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "mypy.ini").write_text("[mypy]\nfollow_imports = silent\n")
    out, err, _ = api.run(["--strict", "--config-file", str(tmp_path / "mypy.ini"), "--cache-dir", os.devnull,
                           str(tmp_path / "program.py")])
    said = [line for line in out.splitlines() if "program.py" in line]
    assert not err and said
    wrong = {number for number, line in enumerate(PROGRAM.splitlines(), 1) if line.endswith("# wrong")}
    assert {int(re.search(r":(\d+): error", line)[1]) for line in said if " error: " in line} == wrong
    revealed = [line for line in said if "Revealed type" in line]
    assert len(revealed) == 8 and not any(re.search(r"\bAny\b", line) for line in revealed)


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
