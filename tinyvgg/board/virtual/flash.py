"""The flash behind its accelerator, calibrated on real chips: the cycles that an inference takes in addition to the manual's at
zero wait states.

The accelerator (RM0432) holds 32 lines of 4 words for code and 8 lines for data, the least recently used is replaced first; a
word is what the flash reads in one access: 64 bits with two banks, 128 with one. Wait states, caches and prefetch are as the
firmware sets FLASH_ACR, banks
as the option bytes say. The constants come from `firmware/families/NAME/accelerator.toml`, fitted by benchmarks/silicon.py to
other people's firmware with times measured on real chips. They depend only on registers and option bytes.
"""
import ctypes
import tomllib

import numpy as np
from numba import cfunc, njit, types

from tinyvgg.board.virtual import hooks
from tinyvgg.board.virtual.map import FLASH
from tinyvgg.errors import OptionError
from tinyvgg.firmware.facts import FAMILIES

MODELS = ("calibrated", "none")
U = np.uint64
_PARTS = 256                    # of a cycle, in which stalls are added up
_CLOCK, _WORD_BYTES, _LINE_WORDS, _I_LINES, _D_LINES, _D_WORDS, _JUMP, _PREFETCH, _FETCH, _DATA, _LAST, _I_STALL, _D_STALL, _I_MISS, \
    _D_MISS, _JUMPS, _FAR, _SAVED = (hooks.MODEL_AT + U(i) for i in range(18))
BINS = 16                       # residencies are counted up to here
_ENTRIES_AT, _STREAM_AT = hooks.MODEL_AT + U(32), hooks.MODEL_AT + U(32 + BINS)
_I_TAGS, _I_AGES, _I_VALID, _D_TAGS, _D_AGES, _D_VALID = (hooks.MODEL_AT + U(128 + 64 * i) for i in range(6))
_ZERO, _ONE, _TWO, _EIGHT, _LAST_BIN = U(0), U(1), U(2), U(8), U(BINS - 1)
_BYTE, _S8, _S16, _S24, _SCALE = U(255), U(8), U(16), U(24), U(_PARTS)
_BASE, _SIZE = U(FLASH.base), U(FLASH.size)
_BLOCK = types.void(types.voidptr, types.uint64, types.uint32, types.CPointer(types.uint64))
_MEMORY = types.void(types.voidptr, types.int32, types.uint64, types.int32, types.int64, types.CPointer(types.uint64))


def block_word(cost, size):
    """Pack what this model needs of a BlockCost of `size` bytes: entry cycles, cycles of an average 64 bits, cycles saved."""
    average = round(8 * (cost.cycles - cost.saved) / max(size, 1))
    return min(cost.entry[0], 255) | min(cost.entry[1], 255) << 8 | min(average, 255) << 16 | cost.saved << 24


@njit(cache=True)
def _hit(s, tags, ages, valid, lines, words, word):
    """Look a word of flash up; make its line the youngest, put the word there where it was not, in place of the oldest line."""
    s[_CLOCK] += _ONE
    tag, bit, oldest = word // words + _ONE, _ONE << (word % words), _ZERO
    for i in range(lines):
        j = U(i)
        if s[tags + j] == tag:
            s[ages + j] = s[_CLOCK]
            found = s[valid + j] & bit
            s[valid + j] |= bit
            return found != _ZERO
        if s[ages + j] < s[ages + oldest]:
            oldest = j
    if lines > _ZERO:
        s[tags + oldest] = tag
        s[ages + oldest] = s[_CLOCK]
        s[valid + oldest] = bit
    return False


@njit(cache=True)
def _stall(s, parts):
    """Add stalls in parts of a cycle (they may be negative: what silicon saves)."""
    s[hooks.PART] += U(parts)
    s[hooks.STALLS] += U(np.int64(s[hooks.PART]) >> 8)
    s[hooks.PART] &= _BYTE


@njit(cache=True)
def _residual(s, bins, ran):
    """Parts of a cycle that are left of a prefetch after the core ran for `ran` cycles; counted in the histogram `bins`."""
    s[bins + (ran if ran < _LAST_BIN else _LAST_BIN)] += _ONE
    return np.int64(s[_PREFETCH] - ran * _SCALE) if s[_PREFETCH] > ran * _SCALE else np.int64(0)


@cfunc(_BLOCK, cache=True)
def on_block(engine, address, size, s):
    """Fetch the words of a block that begins."""
    if s[hooks.ENTERED] == _ZERO:
        return
    known = s[hooks.FETCH_AT + s[hooks.INDEX]]
    parts = -np.int64(known >> _S24) * np.int64(256)
    s[_SAVED] += known >> _S24
    jumped = s[hooks.ENTERED] == U(hooks.JUMPED)
    if jumped:
        parts -= np.int64(s[_JUMP])
        s[_JUMPS] += _ONE
    if address - _BASE >= _SIZE:
        s[_LAST] = _ZERO
        _stall(s, parts)
        return
    waits = np.int64(0)
    if jumped:
        waits += _residual(s, _ENTRIES_AT, (known if s[_WORD_BYTES] == _EIGHT else known >> _S8) & _BYTE)
    ran = ((known >> _S16) & _BYTE) * s[_WORD_BYTES] // _EIGHT
    word = address // s[_WORD_BYTES]
    while word <= (address + U(size) - _ONE) // s[_WORD_BYTES]:
        if word != s[_LAST] and not _hit(s, _I_TAGS, _I_AGES, _I_VALID, s[_I_LINES], s[_LINE_WORDS], word):
            s[_I_MISS] += _ONE
            if word == s[_LAST] + _ONE and s[_PREFETCH] > _ZERO:
                waits += _residual(s, _STREAM_AT, ran)
            else:
                waits += np.int64(s[_FETCH])
                s[_FAR] += _ONE
        s[_LAST] = word
        word += _ONE
    s[_I_STALL] += U(waits)
    _stall(s, parts + waits)


@cfunc(_MEMORY, cache=True)
def on_read(engine, kind, address, size, value, s):
    """Read data from flash."""
    if s[hooks.IN_IT]:
        hooks.leave_it_block(s)
    if not _hit(s, _D_TAGS, _D_AGES, _D_VALID, s[_D_LINES], s[_D_WORDS], address // s[_WORD_BYTES]):
        s[_D_MISS] += _ONE
        s[_D_STALL] += s[_DATA]
        _stall(s, np.int64(s[_DATA]))


class FlashModel:
    """The accelerator of a family of parts in front of a Machine's flash. constants: of accelerator.toml, None for the family's.

    two_banks: the option byte DBANK.
    """

    def __init__(self, family, *, two_banks=True, constants=None):
        self.constants = accelerator(family) if constants is None else constants
        self.two_banks = two_banks
        self._state, self.control = None, 0

    def install(self, machine):
        """Hook into a Machine that has not run yet."""
        u = machine.unicorn
        self._state = machine.state
        pointer = ctypes.c_void_p(self._state.ctypes.data)
        machine.add_native_hook(u.UC_HOOK_BLOCK, on_block, pointer)
        machine.add_native_hook(u.UC_HOOK_MEM_READ, on_read, pointer, FLASH.base, FLASH.base + FLASH.size - 1)
        self.configure(self.control)

    def configure(self, control):
        """Follow FLASH_ACR: wait states, prefetch, caches (they are emptied)."""
        self.control, s, c = control, self._state, self.constants
        beyond, waits, word = c["beyond_wait_states"], control & 15, 8 if self.two_banks else 16

        def parts(name):
            return round(max(waits + beyond[name], 0) * _PARTS) if waits else 0

        for place, value in ((_WORD_BYTES, word), (_LINE_WORDS, c["line_bytes"] // word),
                             (_I_LINES, c["instruction_lines"] if control >> 9 & 1 else 0),
                             (_D_LINES, c["data_lines"] if control >> 10 & 1 else 0), (_D_WORDS, c["data_line_words"]),
                             (_JUMP, (2 - c["refill"]) * _PARTS), (_PREFETCH, parts("prefetch") if control >> 8 & 1 else 0),
                             (_FETCH, parts("prefetch")), (_DATA, parts("data_two_banks" if self.two_banks else "data_one_bank"))):
            s[place] = value
        s[int(_I_TAGS):int(_D_VALID) + 64] = 0

    @property
    def error_percent(self):
        """Error in per cent of a whole inference's time, None where nothing with such settings was measured."""
        known = (self.control & 15) == self.constants["calibrated_wait_states"] and self.control >> 8 & 7 == 7
        return self.constants["error_percent"] if known else None

    @property
    def stalls(self):
        """{"instruction_stalls", "data_stalls" (cycles), "instruction_misses", "data_misses"} so far."""
        i_stall, d_stall, i_miss, d_miss = (int(self._state[place]) for place in (_I_STALL, _D_STALL, _I_MISS, _D_MISS))
        return {"instruction_stalls": i_stall // _PARTS, "data_stalls": d_stall // _PARTS, "instruction_misses": i_miss,
                "data_misses": d_miss}

    @property
    def counts(self):
        """What the constants are multiplied with, so far: jumps, words after a jump and words in sequence that were not there, by
        the cycles that the core ran before (0 .. 15), other words that were not there, data words, cycles saved."""
        s = self._state
        return {"jumps": int(s[_JUMPS]), "entries": [int(n) for n in s[int(_ENTRIES_AT):int(_ENTRIES_AT) + BINS]],
                "stream": [int(n) for n in s[int(_STREAM_AT):int(_STREAM_AT) + BINS]], "far": int(s[_FAR]),
                "data": int(s[_D_MISS]), "saved": int(s[_SAVED])}


def accelerator(family):
    """Return the constants of a family's accelerator.toml."""
    return tomllib.loads((FAMILIES / family / "accelerator.toml").read_text(encoding="utf-8"))


def choose_model(wanted, family, two_banks):
    """Return the FlashModel for "calibrated", None for "none", a FlashModel as it is."""
    if isinstance(wanted, FlashModel):
        return wanted
    if wanted not in MODELS:
        raise OptionError(f"flash model {wanted!r}; expected {' or '.join(MODELS)}", "--flash-model calibrated")
    return FlashModel(family, two_banks=two_banks) if wanted == "calibrated" else None
