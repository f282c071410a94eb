"""Flipped networks answer as their C does, and incremental answers are those of the whole network."""
import numpy as np
import pytest

from tests.faults.host import compiled
from tinyvgg.errors import OptionError
from tinyvgg.faults.execute import Session
from tinyvgg.faults.open import open_store
from tinyvgg.faults.plan import changes_of

FORMS = ("file", "image")


def some_bits(store, n, seed, keys=None):
    """n random usable bits of a store."""
    rng, keys = np.random.default_rng(seed), keys or list(store.arrays)
    found = []
    for _ in range(n):
        key = keys[rng.integers(len(keys))]
        found.append((key, int(rng.choice(np.flatnonzero(store.usable(key)))), int(rng.integers(store.bits(key)))))
    return found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scheme", ["quantized", "shared"])
def test_unharmed_it_is_the_model(form, scheme, request, images):
    model = request.getfixturevalue(scheme)
    assert (open_store(model, form).logits(images) == model.logits(images)).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scheme", ["quantized", "shared"])
def test_a_trial_is_the_whole_network(form, scheme, request, images):
    """Bits of every array, one after another committed: the incremental answers are those from the start."""
    store = open_store(request.getfixturevalue(scheme), form)
    session = Session(store, images)
    changed = 0
    for key in store.arrays:
        for place in some_bits(store, 6, 3, [key]):
            expected_before = session.logits.copy()
            trial = session.trial(changes_of(store, [place]))
            assert (session.logits == expected_before).all()
            session.commit(changes_of(store, [place]))
            whole = store.logits(images)
            assert (store.real(trial) == whole).all() and (store.real(session.logits) == whole).all(), place
            changed += (whole != store.real(expected_before)).any()
    assert changed > 10


def test_several_flips_at_once(quantized, images):
    store = open_store(quantized, "image")
    session = Session(store, images)
    places = some_bits(store, 20, 8)
    places = list(dict.fromkeys(places))
    trial = session.trial(changes_of(store, places))
    store.toggle(places)
    assert (store.real(trial) == store.logits(images)).all()


def test_toggling_twice_changes_nothing(quantized):
    store = open_store(quantized)
    before = {key: a.copy() for key, a in store.arrays.items()}
    places = some_bits(store, 30, 1)
    store.toggle(places)
    store.toggle(places)
    assert all((store.arrays[key] == before[key]).all() for key in before)


def test_nothing_is_changed_where_one_flip_is_wrong(quantized):
    store = open_store(quantized)
    key = next(iter(store.arrays))
    before = store.arrays[key].copy()
    for bad in [(key, store.arrays[key].size, 0), (key, 0, store.bits(key)), (key, 0, -1), ("nothing/weights", 0, 0)]:
        with pytest.raises(OptionError):
            store.toggle([(key, 0, 0), bad])
        assert (store.arrays[key] == before).all()


def test_padding_is_no_target(quantized):
    store = open_store(quantized, "image")
    for key in store.arrays:
        assert store.usable(key).sum() <= store.arrays[key].size
    assert sum(store.usable(k).sum() for k in store.select("weights")) == 3 * 27 + 4 * 18 + 3 * 36


def test_selecting(quantized, shared):
    store = open_store(shared, "file")
    assert all(key.endswith(("codebook",)) for key in store.select("codebook"))
    assert set(store.select("bias,requantisation")) == {k for k in store.arrays if store.kind(k) in ("bias", "requantisation")}
    with pytest.raises(OptionError, match="stores no 'wheights'"):
        store.select("wheights")


@pytest.mark.parametrize("scheme", ["quantized", "shared"])
def test_flipped_simulation_is_flipped_c(scheme, request, images):
    """Random flips anywhere in the constants, overflows included: simulation and compiled C agree in every logit."""
    model = request.getfixturevalue(scheme)
    store = open_store(model, "image")
    keys = [k for k in store.arrays if not k.endswith("/tail_shift")]
    for seed in range(3):
        places = list(dict.fromkeys(some_bits(store, 12, seed, keys)))
        store.toggle(places)
        assert (Session(store, images).logits == compiled(store, images)).all()
        store.toggle(places)


@pytest.mark.parametrize("variant", ["direct16", "direct16_ram", "winograd2_ram", "winograd4_ram"])
def test_fixed_kernels_are_flipped_where_they_keep_their_weights(variant, images):
    """Weights and tails of a 3x3 network whose layers run by other kernels: simulation and compiled C agree in every logit."""
    from dataclasses import replace

    from tests.quant.networks import randomise
    from tinyvgg import nn
    from tinyvgg.codegen.variants import with_variants
    from tinyvgg.nn import layers as L
    from tinyvgg.quant import quantize
    net = nn.Sequential([L.InputLayer((6, 6, 3)), L.Conv2D(5, 3, padding="same", activation="relu"), L.BatchNormalization(),
                         L.Conv2D(6, 3, padding="same", activation="relu"), L.MaxPooling2D(), L.Flatten(),
                         L.Dense(3, activation="softmax")], name="fixed")
    graph = with_variants(quantize(randomise(net, np.random.default_rng(1), dead=0), images).graph,
                          {"conv2d": variant, "conv2d_1": variant})
    store = open_store(graph)
    assert (store.logits(images) == open_store(replace(graph, ops=tuple(
        replace(op, variant="direct") if hasattr(op, "variant") else op for op in graph.ops))).logits(images)).all()
    keys = [k for k in store.arrays if not k.endswith("/tail_shift")]
    assert store.usable("conv2d_1/weights").sum() == 6 * 9 * 5
    changed = 0
    for seed in range(3):
        places = list(dict.fromkeys(some_bits(store, 10, seed, ["conv2d/weights", "conv2d_1/weights", *keys])))
        session = Session(store, images)
        trial = session.trial(changes_of(store, places))
        store.toggle(places)
        flipped = Session(store, images).logits
        assert (flipped == compiled(store, images)).all() and (flipped == trial).all()
        store.toggle(places)
        changed += (flipped != session.logits).any()
    assert changed


def test_transformed_words_are_refused(quantized):
    from tinyvgg.codegen.variants import with_variants
    from tinyvgg.errors import NotYet
    with pytest.raises(NotYet, match="runs as winograd4"):
        open_store(with_variants(quantized.graph, {"conv2d": "winograd4"}))
