"""Random flips, sensitivity maps, error correction, patched files."""
import numpy as np
import pytest

from tinyvgg import io
from tinyvgg.cli import main
from tinyvgg.errors import FormatError, OptionError
from tinyvgg.faults.baseline import draw, random_flips, summarise
from tinyvgg.faults.files import patch_file
from tinyvgg.faults.memories import ecc, memory_of, surviving
from tinyvgg.faults.open import open_store
from tinyvgg.faults.plan import FlipPlan, Step, flips_of, load_plan
from tinyvgg.faults.search import progressive_search
from tinyvgg.faults.sensitivity import sensitivity_map
from tinyvgg.rng import generator


def test_the_table_of_error_correction():
    rows = ecc([(16, 0), (16, 1), (17, 0), (24, 5), (33, 1), (39, 7)])
    assert rows == [{"address": 16, "bits": 3, "verdict": "applied"}, {"address": 24, "bits": 1, "verdict": "corrected"},
                    {"address": 32, "bits": 2, "verdict": "nmi"}]


def test_single_flips_do_not_survive_flash(quantized):
    store = open_store(quantized)
    memory, _ = memory_of("flash_ecc")
    key = store.select("weights")[0]
    assert surviving(store, [(key, 0, 7)], memory)[0] == []
    three = [(key, 0, 7), (key, 1, 7), (key, 7, 0)]
    assert surviving(store, three, memory)[0] == three
    assert surviving(store, [(key, 0, 7), (key, 1, 7), (key, 8, 0)], memory)[0] == []


def test_laser_only_sets():
    assert memory_of("laser_set")[1] == "set"
    with pytest.raises(OptionError, match="laser_set has no fault 'clear'"):
        memory_of("laser_set", "clear")


def test_random_bits_are_usable_different_and_the_same_again(quantized):
    store = open_store(quantized)
    keys = store.select("all")
    flips = draw(store, keys, 200, generator(3, "fault"))
    assert len(set(flips)) == 200 and flips == draw(store, keys, 200, generator(3, "fault"))
    assert all(store.usable(key)[index] and bit < store.bits(key) for key, index, bit in flips)
    with pytest.raises(OptionError, match="bits that flip can change"):
        draw(store, ["dense/weights"], 10 ** 4, generator(3, "fault"))


def test_random_flips_are_counted_kept_and_undone(quantized, images, answers, tmp_path):
    store = open_store(quantized)
    out = tmp_path / "rows.jsonl"
    rows = random_flips(store, images, answers, counts=(1, 200), seeds=3, out=out)
    assert store.accuracy(images, answers) == 1 and [r["flips"] for r in rows] == [1] * 3 + [200] * 3
    assert out.read_text().count("\n") == 6
    assert random_flips(store, images, answers, counts=(1, 200), seeds=3, out=out) == rows and out.read_text().count("\n") == 6
    first, last = summarise(rows)
    assert first["median"] > last["median"] and last["lowest"] <= last["median"] <= last["highest"]
    flash = random_flips(quantized, images, answers, counts=(1,), seeds=3, memory="flash_ecc")
    assert all(row["accuracy"] == 1 and row["corrected"] == 1 and row["applied"] == 0 for row in flash)


def test_a_map_is_what_single_flips_do(quantized, images, answers):
    store = open_store(quantized, "file")
    rows = sensitivity_map(store, images, answers, tensors="dense/weights", samples=None, memory="file")
    assert len(rows) == 8 and all(row["exhaustive"] and row["tried"] == store.arrays["dense/weights"].size for row in rows)
    worst = rows[7]
    store.toggle([("dense/weights", worst["worst_index"], 7)])
    assert 1 - store.accuracy(images, answers) == pytest.approx(worst["worst_drop"])
    assert rows[7]["mean_drop"] > rows[0]["mean_drop"]


@pytest.mark.parametrize("scheme", ["quantized", "shared"])
def test_a_patched_tvq_is_the_flipped_network(scheme, request, images, answers, tmp_path):
    model = request.getfixturevalue(scheme)
    model.save(tmp_path / "a.tvq")
    tensors = "weights" if scheme == "quantized" else "codebook,index"
    plan = progressive_search(model, images, answers, flips=2, memory="file", tensors=tensors)
    whole = (tmp_path / "a.tvq").read_bytes()
    with pytest.raises(OptionError, match="is the file that is to be patched"):
        patch_file(plan, tmp_path / "a.tvq", tmp_path / "a.tvq")
    assert (tmp_path / "a.tvq").read_bytes() == whole
    assert patch_file(plan, tmp_path / "a.tvq", tmp_path / "b.tvq") == plan.hamming
    store = open_store(model, "file")
    plan.apply(store)
    patched = io.load_model(tmp_path / "b.tvq")
    assert (patched.logits(images) == store.logits(images)).all() and patched.sha256 != model.sha256
    assert (io.load_model(tmp_path / "a.tvq").logits(images) == model.logits(images)).all()


def test_a_patched_h5_differs_in_one_number(network, images, tmp_path):
    network.save(tmp_path / "a.h5")
    store = open_store(network)
    key = next(key for key in store.arrays if key.endswith("kernel"))
    plan = FlipPlan(store.name, store.sha256, "file", "file", [Step(tuple(flips_of(store, [(key, 3, 30)])))])
    patch_file(plan, tmp_path / "a.h5", tmp_path / "b.h5")
    old, new = (io.load_model(tmp_path / name).get_weights() for name in ("a.h5", "b.h5"))
    changed = [np.flatnonzero(a.reshape(-1) != b.reshape(-1)).tolist() for a, b in zip(old, new, strict=True)]
    assert changed[0] == [3] and not any(changed[1:]) and new[0].reshape(-1)[3] == np.float32(plan.flips[0].new)


def test_nothing_is_written_for_another_model(quantized, shared, images, answers, tmp_path):
    shared.save(tmp_path / "a.tvq")
    plan = progressive_search(quantized, images, answers, flips=1, memory="file")
    with pytest.raises(FormatError, match="for another model"):
        patch_file(plan, tmp_path / "a.tvq", tmp_path / "b.tvq")
    assert not (tmp_path / "b.tvq").exists()


def test_the_verb(quantized, images, answers, tmp_path, capsys):
    import json

    from tinyvgg import cli
    quantized.save(tmp_path / "a.tvq")
    np.save(tmp_path / "x.npy", images)
    np.save(tmp_path / "y.npy", answers)
    common = [str(tmp_path / "a.tvq"), "--data", ",".join(2 * [str(tmp_path / 'x.npy'), str(tmp_path / 'y.npy')]), "--json", "--quiet"]
    assert cli.main(["bitflip", "search", *common, "--flips", "3", "--out", str(tmp_path / "run"), "--memory", "file"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"flips", "hamming", "accuracy_before", "accuracy_after", "plan"} <= set(found)
    assert found["accuracy_after"] < found["accuracy_before"]
    assert cli.main(["bitflip", "apply", *common, "--plan", str(tmp_path / "run"), "--patch", str(tmp_path / "b.tvq"),
                     "--defence", "crc,ranges=8"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["accuracy_after"] == found["accuracy_after"] and again["defences"]["crc"]["detected"]
    assert load_plan(tmp_path / "run").hamming == found["hamming"] and (tmp_path / "b.tvq").exists()
    assert cli.main(["bitflip", "random", *common, "--flips", "1,50", "--seeds", "2"]) == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 4
    assert cli.main(["bitflip", "map", *common, "--tensors", "bias", "--samples", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"]
    for wrong in (["search", "--flips", "many"], ["search", "--memory", "paper"], ["apply"], ["search", "--bits", "40"],
                  ["search", "--tensors", "wheights"], ["search", "--goal", "class", "--target", "11"]):
        assert cli.main(["bitflip", wrong[0], *common, *wrong[1:]]) == 2
        assert capsys.readouterr().err.startswith("tinyvgg: ")


@pytest.mark.parametrize("command, words", [
    ("random --goal class", "--goal belongs to search; random has none"),
    ("map --patch x.tvq", "--patch belongs to random, search, apply; map has none"),
    ("search --patch x.tvq", "--patch of search is for an .elf; "),
    ("map --bits 3", "--bits belongs to random, search; map has none"),
    ("apply --plan x --memory file", "--memory belongs to random, search, map; apply has none"),
    ("search --floor 7", "floor is 7; expected a share of the images, 0 to 1.\nTry: 0.07"),
    ("search --floor -1", "floor is -1; expected a share")])
def test_options_of_other_actions_are_refused(command, words, quantized, images, answers, tmp_path, capsys):
    quantized.save(tmp_path / "tiny.tvq")
    np.save(tmp_path / "x.npy", images)
    np.save(tmp_path / "y.npy", answers)
    action, *rest = command.split()
    data = ",".join(2 * [str(tmp_path / 'x.npy'), str(tmp_path / 'y.npy')])
    assert main(["bitflip", action, str(tmp_path / "tiny.tvq"), *rest, "--data", data, "-n", "8", "--quiet"]) == 2
    assert words in capsys.readouterr().err
