"""The structure of an HDF5 file, walked in Python before the HDF5 library sees it (HDF5 File Format Specification 3.0).

The library trusts what it reads: it follows sizes in heaps that may overflow, lists and trees that may be circular, and it opens
other files named in a dataset or a link. `check` refuses all of these. It knows what h5py and Keras write (both versions of
object headers, trees of version 1, links and attributes in the header). A file with other structures may still be good: `check`
then returns that it does not know the file, and the caller tries it in a separate process (hdf5_trial.py).
"""
import struct
from dataclasses import dataclass, field
from typing import Any

from tinyvgg.errors import FormatError
from tinyvgg.report.untrusted import MAX_TEXT

SIGNATURE = b"\x89HDF\r\n\x1a\n"
NOWHERE = 2 ** 64 - 1
MAX_HEAPS = 2000            # of a few kilobytes each: texts of a file
FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}
PLAIN_CLASSES = (0, 1, 3, 9)            # integers, floats, strings, and text of any length
DATASPACE, LINK_INFO, DATATYPE, LINK, EXTERNAL_FILES, LAYOUT, FILTER, ATTRIBUTE = 1, 2, 3, 6, 7, 8, 11, 12
CONTINUATION, SYMBOL_TABLE, ATTRIBUTE_INFO = 16, 17, 21
HARMLESS = (0, DATASPACE, 4, 5, 10, 13, 14, 18, 19, 20, 22, 23)
MAY_BE_SHARED = (DATASPACE, DATATYPE, 4, 5, FILTER, ATTRIBUTE)


def check(data, budget):
    """Raise FormatError for a file (bytes or a memory map) that is damaged or refers to another file; else return whether all of
    its structure was understood. budget: an untrusted.Budget, for its time limit."""
    walk = _Walk(data, budget)
    try:
        walk.superblock()
        while walk.todo:
            budget.check_time()
            step, *place = walk.todo.pop()
            step(*place)
    except (struct.error, IndexError) as error:
        raise FormatError("its structure ends in the middle") from error
    check_heaps(data, budget)
    return not walk.strange


@dataclass
class _Walk:
    """A walk over all that the superblock leads to; every block has one owner, so that nothing is walked twice."""
    data: Any
    budget: Any
    owned: dict = field(default_factory=dict)           # address -> what stands there
    todo: list = field(default_factory=list)
    strange: set = field(default_factory=set)           # what was not understood
    claimed: int = 0                                    # bytes of text that attributes refer to

    # --- reading ---

    def part(self, at, size):
        """`size` bytes at an address, which must lie in the file."""
        if at < 0 or size < 0 or at + size > len(self.data):
            raise FormatError("its structure points beyond the end of the file")
        return self.data[at:at + size]

    def numbers(self, form, at):
        """Little-endian numbers at an address, as struct.unpack."""
        return struct.unpack(form, self.part(at, struct.calcsize(form)))

    def first_visit(self, at, kind):
        """Whether a block is met for the first time. Only object headers may be met again: hard links share them."""
        if at not in self.owned:
            self.owned[at] = kind
            return True
        if kind == self.owned[at] == "object":
            return False
        raise FormatError("two parts of its structure overlap, or its structure is circular")

    # --- the superblock ---

    def superblock(self):
        version = self.data[8]
        sizes = self.data[13:15] if version < 2 else self.data[9:11]
        if self.data[:8] != SIGNATURE or sizes != b"\x08\x08" or version > 3:
            raise FormatError("its first bytes are not those of an HDF5 file with addresses of 8 bytes")
        if version < 2:
            at = 24 if version == 0 else 28
            base, _, end, _ = self.numbers("<4Q", at)
            _, root, kind, _, tree, heap = self.numbers("<QQIIQQ", at + 32)
            if kind == 1:
                self.symbol_table(tree, heap)
        else:
            base, extension, end, root = self.numbers("<4Q", 12)
            if extension != NOWHERE:
                self.todo.append((self.header, extension))
        if base != 0 or end > len(self.data):
            raise FormatError(f"it says that it has {end - base} bytes, and has {len(self.data)}")
        self.todo.append((self.header, root))

    # --- object headers ---

    def header(self, at):
        """The header of a group or dataset, of either version."""
        if not self.first_visit(at, "object"):
            return
        if self.part(at, 4) == b"OHDR":
            flags = self.numbers("<BB", at + 4)[1]
            place = at + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
            width = 1 << (flags & 3)
            size = int.from_bytes(self.part(place, width), "little")
            blocks, forms = [(place + width, size)], (2, flags)
        else:
            version, _, count, _, size = self.numbers("<BBHII", at)
            if version != 1:
                raise FormatError(f"an object has a header of version {version}")
            blocks, forms = [(at + 16, size)], (1, 0)
        while blocks:
            self.budget.check_time()
            start, size = blocks.pop()
            self.part(start, size)
            for kind, flags, place, length in self.messages(start, start + size, *forms):
                if kind == CONTINUATION:
                    blocks.append(self.continuation(place, forms[0]))
                else:
                    self.message(kind, flags, place, length)

    def messages(self, at, end, version, flags):
        """(type, flags, address, length) of each message of a block."""
        head = 8 if version == 1 else 6 if flags & 4 else 4
        while at + head <= end:
            if version == 1:
                kind, length, own_flags = self.numbers("<HHB", at)
            else:
                kind, length, own_flags = self.numbers("<BHB", at)
            if at + head + length > end:
                raise FormatError("a message of an object is longer than the object")
            yield kind, own_flags, at + head, length
            at += head + length

    def continuation(self, at, version):
        """(address, size) of the messages of a further block."""
        start, size = self.numbers("<QQ", at)
        self.first_visit(start, "block")
        if version == 1:
            return start, size
        if self.part(start, 4) != b"OCHK" or size < 8:
            raise FormatError("an object continues at a place outside it")
        return start + 4, size - 8

    def message(self, kind, flags, at, length):
        """One message: what it leads to is noted in `todo`."""
        if flags & 2 and kind in MAY_BE_SHARED:
            self.strange.add("shared message")
        elif kind == EXTERNAL_FILES:
            raise FormatError("an array lies in another file; expected it in this one")
        elif kind == SYMBOL_TABLE:
            self.symbol_table(*self.numbers("<QQ", at))
        elif kind in _MESSAGES:
            _MESSAGES[kind](self, at, length)
        elif kind not in HARMLESS:
            self.strange.add(f"message {kind}")

    def datatype(self, at, length):
        self.datatype_class(self.part(at, 1)[0])

    def datatype_class(self, first):
        if first & 15 not in PLAIN_CLASSES:
            self.strange.add(f"datatype {first & 15}")

    def attribute(self, at, length):
        """Name, datatype, dataspace, data; version 1 rounds each of the first three up to 8 bytes."""
        version, flags, *sizes = self.numbers("<BBHHH", at)
        if version not in (1, 2, 3):
            raise FormatError(f"an attribute has version {version}")
        if version > 1 and flags & 3:
            self.strange.add("shared message")
            return
        name, kind, space = ((size + 7) // 8 * 8 for size in sizes) if version == 1 else sizes
        place = at + (9 if version == 3 else 8) + name
        first, = self.part(place, 1)
        self.datatype_class(first)
        if first & 15 == 9:
            self.claims(place + kind + space, at + length)

    def claims(self, place, end):
        """Text of any length is (length, address of its heap, index): the library makes room for the length before it looks there."""
        for at in range(place, end - 15, 16):
            self.claimed += self.numbers("<I", at)[0]
        if self.claimed > MAX_TEXT + 4 * len(self.data):
            raise FormatError("its attributes claim more text than the file has")

    def info(self, at, what, width):
        """Where links or attributes lie in a heap, behind a number of `width` bytes that flag 1 announces."""
        _, flags = self.numbers("<BB", at)
        if self.numbers("<Q", at + 2 + (width if flags & 1 else 0))[0] != NOWHERE:
            self.strange.add(f"{what} in a heap")

    def link(self, at, length):
        """A link in the header: hard (0), soft (1: refused where it is followed), or out of the file (64 and above)."""
        _, flags = self.numbers("<BB", at)
        place = at + 2
        kind = self.part(place, 1)[0] if flags & 8 else 0
        place += (1 if flags & 8 else 0) + (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
        width = 1 << (flags & 3)
        name = int.from_bytes(self.part(place, width), "little")
        if kind > 1:
            raise FormatError("it has a link to another file; expected everything in this one")
        if kind == 0:
            self.todo.append((self.header, *self.numbers("<Q", place + width + name)))

    def layout(self, at, length):
        """Where an array lies: in the header (0), in one piece (1), in chunks (2), in other datasets (3)."""
        version, kind = self.numbers("<BB", at)
        if version not in (3, 4) or kind == 2 and version == 4:
            self.strange.add(f"layout {kind} of version {version}")
        if version >= 3 and kind == 3:
            raise FormatError("an array is put together from other datasets; expected it in this file")
        if version == 3 and kind == 2:
            rank, tree = self.numbers("<BQ", at + 2)
            if tree != NOWHERE:
                self.todo.append((self.tree, tree, 1, None, rank))

    def filters(self, at, length):
        version, count = self.numbers("<BB", at)
        place = at + (8 if version == 1 else 2)
        for _ in range(count):
            number, *_ = self.numbers("<H", place)
            if number not in FILTERS:
                raise FormatError(f"an array is packed by filter {number}; expected one of {', '.join(FILTERS.values())}")
            named = version == 1 or number >= 256
            name, _, values = self.numbers("<HHH", place + 2) if named else (0, *self.numbers("<HH", place + 2))
            place += (8 if named else 6) + (name + 7) // 8 * 8 * (version == 1) + name * (version != 1)
            place += 4 * (values + values % 2 if version == 1 else values)
            if place > at + length:
                raise FormatError("the filters of an array are longer than their message")

    # --- groups of version 1: a tree of tables, whose names lie in a heap ---

    def symbol_table(self, tree, heap):
        if (tree, heap) not in self.owned:
            self.owned[tree, heap] = "group"
            self.todo.append((self.tree, tree, 0, None, self.heap(heap)))

    def heap(self, at):
        """Return (address, size) of a local heap's data, whose list of free places must end."""
        self.first_visit(at, "heap")
        signature, size, free, place = self.numbers("<8s3Q", at)
        if signature[:5] != b"HEAP\0":
            raise FormatError("the names of a group are not at the stated place")
        self.part(place, size)
        met = set()
        while free not in (1, NOWHERE):
            if free in met or free + 16 > size:
                raise FormatError("the free places of a heap lead in a circle or out of it")
            met.add(free)
            free, length = self.numbers("<QQ", place + free)
            if length < 16 or length > size:
                raise FormatError("a free place of a heap has no sensible size")
        return place, size

    def tree(self, at, kind, level, about):
        """A node of a tree of version 1, of a group (kind 0) or of chunks (1). about: the heap, or the chunks' dimensions."""
        self.first_visit(at, "tree")
        signature, found, own_level, count = self.numbers("<4sBBH", at)
        if signature != b"TREE" or found != kind or own_level != (own_level if level is None else level):
            raise FormatError("a tree of its structure is broken")
        key = 8 if kind == 0 else 8 + 8 * about
        for i in range(count):
            self.budget.check_time()
            place = at + 24 + i * (key + 8)
            child, = self.numbers("<Q", place + key)
            if own_level:
                self.todo.append((self.tree, child, kind, own_level - 1, about))
            elif kind == 0:
                self.todo.append((self.table, child, about))
            else:
                self.part(child, self.numbers("<I", place)[0])

    def table(self, at, heap):
        """A table of a group's entries."""
        self.first_visit(at, "table")
        signature, version, _, count = self.numbers("<4sBBH", at)
        if signature != b"SNOD" or version != 1:
            raise FormatError("a table of a group is broken")
        for i in range(count):
            name, header, kind, _, tree, names = self.numbers("<QQIIQQ", at + 8 + 40 * i)
            if name >= heap[1] or self.data.find(b"\0", heap[0] + name, heap[0] + heap[1]) < 0:
                raise FormatError("a name of a group has no end")
            if kind > 2:
                raise FormatError(f"an entry of a group is of kind {kind}")
            if kind == 1:
                self.symbol_table(tree, names)
            if kind != 2:                                       # 2 is a soft link, which is refused where it is followed
                self.todo.append((self.header, header))


_MESSAGES = {DATATYPE: _Walk.datatype, ATTRIBUTE: _Walk.attribute, LINK_INFO: lambda walk, at, _: walk.info(at, "links", 8),
             ATTRIBUTE_INFO: lambda walk, at, _: walk.info(at, "attributes", 2), LINK: _Walk.link, LAYOUT: _Walk.layout, FILTER: _Walk.filters}


# --- global heaps: text of any length ----------------------------------------------------------------------------------------


def check_heaps(data, budget):
    """Refuse heaps that the library would walk for ever.

    A heap is "GCOL", a header of 16 bytes, then objects of (index, references, reserved, size), free space having the index 0. The
    library steps by `size` in 64 bits, which may wrap around.
    """
    count, at = 0, data.find(b"GCOL\1")
    while at >= 0:
        budget.check_time()
        _check_heap(data, at)
        count += 1
        if count > MAX_HEAPS:
            raise FormatError(f"its text lies in over {MAX_HEAPS} heaps; expected fewer")
        at = data.find(b"GCOL\1", at + 4)


def _check_heap(data, at):
    """Each object in the heap at `at` must lie in it."""
    end = at + int.from_bytes(data[at + 8:at + 16], "little")
    if end > len(data):
        raise FormatError("a heap of texts is longer than the file")
    place = at + 16
    while place + 16 <= end:
        index, _, _, size = struct.unpack_from("<HHIQ", data, place)
        step = 16 + (size + 7) // 8 * 8 if index else size
        if step < 16 or place + step > end:
            raise FormatError("a heap of texts has objects without size, or larger than itself")
        place += step
