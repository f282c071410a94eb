"""Defences against memory faults, as C: tables of a network's constants, and kernels/tv_guard.c, which checks the constants.

    crc        CRC-32 of every array, and of the shifts; detects, but repairs nothing
    radar      signatures of groups of int8 weights (RADAR: Li et al., DATE 2021, arXiv:2101.08254); a group that differs is zeroed
    ranges     lowest and highest value of each run of int8 weights; a weight outside is set to the nearer end
    replicas   two more copies of biases, tails, shifts and codebooks; each bit is decided by majority

`tinyvgg.faults.defences` has the same four as models on the host.
"""
import zlib
from dataclasses import dataclass

import numpy as np

from tinyvgg.codegen.emit import array_text
from tinyvgg.errors import OptionError
from tinyvgg.quant.ops.weighted import Weighted
from tinyvgg.rng import generator

NAMES = ("crc", "radar", "ranges", "replicas")
SIZES = {"radar": 128, "ranges": 32}             # weights of a group, of a run
REPLICATED = ("bias", "offset", "multiplier", "high", "exponent", "gain", "shift", "codebook", "tail_shift")
COLUMNS = 8                                      # groups that the C code sums at a time


@dataclass(frozen=True)
class Guard:
    """The chosen defences. radar, ranges: their group sizes, 0 for none; seed: of RADAR's keys."""
    crc: bool = False
    radar: int = 0
    ranges: int = 0
    replicas: bool = False
    seed: int = 0


def parse_guard(text, seed=0):
    """Return the Guard for a text such as "crc,radar=128,ranges,replicas"; raise OptionError."""
    chosen = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, size = part.partition("=")
        if name not in NAMES or size and (name not in SIZES or not size.isdecimal() or not 2 <= int(size) <= 65536):
            raise OptionError(f"there is no defence {part!r}; expected {', '.join(NAMES)}, with sizes of 2 to 65536 for radar and ranges",
                              "crc,radar=128,ranges=32,replicas")
        chosen[name] = int(size) if size else SIZES.get(name, True)
    return Guard(**chosen, seed=seed)


# --- contents of the tables: also the definition for tinyvgg.faults.defences ----------------------------------------------------
def radar_groups(count, group):
    """Return the number of groups of about `group` weights, for `count` weights."""
    return -(-max(-(-count // group), 1) // COLUMNS) * COLUMNS


def radar_key(seed, op):
    """Return the secret key of an op's weights: 32 bits, the signs of the rows."""
    return int(generator(seed, "fault", "radar", op).integers(1 << 32))


def radar_signatures(weights, groups, key):
    """weights (n,) int8 -> (groups,) uint8 0..3: bits 8 and 7 of each group's sum.

    Weight i is in group i mod groups, so neighbours are in different groups. Row i // groups has the sign of bit (row mod 32) of
    the key.
    """
    rows = -(-len(weights) // groups)
    padded = np.zeros(rows * groups, np.int32)
    padded[:len(weights)] = weights
    signs = np.where(key >> (np.arange(rows) % 32) & 1, -1, 1)
    return ((padded.reshape(rows, groups) * signs[:, None]).sum(axis=0) >> 7 & 3).astype(np.uint8)


def range_ends(weights, run):
    """weights (n,) -> (lowest, highest) of each run."""
    starts = np.arange(0, len(weights), run)
    return np.minimum.reduceat(weights, starts), np.maximum.reduceat(weights, starts)


def is_replicated(name):
    """Whether `replicas` keeps copies of an array called op/name."""
    return name.rsplit("/", 1)[1] in REPLICATED


# --- C -------------------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Table:
    """One table of the guard: its rows, the arrays (name, C type, values) that they point to, and the bytes of a row."""
    rows: list
    arrays: list
    row_bytes: int

    bytes = property(lambda self: len(self.rows) * self.row_bytes + sum(array.nbytes for _, _, array in self.arrays))


def guard_files(program, guard):
    """Return {file: text} of NAME_guard.h and NAME_guard.c. Raises OptionError if a defence has no constants to check."""
    name, tables = program.name, _tables(program, guard)
    header = (f"/* The checks of {name}'s constants: see tv_guard.h. */\n#ifndef {name.upper()}_GUARD_H\n#define {name.upper()}_GUARD_H\n\n"
              f'#include "tv_guard.h"\n\nextern const tv_guard {name}_guard;\n\n#endif\n')
    parts = [f'#include "{name}_guard.h"\n#include "{name}_weights.h"\n']
    fields, shifts = [], shifted(program)
    if shifts and (guard.crc or guard.replicas):
        copies = np.array(2 * [op.tail.shift for op in shifts], np.uint32)
        parts += [f"extern TV_CONST uint32_t *const {name}_shifts[{len(shifts)}];\n",
                  array_text(f"static const uint32_t shift_copies[{len(copies)}]", copies)]
        fields.append(f"    .shifts = {{ {name}_shifts, shift_copies, {len(shifts)}u, {len(program.constants)}u, {int(guard.replicas)}u }}")
    for kind, table in tables.items():
        parts += [array_text(f"static const {ctype} {label}[{array.size}]", array) for label, ctype, array in table.arrays]
        parts.append(f"static const tv_guard_{kind} {kind}_table[{len(table.rows)}] = {{\n" + ",\n".join(table.rows) + "\n};\n")
        fields.append(f"    .{kind}s = {kind}_table, .{kind}_count = {len(table.rows)}u")
    parts.append(f"const tv_guard {name}_guard = {{\n" + ",\n".join(fields) + "\n};\n")
    return {f"{name}_guard.h": header, f"{name}_guard.c": "\n".join(parts)}


def shifted(program):
    """Return the ops whose struct has the shift of an integer tail."""
    return [op for op in program.layers if isinstance(op, Weighted) and op.integer and not op.lite and op.variant in ("direct", "direct_ram")]


def guard_code(program):
    """Return the C for the network's own file: the addresses of the shifts, whose structs are static in that file."""
    places = ", ".join(f"&{program.symbol(op)}_layer.tail.shift" for op in shifted(program))
    name = program.name
    return f"extern TV_CONST uint32_t *const {name}_shifts[];\nTV_CONST uint32_t *const {name}_shifts[] = {{ {places} }};" if places else ""


def guard_bytes(program, guard):
    """Return {kind: bytes} that each defence adds to the flash: its tables and arrays, without its code."""
    return {kind: table.bytes for kind, table in _tables(program, guard).items()}


def _tables(program, guard):
    makers = {"replica": _replicas if guard.replicas else None, "range": _ranges if guard.ranges else None,
              "radar": _radars if guard.radar else None, "crc": _crcs if guard.crc else None}
    found = {kind: make(program, guard) for kind, make in makers.items() if make}
    if not found:
        raise OptionError("no defence was chosen", "--defence crc")
    for kind, table in found.items():
        if not table.rows:
            raise OptionError(f"{program.graph.name} has nothing for the defence {kind!r}: its constants are "
                              f"{', '.join(sorted({c.array.dtype.name for c in program.constants}))}", "an int8 model, or --defence crc")
    return found


def _chosen(program, wanted):
    """Return (number, constant, C expression) of the constants that `wanted` accepts."""
    return [(i, c, program.place(c.name)) for i, c in enumerate(program.constants) if wanted(c)]


def _is_weights(constant):
    return constant.array.dtype == np.int8 and constant.name.endswith("_weights")


def _crcs(program, guard):
    rows = [f"    {{ {place}, {c.array.nbytes}u, 0x{zlib.crc32(c.array.tobytes()):08X}u, {i}u }}"
            for i, c, place in _chosen(program, lambda c: True)]
    return _Table(rows, [], 16)


def _radars(program, guard):
    rows, arrays = [], []
    for i, c, place in _chosen(program, _is_weights):
        flat = c.array.reshape(-1)
        groups, key = radar_groups(len(flat), guard.radar), radar_key(guard.seed, c.op)
        two = radar_signatures(flat, groups, key).reshape(-1, 4)
        arrays.append((f"{c.name}_signatures", "uint8_t", (two << np.array([0, 2, 4, 6], np.uint8)).sum(axis=1).astype(np.uint8)))
        rows.append(f"    {{ {place}, {c.name}_signatures, {len(flat)}u, {groups}u, 0x{key:08X}u, {i}u }}")
    return _Table(rows, arrays, 24)


def _ranges(program, guard):
    rows, arrays = [], []
    for i, c, place in _chosen(program, _is_weights):
        flat = c.array.reshape(-1)
        ends = np.stack(range_ends(flat, guard.ranges), axis=1).reshape(-1)
        arrays.append((f"{c.name}_ends", "int8_t", ends))
        rows.append(f"    {{ {place}, {c.name}_ends, {len(flat)}u, {guard.ranges}u, {i}u }}")
    return _Table(rows, arrays, 20)


def _replicas(program, guard):
    rows, arrays = [], []
    for i, c, place in _chosen(program, lambda c: c.name.rsplit("_", 1)[1] in REPLICATED):
        both = np.frombuffer(2 * c.array.tobytes(), np.uint8)
        arrays.append((f"{c.name}_copies", "uint8_t", both))
        rows.append(f"    {{ (TV_CONST uint8_t *){place}, {c.name}_copies, {c.array.nbytes}u, {i}u }}")
    return _Table(rows, arrays, 16)
