"""Threads: as many as asked for, the same results, after a fork, from several callers."""
import os
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


@pytest.mark.parametrize("wish", ["0", "many", "-2", "1000"])
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


def test_avx2_code():
    """The kernels for a processor without AVX-512: other vectors, other tiles, the same answers."""
    wide, narrow = in_process(), in_process(NUMBA_CPU_NAME="haswell",
                                            NUMBA_CPU_FEATURES="+avx,+avx2,+fma,+sse4.2,+popcnt,+bmi,+bmi2")
    assert wide[1] == narrow[1]
