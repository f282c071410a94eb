"""docs/json.schema.json describes what each verb prints with --json. Verbs that build or flip are checked in their own tests."""
import json

import numpy as np
import pytest

from tests.cli.json_schema import check, schema
from tests.xcubeai import samples
from tinyvgg import cli, nn, quant
from tinyvgg.nn import layers as L


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a small network and images."""
    folder = tmp_path_factory.mktemp("json")
    y = np.arange(12) % 4
    np.save(folder / "x.npy", np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8))
    np.save(folder / "y.npy", y)
    model = nn.Sequential([L.InputLayer((8, 8, 3)), L.Flatten(), L.Dense(4, activation="softmax")])
    model.save(folder / "m.h5")
    quant.quantize(model, np.load(folder / "x.npy")).save(folder / "m.tvq")
    (folder / "report.txt").write_text(samples.V8)
    return folder


DATA, PAIR = "--data x.npy,y.npy,x.npy,y.npy", "--data x.npy,y.npy"
CLOSED = ("analyze", "convert", "look", "demo", "crosscheck", "summary")         # each key of each row is described, and there is no other


@pytest.mark.parametrize("command", [
    "summary m.h5", "summary m.tvq", "data list", f"data info {DATA}", "attack list", f"evaluate m.h5 {DATA}", f"attack fgsm m.h5 {DATA} --out a",
    "evaluate m.h5 --data a", f"attack curve m.h5 {DATA} --attack fgsm --eps 0,0.1", f"attack transfer m.h5 --victims m.h5 {DATA} --attack fgsm",
    f"attack matrix m.h5 {DATA} --attack fgsm", "convert m.h5 n.h5", "analyze m.h5 --board stm32l4r9i-disco",
    "analyze m.h5 --rules tinyvgg --compression low", "analyze m.tvq", f"convert m.h5 v.h5 {PAIR} --validation vx.npy,vy.npy -n 2",
    f"look m.h5 {PAIR}", f"look m.tvq {DATA} --attack none", f"evaluate m.h5 {PAIR}",
    f"compress m.h5 --scheme int8 {DATA} --out m.tvq", f"bitflip random m.tvq --flips 1 --seeds 1 {DATA}",
    f"bitflip search m.tvq --flips 1 {DATA} --out s", f"bitflip apply m.tvq --plan s {DATA}"])
def test_a_verb_prints_what_the_schema_says(command, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    assert cli.main([*command.split(), "--json", "--quiet"]) == 0, capsys.readouterr().err
    check(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize("command", ["crosscheck report.txt", "crosscheck report.txt --model m.h5"])
def test_crosscheck_prints_what_the_schema_says(command, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    assert cli.main([*command.split(), "--json", "--quiet"]) in (0, 1), capsys.readouterr().err
    check(json.loads(capsys.readouterr().out))


def test_boards_are_a_list(capsys):
    jsonschema = pytest.importorskip("jsonschema", reason="the schema is checked by the package jsonschema")
    assert cli.main(["analyze", "--boards", "--json"]) == 0
    jsonschema.validate(json.loads(capsys.readouterr().out), schema()["$defs"]["analyze --boards"])


@pytest.mark.parametrize("verb", CLOSED)
def test_every_key_of_every_row_is_described(verb):
    def parts(part):
        yield part
        for inner in (*part.get("properties", {}).values(), part.get("items"), part.get("additionalProperties")):
            if inner:
                yield from parts(inner)
    for part in parts(schema()["$defs"][verb]):
        kinds = part.get("type", [])
        if "object" in kinds:
            assert part.get("additionalProperties") is not None, part
        assert all(inner.get("description") for inner in part.get("properties", {}).values()), part


def test_each_verb_and_action_has_a_definition():
    actions = {"attack": ("curve", "transfer", "matrix", "steps", "presets", "list"), "data": ("list", "info", "download"),
               "bitflip": ("random", "search", "map", "apply")}
    for verb in cli.verbs():
        names = actions.get(verb) or tuple(cli.parser_of(verb).of_action)
        wanted = {f"{verb} {name}" for name in names} | ({verb} if not names or verb == "attack" else set())
        assert wanted <= set(schema()["$defs"]), wanted - set(schema()["$defs"])


def test_the_schema_is_one():
    jsonschema = pytest.importorskip("jsonschema", reason="the schema is checked by the package jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema())
    for name, definition in schema()["$defs"].items():
        assert all(key["description"] for key in definition.get("properties", {}).values()), name
    with pytest.raises(jsonschema.ValidationError):
        check({"command": "tinyvgg summary m.h5", "parameters": "many"}, "evaluate")
