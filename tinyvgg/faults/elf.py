"""Addresses of a network's numbers in its ELF, and plans on ELF, .bin and a running board."""
from contextlib import suppress
from pathlib import Path

from tinyvgg.errors import FormatError, OptionError, TinyVGGError, require
from tinyvgg.faults.bits import words
from tinyvgg.faults.files import check_copy
from tinyvgg.report.record import write_bytes
from tinyvgg.report.untrusted import check_regular

LARGEST = 64 << 20
RAM = 0x20000000            # below it are flash and the alias of SRAM2, where no constants are put
SHIFT_AT = {"Conv2D": 56, "DepthwiseConv2D": 56, "Dense": 28}      # bytes from the start of the layer's struct to tail.shift


def bases(store, elf, name=None):
    """Return {array: address} of an ImageStore in the ELF of its network; `name`: the network's name in C, found if not given.

    Addresses are those at run time: in flash, or in RAM if the firmware copies its constants there. Raises FormatError if the ELF
    contains another network, or constants that differ from the store's.
    """
    symbols, segments, data = _symbols(elf), _segments(elf), Path(elf).read_bytes()
    whole = store.program.in_one_struct
    tail = "_weights" if whole else next(store.constant(key, "") for key in store.arrays if not key.endswith("/tail_shift"))
    names = [symbol[:-len(tail)] for symbol in symbols if symbol.endswith(tail)]
    if name is None and len(names) != 1:
        raise FormatError(f"{elf} holds no network with the arrays of {store.name}", "the .elf built from that model")
    name, found = names[0] if name is None else name, {}
    places = _in_struct(store, symbols, name) if whole else {key: _alone(store, key, symbols, name, elf) for key in store.arrays}
    for key, address in places.items():
        array, at = store.arrays[key], _offset(segments, address, elf)
        if data[at:at + array.nbytes] != array.tobytes():
            raise FormatError(f"{elf} holds other numbers in {key} than {store.name}; it is of another model, or patched already",
                              "the firmware as built, and the .tvq in its folder")
        found[key] = address
    return found


def _alone(store, key, symbols, name, elf):
    """The address of an array that is a C object of its own, or of the shift in its layer's struct."""
    symbol, array = store.constant(key, name), store.arrays[key]
    if symbol not in symbols:
        raise FormatError(f"{elf} has no {symbol}", "the .elf built from that model")
    address, size = symbols[symbol]
    if key.endswith("/tail_shift"):
        return address + SHIFT_AT[type(store.original[key.rsplit("/", 1)[0]]).__name__]
    if size != array.nbytes:
        raise FormatError(f"{symbol} has {size} bytes in {elf}; the model's array has {array.nbytes}", "the .elf built from that model")
    return address


def _in_struct(store, symbols, name):
    """Addresses of the members of the one struct of a float network."""
    found, at = {}, symbols[f"{name}_weights"][0]
    for key, array in store.arrays.items():
        at = -(-at // array.itemsize) * array.itemsize
        found[key] = at
        at += array.nbytes
    return found


def patch_elf(plan, store, path, out):
    """Write `path` (an .elf) with a plan applied to `out`, and the patched .bin if `path` has one; return the number of bits
    changed. All bytes are checked against the store before any is written. ECC corrects none of these flips: writing the firmware
    to flash computes new ECC bits.
    """
    path, out = Path(path), Path(out)
    check_copy(path, out)
    plan.check(store)
    base, data = bases(store, path), bytearray(path.read_bytes())
    segments = _segments(path)
    changes = _bytes(plan, store, base)
    _apply(data, changes, lambda address: _offset(segments, address, path))
    binary = path.with_suffix(".bin")
    if binary.is_file():
        flat, origin = bytearray(binary.read_bytes()), min(load for _, load, _, _ in segments)
        _apply(flat, changes, lambda address: _load(segments, address, path) - origin)
        write_bytes(out.with_suffix(".bin"), bytes(flat))
    write_bytes(out, bytes(data))
    return plan.hamming


def patch_board(plan, store, board, base, *, back=False):
    """Flip a plan's bits in the memory of a running board; return the number of bits changed. base: from `bases`. back: undo the
    flips. A virtual board's memory is changed directly, flash too, as a laser or a debugger would do. A real board's is changed
    over the protocol, which writes only RAM. All bytes are read and checked first; if a write fails, the earlier ones are undone.
    """
    plan.check(store)
    read, write = _memory(board)
    changes = _bytes(plan, store, base)
    if back:
        changes = {address: (new, old) for address, (old, new) in changes.items()}
    fixed = [address for address in changes if address < RAM and write == board.write_memory]
    if fixed:
        raise OptionError(f"the constant at {fixed[0]:#010x} lies in flash, which the firmware does not write",
                          "firmware build --weights ram --memory-access, or a virtual board")
    for address, (old, _) in changes.items():
        there = read(address, 1)[0]
        if there != old:
            raise FormatError(f"the board holds {there:#04x} at {address:#010x}; the plan expects {old:#04x}", "the model of the plan")
    done = []
    try:
        for address, (old, new) in changes.items():
            done.append((address, old))
            write(address, bytes([new]))
    except TinyVGGError:
        for address, old in done:
            with suppress(TinyVGGError):
                write(address, bytes([old]))
        raise
    return plan.hamming


def _memory(board):
    """(read, write) of a board's memory."""
    machine = getattr(board.link, "machine", None)
    if machine is not None:
        return machine.read, machine.write
    check_access(board)
    return board.read_memory, board.write_memory


def check_access(board):
    """Raise OptionError if a board's memory cannot be changed."""
    if getattr(board.link, "machine", None) is None and (board.info is None or not board.info.memory_access):
        raise OptionError(f"the board at {board.link.url} does not allow its memory to be read and written",
                          "firmware build --weights ram --memory-access")


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
        if path.exists():
            check_regular(path)
        if path.stat().st_size > LARGEST:
            raise FormatError(f"{path} has {path.stat().st_size:,} bytes; a firmware image is smaller than {LARGEST:,}")
        import io
        return module.ELFFile(io.BytesIO(path.read_bytes()))
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror or error}", "tinyvgg firmware build MODEL") from error
    except TinyVGGError:
        raise
    except Exception as error:                  # pyelftools raises nearly every class on damaged files
        raise FormatError(f"{path} is no ELF file: {type(error).__name__}", "the .elf of tinyvgg firmware build") from error


def _read(path, look):
    """look(an open ELF file); what pyelftools raises on a damaged one is nearly every class there is."""
    file = _open(path)
    try:
        return look(file)
    except Exception as error:
        raise FormatError(f"{path} is damaged: {type(error).__name__} {str(error)[:120]}", "the .elf of tinyvgg firmware build") from error


def _symbols(path):
    """{name: (address, size)} of an ELF's objects."""
    def look(file):
        table = file.get_section_by_name(".symtab")
        return {s.name: (int(s["st_value"]), int(s["st_size"])) for s in (table.iter_symbols() if table else ())
                if s["st_info"]["type"] == "STT_OBJECT"}
    return _read(path, look)


def _segments(path):
    """[(address at run time, address written to, bytes in the file, offset in the file)] of what a loader writes."""
    return _read(path, lambda file: [(s["p_vaddr"], s["p_paddr"], s["p_filesz"], s["p_offset"]) for s in file.iter_segments()
                                     if s["p_type"] == "PT_LOAD" and s["p_filesz"]])


def _segment(segments, address, path):
    for segment in segments:
        if segment[0] <= address < segment[0] + segment[2]:
            return segment
    raise FormatError(f"{address:#010x} lies outside what {path} loads")


def _offset(segments, address, path):
    """Where in the file the byte lies that is at `address` at run time."""
    start, _, _, at = _segment(segments, address, path)
    return address - start + at


def _load(segments, address, path):
    """Where a loader writes it."""
    start, load, _, _ = _segment(segments, address, path)
    return address - start + load
