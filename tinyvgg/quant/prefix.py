"""Prefix codes (Huffman, at most LONGEST bits for a code, canonical order) and coded streams of bits. The lengths alone define
the codes: shorter codes come first, codes of one length in the order of their symbols, each is the previous one plus one
(Deflate's rule, RFC 1951, section 3.2.2). Streams begin in the highest bit and end at a whole number of two bytes.
"""
import numpy as np

from tinyvgg.errors import FormatError

LONGEST = 10        # bits of a code: a table of all that can come next has 1024 entries
WORD_BITS = 16      # what C reads at a time
AT_ONE_GO = 1 << 20 # bits that are decoded at a time: memory is bounded


def code_lengths(counts):
    """Return the lengths (K,) uint8 of the best prefix code for symbols that occur `counts` (K,) times, 2 <= K <= 2^LONGEST.

    A symbol that never occurs counts as occurring once, so all have a code. Package-merge (Larmore and Hirschberg, 1990).
    """
    weights = np.maximum(np.asarray(counts, np.int64), 1)
    leaves = sorted((int(w), (k,)) for k, w in enumerate(weights))
    packages = []
    for _ in range(LONGEST):
        packages = sorted([*leaves, *((a[0] + b[0], a[1] + b[1]) for a, b in zip(packages[::2], packages[1::2], strict=False))])
    chosen = [k for _, symbols in packages[: 2 * len(weights) - 2] for k in symbols]
    return np.bincount(chosen, minlength=len(weights)).astype(np.uint8)


def check_lengths(lengths):
    """Raise FormatError unless lengths (K,) form a complete prefix code, so that every stream of bits has a meaning."""
    wide = np.asarray(lengths).astype(np.int64)
    if len(wide) < 2 or wide.min() < 1 or wide.max() > LONGEST or (1 << LONGEST - wide).sum() != 1 << LONGEST:
        raise FormatError(f"the lengths of a prefix code are damaged; expected two or more of 1..{LONGEST} bits that use up all codes")


def codes(lengths):
    """Return the codes (K,) int64 and the order in which symbols get them, by ascending codes."""
    lengths = np.asarray(lengths).astype(np.int64)
    order = np.argsort(lengths, kind="stable")
    starts = np.concatenate([[0], np.cumsum(1 << LONGEST - lengths[order])[:-1]])       # of codes that are filled up to LONGEST bits
    found = np.empty(len(lengths), np.int64)
    found[order] = starts >> LONGEST - lengths[order]
    return found, order


def coded_bits(indices, lengths):
    """Return how many bits the symbols `indices` (any shape) take."""
    return int(np.asarray(lengths).astype(np.int64)[np.asarray(indices).reshape(-1)].sum())


def coded_size(bits):
    """Return the bytes of a stream of so many bits."""
    return -(-bits // WORD_BITS) * WORD_BITS // 8


def encode(indices, lengths):
    """Return the symbols `indices` (any shape, in C order) as a stream, uint8."""
    found, _ = codes(lengths)
    flat, lengths = np.asarray(indices).reshape(-1), np.asarray(lengths).astype(np.int64)
    shifts = lengths[:, None] - 1 - np.arange(LONGEST)
    table = (found[:, None] >> np.maximum(shifts, 0) & 1).astype(np.uint8)
    bits = table[flat][shifts[flat] >= 0]
    return np.packbits(np.pad(bits, (0, -len(bits) % WORD_BITS)))


def decode(stream, lengths, count):
    """Return the `count` symbols of a stream, uint8. Raises FormatError unless it contains exactly these, then only zeros."""
    check_lengths(lengths)
    bits = np.unpackbits(np.asarray(stream, np.uint8))
    if not count <= len(bits) <= count * LONGEST + WORD_BITS:
        raise FormatError(f"a stream of {len(bits)} bits cannot hold {count} coded weights")
    symbol, steps = _what_comes_next(lengths)
    found, at = [], 0
    for start in range(0, len(bits), AT_ONE_GO):
        window = _windows(bits[start : start + AT_ONE_GO + LONGEST - 1], min(AT_ONE_GO, len(bits) - start))
        jumps, places = steps[window].tolist(), []
        at -= start
        while at < len(jumps) and len(found) + len(places) < count:
            places.append(at)
            at += jumps[at]
        found += symbol[window[places]].tolist() if places else []
        at += start
    if len(found) < count or coded_size(at) * 8 != len(bits) or bits[at:].any():
        raise FormatError("a stream of coded weights has another length than its weights")
    return np.array(found, np.uint8)


def _what_comes_next(lengths):
    """Return the first symbol and the length of its code for every value of the next LONGEST bits: (2^LONGEST,) each."""
    order, lengths = codes(lengths)[1], np.asarray(lengths).astype(np.int64)
    symbol = np.repeat(order, 1 << LONGEST - lengths[order])
    return symbol, lengths[symbol]


def _windows(bits, count):
    """Return the LONGEST bits that start at each of the first `count` places, with zeros after the last bit: int16 (count,)."""
    ahead = np.zeros(count + LONGEST - 1, np.int16)
    ahead[: len(bits)] = bits
    return sum(ahead[i : i + count] << LONGEST - 1 - i for i in range(LONGEST))
