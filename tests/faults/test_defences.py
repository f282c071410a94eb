"""What each defence finds and repairs, and where its guarantee ends."""
import numpy as np
import pytest

from tinyvgg.errors import OptionError
from tinyvgg.faults.adaptive import evade_radar
from tinyvgg.faults.defences import Crc, Radar, Ranges, Replicas, defences_of, trial
from tinyvgg.faults.hardening import clip_weights
from tinyvgg.faults.open import open_store
from tinyvgg.faults.search import progressive_search


def test_crc_finds_every_flip_every_pair_and_every_burst(quantized):
    """All single flips of an array, pairs of its first words, all bursts of up to 32 bits at one place, as the code promises."""
    store = open_store(quantized)
    crc, key = Crc(store), "dense/weights"
    count = store.arrays[key].size * 8
    assert crc.check(store) == []
    rng = np.random.default_rng(0)
    faults = [[i] for i in range(count)] + [[i, j] for i in range(64) for j in range(i)]
    faults += [[start, *(start + 1 + np.flatnonzero(rng.random(30) < 0.5)).tolist(), start + 31]
               for start in range(0, count - 32, 5)]
    for fault in faults:
        places = [(key, b // 8, b % 8) for b in fault]
        store.toggle(places)
        assert crc.check(store) == [key]
        store.toggle(places)


def test_radar_finds_a_flipped_sign_bit_and_not_all_else(quantized):
    store = open_store(quantized)
    radar = Radar(store, group=8)
    for key in radar.keys:
        for index in range(store.arrays[key].size):
            store.toggle([(key, index, 7)])
            assert radar.finds(store, [(key, index, 7)]) == 1
            store.toggle([(key, index, 7)])
    low = 0
    for index in range(store.arrays["dense/weights"].size):
        store.toggle([("dense/weights", index, 0)])
        low += bool(radar.check(store))
        store.toggle([("dense/weights", index, 0)])
    assert low < store.arrays["dense/weights"].size / 4
    with pytest.raises(OptionError):
        Radar(store, group=1)


def test_what_a_search_leaves_and_a_defence_gives_back(quantized, images, answers):
    store = open_store(quantized)
    plan = progressive_search(quantized, images, answers, flips=4)
    for defence in (Crc(store), Radar(store, group=8), Ranges(store, group=8)):
        row = trial(store, plan, defence, images, answers)
        assert row["detected"] and row["accuracy_attacked"] < 1 and row["bytes"] > 0
        assert store.accuracy(images, answers) == 1
    tails = progressive_search(quantized, images, answers, flips=3, tensors="bias,requantisation")
    row = trial(store, tails, Replicas(store), images, answers)
    assert row["accuracy_repaired"] == 1 and row["repaired"] >= 1
    # the adaptive attacker: unwatched arrays
    assert not trial(store, tails, Radar(store, group=8), images, answers)["detected"]


def test_an_attacker_who_knows_the_key_is_not_seen(quantized, images, answers):
    """Partners that cancel in their group's sum: RADAR is silent, a CRC is not; without the key some pairs show."""
    store = open_store(quantized)
    plan, radar = progressive_search(quantized, images, answers, flips=4), Radar(store, group=8)
    quiet = evade_radar(plan, store, radar)
    assert quiet.steps and quiet.hamming == 2 * len(quiet.steps)
    assert not trial(store, quiet, radar, images, answers)["detected"]
    assert trial(store, quiet, Crc(store), images, answers)["detected"]
    blind = [evade_radar(plan, store, Radar(store, 8, seed=s), knows_key=False) for s in range(6)]
    assert any(trial(store, p, Radar(store, 8, seed=s), images, answers)["detected"] for s, p in enumerate(blind))


def test_defences_by_name(quantized):
    store = open_store(quantized)
    found = defences_of(store, "crc,radar=16,ranges,replicas")
    assert list(found) == ["crc", "radar=16", "ranges", "replicas"]
    assert found["radar=16"].group == 16 and found["ranges"].group == 32
    with pytest.raises(OptionError, match="there is no defence 'moat'"):
        defences_of(store, "crc,moat")


def test_clipped_weights_keep_within_their_channels_deviations(network):
    before = [a.copy() for a in network.get_weights()]
    clipped = clip_weights(network, 1.5)
    for (key, array), (_, old) in zip(clipped.weights, network.weights, strict=True):
        if key.endswith("kernel"):
            limit = 1.5 * old.reshape(-1, old.shape[-1]).std(axis=0)
            assert (np.abs(array) <= limit * (1 + 1e-6)).all() and (array != old).any()
            assert (array == old)[np.abs(old) < limit].all()
        else:
            assert (array == old).all()
    assert all((a == b).all() for a, b in zip(network.get_weights(), before, strict=True))
    with pytest.raises(OptionError):
        clip_weights(network, 0)
