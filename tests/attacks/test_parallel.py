"""Curves and transfers in one process, in several and on a Dask cluster: the same rows, whoever dies meanwhile."""
import functools
import json
import os
import pickle
import signal
import sys
import threading
import types
from concurrent.futures import CancelledError, ThreadPoolExecutor

import numpy as np
import pytest

from tests.attacks.tasks import slow, threads
from tinyvgg import attacks, faults
from tinyvgg.attacks.shards import joined
from tinyvgg.errors import OptionError
from tinyvgg.report.parallel import TRIES, Cluster, Processes, placed, workers_of

RADII = [0, 0.03, 0.3]


def told(rows):
    """Rows without their seconds, as they would be printed."""
    return [json.dumps({key: value for key, value in row.items() if key != "seconds"}, sort_keys=True) for row in rows]


@pytest.mark.parametrize("name", ["pgd", "square", "fab", "hopskipjump"])
def test_parts_joined_are_the_whole(toy, name):
    """Arrays, counts and flags: but for what it took, nothing tells one from the other."""
    model, x, y = toy
    attack = {"pgd": functools.partial(attacks.pgd, eps=0.03, steps=3, target=np.where(y[:40] == 2, 3, 2)[:40]),
              "square": functools.partial(attacks.square, eps=0.05, queries=5), "fab": functools.partial(attacks.fab, steps=2, targets=2),
              "hopskipjump": functools.partial(attacks.hopskipjump, steps=1, draws=5, tries=3)}[name]
    if name == "pgd":
        pieces = [functools.partial(attacks.pgd, eps=0.03, steps=3, target=attack.keywords["target"][part]) for part in (slice(25), slice(25, 40))]
    else:
        pieces = [attack, attack]
    whole = attack(model, x[:40], y[:40])
    parts = joined([piece(model, x[part], y[part]) for piece, part in zip(pieces, (slice(25), slice(25, 40)), strict=True)])
    expected, found = whole.summary(), parts.summary()
    for key in expected:
        if key != "seconds":
            np.testing.assert_equal(found[key], expected[key], err_msg=key)
    np.testing.assert_array_equal(parts.x_adv, whole.x_adv)


def test_threads_and_processes_give_the_same_rows(toy, tmp_path):
    model, x, y = toy
    alone = attacks.eps_curve(model, x, y, eps=RADII, steps=3)
    with ThreadPoolExecutor(2) as executor:
        assert told(attacks.eps_curve(model, x, y, eps=RADII, steps=3, executor=executor)) == told(alone)
    with workers_of(2) as place:
        rows = attacks.eps_curve(model, x, y, eps=RADII, steps=3, executor=place, out=tmp_path / "curve.jsonl")
        assert told(rows) == told(alone)
        lines = (tmp_path / "curve.jsonl").read_text()
        attacks.eps_curve(model, x, y, eps=RADII, steps=3, out=tmp_path / "curve.jsonl")
        assert (tmp_path / "curve.jsonl").read_text() == lines, "nothing was run again"
        both = {"net": model}
        assert told(attacks.transfer(both, both, x, y, eps=0.03, steps=2, executor=place)) == told(
            attacks.transfer(both, both, x, y, eps=0.03, steps=2))


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_process_that_dies_takes_nothing_with_it(tmp_path):
    tasks = [(0.01, ""), (0.02, str(tmp_path / "dead")), (0.03, ""), (0.04, "")]
    assert dict(Processes(2).each(slow, 1, tasks)) == {i: 1 + task[0] for i, task in enumerate(tasks)}
    assert (tmp_path / "dead").exists()


@pytest.mark.parametrize(("wish", "expected"), [(None, 1), ("2", 2)])
def test_a_worker_is_one_thread_unless_told_otherwise(monkeypatch, wish, expected):
    """So that N of them use N cores, one as well."""
    monkeypatch.delenv("TINYVGG_NUM_THREADS", raising=False)
    if wish is not None:
        monkeypatch.setenv("TINYVGG_NUM_THREADS", wish)
    with workers_of(1) as place:
        (_, (process, count)), = place.each(threads, 0, [()])
    assert process != os.getpid() and count == expected


@pytest.mark.parametrize(("given", "words"), [
    ({"workers": 0}, "workers is 0; expected a whole number from 1 to 256"), ({"workers": 2, "dask": "tcp://a:1"}, "expected one of them")])
def test_mistakes(given, words):
    with pytest.raises(OptionError, match=words), workers_of(**given):
        pass


def test_what_cannot_be_sent_is_said(toy):
    model, x, y = toy
    silent = attacks.as_classifier(lambda z: model.logits(z), bounds=(0, 1), n_classes=6, vjp=model.vjp)
    with pytest.raises(OptionError, match="cannot be sent to another process"):
        attacks.eps_curve(silent, x, y, eps=RADII, executor=Processes(2))
    with pytest.raises(OptionError, match="a budget is of queries one after another"):
        attacks.eps_curve(model, x, y, eps=RADII, budget=9, executor=Processes(2))
    with pytest.raises(OptionError, match="executor is int"):
        placed(3)


def test_a_dask_cluster_gives_the_same_rows(toy, tmp_path):
    distributed = pytest.importorskip("distributed", reason="extra dist")
    model, x, y = toy
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster, \
            workers_of(dask=cluster.scheduler_address) as place:
        assert told(attacks.eps_curve(model, x, y, eps=RADII, steps=3, executor=place)) == told(attacks.eps_curve(model, x, y, eps=RADII, steps=3))
    with pytest.raises(OptionError, match="no Dask scheduler answers"), workers_of(dask="tcp://127.0.0.1:9"):
        pass


class Answer:
    """A future of the cluster below."""

    def __init__(self, value=None, error=None):
        self.value, self.error = value, error

    def result(self):
        if self.error is not None:
            raise self.error
        return self.value


class Workers:
    """What Cluster asks of a Dask client, with seven workers; `errors` has the exceptions of the first tasks, None for one that goes well."""

    def __init__(self, errors=()):
        self.errors, self.submitted, self.cancelled = list(errors), 0, 0

    def nthreads(self):
        return dict.fromkeys(range(7), 1)

    def submit(self, function, *given, **_):
        if function is pickle.loads:
            return Answer(function(*given))
        self.submitted += 1
        error = self.errors.pop(0) if self.errors else None
        return Answer(None if error else function(given[0].value, *given[1:]), error)

    def cancel(self, futures):
        self.cancelled += len(futures)


class Killed(Exception):
    """Stands for distributed.KilledWorker."""


@pytest.fixture
def distributed_words(monkeypatch):
    """The two names of distributed that Cluster uses, whether it is installed or not."""
    monkeypatch.setitem(sys.modules, "distributed", types.SimpleNamespace(KilledWorker=Killed, as_completed=list))


def plus(shared, number):
    return shared + number


def test_a_result_that_a_cluster_lost_is_computed_again(distributed_words):
    client = Workers([None, CancelledError(), None])
    assert dict(Cluster(client).each(plus, 1, [(0,), (1,), (2,)])) == {0: 1, 1: 2, 2: 3}
    assert client.submitted == 4 == client.cancelled, "only what was lost"
    with pytest.raises(OptionError, match=f"the cluster lost 1 tasks {TRIES} times"):
        dict(Cluster(Workers([CancelledError()] * TRIES)).each(plus, 1, [(0,)]))


def test_a_task_whose_workers_die_is_a_sentence(distributed_words):
    client = Workers([None, Killed("task-3")])
    with pytest.raises(OptionError, match="the workers of the cluster died over one task: task-3"):
        dict(Cluster(client).each(plus, 1, [(0,), (1,)]))
    assert client.cancelled == 2


def test_a_cluster_is_as_large_as_it_has_workers():
    assert Cluster(Workers()).size == 7


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_cluster_of_processes_gives_the_same_rows_and_loses_nothing_with_a_worker(toy, tmp_path):
    """One worker kills itself in the middle; then a curve is attacked while another process kills one."""
    distributed = pytest.importorskip("distributed", reason="extra dist")
    model, x, y = toy
    tasks = [(0.01, ""), (0.02, str(tmp_path / "dead")), (0.03, ""), (0.04, "")]
    settings = {"eps": [0, 0.01, 0.02, 0.03, 0.3], "steps": 20, "restarts": 10}
    alone = attacks.eps_curve(model, x, y, **settings)
    patient = pytest.importorskip("dask").config.set({"distributed.deploy.lost-worker-timeout": "10m"})
    with patient, distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster, \
            workers_of(dask=cluster.scheduler_address) as place:    # else a LocalCluster gives up a worker that takes 15 s to start again
        assert dict(place.each(slow, 1, tasks)) == {i: 1 + task[0] for i, task in enumerate(tasks)} and (tmp_path / "dead").exists()
        place.client.wait_for_workers(2, timeout=240)
        victim = next(iter(place.client.run(os.getpid).values()))
        kill = threading.Timer(0.2, os.kill, (victim, signal.SIGKILL))
        kill.start()
        rows = attacks.eps_curve(model, x, y, executor=place, **settings)
        assert not kill.is_alive() and victim not in place.client.run(os.getpid).values(), "it was killed before the rows were there"
        assert told(rows) == told(alone)


def test_searches_from_seeds_side_by_side_and_after_a_stop(tmp_path):
    """Bit-flip campaigns: the same rows from one process, from two, and from a folder that was left in the middle."""
    from tests.faults.conftest import tiny_network
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 256, (24, 6, 6, 3)).astype(np.uint8), np.arange(24) % 3
    network, data = tiny_network(x), ((x, y), (x, y))
    settings = {"seeds": 3, "images": 8, "flips": 2, "trials": 1}
    alone = faults.search_seeds(network, *data, memory="file", out=tmp_path / "one", **settings)
    assert [row["seed"] for row in alone] == [0, 1, 2] and all(1 <= len(row["accuracy"]) <= 2 for row in alone)
    kept = (tmp_path / "one" / "seeds.jsonl").read_text().splitlines()
    (tmp_path / "one" / "seeds.jsonl").write_text(kept[0] + "\n" + kept[1][:20])
    again = faults.search_seeds(network, *data, memory="file", out=tmp_path / "one", executor=placed(None), **settings)
    with ThreadPoolExecutor(1) as executor:
        assert told(faults.search_seeds(network, *data, memory="file", executor=executor, **settings)) == told(alone) == told(again)
        assert told(faults.random_flips(network, x, y, counts=[2], seeds=2, memory="file", executor=executor)) == told(
            faults.random_flips(network, x, y, counts=[2], seeds=2, memory="file"))
    assert faults.by_flips(alone, 1.0)[-1]["lowest"] == min(row["accuracy"][-1] for row in alone)
    assert threading.active_count() < 50
