"""Damaged files: an error of ours or a valid model, within 5 s and 1 GB, in a process of its own that must not die."""
import os
from collections import Counter
from pathlib import Path

import pytest

from tests.io import fixtures
from tinyvgg import nn
from tinyvgg.nn import layers
from tinyvgg.testing import fuzzer
from tinyvgg.train import optimizers

ROOT = Path(__file__).resolve().parents[2]
SECONDS, MEGABYTES = 5, 1000
FEW = 12                    # of the usual run
OURS = ("chain.h5", "graph.h5", "chain.keras", "graph.keras", "chain.weights.h5")
THEIRS = ("keras2/light_slim.h5", "keras3/v_residual.h5", "keras3/v_nested.keras", "keras2/v_bn_flags.weights.h5",
          "keras2/v_nested_weights.h5")


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """Two small networks with their optimizers, in every format."""
    folder = tmp_path_factory.mktemp("whole")
    chain = nn.Sequential([layers.InputLayer((8, 8, 2)), layers.Conv2D(3, 3, activation="relu"), layers.SpatialDropout2D(0.2),
                           layers.BatchNormalization(), layers.MaxPooling2D(), layers.Flatten(),
                           layers.Dense(4, activation="softmax")])
    start = nn.Input((8, 8, 2))
    left = layers.BatchNormalization()(layers.Conv2D(3, 3, padding="same")(start))
    joined = layers.Concatenate()([layers.Add()([left, layers.DepthwiseConv2D(1, use_bias=False)(left)]), start])
    graph = nn.Model(start, layers.Dense(4)(layers.GlobalAveragePooling2D()(joined)))
    for name, model in (("chain", chain), ("graph", graph)):
        adam = optimizers.Adam()
        for layer in model.layers:
            layer.gradients = {k: v + 1 for k, v in layer.parameters.items()}
        adam.step(model)
        for ending in (".h5", ".keras", ".weights.h5"):
            model.save(folder / f"{name}{ending}", optimizer=adam, card={"accuracy": 0.5})
    return folder


def fuzz(source, model, start, stop):
    os.environ["TINYVGG_FUZZ_MODEL"] = str(model)
    return fuzzer.fuzz("tests.io.opening:opened", source, start, stop, folder=ROOT,
                       ending=source.name[source.name.index("."):])


def check(rows, count, capsys):
    assert len(rows) == count
    faults = fuzzer.faults_of(rows, SECONDS, MEGABYTES)
    outcomes = Counter(r["outcome"] for r in rows)
    with capsys.disabled():
        print(f"\n{count} mutations, {len({r['kind'] for r in rows})} kinds: {dict(outcomes)}; "
              f"slowest {max(r['seconds'] for r in rows):.2f} s, "
              f"most memory {max(r['megabytes'] for r in rows):.0f} MB")
    assert not faults, faults[:5]


@pytest.mark.parametrize("name", OURS)
def test_some_damage(ours, name, capsys):
    check(fuzz(ours / name, ours / f"{name.split('.')[0]}.h5", 0, FEW), FEW, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_much_damage(ours, name, capsys):
    check(fuzz(ours / name, ours / f"{name.split('.')[0]}.h5", FEW, 1200), 1200 - FEW, capsys)


@pytest.mark.slow
@pytest.mark.skipif(not fixtures.FOLDER.is_dir(), reason=fixtures.REASON)
@pytest.mark.parametrize("name", THEIRS)
def test_damage_to_files_of_keras(name, capsys):
    path = fixtures.FOLDER / name
    whole = path.with_name(path.name.split(".")[0].removesuffix("_weights") + ".h5")
    check(fuzz(path, whole, 0, 300), 300, capsys)
