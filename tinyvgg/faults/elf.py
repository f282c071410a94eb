"""Flash addresses of a network's numbers in its ELF, and plans on ELF, .bin and a running board."""
import struct
from pathlib import Path

from tinyvgg.errors import FormatError, OptionError, require
from tinyvgg.faults.bits import words
from tinyvgg.report.record import write_bytes

LARGEST = 64 << 20
SHIFT_AT = {"Conv2D": 56, "DepthwiseConv2D": 56, "Dense": 28}      # bytes from the start of the layer's struct to tail.shift


def bases(store, elf, name=None):
    """Return {array: flash address} of an ImageStore in the ELF of its network, called `name` in C (found where it is not given).

    Raises FormatError where the ELF holds another network, or one whose constants are not those of the store.
    """
    symbols = _symbols(elf)
    tail = next(store.constant(key, "") for key in store.arrays if not key.endswith("/tail_shift"))
    names = [symbol[:-len(tail)] for symbol in symbols if symbol.endswith(tail)]
    if name is None and len(names) != 1:
        raise FormatError(f"{elf} holds no network with the arrays of {store.name}", "the .elf built from that model")
    name = names[0] if name is None else name
    found = {}
    for key, array in store.arrays.items():
        symbol = store.constant(key, name)
        if symbol not in symbols:
            raise FormatError(f"{elf} has no {symbol}", "the .elf built from that model")
        address, size = symbols[symbol]
        if key.endswith("/tail_shift"):
            found[key] = address + SHIFT_AT[type(store.original[key.rsplit("/", 1)[0]]).__name__]
        elif size != array.nbytes:
            raise FormatError(f"{symbol} has {size} bytes in {elf}; the model's array has {array.nbytes}", "the .elf built from that model")
        else:
            found[key] = address
    return found


def patch_elf(plan, store, path, out):
    """Write `path` (an .elf) with a plan applied to `out`, and beside it the patched .bin where path has one; return the bits changed.

    All bytes are checked against the store before any is written.
    """
    path, out = Path(path), Path(out)
    plan.check(store)
    base, data = bases(store, path), bytearray(path.read_bytes())
    segments = _segments(path)
    changes = _bytes(plan, store, base)
    _apply(data, changes, lambda address: _offset(segments, address, path))
    binary = path.with_suffix(".bin")
    if binary.is_file():
        flat, origin = bytearray(binary.read_bytes()), min(load for load, _, _ in segments)
        _apply(flat, changes, lambda address: address - origin)
        write_bytes(out.with_suffix(".bin"), bytes(flat))
    write_bytes(out, bytes(data))
    return plan.hamming


def patch_board(plan, store, board, base):
    """Flip a plan's bits in the memory of a running board, by reading and writing it; base: from `bases`.

    A virtual board's flash is written as a debugger would; a real board writes RAM only and refuses flash. All bytes are read and
    checked first.
    """
    plan.check(store)
    if board.info is None or not board.info.memory_access:
        raise OptionError("the board does not allow its memory to be read and written", "firmware build --memory-access")
    changes = _bytes(plan, store, base)
    for address, (old, _) in changes.items():
        there = board.read_memory(address, 1)[0]
        if there != old:
            raise FormatError(f"the board holds {there:#04x} at {address:#010x}; the plan expects {old:#04x}", "the model of the plan")
    for address, (_, new) in changes.items():
        board.write_memory(address, bytes([new]))
    return plan.hamming


def _bytes(plan, store, base):
    """{address: (old byte, new byte)} of a plan's net flips."""
    found = {}
    for key, index, bit in plan.net():
        array = store.arrays[key].reshape(-1)
        size = array.dtype.itemsize
        raw = int(words(array[index:index + 1])[0]).to_bytes(size, "little")
        address = base[key] + index * size + bit // 8
        old, new = found.get(address, (raw[bit // 8],) * 2)
        found[address] = old, new ^ 1 << bit % 8
    return found


def _apply(data, changes, place):
    """Change bytes of `data` after checking every one."""
    offsets = {address: place(address) for address in changes}
    for address, (old, _) in changes.items():
        at = offsets[address]
        if not 0 <= at < len(data) or data[at] != old:
            raise FormatError(f"the image does not hold {old:#04x} at {address:#010x}; it is of another model, or patched already",
                              "the image as it was built")
    for address, (_, new) in changes.items():
        data[offsets[address]] = new


def _open(path):
    module = require("elftools.elf.elffile", "board")
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST:
            raise FormatError(f"{path} has {path.stat().st_size:,} bytes; a firmware image is smaller than {LARGEST:,}")
        import io
        return module.ELFFile(io.BytesIO(path.read_bytes()))
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror or error}", "tinyvgg firmware build MODEL") from error
    except FormatError:
        raise
    except Exception as error:                  # pyelftools raises nearly every class on damaged files
        raise FormatError(f"{path} is no ELF file: {type(error).__name__}", "the .elf of tinyvgg firmware build") from error


def _symbols(path):
    """{name: (address, size)} of an ELF's objects."""
    try:
        table = _open(path).get_section_by_name(".symtab")
        return {s.name: (s["st_value"], s["st_size"]) for s in (table.iter_symbols() if table else ()) if s["st_info"]["type"] == "STT_OBJECT"}
    except (ValueError, KeyError, UnicodeDecodeError, struct.error) as error:
        raise FormatError(f"{path} is damaged: {error}") from error


def _segments(path):
    """[(address, bytes in the file, offset in the file)] of what a loader writes."""
    return [(s["p_paddr"], s["p_filesz"], s["p_offset"]) for s in _open(path).iter_segments() if s["p_type"] == "PT_LOAD" and s["p_filesz"]]


def _offset(segments, address, path):
    for start, size, at in segments:
        if start <= address < start + size:
            return address - start + at
    raise FormatError(f"{address:#010x} lies outside what {path} loads")
