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
_YIELD = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
_X86 = platform.machine().lower() in ("x86_64", "amd64")


@machine
def atomic_load(e, at) -> types.intp:
    return Value(e, e.builder.load_atomic(e._pointer(at, INT), "acquire", 8))


@machine
def atomic_store(e, number, at):
    e.builder.store_atomic(number.value, e._pointer(at, INT), "release", 8)


@machine
def atomic_add(e, at, number) -> types.intp:
    """Add and return the value before."""
    return Value(e, e.builder.atomic_rmw("add", e._pointer(at, INT), number.value, "acq_rel"))


@machine
def atomic_exchange_if(e, at, expected, wanted) -> types.intp:
    """Write `wanted` if `expected` is there; return what was there."""
    pair = e.builder.cmpxchg(e._pointer(at, INT), expected.value, wanted.value, "acq_rel", "acquire")
    return Value(e, e.builder.extract_value(pair, 0))


@machine
def pause(e):
    """Tell the processor that this is a waiting loop."""
    if _X86:
        kind = ir.FunctionType(ir.VoidType(), [])
        e.builder.call(e.declare("llvm.x86.sse2.pause", kind), [])


@machine
def give_way(e):
    """Let the system run another thread on this core."""
    e.builder.call(e.declare(_YIELD, ir.FunctionType(ir.IntType(32), [])), [])


@compiled
def barrier(state, threads):
    """Wait until all threads are here."""
    if threads == 1:
        return
    phase = atomic_load(state + PHASE)
    if atomic_add(state + ARRIVED, 1) == threads - 1:
        atomic_store(0, state + ARRIVED)
        atomic_store(phase + 1, state + PHASE)
        return
    spins = 0
    while atomic_load(state + PHASE) == phase:
        spins += 1
        if spins < SPINS_AT_BARRIER:
            pause()
        else:
            give_way()
