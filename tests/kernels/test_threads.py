"""Threads: as many as asked for, the same results, after a fork, from several callers."""
import functools
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from tinyvgg import models
from tinyvgg.errors import OptionError
from tinyvgg.kernels.fast import threads
from tinyvgg.kernels.fast.arena import address
from tinyvgg.kernels.fast.cores import usable_cores

PREDICT = ("import hashlib, numpy as np; from tinyvgg import models; from tinyvgg.kernels.fast.threads import pool;"
           "x = np.random.default_rng(0).random((3, 32, 32, 3), dtype=np.float32); y = models.light().logits(x);"
           "print(pool().threads, np.round(y, 4).tolist())")


@functools.cache
def in_process(**environment):
    result = subprocess.run([sys.executable, "-c", PREDICT], env={**os.environ, **environment}, capture_output=True, text=True,
                            check=True)
    count, _, rest = result.stdout.partition(" ")
    return int(count), rest


def test_number_of_threads():
    one, three = in_process(TINYVGG_NUM_THREADS="1"), in_process(TINYVGG_NUM_THREADS="3")
    assert one[0] == 1 and three[0] == 3 and one[1] == three[1]


SHARES = """
import hashlib, numpy as np
from tinyvgg import models
from tinyvgg.kernels.fast import threads
x = np.random.default_rng(0).random((3, 32, 32, 3), dtype=np.float32)
g = np.random.default_rng(1).standard_normal((3, 10)).astype(np.float32)
model = models.light()
for cores in (1, 2, 3):
    threads.usable_cores, threads._pool = lambda: cores, None
    model.forward_logits(x, training=False)
    dx = model.backward_logits(g)
    arrays = [model.logits(x), dx, *(layer.gradients[name] for layer in model.layers for name in sorted(layer.gradients))]
    print(threads.pool().threads, threads.pool().workers, hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest())
"""


def test_who_does_a_part_changes_nothing():
    """The parts of five threads, done by one, two and three workers: the same bytes."""
    done = subprocess.run([sys.executable, "-c", SHARES], capture_output=True, text=True, check=True,
                          env={**os.environ, "TINYVGG_NUM_THREADS": "5"})
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[:2] for row in rows] == [["5", "1"], ["5", "2"], ["5", "3"]] and len({row[2] for row in rows}) == 1


def test_workers_that_are_late_once():
    """They slept. Late twice in a row, another program has their core, and the next program is run alone for a while."""
    place = np.zeros(8, np.int64)                       # until when alone, then how often late
    threads._judge(address(place), 90, 100, 2)
    assert place[:2].tolist() == [0, 1]
    threads._judge(address(place), 90, 100, 2)
    assert place[0] > 0 and place[1] == 2
    threads._judge(address(place), 10, 100, 2)
    assert place[1] == 0


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


REFUSED = """
import threading
from tinyvgg import models
from tinyvgg.errors import MachineError
from tinyvgg.kernels.fast import threads
threads.usable_cores = lambda: 3
real, calls = threading.Thread.start, []
def start(self):
    calls.append(1)
    if len(calls) == REFUSED:
        raise RuntimeError("can't start new thread")    # what CPython raises at a limit of processes
    return real(self)
threading.Thread.start = start
m, x = models.light(), __import__("numpy").zeros((3, 32, 32, 3), "f4")
try:
    print("not refused", m.logits(x).shape)
except MachineError as error:
    print("refused", "TINYVGG_NUM_THREADS=1" in str(error))
print(m.logits(x).shape, threading.active_count())
"""


@pytest.mark.parametrize("which", [1, 2])
def test_a_thread_that_is_refused(which):
    """One sentence, and the next call has all threads."""
    done = subprocess.run([sys.executable, "-c", REFUSED.replace("REFUSED", str(which))], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "TINYVGG_NUM_THREADS": "3"}, check=True)
    assert done.stdout.splitlines() == ["refused True", "(3, 10) 3"]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer that interrupts")
@pytest.mark.parametrize("count", ["2", "3"])
def test_interrupts(count):
    """Ctrl-C at random moments; the long form is benchmarks/robustness.py interrupts."""
    from benchmarks.campaign.interrupts import interrupted
    row = interrupted(60, int(count), seed=1)
    assert row == {"interrupts": 60, "wrong": 0, "hangs": 0} | {"calls": row["calls"]}


def test_avx2_code():
    """The kernels for a processor without AVX-512: other vectors, other tiles, the same answers."""
    wide, narrow = in_process(TINYVGG_NUM_THREADS="3"), in_process(
        TINYVGG_NUM_THREADS="3", NUMBA_CPU_NAME="haswell", NUMBA_CPU_FEATURES="+avx,+avx2,+fma,+sse4.2,+popcnt,+bmi,+bmi2")
    assert wide[1] == narrow[1]
