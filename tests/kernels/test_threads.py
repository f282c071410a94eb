"""Threads: as many as asked for, the same results, after a fork, from several callers."""
import os
import signal
import subprocess
import sys
import threading

import numba
import numpy as np
import pytest

from tinyvgg import models, nn
from tinyvgg.errors import MachineError, OptionError
from tinyvgg.kernels.fast import threads
from tinyvgg.kernels.fast.arena import address
from tinyvgg.kernels.fast.cores import usable_cores
from tinyvgg.nn import layers as L
from tinyvgg.report.record import sha256_arrays

PREDICT = """
import sys
import numpy as np
from tinyvgg import io
model = io.load_model(sys.argv[1])
x = np.random.default_rng(0).random((3, *model.input_shape), dtype=np.float32)
print(np.round(model.logits(x), 4).tolist())
"""
THREE = np.random.default_rng(0).random((3, 32, 32, 3), dtype=np.float32)


@pytest.fixture
def fresh(monkeypatch):
    """fresh(count) -> a new pool, made as in a process that begins with TINYVGG_NUM_THREADS=count."""
    def make(count):
        monkeypatch.setenv("TINYVGG_NUM_THREADS", str(count))
        monkeypatch.setattr(threads, "_pool", None)
        return threads.pool()
    monkeypatch.setattr(threads, "usable_cores", usable_cores)
    return make


def test_number_of_threads(fresh):
    answers = []
    for count in (1, 3):
        assert fresh(count).threads == count
        answers.append(models.light().logits(THREE))
    assert np.array_equal(np.round(answers[0], 4), np.round(answers[1], 4))


def test_who_does_a_part_changes_nothing(fresh, monkeypatch):
    """The parts of five threads, done by one, two and three workers: the same bytes."""
    g = np.random.default_rng(1).standard_normal((3, 10)).astype(np.float32)
    model, hashes = models.light(), set()
    for cores in (1, 2, 3):
        monkeypatch.setattr(threads, "usable_cores", lambda cores=cores: cores)
        pool = fresh(5)
        model.forward_logits(THREE, training=False)
        dx = model.backward_logits(g)
        hashes.add(sha256_arrays(model.logits(THREE), dx, *(a for layer in model.layers for _, a in sorted(layer.gradients.items()))))
        assert (pool.threads, pool.workers) == (5, cores) and threads.pool() is pool
    assert len(hashes) == 1


def test_workers_that_are_late_once():
    """They slept. Late twice in a row, another program has their core, and the next program is run alone for a while."""
    judge = numba.njit(lambda place, waited, whole, workers: threads._judge(place, waited, whole, workers))
    place = np.zeros(8, np.int64)                       # until when alone, then how often late
    judge(address(place), 90, 100, 2)
    assert place[:2].tolist() == [0, 1]
    judge(address(place), 90, 100, 2)
    assert place[0] > 0 and place[1] == 2
    judge(address(place), 10, 100, 2)
    assert place[1] == 0
    with pytest.raises(TypeError, match="_judge is for kernels only"):
        threads._judge(address(place), 10, 100, 2)


@pytest.mark.parametrize(("files", "most"), [
    ({}, None), ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
    ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),
    ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "150000 100000\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, 1),
    ({"proc/self/cgroup": "0::/../c\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
    ({"proc/self/cgroup": "4:cpu,cpuacct:/docker/x\n1:name=systemd:/docker/x\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000\n",
      "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 1),
    ({"proc/self/cgroup": "4:cpu,cpuacct:/x\n", "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "100000\n",
      "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000\n"}, 1),
    ({"proc/self/cgroup": "4:cpu:/x\n", "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "-1\n",
      "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n"}, None),
    ({"proc/self/cgroup": "no group\n::\n", "sys/fs/cgroup/cpu.max": "1 0\n"}, None)])
def test_the_quota_of_a_container(tmp_path, files, most):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert usable_cores(tmp_path) == min(own, most or own)


@pytest.mark.parametrize("wish", ["0", "many", "-2", "1000", "", "²", "٣", "1.5", "9" * 5000])
def test_wrong_number(monkeypatch, wish):
    monkeypatch.setenv("TINYVGG_NUM_THREADS", wish)
    with pytest.raises(OptionError):
        threads.thread_count()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_in_a_child_after_fork(monkeypatch):
    monkeypatch.setattr(threads, "usable_cores", usable_cores)
    monkeypatch.setattr(threads, "_pool", None)
    model = models.light()
    x = np.random.default_rng(0).random((4, 32, 32, 3), dtype=np.float32)
    want = model.logits(x)
    child = os.fork()
    if child == 0:
        same = all(np.array_equal(model.logits(x), want) for _ in range(3))
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert np.array_equal(model.logits(x), want)


@pytest.mark.parametrize("which", [1, 2])
def test_a_thread_that_is_refused(which, fresh, monkeypatch):
    """One sentence, and the next call has all threads."""
    real, calls = threading.Thread.start, []

    def start(self):
        calls.append(1)
        if len(calls) == which:
            raise RuntimeError("can't start new thread")        # what CPython raises at a limit of processes
        return real(self)

    monkeypatch.setattr(threads, "usable_cores", lambda: 3)
    fresh(3)
    monkeypatch.setattr(threading.Thread, "start", start)
    before, model = set(threading.enumerate()), models.light()
    with pytest.raises(MachineError) as refused:
        model.logits(THREE)
    assert "TINYVGG_NUM_THREADS=1" in str(refused.value)
    assert model.logits(THREE).shape == (3, 10) and len(set(threading.enumerate()) - before) == 2


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer that interrupts")
@pytest.mark.parametrize("count", [pytest.param("2", marks=pytest.mark.slow), "3"])       # fewer threads wait for one another less
def test_interrupts(count):
    """Ctrl-C at random moments; the long form is benchmarks/robustness.py interrupts."""
    from benchmarks.campaign.interrupts import interrupted
    row = interrupted(60, int(count), seed=1)
    assert row == {"interrupts": 60, "wrong": 0, "hangs": 0} | {"calls": row["calls"]}


def few_kernels():
    """A network of one convolution by Winograd, and of a dense layer."""
    return nn.Sequential([L.InputLayer((8, 8, 16)), L.Conv2D(16, 3, padding="same", activation="relu"), L.MaxPooling2D(), L.Flatten(), L.Dense(10)])


@pytest.mark.parametrize("network", [few_kernels, pytest.param(models.light, marks=pytest.mark.slow)])
def test_avx2_code(network, fresh, tmp_path):
    """The kernels for a processor without AVX-512: other vectors, other tiles, the same answers."""
    model = network()
    x = np.random.default_rng(0).random((3, *model.input_shape), dtype=np.float32)
    model.save(tmp_path / "model.h5")
    narrow = subprocess.run([sys.executable, "-c", PREDICT, tmp_path / "model.h5"], capture_output=True, text=True, check=True, env={
        **os.environ, "TINYVGG_NUM_THREADS": "1", "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+sse4.2,+popcnt,+bmi,+bmi2"})
    fresh(3)
    assert narrow.stdout == f"{np.round(model.logits(x), 4).tolist()}\n"
