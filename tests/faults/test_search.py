"""The search against brute force, its objectives, fault and memory models."""
import numpy as np
import pytest

from tinyvgg import kernels
from tinyvgg.errors import FormatError, OptionError
from tinyvgg.faults import bits
from tinyvgg.faults.baseline import random_flips
from tinyvgg.faults.objective import objective
from tinyvgg.faults.open import open_store
from tinyvgg.faults.plan import load_plan
from tinyvgg.faults.search import progressive_search
from tinyvgg.faults.victim import victim_of


def brute_force(model, x, y, keys):
    """Every single flip of a FileStore, evaluated by the library's simulation of a newly built graph: the best one."""
    store = open_store(model, "file") if not hasattr(model, "arrays") else model
    best = None
    for key in keys:
        for index in range(store.arrays[key].size):
            for bit in range(store.bits(key)):
                store.toggle([(key, index, bit)])
                logits = store.logits(x).astype(np.float64)
                store.toggle([(key, index, bit)])
                z = logits - logits.max(axis=1, keepdims=True)
                loss = float((np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]).mean())
                if best is None or loss > best[0] + 1e-12:
                    best = loss, (key, index, bit)
    return best


def test_search_equals_brute_force_step_by_step(smallest, images):
    """With every bit tried, each step is the best single flip there is (the loss, where two flips are equally bad)."""
    x = images[:8]
    y = smallest.labels(x)
    plan = progressive_search(smallest, x, y, flips=2, trials=None, memory="file", tensors="weights,bias")
    store = open_store(smallest, "file")
    keys = store.select("weights,bias")
    for step in plan.steps:
        loss, place = brute_force(store, x, y, keys)
        assert step.score == pytest.approx(loss, rel=1e-9), (step, place)
        store.toggle([f.place for f in step.flips])
    assert len(plan.steps) == 2


def test_gradients_find_what_brute_force_finds(smallest, images):
    """A few trials an array reach at least half of the brute-force loss."""
    answers = smallest.labels(images)
    few = progressive_search(smallest, images, answers, flips=4, trials=3, memory="file")
    all_of_them = progressive_search(smallest, images, answers, flips=4, trials=None, memory="file")
    assert few.steps[-1].score > 0.5 * all_of_them.steps[-1].score
    assert few.steps[-1].accuracy < 1


def test_slopes_by_the_kernels_are_those_of_the_definition(shared, images, answers):
    store = open_store(shared, "image")
    victim, goals = victim_of(store, images), objective("any", answers, 3)
    found = victim.slopes(goals)
    with kernels.use("reference"):
        expected = victim.slopes(goals)
    assert found.keys() == expected.keys() and len(found) > 9
    for key, slope in expected.items():
        assert np.abs(found[key] - slope).max() <= 1e-5 * np.abs(slope).max(), key


@pytest.mark.parametrize("form", ["file", "image"])
@pytest.mark.parametrize("scheme", ["quantized", "shared"])
def test_slopes_are_central_differences(form, scheme, request, images, answers):
    """For each array with a gradient: slope times 2 d against the score at number + d and - d, d a few steps of rounding."""
    store = open_store(request.getfixturevalue(scheme), form)
    victim, goals = victim_of(store, images), objective("any", answers, 3)
    slopes, seen, agree = victim.slopes(goals), 0, []
    for key, slope in slopes.items():
        if key.endswith("/indices") or key not in store.arrays:
            continue
        flat, rows = store.arrays[key].reshape(-1), []
        info = np.iinfo(flat.dtype)
        steep = np.argsort(-np.abs(slope.reshape(-1)), kind="stable")[:8]       # flat ones bend within a step
        for index in steep[np.abs(slope.reshape(-1)[steep]) > 1e-12]:
            g, value = slope.reshape(-1)[index], int(flat[index])
            d = int(min(0.03 / abs(g), 2 ** 28 if info.bits == 32 else 24, info.max - abs(value)))
            if d * abs(g) > 0.01:
                ends = [store.real(victim.session.trial([(key, int(index), flat.dtype.type(value + e))])) for e in (d, -d)]
                rows.append((2 * d * g, goals.score(ends[0]) - goals.score(ends[1])))
        if len(rows) >= 2:
            predicted, true = np.array(rows).T
            agree += [0.5 < r < 2 for r in true / predicted]
            seen += 1
    assert seen >= 5 and np.mean(agree) > 0.6


@pytest.mark.parametrize("fault", ["set", "clear", "zero_dword"])
def test_faults_change_only_what_they_can(fault, quantized, images, answers):
    plan = progressive_search(quantized, images, answers, flips=3, fault=fault)
    store = open_store(quantized)
    for step in plan.steps:
        for flip in step.flips:
            array = store.arrays[flip.tensor].reshape(-1)
            one = int(bits.words(array[flip.index:flip.index + 1])[0]) >> flip.bit & 1
            assert one == (0 if fault == "set" else 1)
        if fault == "zero_dword":
            words = {(f.tensor, f.index * store.arrays[f.tensor].dtype.itemsize // 8) for f in step.flips}
            assert len(words) == 1 and all(f.new == 0 or len(step.flips) > 1 for f in step.flips[-1:])
        store.toggle([f.place for f in step.flips])
    if fault == "zero_dword":
        key, word = next(iter(words))
        assert (store.arrays[key].reshape(-1)[word * 8:word * 8 + 8] == 0).all()


def test_flash_with_ecc_takes_three_of_a_double_word(quantized, images, answers):
    plan = progressive_search(quantized, images, answers, flips=2, memory="flash_ecc")
    rows = plan.ecc(open_store(quantized))
    assert plan.steps and all(len(step.flips) >= 3 for step in plan.steps) and {r["verdict"] for r in rows} == {"applied"}
    alone = progressive_search(quantized, images, answers, flips=2, memory="sram")
    assert {r["verdict"] for r in alone.ecc(open_store(quantized))} <= {"corrected", "nmi"}


def test_objectives(quantized, images, answers):
    target = int(np.bincount(answers, minlength=3).argmin())
    plan = progressive_search(quantized, images, answers, flips=8, goal="class", target=target, tensors="all")
    assert plan.steps[-1].success > plan.facts["start"]["success"]
    source = int(np.bincount(answers).argmax())
    stealthy = progressive_search(quantized, images, answers, flips=8, goal="stealthy", source=source, target=target)
    assert all(b.score > a.score for a, b in zip(stealthy.steps, stealthy.steps[1:], strict=False))
    one = progressive_search(quantized, images, answers, flips=8, goal="image", source=source, target=target)
    assert one.steps[-1].success in (0.0, 1.0)
    for wrong in ({"goal": "melt"}, {"goal": "pair", "target": 1}, {"goal": "class", "target": 7}):
        with pytest.raises(OptionError):
            progressive_search(quantized, images, answers, **wrong)


def test_a_search_that_cannot_go_on_stops(quantized, images, answers):
    plan = progressive_search(quantized, images, answers, flips=3, tensors="bias", only_bits=[])
    assert not plan.steps and "raise the score" in plan.facts["stopped"]


@pytest.mark.parametrize("chosen", [[9], [7, 8], [-1]])
def test_bits_that_no_number_has_are_refused(chosen, quantized, images, answers):
    for attack in (progressive_search, random_flips):
        with pytest.raises(OptionError, match="these numbers have bits 0 to 7"):
            attack(quantized, images, answers, only_bits=chosen)


def test_bits_as_a_range_are_kept_in_the_plan(quantized, images, answers, tmp_path):
    plan = progressive_search(quantized, images, answers, flips=2, only_bits=range(6), out=tmp_path)
    assert plan.flips and all(flip.bit < 6 for flip in plan.flips)
    assert load_plan(tmp_path).facts["only_bits"] == [0, 1, 2, 3, 4, 5]


def test_float_networks(network, images):
    y = network.labels(np.asarray(images / 255, np.float32))
    plan = progressive_search(network, images, y, flips=1)
    assert plan.flips[0].bit == 30 and plan.steps[0].accuracy < 0.9


def test_resumes_where_it_was(quantized, images, answers, tmp_path):
    whole = progressive_search(quantized, images, answers, flips=4)
    progressive_search(quantized, images, answers, flips=2, out=tmp_path)
    resumed = progressive_search(quantized, images, answers, flips=4, out=tmp_path)
    assert [s.flips for s in resumed.steps] == [s.flips for s in whole.steps]
    with pytest.raises(OptionError, match="other settings"):
        progressive_search(quantized, images, answers, flips=4, trials=1, out=tmp_path)


def test_plans_apply_revert_and_refuse(quantized, shared, images, answers, tmp_path):
    from tinyvgg.faults.plan import load_plan
    plan = progressive_search(quantized, images, answers, flips=4)
    plan.save(tmp_path / "plan.json")
    again = load_plan(tmp_path)
    assert again.as_dict() == plan.as_dict()
    store = open_store(quantized)
    before = store.logits(images)
    again.apply(store)
    assert (store.logits(images).argmax(axis=1) == answers).mean() == plan.steps[-1].accuracy
    with pytest.raises(FormatError, match="expects"):
        again.apply(store)
    again.revert(store)
    assert (store.logits(images) == before).all()
    for other in (open_store(shared), open_store(quantized, "file")):
        with pytest.raises(FormatError):
            again.apply(other)
    for text in ("", "{}", "[]", '{"format": "tinyvgg.flips", "version": 1}', "nul"):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(FormatError):
            load_plan(tmp_path / "bad.json")
