"""Memories, and what they do with flipped bits.

file        the .h5 or .tvq before it is flashed: any bits
sram        the C constants where nothing corrects them (copied to RAM, external memory): any bits
flash_ecc   the STM32L4's flash: 8 check bits for each 64-bit double word correct one error and detect two (RM0432, flash memory,
            error code correction). One flipped bit of a double word is corrected, two raise an NMI, three and more are read as
            they are here; a real decoder may change a fourth. A search therefore takes three of one double word at a time.
laser_set   bits set to 1 while they are fetched, behind the decoder (Colombier et al., IACR ePrint 2018/1042): only 0 -> 1
"""
from dataclasses import dataclass

from tinyvgg.errors import OptionError

DOUBLE_WORD = 8             # bytes that share their check bits


@dataclass(frozen=True)
class Memory:
    """form: which store a flip changes; fault: the only possible fault, or None; together: how many flips in one double word
    pass."""
    name: str
    form: str
    fault: str | None = None
    together: int = 1


MEMORIES = {m.name: m for m in (Memory("file", "file"), Memory("sram", "image"), Memory("flash_ecc", "image", together=3),
                                Memory("laser_set", "image", fault="set"))}


def memory_of(name, fault="flip"):
    """Return (Memory, fault) by name, or raise OptionError if the memory has no such fault."""
    if name not in MEMORIES:
        raise OptionError(f"there is no memory {name!r}; expected one of {', '.join(MEMORIES)}", "--memory sram")
    memory = MEMORIES[name]
    if memory.fault and fault not in ("flip", memory.fault):
        raise OptionError(f"{name} has no fault {fault!r}; bits there are {memory.fault} only", f"--fault {memory.fault}")
    return memory, memory.fault or fault


def ecc(positions):
    """Return what an ECC flash does with flipped bits. positions: (byte address, bit of the byte) of every net flip. Returns
    [{"address", "bits", "verdict"}] by double word: corrected
    for 1 bit, nmi for 2, applied for 3 or more.
    """
    count = {}
    for address, _ in positions:
        word = address // DOUBLE_WORD * DOUBLE_WORD
        count[word] = count.get(word, 0) + 1
    return [{"address": word, "bits": n, "verdict": "corrected" if n == 1 else "nmi" if n == 2 else "applied"}
            for word, n in sorted(count.items())]


def addresses(store):
    """Return {key: first byte} of a store's arrays placed one after another, each at a multiple of 8: used if there is no ELF."""
    found, at = {}, 0
    for key, array in store.arrays.items():
        found[key] = at
        at += -(-array.nbytes // DOUBLE_WORD) * DOUBLE_WORD
    return found


def position(bases, array, key, index, bit):
    """Return (byte address, bit of the byte) of a bit of a stored number, little-endian."""
    return bases[key] + index * array.dtype.itemsize + bit // 8, bit % 8


def surviving(store, flips, memory, bases=None):
    """Return (the flips that a memory lets through, its verdicts): flips [(key, index, bit)], each bit at most once."""
    if memory.name != "flash_ecc":
        return list(flips), []
    bases = bases or addresses(store)
    places = [position(bases, store.arrays[key], key, index, bit) for key, index, bit in flips]
    verdicts = ecc(places)
    passed = {v["address"] for v in verdicts if v["verdict"] == "applied"}
    return [f for f, (address, _) in zip(flips, places, strict=True) if address // DOUBLE_WORD * DOUBLE_WORD in passed], verdicts
