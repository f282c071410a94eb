"""The mutator itself: what it makes may be wrong in every way, but not so large that its own memory is taken for a reader's."""
import json

from tinyvgg import rng
from tinyvgg.testing.mutations import LARGEST_JSON, damaged_json


def test_a_list_does_not_grow_without_end():
    text = json.dumps({"ops": [{"name": "x" * 40_000, "inputs": list(range(200))}, {"shape": [[1, 2], [3]]}]})
    sizes = [len(damaged_json(text, rng.generator(0, "json", i))) for i in range(30)]
    assert max(sizes) > 10 * len(text) and max(sizes) < LARGEST_JSON + 200_000
