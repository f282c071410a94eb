"""What --json prints, held to docs/json.schema.json."""
import functools
import json
import shlex
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "docs" / "json.schema.json"


@functools.cache
def schema():
    return json.loads(FILE.read_text(encoding="utf-8"))


def of_command(command):
    """The name in "$defs" of what a command prints."""
    words = shlex.split(command)[1:]
    names = [name for name in (" ".join(words[:2]), words[0]) if name in schema()["$defs"]]
    assert names, f"docs/json.schema.json has no word of {command}"
    return names[0]


def check(result, name=None):
    """Assert that what a verb printed is what the schema says, and that the schema has a description of each of its keys."""
    jsonschema = pytest.importorskip("jsonschema", reason="the schema is checked by the package jsonschema")
    name = name or of_command(result["command"])
    if name == "evaluate" and "attack" in result:
        name = "evaluate of a saved attack"
    definition = schema()["$defs"][name]
    jsonschema.validate(result, definition, cls=jsonschema.Draft202012Validator)
    unknown = [key for key in result if not definition["properties"].get(key, {}).get("description")]
    assert not unknown, f"docs/json.schema.json does not describe {unknown} of {name}"
    return result
