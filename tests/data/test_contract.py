"""Which data a result is about: what a model was made for, what is looked for, what is refused, what results say."""
import json

import numpy as np
import pytest

import tinyvgg
from tinyvgg import data, io, models, nn, zoo
from tinyvgg.classifier import MadeFor
from tinyvgg.cli import main
from tinyvgg.errors import DataError, FormatError, OptionError
from tinyvgg.nn import layers
from tinyvgg.quant.model import quantize
from tinyvgg.quant.schemes import compress


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """No CIFAR-10 anywhere; the working folder is empty."""
    for name in ("TINYVGG_DATA", "KERAS_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def arch(nowhere):
    """--arch of a network that is trained at once."""
    (nowhere / "dense.py").write_text("""
from tinyvgg import nn
def model(input_shape, classes):
    return nn.Sequential([nn.layers.InputLayer(input_shape), nn.layers.Flatten(), nn.layers.Dense(classes, activation="softmax")])
""")
    return "dense.py"


def small(shape=(8, 8, 3)):
    return nn.Sequential([layers.InputLayer(shape), layers.Flatten(), layers.Dense(10, activation="softmax")])


def pair(n=60, name="", seed=0):
    rng = np.random.default_rng(seed)
    np.save(f"X{name}.npy", rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8))
    np.save(f"Y{name}.npy", rng.integers(0, 10, n))
    return f"X{name}.npy,Y{name}.npy"


def told(capsys, *argv, code=0):
    capsys.readouterr()
    assert main([*argv, "--json", "--quiet"]) == code
    return json.loads(capsys.readouterr().out)


def refused(capsys, *argv):
    capsys.readouterr()
    assert main([*argv, "--quiet"]) == 2
    return capsys.readouterr().err


VERBS = {
    "evaluate": ("evaluate", "{model}"), "attack": ("attack", "pgd", "{model}", "-n", "4", "--steps", "1", "--out", "a"),
    "ladder": ("attack", "ladder", "{model}", "-n", "2"), "curve": ("attack", "curve", "{model}", "-n", "2"),
    "look": ("look", "{model}"), "bitflip": ("bitflip", "random", "{model}", "--memory", "file"),
    "map": ("bitflip", "map", "{model}", "--memory", "file"), "compress": ("compress", "{model}", "--scheme", "int8", "--out", "m.tvq"),
    "board": ("board", "evaluate", "--build", "{model}", "-n", "1"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_takes_other_data_in_silence(verb, capsys):
    words = refused(capsys, *(part.format(model="light_cifar10") for part in VERBS[verb]))
    assert "the model was made for cifar10: CIFAR-10 was not found" in words
    small((32, 32, 3)).save("foreign.h5")
    words = refused(capsys, *(part.format(model="foreign.h5") for part in VERBS[verb]))
    assert "--data cifar10" in words and ("does not say" in words or "was trained on" in words)


def test_what_is_told_is_taken(capsys):
    result = told(capsys, "evaluate", "light_cifar10", "--data", "shapes", "-n", "5")
    assert result["data"] == "shapes" and result["n"] == 5 and result["part"] == "test" and result["held_out"] is None
    assert result["command"] == "tinyvgg evaluate light_cifar10 --data shapes -n 5 --json --quiet"


def test_a_run_finds_its_data_again(capsys, nowhere, monkeypatch, arch):
    spec = pair()
    trained = told(capsys, "train", "--arch", arch, "--data", spec, "--epochs", "1", "--out", "r")
    assert trained["held_out"] == {"of": 60, "seed": 0} and trained["test_n"] == 12
    (nowhere / "elsewhere").mkdir()
    monkeypatch.chdir(nowhere / "elsewhere")
    for model in ("../r", "../r/model.h5"):
        found = told(capsys, "evaluate", model)
        assert found["data"] == "X" and found["n"] == 12 and found["held_out"] == {"of": 60, "seed": 0}
        assert found["accuracy"] == trained["test_accuracy"]
    made = told(capsys, "compress", "../r", "--scheme", "int8", "--out", "m.tvq")
    assert made["data"] == "X" and made["n"] == 12
    assert told(capsys, "evaluate", "m.tvq")["accuracy"] == made["accuracy"]
    (nowhere / "X.npy").unlink()
    assert "made for X: there is no such data here" in refused(capsys, "evaluate", "m.tvq")
    assert "made for X" in refused(capsys, "evaluate", "../r")


def test_one_pair_is_never_both(capsys):
    spec = pair(100)
    found = data.load(spec)
    assert found.one_part and (len(found.x_train), len(found.x_test)) == (80, 20)
    rows = [part.tobytes() for part in (*found.x_train, *found.x_test)]
    assert sorted(rows) == sorted(image.tobytes() for image in np.load("X.npy"))
    again = data.load(spec)
    assert np.array_equal(again.x_test, found.x_test) and np.array_equal(again.y_test, found.y_test)
    small((32, 32, 3)).save("m.h5")
    assert main(["evaluate", "m.h5", "--data", spec, "--quiet"]) == 0
    assert "20 test images of X, held out of its 100, seed 0" in capsys.readouterr().out
    for part, n in (("test", 20), ("train", 80), ("all", 100)):
        assert told(capsys, "evaluate", "m.h5", "--data", spec, "--part", part)["n"] == n


def test_two_pairs_keep_their_parts(capsys):
    spec = f"{pair(30)},{pair(7, 'T', 1)}"
    small((32, 32, 3)).save("m.h5")
    found = told(capsys, "evaluate", "m.h5", "--data", spec)
    assert found["n"] == 7 and found["held_out"] is None and not data.load(spec).one_part
    one = data.load(pair(1, "1"))
    assert len(one.x_test) == 1 and len(one.x_train) == 0


def test_noise_is_not_learnt(capsys):
    """A network that has learnt its training images by heart says so of those alone."""
    spec = pair(60)
    model = small((32, 32, 3))
    found = data.load(spec)
    model.fit(found.x_train, found.y_train, epochs=60, batch_size=8, learning_rate=1e-3, quiet=True)
    model.save("m.h5")
    assert told(capsys, "evaluate", "m.h5", "--data", spec, "--part", "train")["accuracy"] > 0.9
    assert told(capsys, "evaluate", "m.h5", "--data", spec)["accuracy"] < 0.5


def test_files_name_the_data(capsys, nowhere, arch):
    told(capsys, "train", "--arch", arch, "--data", "shapes", "--limit", "64", "--epochs", "1", "--out", "r")
    expected = {"data": "shapes", "part": "test", "held_out": None}
    result = told(capsys, "attack", "pgd", "r", "-n", "4", "--steps", "1", "--out", "a")
    stored = json.loads((nowhere / "a" / "result.json").read_text())
    assert stored.items() >= {**expected, "n": 4, "command": "tinyvgg attack pgd r -n 4 --steps 1 --out a --json --quiet"}.items()
    assert result["data"] == "shapes" and tinyvgg.attacks.load("a").about["data"] == "shapes"
    assert main(["attack", "pgd", "r", "-n", "4", "--steps", "1", "--quiet"]) == 0
    assert "4 test images of shapes\n" in capsys.readouterr().out
    told(capsys, "attack", "curve", "r", "-n", "3", "--eps", "0,8/255", "--steps", "1", "--out", "c")
    lines = [json.loads(line) for line in (nowhere / "c" / "curve.jsonl").read_text().splitlines()]
    assert all(line["about"].items() >= {**expected, "n": 3}.items() for line in lines)
    flips = told(capsys, "bitflip", "random", "r", "--memory", "file", "--flips", "1", "--seeds", "1", "-n", "5", "--out", "b")
    assert flips.items() >= {**expected, "n": 5}.items()
    assert json.loads((nowhere / "b" / "result.json").read_text()).items() >= {**expected, "n": 5}.items()
    seen = told(capsys, "look", "r", "--scheme", "none", "--attack", "none")
    assert seen.items() >= {**expected, "n": 1}.items() and "command" in seen


def test_files_keep_what_a_model_was_made_for():
    made_for = MadeFor("birds", ("tit", "wren"), (0.0, 255.0), "X.npy,Y.npy")
    model = small()
    model.made_for = made_for
    for name in ("m.h5", "m.keras", "m.npz"):
        model.save(name)
        assert io.load_model(name).made_for == made_for, name
    x = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    for made in (compress(model, "none"), compress(model, "int8", x), quantize(model, x)):
        made.save("m.tvq")
        assert io.load_model("m.tvq").made_for == made_for
    small().save("plain.h5")
    assert io.load_model("plain.h5").made_for is None and models.light().made_for is None
    assert zoo.load("light_cifar10").made_for.name == "cifar10" and len(zoo.load("light_cifar10").made_for.classes) == 10
    for damaged in (3, {"name": "x"}, {"name": "x", "classes": 3, "range": [0, 1]}, {"name": "x", "classes": [], "range": "no"}):
        assert MadeFor.read(damaged) is None


def test_data_for_a_model():
    model = small()
    with pytest.raises(OptionError, match="does not say"):
        data.load_for(model)
    model.made_for = MadeFor("shapes")
    assert data.load_for(model).name == "shapes"
    shapes = data.load("shapes")
    assert data.load_for(model, shapes) is shapes
    model.made_for = MadeFor("Z", source=pair())
    with pytest.raises(DataError, match="made for Z"):
        data.load_for(model)


# --- what a MODEL is ---

def test_a_model_that_is_several_things_at_once(nowhere, capsys):
    (nowhere / "light_cifar10").mkdir()
    small().save("light_cifar10/model.h5")
    with pytest.raises(OptionError, match="light_cifar10 is a folder here, and a network of the zoo"):
        tinyvgg.open("light_cifar10")
    assert tinyvgg.open("./light_cifar10").input_shape == (8, 8, 3) and tinyvgg.open("zoo:light_cifar10").input_shape == (32, 32, 3)
    for verb in (("evaluate", "light_cifar10"), ("summary", "light_cifar10"), ("attack", "pgd", "light_cifar10"), ("analyze", "light_cifar10"),
                 ("convert", "light_cifar10", "out.h5"), ("train", "--weights", "light_cifar10", "--out", "r", "--data", "shapes"),
                 ("bitflip", "random", "light_cifar10"), ("codegen", "light_cifar10", "--out", "c")):
        assert "a folder here, and a network of the zoo" in refused(capsys, *verb), verb
    small().save("COM3.h5")
    (nowhere / "COM3.h5").rename(nowhere / "COM3")
    with pytest.raises(OptionError, match="COM3 is a file here, and the name of a board's port"):
        tinyvgg.open("COM3")
    small().save("light_cifar10/model.npz")
    with pytest.raises(FormatError, match="holds model.h5 and model.npz"):
        tinyvgg.open("./light_cifar10")


def test_what_names_nothing():
    for spec, words in (("", "is empty"), ("light_cifar01", "neither a file"), (3, "a MODEL is int"), ("none.h5", "there is no model file")):
        with pytest.raises((OptionError, FormatError), match=words):
            tinyvgg.open(spec)
    model = small()
    assert tinyvgg.open(model) is model
    with pytest.raises(OptionError, match="is a board"):
        tinyvgg.open("virtual:x.elf", board=False)
    model.save("m.h5")
    assert tinyvgg.open("m.h5", input_range="-1,1").bounds == tinyvgg.open("m.h5", input_range=(-1, 1)).bounds == (-1, 1)
    with pytest.raises(OptionError, match="input_range="):
        tinyvgg.open("m.h5", input_range="1,1")
    import tinyvgg.open as module
    assert module("m.h5").input_shape == (8, 8, 3)


def test_classes_that_a_model_lacks_are_noticed_wherever_they_stand():
    """Not only where such a label is among the images that are drawn."""
    pair(40)
    y = np.load("Y.npy")
    y[y == 9] = 3
    y[-1] = 9
    np.save("Y.npy", y)
    nine = nn.Sequential([layers.InputLayer((32, 32, 3)), layers.Flatten(), layers.Dense(9)])
    for part in ("train", "test", "all"):
        with pytest.raises(DataError, match="part of X: label 9 of image .*; expected 0 to 8"):
            data.load("X.npy,Y.npy").for_model(nine, part, 2)
    y[-1] = 8
    np.save("Y.npy", y)
    assert len(data.load("X.npy,Y.npy").for_model(nine, "test", 2)[1]) == 2
