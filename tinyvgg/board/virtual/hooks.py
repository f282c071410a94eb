"""What runs natively while unicorn emulates: counting each basic block, and the two peripherals that firmware polls.

Numba compiles these functions to C callbacks; unicorn calls them without Python on the way. All their state is one array of
uint64, the `State` of a machine, so that a pointer to it is the only argument they need.
"""
import ctypes

import numpy as np
from llvmlite import ir
from numba import cfunc, njit, types
from numba.extending import intrinsic

from tinyvgg.board.virtual.map import FLASH, RAM, SRAM2

U = np.uint64
RING = 1 << 16
FIFO = 8

# --- the words of State, by name ------------------------------------------------------------------------------------
(INSTRUCTIONS, CYCLES, BLOCKS, END, TAKEN, INDEX, WARP, LIMIT, STOP, ENGINE, DECODE, REASON, CYCCNT_BASE, DWT_CTRL, STALLS, CR1,
 CR2, CR3, BRR, CLOCKED, CONNECTED, OVERRUN, RX_READ, RX_WRITE, FIFO_READ, FIFO_WRITE, TX_READ, TX_WRITE, TX_FREE, TIMED, POLLS,
 SLOW_READ, SLOW_WRITE, OVERRUNS, PAGE, UART_AT, BRR_SHIFT, CR1_MASK, ENTERED, IN_IT, REG_READ, REG_WRITE, XPSR_NUMBER,
 XPSR_AT, XPSR, READ_ARMED, READ_STALLS, HELD_STALLS, PART) = (U(i) for i in range(49))
# What was sent stays sent: the bytes are on the wire.
CLEARED_BY_RESET = (END, TAKEN, CR1, CR2, CR3, BRR, OVERRUN, RX_READ, RX_WRITE, FIFO_READ, FIFO_WRITE, TX_FREE, POLLS)
FIFO_AT = U(64)                                          # 8 words
RX_AT, TX_AT = U(128), U(128 + RING)                     # rings: byte | arrival cycle << 8, byte | divider << 8
# Per half-word address: size | has an IT block << 15 | instructions << 16 | cycles << 32 | taken << 56.
COST_AT = U(128 + 2 * RING)
SLOTS = (FLASH.size + RAM.size + SRAM2.size) // 2 + 1    # of the largest part; the last one is for code anywhere else
VISITS_AT, TAKEN_AT = COST_AT + U(SLOTS), COST_AT + U(2 * SLOTS)
FETCH_AT = COST_AT + U(3 * SLOTS)                        # what flash.py knows of a block
MODEL_AT = COST_AT + U(4 * SLOTS)                        # room for flash.py
STATE_WORDS = int(MODEL_AT) + 1024
SIZE_MASK, HAS_IT = 0x7FFF, 0x8000                       # of a block's cost: blocks are shorter than 32 KiB

IDLE, TIME, SENT_MUCH, FAULT = 1, 2, 3, 4                # why a run stopped
IN_SEQUENCE, JUMPED = 1, 2                               # how the block that begins was ENTERED; 0: it was not
_IN_SEQUENCE, _JUMPED = U(IN_SEQUENCE), U(JUMPED)
_IDLE, _TIME, _SENT_MUCH = U(IDLE), U(TIME), U(SENT_MUCH)
_FLASH, _FLASH_SIZE, _RAM, _RAM_SIZE = U(FLASH.base), U(FLASH.size), U(RAM.base), U(RAM.size)
_SRAM2, _SRAM2_SIZE = U(SRAM2.base), U(SRAM2.size)
_ZERO, _ONE, _TWO, _THREE, _EIGHT, _MASK, _WORD, _RING = U(0), U(1), U(2), U(3), U(8), U(0xFFFF), U(0xFFFFFFFF), U(RING - 1)
_S16, _S32, _S56, _BYTE, _CYCLE_MASK, _FIFO_MASK, _FIFO_SIZE = U(16), U(32), U(56), U(255), U(0xFFFFFF), U(FIFO - 1), U(FIFO)
_OTHER, _RAM_SLOT, _SRAM2_SLOT = U(SLOTS - 1), U(FLASH.size // 2), U((FLASH.size + RAM.size) // 2)
_BITS, _SIZE, _IT = U(10), U(SIZE_MASK), U(HAS_IT)       # a byte on the line: start, 8 bits, stop
_IT_BITS = U(0x0600FC00)                                 # in XPSR
_UE, _RE, _TE, _FIFOEN = U(1), U(1 << 2), U(1 << 3), U(1 << 29)
_ORE, _RXNE, _TC, _TXE, _ACKS = U(1 << 3), U(1 << 5), U(1 << 6), U(1 << 7), U(3 << 21)


@intrinsic
def _call_stop(typing, function, engine):
    """uc_emu_stop(engine), by its address: so that the compiled hooks can be cached and hold no address."""
    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.IntType(32), [ir.IntType(64)])
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [arguments[1]])
        return context.get_dummy_value()
    return types.void(types.uint64, types.uint64), generate


@intrinsic
def _call_slow(typing, function, a, b, c):
    """A Python callback uint64 f(uint64, uint64, uint64), by its address."""
    def generate(context, builder, signature, arguments):
        word = ir.IntType(64)
        kind = ir.FunctionType(word, [word, word, word])
        return builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), list(arguments[1:]))
    return types.uint64(types.uint64, types.uint64, types.uint64, types.uint64), generate


@intrinsic
def _call_register(typing, function, engine, register, place):
    """uc_reg_read or uc_reg_write(engine, register, place), by its address."""
    def generate(context, builder, signature, arguments):
        word, half = ir.IntType(64), ir.IntType(32)
        kind = ir.FunctionType(half, [word, half, word])
        f, e, r, p = arguments
        builder.call(builder.inttoptr(f, kind.as_pointer()), [e, builder.trunc(r, half), p])
        return context.get_dummy_value()
    return types.void(types.uint64, types.uint64, types.uint64, types.uint64), generate


SLOW_CALL = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64)
_BLOCK = types.void(types.voidptr, types.uint64, types.uint32, types.CPointer(types.uint64))
_READ = types.uint64(types.voidptr, types.uint64, types.uint32, types.CPointer(types.uint64))
_WRITE = types.void(types.voidptr, types.uint64, types.uint32, types.uint64, types.CPointer(types.uint64))


@njit(cache=True)
def _ask_to_stop(s, reason):
    """Stop where the next block begins: the engine would leave a register access half done, and do its block again."""
    if s[REASON] == _ZERO:
        s[REASON] = reason
    s[LIMIT] = _ZERO


@njit(cache=True)
def _now(s):
    """Core cycles since the start of the simulation, waiting included."""
    return s[CYCLES] + s[STALLS] + s[WARP]


def now(state):
    """The same, for Python: scalars of NumPy would warn where the stalls are negative."""
    return int(state[CYCLES]) + int(state[STALLS]) + int(state[WARP]) & (1 << 64) - 1


def signed(word):
    """A word of State as a signed number."""
    value = int(word)
    return value - (1 << 64) if value >> 63 else value


@njit(cache=True)
def slot(address):
    """Return the place of an address in the tables."""
    if address - _FLASH < _FLASH_SIZE:
        return (address - _FLASH) >> _ONE
    if address - _RAM < _RAM_SIZE:
        return _RAM_SLOT + ((address - _RAM) >> _ONE)
    if address - _SRAM2 < _SRAM2_SIZE:
        return _SRAM2_SLOT + ((address - _SRAM2) >> _ONE)
    return _OTHER


@njit(cache=True)
def leave_it_block(s):
    """Clear the IT bits of XPSR, for a memory hook on a load or store inside an IT block.

    unicorn 2.1.4 restores them before such a hook and forgets them after it: instructions of the next block would be skipped.
    The rest of this block was translated already and does not look at them.
    """
    _call_register(s[REG_READ], s[ENGINE], s[XPSR_NUMBER], s[XPSR_AT])
    if s[XPSR] & _IT_BITS:
        s[XPSR] = s[XPSR] & _WORD & ~_IT_BITS
        _call_register(s[REG_WRITE], s[ENGINE], s[XPSR_NUMBER], s[XPSR_AT])


# --- counting ---------------------------------------------------------------------------------------------------------
@cfunc(_BLOCK, cache=True)
def on_block(engine, address, size, s):
    """Count a basic block when it begins; where its cost is not known yet, Python decodes it once."""
    if _now(s) >= s[LIMIT]:
        s[ENTERED] = _ZERO
        _ask_to_stop(s, _TIME)
        _call_stop(s[STOP], s[ENGINE])   # the engine leaves before this block, and comes back to it: not counted yet
        return
    i = slot(address)
    cost = s[COST_AT + i]
    if (cost & _SIZE) != U(size):
        _call_slow(s[DECODE], address, U(size), i)
        cost = s[COST_AT + i]
    if address == s[END]:
        s[ENTERED] = _IN_SEQUENCE
        s[IN_IT] = (cost | s[IN_IT]) & _IT   # an IT block may go on where a translated block ends
    else:
        s[ENTERED] = _JUMPED
        s[IN_IT] = cost & _IT
        s[CYCLES] += s[TAKEN]
        s[TAKEN_AT + s[INDEX]] += _ONE
    s[INDEX] = i
    s[END] = address + U(size)
    s[TAKEN] = cost >> _S56
    s[INSTRUCTIONS] += (cost >> _S16) & _MASK
    s[CYCLES] += (cost >> _S32) & _CYCLE_MASK
    s[BLOCKS] += _ONE
    s[VISITS_AT + i] += _ONE


# --- the UART that leads to the host -----------------------------------------------------------------------------------------------------------
@njit(cache=True)
def _byte_time(s):
    """Core cycles of a byte on the line: a USART divides the clock by BRR, an LPUART by BRR / 256."""
    return (s[BRR] * _BITS) >> s[BRR_SHIFT]


@njit(cache=True)
def _receive(s, now):
    """Move what has arrived by now into the receive FIFO; with real timing a byte that finds it full is lost."""
    depth = _FIFO_SIZE if s[CR1] & _FIFOEN else _ONE
    while s[RX_READ] != s[RX_WRITE]:
        entry = s[RX_AT + (s[RX_READ] & _RING)]
        if (entry >> _EIGHT) > now:
            return
        if s[FIFO_WRITE] - s[FIFO_READ] >= depth:
            if not s[TIMED]:
                return
            s[OVERRUN] = _ORE
            s[OVERRUNS] += _ONE
        elif s[CR1] & _UE and s[CR1] & _RE:
            s[FIFO_AT + (s[FIFO_WRITE] & _FIFO_MASK)] = entry & _BYTE
            s[FIFO_WRITE] += _ONE
        s[RX_READ] += _ONE


@njit(cache=True)
def _wait(s, now, flags):
    """The firmware polls in vain: jump to the moment that changes something, or stop where only the host can."""
    s[POLLS] += _ONE
    if s[POLLS] < _THREE:
        return
    s[POLLS] = _ZERO
    byte_time = _byte_time(s)
    if not flags & _TXE:
        s[WARP] += s[TX_FREE] - now - (_FIFO_SIZE - _ONE) * byte_time
    elif not flags & _TC:
        left = s[TX_FREE] - now
        s[WARP] += byte_time if byte_time < left else left
    elif s[RX_READ] != s[RX_WRITE]:
        s[WARP] += (s[RX_AT + (s[RX_READ] & _RING)] >> _EIGHT) - now
    else:
        _ask_to_stop(s, _IDLE)


@njit(cache=True)
def _status(s):
    now = _now(s)
    _receive(s, now)
    flags = s[OVERRUN] | _ACKS
    if s[FIFO_WRITE] != s[FIFO_READ]:
        flags |= _RXNE
    if s[TX_FREE] <= now:
        flags |= _TXE | _TC
    elif s[TX_FREE] - now <= (_FIFO_SIZE - _ONE) * _byte_time(s):
        flags |= _TXE
    if not flags & _RXNE:
        _wait(s, now, flags)
    return flags


@njit(cache=True)
def _send(s, byte):
    s[POLLS] = _ZERO
    if not (s[CR1] & _UE and s[CR1] & _TE and s[CONNECTED]):
        return
    s[TX_AT + (s[TX_WRITE] & _RING)] = byte | s[BRR] << _EIGHT
    s[TX_WRITE] += _ONE
    if s[TIMED]:
        now = _now(s)
        s[TX_FREE] = (s[TX_FREE] if s[TX_FREE] > now else now) + _byte_time(s)
    if s[TX_WRITE] - s[TX_READ] > U(RING // 2):
        _ask_to_stop(s, _SENT_MUCH)


@cfunc(_READ, cache=True)
def usart_read(engine, offset, size, s):
    """Registers of the UART's page; all but the UART's are Python's."""
    at = (offset & U(0xFFC)) - s[UART_AT]
    if at >= U(0x30) or not s[CLOCKED]:
        return _call_slow(s[SLOW_READ], s[PAGE] + offset, U(size), _ZERO)
    if at == U(0x1C):
        return _status(s)
    if at == U(0x24):
        s[POLLS] = _ZERO
        _receive(s, _now(s))
        if s[FIFO_WRITE] == s[FIFO_READ]:
            return _ZERO
        byte = s[FIFO_AT + (s[FIFO_READ] & _FIFO_MASK)]
        s[FIFO_READ] += _ONE
        return byte
    if at == U(0x0C):
        return s[BRR]
    if at <= U(0x08):
        return s[CR1 + (at >> _TWO)]
    return _ZERO


@cfunc(_WRITE, cache=True)
def usart_write(engine, offset, size, value, s):
    """Registers of the UART's page; all but the UART's are Python's."""
    at = (offset & U(0xFFC)) - s[UART_AT]
    if at >= U(0x30) or not s[CLOCKED]:
        _call_slow(s[SLOW_WRITE], s[PAGE] + offset, U(size), value)
    elif at == U(0x28):
        _send(s, value & _BYTE)
    elif at == U(0x20):
        if value & _ORE:
            s[OVERRUN] = _ZERO
    elif at == U(0x0C):
        if not s[CR1] & _UE:                             # RM0432: BRR is locked while the USART is on
            s[BRR] = value & (U(0xFFFFF) if s[BRR_SHIFT] else U(0xFFFF))
    elif at <= U(0x08):
        s[CR1 + (at >> _TWO)] = value & (s[CR1_MASK] if at == _ZERO else _WORD)
        if at == _ZERO and not value & _UE:              # switching off empties the FIFO
            s[FIFO_READ] = s[FIFO_WRITE]


# --- DWT: the cycle counter ---------------------------------------------------------------------------------------------
@cfunc(_READ, cache=True)
def dwt_read(engine, offset, size, s):
    """DWT_CTRL and DWT_CYCCNT: modelled cycles since the counter was set, waiting included."""
    if offset == U(4):
        s[PART] = _ZERO                                  # or a time would depend on what ran before it
        s[READ_STALLS] = s[STALLS]
        if s[READ_ARMED]:
            s[READ_ARMED], s[HELD_STALLS] = _ZERO, s[STALLS]
        return (_now(s) - s[CYCCNT_BASE]) & _WORD
    return s[DWT_CTRL] if offset == _ZERO else _ZERO


@cfunc(_WRITE, cache=True)
def dwt_write(engine, offset, size, value, s):
    """Set DWT_CTRL or DWT_CYCCNT."""
    if offset == U(4):
        s[CYCCNT_BASE] = _now(s) - value
    elif offset == _ZERO:
        s[DWT_CTRL] = value & _WORD
