"""Flash wait states: small caches between the core and the flash. Optional, and a model with assumptions of its own.

The L4's accelerator (RM0432, "ART") has an instruction cache of 1 KiB and a data cache of 256 bytes; their line size is a
parameter here, since documents differ (8 to 32 bytes). Assumed: full associativity, least recently used line replaced, a prefetch
of the next line that hides the time its predecessor takes to execute.
"""
import ctypes

import numpy as np
from numba import cfunc, njit, types

from tinyvgg.board.virtual import hooks
from tinyvgg.board.virtual.map import FLASH
from tinyvgg.errors import OptionError, require

U = np.uint64
_LINE, _I_LINES, _D_LINES, _WAIT, _CLOCK, _LAST, _I_STALL, _D_STALL, _I_MISS, _D_MISS = (hooks.MODEL_AT + U(i) for i in range(10))
_I_TAGS, _I_AGES, _D_TAGS, _D_AGES = (hooks.MODEL_AT + U(i) for i in (16, 16 + 256, 16 + 512, 16 + 576))
_STALLS = hooks.STALLS
_ZERO, _ONE, _FOUR = U(0), U(1), U(4)
_BASE, _SIZE = U(FLASH.base), U(FLASH.size)
_BLOCK = types.void(types.voidptr, types.uint64, types.uint32, types.CPointer(types.uint64))
_MEMORY = types.void(types.voidptr, types.int32, types.uint64, types.int32, types.int64, types.CPointer(types.uint64))


@njit(cache=True)
def _hit(s, tags, ages, count, tag):
    """Look `tag` up; make it the youngest, in place of the oldest where it was not there."""
    s[_CLOCK] += _ONE
    oldest = _ZERO
    for i in range(count):
        j = U(i)
        if s[tags + j] == tag:
            s[ages + j] = s[_CLOCK]
            return True
        if s[ages + j] < s[ages + oldest]:
            oldest = j
    s[tags + oldest] = tag
    s[ages + oldest] = s[_CLOCK]
    return False


@cfunc(_BLOCK, cache=True)
def on_block(engine, address, size, s):
    """Fetch the lines of a block that lies in flash."""
    if address - _BASE >= _SIZE:
        return
    line = address // s[_LINE]
    while line <= (address + U(size) - _ONE) // s[_LINE]:
        if not _hit(s, _I_TAGS, _I_AGES, s[_I_LINES], line + _ONE):
            stall = s[_WAIT]
            if line == s[_LAST] + _ONE:
                hidden = s[_LINE] // _FOUR
                stall = stall - hidden if stall > hidden else _ZERO
            s[_LAST] = line
            s[_I_STALL] += stall
            s[_STALLS] += stall
            s[_I_MISS] += _ONE
        line += _ONE


@cfunc(_MEMORY, cache=True)
def on_read(engine, kind, address, size, value, s):
    """Read data from flash."""
    if not _hit(s, _D_TAGS, _D_AGES, s[_D_LINES], address // s[_LINE] + _ONE):
        s[_D_STALL] += s[_WAIT]
        s[_STALLS] += s[_WAIT]
        s[_D_MISS] += _ONE


class WaitStates:
    """A flash of `wait_states` cycles behind caches of `instructions` and `data` bytes with lines of `line` bytes (4 to 64)."""

    def __init__(self, line=16, *, wait_states=5, instructions=1024, data=256):
        if line not in (4, 8, 16, 32, 64) or instructions // line > 256 or data // line > 64 or data < line:
            raise OptionError(f"cache lines of {line} bytes; expected 4, 8, 16, 32 or 64", "--wait-states 16")
        self._settings = {_LINE: line, _I_LINES: instructions // line, _D_LINES: data // line, _WAIT: wait_states}
        self._state = None

    def install(self, machine):
        """Hook into a Machine that has not run yet."""
        unicorn = require("unicorn", "board")
        self._state = machine.state
        for word, value in self._settings.items():
            self._state[word] = value
        pointer = ctypes.c_void_p(self._state.ctypes.data)
        machine.add_native_hook(unicorn.UC_HOOK_BLOCK, on_block, pointer)
        machine.add_native_hook(unicorn.UC_HOOK_MEM_READ, on_read, pointer, FLASH.base, FLASH.base + FLASH.size - 1)

    @property
    def stalls(self):
        """{"instruction_stalls", "data_stalls", "instruction_misses", "data_misses"} so far, stalls in cycles."""
        s = self._state
        return {"instruction_stalls": int(s[_I_STALL]), "data_stalls": int(s[_D_STALL]), "instruction_misses": int(s[_I_MISS]),
                "data_misses": int(s[_D_MISS])}
