"""Threads: as many as asked for, the same results, after a fork, from several callers."""
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from tinyvgg import models
from tinyvgg.errors import OptionError
from tinyvgg.kernels.fast import threads

PREDICT = ("import hashlib, numpy as np; from tinyvgg import models; from tinyvgg.kernels.fast.threads import pool;"
           "x = np.random.default_rng(0).random((3, 32, 32, 3), dtype=np.float32); y = models.light().logits(x);"
           "print(pool().threads, np.round(y, 4).tolist())")


def in_process(**environment):
    result = subprocess.run([sys.executable, "-c", PREDICT], env={**os.environ, **environment}, capture_output=True, text=True,
                            check=True)
    count, _, rest = result.stdout.partition(" ")
    return int(count), rest


def test_number_of_threads():
    one, three = in_process(TINYVGG_NUM_THREADS="1"), in_process(TINYVGG_NUM_THREADS="3")
    assert one[0] == 1 and three[0] == 3 and one[1] == three[1]


@pytest.mark.parametrize("wish", ["0", "many", "-2", "1000", "", "²", "٣", "1.5", "9" * 5000])
def test_wrong_number(monkeypatch, wish):
    monkeypatch.setenv("TINYVGG_NUM_THREADS", wish)
    with pytest.raises(OptionError):
        threads.thread_count()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_in_a_child_after_fork():
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
    wide, narrow = in_process(), in_process(NUMBA_CPU_NAME="haswell",
                                            NUMBA_CPU_FEATURES="+avx,+avx2,+fma,+sse4.2,+popcnt,+bmi,+bmi2")
    assert wide[1] == narrow[1]
