"""Every entry is what its card says; pack makes entries of runs."""
import hashlib
import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import tinyvgg
from tinyvgg import cli, data, errors, models, train, zoo
from tinyvgg.attacks.identity import model_sha256
from tinyvgg.report.record import sha256_arrays
from tinyvgg.zoo import facts
from tinyvgg.zoo.pack import main, pack, page


@pytest.mark.parametrize("name", zoo.names())
def test_an_entry_is_what_its_card_says(name):
    model, card = zoo.load(name), zoo.card(name)
    assert card["name"] == name and card["sha256"] and card["seed"] >= 0
    epochs = [int(n) for n in re.findall(r"--epochs (\d+)", card["command"])]
    assert [row["epoch"] for row in card["history"]] == [epoch for n in epochs for epoch in range(1, n + 1)]
    assert card["weights_sha256"] == sha256_arrays(*model.get_weights())
    built = models.build(card["architecture"])
    assert model.count_params() == card["parameters"] == (train.widen(built, card["widen"]) if "widen" in card else built).count_params()
    assert card["test"]["interval"][0] < card["test"]["accuracy"] < card["test"]["interval"][1]
    told = zoo.path(name).with_suffix(".md").read_text()
    assert card["sha256"] in told and f"{100 * card['test']['accuracy']:.2f} %" in told
    assert all(line in told for line in card["command"].splitlines())
    logits = model.logits(np.full((2, 32, 32, 3), 0.5, np.float32))
    assert logits.shape == (2, 10) and np.isfinite(logits).all()


@pytest.mark.parametrize("name", zoo.names())
def test_teachers_are_entries_as_they_were(name):
    """Or runs that the card's commands make first; else they would train another network."""
    card = zoo.card(name)
    for teacher in card.get("teachers", []):
        assert re.search(rf"--distill \S*\b{teacher['name']}\b", card["command"])
        if teacher["name"] in zoo.names():
            assert zoo.card(teacher["name"])["weights_sha256"] == teacher["weights_sha256"]
        else:
            assert f"--out {teacher['name']}\n" in card["command"]


@pytest.mark.parametrize("name", zoo.names())
def test_the_accuracy_of_the_card_is_measured_again(name, cifar):
    card, (x, y) = zoo.card(name), cifar.part("test")
    if sha256_arrays(x, y) != card["data"]["test_sha256"]:
        pytest.skip("other test images than the card's")
    assert (zoo.load(name).labels(x.astype(np.float32) / 255) == y).mean() == pytest.approx(card["test"]["accuracy"], abs=0.0005)


@pytest.fixture
def cifar():
    try:
        return data.load("cifar10")
    except errors.TinyVGGError:
        pytest.skip("CIFAR-10 is not at hand (TINYVGG_DATA)")


@pytest.fixture
def few(tmp_path_factory):
    """--data of two training and two test images of each class: each pack answers all of these."""
    folder, whole = tmp_path_factory.mktemp("few"), data.load("shapes")
    for name, x, y in (("train", whole.x_train, whole.y_train), ("test", whole.x_test, whole.y_test)):
        chosen = np.concatenate([np.flatnonzero(y == label)[:2] for label in range(10)])
        np.save(folder / f"x_{name}.npy", x[chosen])
        np.save(folder / f"y_{name}.npy", y[chosen])
    return ",".join(str(folder / f"{name}.npy") for name in ("x_train", "y_train", "x_test", "y_test"))


def test_pack_and_a_swapped_file(tmp_path, monkeypatch, few):
    run = tmp_path / "run"
    x, y = data.load("shapes").part("train", 32)
    model = models.resnet8()
    teachers = [{"name": "large", "weights_sha256": "12ab" * 16}]
    model.fit(x, y, epochs=1, out=run, quiet=True,
              record={"settings": {"arch": "resnet8", "data": "shapes", "seed": 0, "swa": False}, "teachers": teachers})
    card = pack(run, "small", few, note="Generated.", folder=tmp_path)
    assert card["command"] == "tinyvgg train --arch resnet8 --data DATA --seed 0 --out RUN"
    assert json.loads((tmp_path / "small.json").read_text()) == card and card["teachers"] == teachers
    assert f"teacher large, SHA-256 of its weights | `{teachers[0]['weights_sha256']}`" in (tmp_path / "small.md").read_text()
    assert f"Trained with TINYVGG_NUM_THREADS={card['threads']} by\n" in (tmp_path / "small.md").read_text()
    assert [row["epoch"] for row in card["history"]] == [1] and card["history"][0]["loss"] > 0
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    images = x[:3].astype(np.float32) / 255
    np.testing.assert_allclose(zoo.load("small").logits(images), model.logits(images), rtol=1e-6)
    second = pack(run, "second", few, after=run, folder=tmp_path)
    assert second["command"] == card["command"].replace("--out RUN", "--out run") + "\n" + card["command"]
    assert len(second["history"]) == 2 and second["command"].replace("\n", "\n    ") in (tmp_path / "second.md").read_text()
    with pytest.raises(errors.OptionError, match="has an entry small already"):
        pack(run, "small", "shapes", folder=tmp_path)
    (tmp_path / "second.h5").unlink()
    (tmp_path / "small.h5").write_bytes((tmp_path / "small.h5").read_bytes() + b" ")
    with pytest.raises(errors.FormatError, match="SHA-256"):
        zoo.load("small")
    with pytest.raises(errors.OptionError, match="no 'lite'; it has small"):
        zoo.load("lite")
    with pytest.raises(errors.FormatError, match="not the folder"):
        pack(tmp_path, "x", "shapes")


def a_run(path, **settings):
    """A training run's folder as the command line leaves it, of an untrained network."""
    path.mkdir(parents=True)
    models.resnet8().save(path / "model.h5")
    settings = {"arch": "resnet8", "data": "shapes", "seed": 0, **settings}
    config = {"settings": settings, "training": {"images": 9, "data_sha256": "0" * 64}, "threads": 2, "versions": {}}
    (path / "config.json").write_text(json.dumps(config))
    (path / "history.jsonl").write_text('{"epoch": 1, "loss": 1.0, "seconds": 2}\n')
    return path


def test_a_class_without_test_images_has_a_dash_on_the_page():
    card = json.loads(zoo.path("light_cifar10").with_suffix(".json").read_text())
    card["test"]["per_class"][2]["accuracy"] = None
    assert f", {card['test']['per_class'][2]['class']} -, " in page(card)


def test_a_card_calls_runs_by_their_names(tmp_path, monkeypatch, few):
    """--after is made first, as a folder of its name; what else a run learned from must be an entry."""
    first = a_run(tmp_path / "runs" / "first")
    second = a_run(tmp_path / "runs" / "second", weights=f"{first}/model.h5", distill=f"{first},light_cifar10")
    card = pack(second, "two", few, after=first, folder=tmp_path)
    lines = card["command"].splitlines()
    assert lines[0].endswith("--out first") and str(tmp_path) not in card["command"]
    assert "--weights first/model.h5 " in lines[1] and "--distill first,light_cifar10 " in lines[1] and lines[1].endswith("--out RUN")
    assert card["threads"] == 2
    with pytest.raises(errors.FormatError, match="first/model.h5, which is not an entry of the zoo"):
        pack(second, "alone", few, folder=tmp_path)
    config = json.loads((second / "config.json").read_text()) | {"resumed": [{"epoch": 1, "threads": 1}]}
    (second / "config.json").write_text(json.dumps(config))
    assert "threads" not in pack(second, "mixed", few, after=first, folder=tmp_path)
    third = a_run(tmp_path / "runs" / "third", weights=f"{second}/model.h5", widen=1.5)
    card = pack(third, "three", few, after=[first, second], folder=tmp_path)
    lines = card["command"].splitlines()
    assert card["widen"] == 1.5 and " --widen 1.5 " in lines[2] and "resnet8 with 1.5 times the channels" in (tmp_path / "three.md").read_text()
    assert "--weights first/model.h5 " in lines[1] and lines[1].endswith("--out second") and "--weights second/model.h5 " in lines[2]


def test_a_card_calls_the_entry_that_it_replaces_by_its_run(tmp_path, monkeypatch, few):
    """A run that began with the entry's weights repeats after the entry is gone."""
    first = a_run(tmp_path / "runs" / "first")
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    pack(first, "small", few, folder=tmp_path)
    second = a_run(tmp_path / "runs" / "second", weights="small")
    card = pack(second, "small", few, after=[first], folder=tmp_path, replace=True)
    assert "--weights first/model.h5 " in card["command"].splitlines()[1]


def test_what_cannot_be_packed_leaves_nothing(tmp_path, capsys):
    run = a_run(tmp_path / "run")
    x, y = data.load("shapes").part("test", 8)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    one_part = f"{tmp_path / 'x.npy'},{tmp_path / 'y.npy'}"
    python = a_run(tmp_path / "python")
    (python / "config.json").write_text("{}")
    other = a_run(tmp_path / "other")
    (other / "config.json").write_text((run / "config.json").read_text().replace('{"settings"', '{"data": {"sha256": "12"}, "settings"'))
    for folder, spec, name, words in ((run, one_part, "x", "has no test images"), (python, "shapes", "x", "no settings for the card"),
                                      (other, "shapes", "x", "is not the data that the run"), (run, "shapes", "a/b", "cannot be the name"),
                                      (tmp_path / "none", "shapes", "x", "is not the folder of a training run")):
        with pytest.raises(errors.TinyVGGError, match=words):
            pack(folder, name, spec, folder=tmp_path)
        assert not list(tmp_path.glob("*.h5")) and not list(tmp_path.glob("*.json"))
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path / "none"), "x", "--data", "shapes"])
    assert stop.value.code == 2 and capsys.readouterr().err.startswith("tinyvgg: ")


def of_benchmarks(name):
    """The module benchmarks/NAME.py."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[2] / "benchmarks" / f"{name}.py")
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module


@pytest.fixture(scope="module")
def script():
    return of_benchmarks("repeat")


def test_a_command_is_held_against_its_card(script, tmp_path, monkeypatch):
    """One epoch of a small card anew is the same; a card of other figures is not."""
    x, y = data.load("shapes").part("train", 64)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    source = script.resolved(f"{tmp_path / 'x.npy'},{tmp_path / 'y.npy'}")
    (tmp_path / "matplotlib.py").write_text("raise ImportError")
    monkeypatch.syspath_prepend(tmp_path)           # of the processes, too: no figure is drawn
    line = "tinyvgg train --arch resnet8 --data DATA --epochs 2 --validation 0 --seed 4 --out RUN"
    (tmp_path / "a").mkdir()
    rows = [{key: round(row[key], 5) for key in script.SHOWN} for row in script.train(line, source, tmp_path / "a", 1, None)]
    card = {"command": line, "threads": 1, "history": rows}
    monkeypatch.setattr(script.zoo, "card", lambda name: card)
    (tmp_path / "b").mkdir()
    train, again = script.train, []
    monkeypatch.setattr(script, "train", lambda *words: again.extend(train(*words)) or again)
    result = script.repeat("small", source, 1, tmp_path / "b")
    assert result["same"] and result["epochs"] == 1 and result["of"] == 2 and result["now"] == rows[0]
    card["history"] = [{**rows[0], "loss": rows[0]["loss"] + 1e-5}]
    monkeypatch.setattr(script, "train", lambda *words: [dict(row) for row in again])       # the epoch that was just trained
    assert not script.repeat("small", source, 1, tmp_path / "b")["same"]


@pytest.mark.parametrize("words, told", [("light_cifar10 --epochs 0", "--epochs is '0'"), ("light_cifar10 --data nosuch", "nosuch"),
                                         ("lite --epochs 1", "invalid choice"), ("light_cifar10_nfgsm", "on how many threads"),
                                         ("light_cifar10 --data shapes --out setup.cfg", "is not a file of this script")])
def test_wrong_words_to_repeat(words, told, script, capsys, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    with pytest.raises(SystemExit) as stop:
        script.arguments_of(words.split())
    assert stop.value.code == 2 and told in capsys.readouterr().err


def test_the_zoo_on_other_files(tmp_path, monkeypatch, capsys):
    """benchmarks/original.py: entries evaluated, a card's command run on those images, and files that are not official called so."""
    monkeypatch.setitem(sys.modules, "repeat", of_benchmarks("repeat"))
    original, (x, y) = of_benchmarks("original"), data.load("shapes").part("test", 40)
    records = np.concatenate([y[:, None].astype(np.uint8), x.transpose(0, 3, 1, 2).reshape(40, -1)], axis=1)
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    records[:24].tofile(folder / "data_batch_1.bin")
    records[24:].tofile(folder / "test_batch.bin")
    line = "tinyvgg train --arch resnet8 --data DATA --epochs 9 --warmup 1.0 --validation 0 --seed 4 --out RUN"
    card = zoo.card("resnet8_cifar10") | {"command": line}
    monkeypatch.setattr(zoo, "card", lambda name: card)
    assert original.main(["--data", str(tmp_path), "--entries", "resnet8_cifar10", "--train", "resnet8_cifar10", "--epochs", "1",
                          "--json", str(tmp_path / "rows.json")]) == 0
    told, out = json.loads((tmp_path / "rows.json").read_text()), capsys.readouterr().out
    assert [(row["entry"], row["n"]) for row in told["rows"]] == [("resnet8_cifar10", 16), ("resnet8_cifar10, trained here", 16)]
    assert told["official"] is False and "not the official files" in out
    monkeypatch.setattr(original, "MD5", {"data_batch_1.bin": hashlib.md5((folder / "data_batch_1.bin").read_bytes()).hexdigest()})
    assert original.official(folder) and not original.official(tmp_path)
    with pytest.raises(SystemExit) as stop:
        original.main(["--data", str(tmp_path / "nowhere")])
    assert stop.value.code == 2 and "there is no data" in capsys.readouterr().err


def test_the_teachers_commands(tmp_path, monkeypatch):
    """benchmarks/teacher.py: the parser takes them, and a run that is there goes on."""
    teacher = of_benchmarks("teacher")
    first = teacher.commands("cifar10", tmp_path, True, ["--limit", "50"])
    assert [words[0] for words in first] == ["train", "evaluate"] * 2 and not any("--resume" in words for words in first)
    parsed = [cli.parser_of(words[0]).parse_args(words[1:]) for words in first]
    assert parsed[0].arch == "teacher" and parsed[2].distill == parsed[0].out and parsed[2].views == 10 and parsed[0].limit == 50
    (tmp_path / "teacher").mkdir()
    (tmp_path / "teacher" / "checkpoint.npz").touch()
    assert "--resume" in teacher.commands("cifar10", tmp_path, False)[0]
    monkeypatch.setattr(teacher.cli, "main", lambda words: 3)
    assert teacher.main(["--runs", str(tmp_path)]) == 3


def test_facts_are_added_to_a_card(tmp_path, monkeypatch, capsys, few):
    """python -m tinyvgg.zoo.facts: original images, and a ladder on this very network only."""
    pack(a_run(tmp_path / "run"), "small", few, folder=tmp_path)
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    x, y = data.load("shapes").part("test", 16)
    (tmp_path / "samples").mkdir()
    for i, image in enumerate(x):
        (tmp_path / "samples" / f"s{i}.bin").write_bytes(image.tobytes())
    (tmp_path / "samples" / "y_labels.csv").write_text("".join(f"s{i}.bin,10,{label}\n" for i, label in enumerate(y)))
    facts.main(["small", "--originals", f"mlperf-ic:{tmp_path}/samples"])
    found = zoo.card("small")["originals"]
    assert found["n"] == 16 and found["standard_error"] == pytest.approx((16 * found["accuracy"] * (1 - found["accuracy"])) ** 0.5)
    assert f"{round(16 * found['accuracy'])} of 16 (standard error" in (tmp_path / "small.md").read_text()
    result = {"command": "tinyvgg attack ladder small --eps 4/255", "n": 16, "clean_accuracy": 0.5, "robust_accuracy": 0.25,
              "robust_accuracy_interval": [0.1, 0.5], "model_sha256": model_sha256(zoo.load("small")), "more": 1}
    (tmp_path / "ladder.json").write_text(json.dumps(result))
    for _ in range(2):
        facts.main(["small", "--ladder", str(tmp_path / "ladder.json")])
    assert [row["robust_accuracy"] for row in zoo.card("small")["ladders"]] == [0.25] and zoo.card("small")["originals"] == found
    assert "| left by `tinyvgg attack ladder small --eps 4/255` | 25.0 % of 16 images" in (tmp_path / "small.md").read_text()
    for wrong in ({**result, "model_sha256": "0" * 64}, {**result, "command": "tinyvgg attack pgd small"}, {"n": 3}):
        (tmp_path / "ladder.json").write_text(json.dumps(wrong))
        with pytest.raises(SystemExit) as stop:
            facts.main(["small", "--ladder", str(tmp_path / "ladder.json")])
        assert stop.value.code == 2 and capsys.readouterr().err.startswith("tinyvgg: ")


def test_a_network_that_is_left_out_of_packages(tmp_path, monkeypatch):
    """Its card is there; who asks for its weights is told where they are, by name and through every verb."""
    (tmp_path / "gone.json").write_text('{"name": "gone"}')
    (tmp_path / "there.h5").touch()
    (tmp_path / "there.json").touch()
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    assert zoo.names() == ["there"] and zoo.cards() == ["gone", "there"] and zoo.card("gone")["name"] == "gone"
    for ask in (zoo.path, zoo.load, tinyvgg.open):
        with pytest.raises(errors.OptionError, match="(?s)the card of gone alone.*tinyvgg/zoo/gone.h5 of the repository, or one of there"):
            ask("gone")
