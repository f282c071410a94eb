"""Every entry is what its card says; pack makes entries of runs."""
import json
import re

import numpy as np
import pytest

from tinyvgg import data, errors, models, zoo
from tinyvgg.report.record import sha256_arrays
from tinyvgg.zoo.pack import pack


@pytest.mark.parametrize("name", zoo.names())
def test_an_entry_is_what_its_card_says(name):
    model, card = zoo.load(name), zoo.card(name)
    assert card["name"] == name and card["sha256"] and card["seed"] >= 0
    epochs = [int(n) for n in re.findall(r"--epochs (\d+)", card["command"])]
    assert [row["epoch"] for row in card["history"]] == [epoch for n in epochs for epoch in range(1, n + 1)]
    assert card["weights_sha256"] == sha256_arrays(*model.get_weights())
    assert model.count_params() == card["parameters"] == models.build(card["architecture"]).count_params()
    assert card["test"]["interval"][0] < card["test"]["accuracy"] < card["test"]["interval"][1]
    page = zoo.path(name).with_suffix(".md").read_text()
    assert card["sha256"] in page and f"{100 * card['test']['accuracy']:.2f} %" in page
    assert all(line in page for line in card["command"].splitlines())
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


def test_pack_and_a_swapped_file(tmp_path, monkeypatch):
    run = tmp_path / "run"
    x, y = data.load("shapes").part("train", 64)
    model = models.resnet8()
    teachers = [{"name": "large", "weights_sha256": "12ab" * 16}]
    model.fit(x, y, epochs=1, out=run, quiet=True,
              record={"settings": {"arch": "resnet8", "data": "shapes", "seed": 0, "swa": False}, "teachers": teachers})
    card = pack(run, "small", "shapes", note="Generated.", folder=tmp_path)
    assert card["command"] == "tinyvgg train --arch resnet8 --data DATA --seed 0 --out RUN"
    assert json.loads((tmp_path / "small.json").read_text()) == card and card["teachers"] == teachers
    assert f"teacher large, SHA-256 of its weights | `{teachers[0]['weights_sha256']}`" in (tmp_path / "small.md").read_text()
    assert f"Trained with TINYVGG_NUM_THREADS={card['threads']} by\n" in (tmp_path / "small.md").read_text()
    assert [row["epoch"] for row in card["history"]] == [1] and card["history"][0]["loss"] > 0
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    images = x[:3].astype(np.float32) / 255
    np.testing.assert_allclose(zoo.load("small").logits(images), model.logits(images), rtol=1e-6)
    second = pack(run, "second", "shapes", after=run, folder=tmp_path)
    assert second["command"] == card["command"].replace("--out RUN", "--out run") + "\n" + card["command"]
    assert len(second["history"]) == 2 and second["command"].replace("\n", "\n    ") in (tmp_path / "second.md").read_text()
    (tmp_path / "second.h5").unlink()
    (tmp_path / "small.h5").write_bytes((tmp_path / "small.h5").read_bytes() + b" ")
    with pytest.raises(errors.FormatError, match="SHA-256"):
        zoo.load("small")
    with pytest.raises(errors.OptionError, match="no 'lite'; it has small"):
        zoo.load("lite")
    with pytest.raises(errors.FormatError, match="not the folder"):
        pack(tmp_path, "x", "shapes")
