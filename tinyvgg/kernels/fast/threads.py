"""Threads that run a program together.

A worker that has finished waits about a millisecond in compiled code for the next program, then sleeps until it is woken: Python code
between two programs of a small network takes some tenths of that, and waking a worker as long as a small program.
All waiting is bounded: a barrier spins for tens of microseconds and then gives its core away. There is no OpenMP here: programs
may be run from several Python threads (one after another), and in a child after fork (which starts workers of its own).

How the work is divided depends only on the number of threads, so results depend neither on timing nor on which thread computes a part.
There are never more workers than cores. Another program may hold the workers' cores, so that they come late. If twice in a row the caller
would have been faster alone, it runs the program alone for a while.

An exception, such as that of Ctrl-C, may come between any two steps of Python code. So a program is posted, run and waited for in one call
of compiled code, and before that nothing is begun that could be left half done.
"""
import ctypes
import os
import threading
import time

import numpy as np

from tinyvgg.errors import MachineError, OptionError
from tinyvgg.kernels.fast.arena import address
from tinyvgg.kernels.fast.atomics import (
    BED,
    SPACING,
    STATUS,
    atomic_add,
    atomic_exchange_if,
    atomic_load,
    atomic_store,
    barrier,
    lock,
    make_bed,
    pause,
    sleep,
    ticks,
    unlock,
    wake,
)
from tinyvgg.kernels.fast.cores import usable_cores
from tinyvgg.kernels.fast.program import STEP, execute
from tinyvgg.kernels.fast.simd import compiled, entry_point

ASLEEP, WAITING, POSTED = 0, 1, 2
SPINS_FOR_WORK = 50000                  # about a millisecond
JOB, LENGTH, PRESENT = SPACING // 2, SPACING // 2 + 2, SPACING // 2 + 4      # PRESENT: workers that have started
PLACES, PLACE = 61, 4                   # a place for each program, by its address: until when it runs alone, how often in a row it was late
MOST_LATE = 6                           # then it runs alone for 2^(6-2) times the late run's duration: a sixteenth of the time is lost
PATIENCE = 30                           # seconds to wait for a thread to start


def thread_count():
    """Return how many threads to use: TINYVGG_NUM_THREADS, or the cores that this process may use (see cores.py)."""
    wish = os.environ.get("TINYVGG_NUM_THREADS")
    if wish is None:
        return usable_cores()
    if not (wish.isascii() and wish.isdigit() and len(wish) < 5 and 1 <= int(wish) <= 256):
        raise OptionError(f"TINYVGG_NUM_THREADS is {wish!r}; expected a whole number from 1 to 256")
    return int(wish)


@compiled
def _bed(state, worker, threads):
    """Return the address at which worker 1 ... threads - 1 sleeps."""
    return state + STATUS + SPACING * threads + BED * (worker - 1)


@compiled
def _place(state, job, threads):
    """Return the address of the note whether a program is better run by its caller alone."""
    return state + STATUS + (SPACING + BED) * threads + PLACE * (job // SPACING % PLACES)


@compiled
def _judge(place, waited, whole, workers):
    """Note whether the workers came too late. Alone, the caller would take `workers` times the time in which it did not wait. A single
    late run does not count: workers that slept are late, but awake when the next program comes.
    """
    if waited * workers > whole * (workers - 1):
        late = min(atomic_load(place + 2) + 1, MOST_LATE)
        atomic_store(late, place + 2)
        if late > 1:
            atomic_store(ticks() + (whole << (late - 2)), place)
    else:
        atomic_store(0, place + 2)


@entry_point
def _make(state, threads):
    """Prepare the places at which the workers sleep."""
    for worker in range(1, threads):
        make_bed(_bed(state, worker, threads))


@entry_point
def _run(job, length, threads, workers, state):
    """Hand a program to the workers, do the caller's part as worker 0, and wait for theirs. A program of one step is not judged as late."""
    place = _place(state, job, threads) if workers > 1 else 0
    if workers > 1 and length > 1 and ticks() < atomic_load(place):
        workers = 1
    if workers > 1:
        atomic_store(job, state + JOB)
        atomic_store(length, state + LENGTH)
        for worker in range(1, workers):
            status = state + STATUS + (worker - 1) * SPACING
            if atomic_exchange_if(status, WAITING, POSTED) != WAITING:      # it sleeps, or is about to
                bed = _bed(state, worker, threads)
                lock(bed)
                atomic_store(POSTED, status)
                wake(bed)
                unlock(bed)
    start = ticks()
    waited = execute(job, length, 0, workers, threads, state)
    waited += barrier(state, workers)
    if workers > 1 and length > 1:
        _judge(place, waited, ticks() - start, workers)


@entry_point
def _enter(state):
    """Count a worker that has started; return its number, from 1."""
    return atomic_add(state + PRESENT, 1) + 1


@entry_point
def _present(state):
    """Return how many workers have started."""
    return atomic_load(state + PRESENT)


@entry_point
def _serve(state, worker, workers, threads):
    """A worker's loop: wait for a program, run its part, until the process ends."""
    status, bed = state + STATUS + (worker - 1) * SPACING, _bed(state, worker, threads)
    while True:
        lock(bed)
        while atomic_load(status) != POSTED:
            sleep(bed)
        unlock(bed)
        awake = True
        while awake:
            execute(atomic_load(state + JOB), atomic_load(state + LENGTH), worker, workers, threads, state)
            atomic_store(WAITING, status)
            barrier(state, workers)
            spins = 0
            while awake and atomic_load(status) != POSTED:
                pause()
                spins += 1
                if spins > SPINS_FOR_WORK and atomic_exchange_if(status, WAITING, ASLEEP) == WAITING:
                    awake = False


class Pool:
    """The threads of this process."""

    def __init__(self):
        self._lock = threading.Lock()
        self.threads = thread_count()
        self.workers = min(self.threads, usable_cores())
        self._counters = np.zeros(STATUS + (SPACING + BED) * (self.threads + 1) + PLACE * PLACES, np.float32)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._counters))        # workers read it until the process ends
        self._state = -(-self._counters.ctypes.data // 128) * 32
        _make(self._state, self.threads)
        self._complete = self.workers == 1

    def run_at(self, job, length):
        """Run the program of `length` steps at the address `job`, in elements. Raises MachineError if the system refuses threads."""
        with self._lock:
            if not self._complete:
                self._gather()
            _run(job, length, self.threads, self.workers, self._state)

    def _gather(self):
        """Start workers until all are there. If an exception came in between, there may be one too many; it ends by itself."""
        while _present(self._state) < self.workers - 1:
            came = _present(self._state)
            try:
                threading.Thread(target=self._work, daemon=True, name=f"tinyvgg-{came + 1}").start()
            except RuntimeError as error:
                raise MachineError(f"a thread for the kernels was refused ({error}): {self.workers} are wanted, {came + 1} are there",
                                   "TINYVGG_NUM_THREADS=1, or a higher limit of processes (ulimit -u)") from error
            deadline = time.monotonic() + PATIENCE
            while _present(self._state) == came and time.monotonic() < deadline:
                time.sleep(1e-4)
        self._complete = True

    def _work(self):
        worker = _enter(self._state)
        if worker < self.workers:
            _serve(self._state, worker, self.workers, self.threads)


_PLACE = {name: (STEP.fields[name][1] // 8, STEP.fields[name][0] == np.float64) for name in STEP.names}


def run_step(function, threads, /, **fields):
    """Run one kernel by itself, on all threads or only on the caller's; fields are numbers."""
    whole = np.zeros(STEP.itemsize // 8, np.int64)          # a record array would take microseconds a field
    real = whole.view(np.float64)
    whole[0] = function.address
    for name, value in fields.items():
        at, is_real = _PLACE[name]
        (real if is_real else whole)[at] = value
    if threads:
        pool().run_at(address(whole), 1)
    else:
        _run(address(whole), 1, 1, 1, 0)


_pool, _making = None, threading.Lock()


def pool():
    """Return this process' pool; the first call creates it."""
    global _pool
    if _pool is None:
        with _making:
            if _pool is None:
                _pool = Pool()
    return _pool


def _forget():
    global _pool, _making
    _pool, _making = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
