"""Threads that walk through a program together.

A worker that has finished waits a fraction of a millisecond in compiled code for the next program, then sleeps in Python. All
waiting is bounded: a barrier spins for tens of microseconds and then gives its core away. There is no OpenMP here: programs
may be run from several Python threads (one after another), and in a child after fork (which starts workers of its own).
The work is divided by the number of threads alone, so results do not depend on timing.
"""
import os
import threading

import numpy as np

from tinyvgg.errors import OptionError
from tinyvgg.kernels.fast.arena import address
from tinyvgg.kernels.fast.atomics import SPACING, STATUS, atomic_exchange_if, atomic_load, atomic_store, barrier, pause
from tinyvgg.kernels.fast.program import STEP, execute
from tinyvgg.kernels.fast.simd import compiled, entry_point

ASLEEP, WAITING, POSTED = 0, 1, 2
SPINS_FOR_WORK = 20000                  # about a third of a millisecond
JOB, LENGTH = SPACING // 2, SPACING // 2 + 2


def thread_count():
    """Return how many threads to use: TINYVGG_NUM_THREADS, or the cores that this process may use."""
    wish = os.environ.get("TINYVGG_NUM_THREADS")
    if wish is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not wish.isdigit() or not 1 <= int(wish) <= 256:
        raise OptionError(f"TINYVGG_NUM_THREADS is {wish!r}; expected a whole number from 1 to 256")
    return int(wish)


@compiled
def _post(state, threads, job, length):
    """Hand the program to the workers; return how many are asleep and need waking."""
    atomic_store(job, state + JOB)
    atomic_store(length, state + LENGTH)
    asleep = 0
    for worker in range(threads - 1):
        status = state + STATUS + worker * SPACING
        if atomic_exchange_if(status, WAITING, POSTED) != WAITING:
            asleep += 1
    return asleep


@entry_point
def _lead(job, length, threads, state):
    """The caller's part of a program, as thread 0."""
    execute(job, length, 0, threads, state)
    barrier(state, threads)


@entry_point
def _start(job, length, threads, state):
    """Post the program, and run the caller's part at once if no worker needs waking; return how many do."""
    asleep = _post(state, threads, job, length)
    if asleep == 0:
        _lead(job, length, threads, state)
    return asleep


@entry_point
def _serve(state, worker, threads):
    """A worker's life from one waking to the next sleep."""
    status = state + STATUS + (worker - 1) * SPACING
    while True:
        execute(atomic_load(state + JOB), atomic_load(state + LENGTH), worker, threads, state)
        atomic_store(WAITING, status)
        barrier(state, threads)
        spins = 0
        while atomic_load(status) != POSTED:
            pause()
            spins += 1
            if spins > SPINS_FOR_WORK and atomic_exchange_if(status, WAITING, ASLEEP) == WAITING:
                return


class Pool:
    """The threads of this process."""

    def __init__(self):
        self._lock = threading.Lock()
        self.threads = thread_count()
        self._counters = np.zeros(STATUS + SPACING * (self.threads + 1), np.float32)
        self._state = -(-self._counters.ctypes.data // 128) * 32
        self._wake = []

    def run_at(self, job, length):
        """Run the program of `length` steps at the address `job`, in elements."""
        with self._lock:
            if _start(job, length, self.threads, self._state):
                self._wake_all()
                _lead(job, length, self.threads, self._state)

    def _wake_all(self):
        """Wake the workers that sleep; at the first call, start them."""
        if not self._wake:
            for worker in range(1, self.threads):
                semaphore = threading.Semaphore(0)
                self._wake.append(semaphore)
                threading.Thread(target=self._work, args=(semaphore, worker), daemon=True, name=f"tinyvgg-{worker}").start()
        for worker, semaphore in enumerate(self._wake):
            if _claim(self._state + STATUS + worker * SPACING):
                semaphore.release()

    def _work(self, semaphore, worker):
        while True:
            semaphore.acquire()
            _serve(self._state, worker, self.threads)


@entry_point
def _claim(status):
    """Mark a sleeping worker as posted; return whether it was asleep."""
    return atomic_exchange_if(status, ASLEEP, POSTED) == ASLEEP


_PLACE = {name: (STEP.fields[name][1] // 8, STEP.fields[name][0] == np.float64) for name in STEP.names}


def run_step(function, threads, /, **fields):
    """Run one kernel by itself, on all threads or in the caller's alone; fields are numbers."""
    whole = np.zeros(STEP.itemsize // 8, np.int64)          # a record array would take microseconds a field
    real = whole.view(np.float64)
    whole[0] = function.address
    for name, value in fields.items():
        at, is_real = _PLACE[name]
        (real if is_real else whole)[at] = value
    if threads:
        pool().run_at(address(whole), 1)
    else:
        _lead(address(whole), 1, 1, 0)


_pool = None


def pool():
    """Return this process' pool, made at the first call."""
    global _pool
    if _pool is None:
        _pool = Pool()
    return _pool


def _forget():
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
