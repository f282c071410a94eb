"""Check that every offset and size of a .tflite file stays within the file, before anything else reads it: readers of FlatBuffers
trust offsets. A FlatBuffer is a tree of tables. A table begins with the distance back to its vtable, which lists the sizes and,
for each slot, the field's position in the table (0 for none). A vector begins with its length. An offset points forward from its
own position.
"""
import struct

from tinyvgg.errors import FormatError

MOST_TABLES = 200_000
DEEPEST = 8
# What the slots of each table hold, as far as anything here reads them: a scalar's bytes, ("vector", bytes an item), ("table", name)
# or ("tables", name). Slots that are not named are left alone, and not read.
TABLES = {
    "Model": {0: 4, 1: ("tables", "OperatorCode"), 2: ("tables", "SubGraph"), 3: ("vector", 1), 4: ("tables", "Buffer"),
              6: ("tables", "Metadata")},
    "OperatorCode": {0: 1, 1: ("vector", 1), 2: 4, 3: 4},
    "SubGraph": {0: ("tables", "Tensor"), 1: ("vector", 4), 2: ("vector", 4), 3: ("tables", "Operator"), 4: ("vector", 1)},
    "Tensor": {0: ("vector", 4), 1: 1, 2: 4, 3: ("vector", 1), 4: ("table", "Quantization"), 5: 1, 6: ("table", "Sparsity"),
               7: ("vector", 4), 8: 1},
    "Quantization": {0: ("vector", 4), 1: ("vector", 4), 2: ("vector", 4), 3: ("vector", 8), 4: 1, 6: 4},
    "Sparsity": {},
    "Operator": {0: 4, 1: ("vector", 4), 2: ("vector", 4), 3: 1, 4: ("table", "Options"), 5: ("vector", 1), 6: 1},
    "Options": {},                              # scalars of up to 4 bytes, and what read.py asks of a few: see option_vector
    "Buffer": {0: ("vector", 1), 1: 8, 2: 8},
    "Metadata": {0: ("vector", 1), 1: 4},
}


def verify(data):
    """Raise FormatError unless the FlatBuffer `data` (bytes) is a .tflite file of version 3 all of whose offsets lie within it."""
    if len(data) < 8 or data[4:8] != b"TFL3":
        raise FormatError("it is no .tflite file: bytes 4 to 8 are not TFL3")
    walk = _Walk(data)
    walk.table(walk.offset(0), "Model", 0)


class _Walk:
    """Follows every offset once; each read is checked against the file's end."""

    def __init__(self, data):
        self.data, self.seen = data, set()

    def read(self, form, at):
        size = struct.calcsize(form)
        self.within(at, size)
        return struct.unpack_from(form, self.data, at)[0]

    def within(self, at, size):
        if at < 0 or size < 0 or at + size > len(self.data):
            raise FormatError(f"it is cut or damaged: {size:,} bytes at {at:,} lie beyond its end, {len(self.data):,}")

    def offset(self, at):
        """The place that the offset at `at` points to."""
        return at + self.read("<I", at)

    def vector(self, at, width):
        """The place of the first item, and how many there are."""
        count = self.read("<I", at)
        self.within(at + 4, count * width)
        return at + 4, count

    def fields(self, at):
        """{slot: place} of a table, its vtable checked."""
        vtable = at - self.read("<i", at)
        size, extent = self.read("<H", vtable), self.read("<H", vtable + 2)
        self.within(vtable, size)
        self.within(at, extent)
        if size < 4 or size % 2 or extent < 4:
            raise FormatError(f"it is damaged: the table at {at:,} has a description of {size} bytes")
        offsets = struct.unpack_from(f"<{size // 2 - 2}H", self.data, vtable + 4)
        for place in offsets:
            if place and not 4 <= place < extent:
                raise FormatError(f"it is damaged: a field of the table at {at:,} lies outside it")
        return {slot: (at + place, extent - place) for slot, place in enumerate(offsets) if place}

    def table(self, at, name, depth):
        if (at, name) in self.seen:
            return
        self.seen.add((at, name))
        if len(self.seen) > MOST_TABLES or depth > DEEPEST:
            raise FormatError(f"it has over {MOST_TABLES:,} tables, or they lie deeper than {DEEPEST}")
        for slot, (place, room) in self.fields(at).items():
            kind = TABLES[name].get(slot)
            if kind is None:
                continue
            if isinstance(kind, int):
                if kind > room:
                    raise FormatError(f"it is damaged: a field of the table at {at:,} lies outside it")
                continue
            self.follow(*kind, self.offset(place), depth)

    def follow(self, how, what, at, depth):
        if how == "vector":
            self.vector(at, what)
        elif how == "table":
            self.table(at, what, depth + 1)
        else:
            first, count = self.vector(at, 4)
            for i in range(count):
                self.table(self.offset(first + 4 * i), what, depth + 1)
