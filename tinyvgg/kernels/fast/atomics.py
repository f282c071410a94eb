"""Atomic operations and a barrier for threads that run compiled code without the interpreter's lock.

Counters are 64-bit, each in a cache line pair of its own (SPACING float32 elements apart).
"""
import platform
import sys

from llvmlite import ir
from numba import types

from tinyvgg.kernels.fast.simd import INT, Value, compiled, machine

SPACING = 32
ARRIVED, PHASE, STATUS = 0, SPACING, 2 * SPACING        # STATUS: the first of one for each worker
SPINS_AT_BARRIER = 4000                                 # tens of microseconds, then other processes may have the core
_WINDOWS = sys.platform == "win32"
_YIELD = "SwitchToThread" if _WINDOWS else "sched_yield"
_BYTE, _NUMBER = ir.IntType(8).as_pointer(), ir.IntType(32)
BED = 2 * SPACING                                       # elements of a worker's lock and condition, each at most 128 bytes
_X86 = platform.machine().lower() in ("x86_64", "amd64")


@machine
def atomic_load(e, at) -> types.intp:
    return Value(e, e.builder.load_atomic(e._pointer(at, INT), "acquire", 8))


@machine
def atomic_store(e, number, at):
    e.builder.store_atomic(number.value, e._pointer(at, INT), "release", 8)


@machine
def atomic_add(e, at, number) -> types.intp:
    """Add; return the value before the addition."""
    return Value(e, e.builder.atomic_rmw("add", e._pointer(at, INT), number.value, "acq_rel"))


@machine
def atomic_exchange_if(e, at, expected, wanted) -> types.intp:
    """Write `wanted` if the present value is `expected`; return the value before."""
    pair = e.builder.cmpxchg(e._pointer(at, INT), expected.value, wanted.value, "acq_rel", "acquire")
    return Value(e, e.builder.extract_value(pair, 0))


@machine
def pause(e):
    """Tell the processor that this is a spin loop."""
    if _X86:
        kind = ir.FunctionType(ir.VoidType(), [])
        e.builder.call(e.declare("llvm.x86.sse2.pause", kind), [])


@machine
def ticks(e) -> types.intp:
    """Return the processor's time stamp counter, in ticks; 0 if programs may not read it."""
    if not _X86:
        return Value(e, INT(0))
    return Value(e, e.builder.call(e.declare("llvm.readcyclecounter", ir.FunctionType(INT, [])), []))


@machine
def give_way(e):
    """Let the system run another thread on this core."""
    e.builder.call(e.declare(_YIELD, ir.FunctionType(ir.IntType(32), [])), [])


# A worker sleeps on a condition variable of the operating system, so no Python code, which signals can interrupt, has to wake it.
# At `bed`: a lock and, SPACING elements later, the condition. On Windows, zeros are a valid pair; elsewhere make_bed creates it.

def _system(e, name, *arguments, returns=_NUMBER):
    """Call a function of the operating system."""
    kind = ir.FunctionType(returns, [a.type for a in arguments])
    e.builder.call(e.declare(name, kind), list(arguments))


def _lock_of(e, bed):
    return e._pointer(bed, ir.IntType(8))


def _condition_of(e, bed):
    return e._pointer(bed + SPACING, ir.IntType(8))


@machine
def make_bed(e, bed):
    """Prepare a lock and a condition."""
    if not _WINDOWS:
        _system(e, "pthread_mutex_init", _lock_of(e, bed), ir.Constant(_BYTE, None))
        _system(e, "pthread_cond_init", _condition_of(e, bed), ir.Constant(_BYTE, None))


@machine
def lock(e, bed):
    if _WINDOWS:
        _system(e, "AcquireSRWLockExclusive", _lock_of(e, bed), returns=ir.VoidType())
    else:
        _system(e, "pthread_mutex_lock", _lock_of(e, bed))


@machine
def unlock(e, bed):
    if _WINDOWS:
        _system(e, "ReleaseSRWLockExclusive", _lock_of(e, bed), returns=ir.VoidType())
    else:
        _system(e, "pthread_mutex_unlock", _lock_of(e, bed))


@machine
def sleep(e, bed):
    """Release the lock and sleep until woken (spurious wake-ups are possible); then hold the lock again."""
    if _WINDOWS:
        _system(e, "SleepConditionVariableSRW", _condition_of(e, bed), _lock_of(e, bed), _NUMBER(-1), _NUMBER(0))
    else:
        _system(e, "pthread_cond_wait", _condition_of(e, bed), _lock_of(e, bed))


@machine
def wake(e, bed):
    """Wake the sleeper."""
    if _WINDOWS:
        _system(e, "WakeConditionVariable", _condition_of(e, bed), returns=ir.VoidType())
    else:
        _system(e, "pthread_cond_signal", _condition_of(e, bed))


@compiled
def barrier(state, threads):
    """Wait until all threads have reached the barrier; return the waiting time in ticks."""
    if threads == 1:
        return 0
    phase = atomic_load(state + PHASE)
    if atomic_add(state + ARRIVED, 1) == threads - 1:
        atomic_store(0, state + ARRIVED)
        atomic_store(phase + 1, state + PHASE)
        return 0
    spins, start = 0, ticks()
    while atomic_load(state + PHASE) == phase:
        spins += 1
        if spins < SPINS_AT_BARRIER:
            pause()
        else:
            give_way()
    return ticks() - start
