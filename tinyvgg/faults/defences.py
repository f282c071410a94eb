"""Defences that watch a store's arrays: CRC-32 for each array, RADAR's group signatures, replicas of small arrays, ranges of
groups. Each is made from the unharmed store. `check(store)` returns the arrays that it finds changed; `repair(store)` repairs
what it can and returns how many numbers it set; `bytes` is the extra memory. codegen/guard.py writes the same defences in C.
"""
import zlib

import numpy as np

from tinyvgg.codegen.guard import SIZES, is_replicated, parse_guard, radar_groups, radar_key, radar_signatures, range_ends
from tinyvgg.errors import OptionError


class Crc:
    """CRC-32 (IEEE 802.3) of every array: finds all single and double flips and all bursts of up to 32 bits; misses others with
    probability 2^-32."""

    def __init__(self, store, keys=None):
        self.keys = list(store.arrays) if keys is None else store.select(keys)
        self.values, self.bytes = {key: _crc(store, key) for key in self.keys}, 4 * len(self.keys)

    def check(self, store):
        """Return the arrays whose CRC differs."""
        return [key for key in self.keys if _crc(store, key) != self.values[key]]

    def repair(self, store):
        """A CRC repairs nothing."""
        return 0


def _crc(store, key):
    return zlib.crc32(np.ascontiguousarray(store.arrays[key]).tobytes())


class Radar:
    """RADAR (Li et al., DATE 2021, arXiv:2101.08254): two bits for each group of int8 weights; a group that differs is zeroed.

    A group is at most `group` weights that are far apart (interleaved). A secret key chooses the sign of each row; the sum of the
    signed weights gives the signature (floor(sum / 256) mod 2, floor(sum / 128) mod 2): see codegen/guard.py. It finds every odd
    number of flipped bits 7 in a group, pairs whose signed changes do not cancel, and flips of lower bits if the sum crosses a
    multiple of 128.
    """

    def __init__(self, store, group=128, seed=0):
        if group < 2:
            raise OptionError(f"groups of {group} weights were asked for; expected 2 or more", "group=128")
        self.keys = [key for key in store.arrays if key.endswith("/weights") and store.arrays[key].dtype == np.int8]
        if not self.keys:
            raise OptionError(f"{store.name} stores no int8 weights", "an int8 model")
        self.group = group
        self.counts = {key: radar_groups(store.arrays[key].size, group) for key in self.keys}
        self.secrets = {key: radar_key(seed, key.rsplit("/", 1)[0]) for key in self.keys}
        self.signatures = {key: self._sign(store, key) for key in self.keys}
        self.bytes = sum(-(-2 * s.size // 8) for s in self.signatures.values())

    def _sign(self, store, key):
        return radar_signatures(store.arrays[key].reshape(-1), self.counts[key], self.secrets[key])

    def groups(self, store):
        """Return {array: groups whose signature differs}."""
        found = {key: np.flatnonzero(self._sign(store, key) != self.signatures[key]) for key in self.keys}
        return {key: groups for key, groups in found.items() if len(groups)}

    def check(self, store):
        """Return the arrays with a group that differs."""
        return list(self.groups(store))

    def finds(self, store, flips):
        """Return how many of the flips (key, index, bit) are in a group that is found changed."""
        bad = self.groups(store)
        return sum(key in bad and index % self.counts[key] in bad[key] for key, index, _ in flips)

    def repair(self, store):
        """Zero every group that differs; return how many weights."""
        done = 0
        for key, groups in self.groups(store).items():
            flat = store.arrays[key].reshape(-1)
            hit = np.isin(np.arange(len(flat)) % self.counts[key], groups)
            flat[hit] = 0
            done += int(hit.sum())
            store.changed({key})
        return done


class Replicas:
    """Two extra copies of small arrays (biases, multipliers, codebooks). The majority of each bit counts, so damage to one copy
    is repaired."""

    def __init__(self, store, keys=None):
        self.keys = [key for key in store.arrays if is_replicated(key)] if keys is None else store.select(keys)
        self.copies = {key: store.arrays[key].tobytes() for key in self.keys}
        self.bytes = 2 * sum(map(len, self.copies.values()))

    def check(self, store):
        """Return the arrays that differ from their copies."""
        return [key for key in self.keys if store.arrays[key].tobytes() != self.copies[key]]

    def repair(self, store):
        """Restore the copies' majority; return how many numbers changed."""
        return sum(_put(store, key, np.frombuffer(self.copies[key], store.arrays[key].dtype)) for key in self.check(store))


class Ranges:
    """The lowest and the highest of every `group` neighbouring weights: a weight outside is set to the nearer of the two."""

    def __init__(self, store, group=32):
        self.keys = [key for key in store.arrays if key.endswith("/weights")]
        self.group = group
        self.ends = {key: range_ends(store.arrays[key].reshape(-1), group) for key in self.keys}
        self.bytes = sum(low.nbytes + high.nbytes for low, high in self.ends.values())

    def _clamped(self, store, key):
        flat = store.arrays[key].reshape(-1)
        which = np.arange(len(flat)) // self.group
        return np.clip(flat, self.ends[key][0][which], self.ends[key][1][which])

    def check(self, store):
        """Return the arrays with a weight out of its range."""
        return [key for key in self.keys if (self._clamped(store, key) != store.arrays[key].reshape(-1)).any()]

    def repair(self, store):
        """Clamp; return how many weights changed."""
        return sum(_put(store, key, self._clamped(store, key)) for key in self.check(store))


def _put(store, key, numbers):
    """Put numbers (n,) into an array of the store; return how many changed."""
    flat = store.arrays[key].reshape(-1)
    count = int((numbers != flat).sum())
    flat[...] = numbers
    store.changed({key})
    return count


def defences_of(store, text):
    """Return {name: defence} of "crc,radar=128,ranges,replicas", each made from the current `store`."""
    made = {"crc": Crc, "replicas": Replicas, "radar": Radar, "ranges": Ranges}
    found = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        guard = parse_guard(part)
        name = part.partition("=")[0]
        size = [getattr(guard, name)] if name in SIZES else []
        found[part] = made[name](store, *size)
    return found


def trial(store, plan, defence, x, y):
    """Apply a plan, let a defence check and repair, and restore everything. Returns {"detected", "flips", "found", "repaired",
    "accuracy_attacked", "accuracy_repaired", "bytes"}; found: flips in groups that RADAR finds changed; None for other defences.
    """
    before = {key: array.copy() for key, array in store.arrays.items()}
    plan.apply(store)
    try:
        found = defence.finds(store, plan.net()) if hasattr(defence, "finds") else None
        row = {"detected": bool(defence.check(store)), "flips": plan.hamming, "found": found, "accuracy_attacked": store.accuracy(x, y)}
        return {**row, "repaired": defence.repair(store), "accuracy_repaired": store.accuracy(x, y), "bytes": defence.bytes}
    finally:
        for key, array in before.items():
            store.arrays[key][...] = array
        store.changed(set(before))
