"""Exercises: what a flipped bit does to a number, and codes that correct one flip and see two."""
import itertools

import numpy as np

from tinyvgg.testing.exercises._registry import equal, exercise, expect, several


@exercise
def flip_int8(answer):
    """answer(value, bit) -> the int8 value with that bit flipped, bit 7 the sign."""
    for value, bit in itertools.product((-128, -127, -1, 0, 1, 64, 127), range(8)):
        expected = int(np.array(value, np.int8).view(np.uint8) ^ np.uint8(1 << bit))
        equal(answer(value, bit), expected - 256 * (expected > 127),
              f"{value}, bit {bit}: in two's complement bit 7 is worth -128", tolerance=0)


@exercise
def flip_float32(answer):
    """answer(value, bit) -> the float32 value with that bit flipped."""
    for value, bit in ((1.0, 31), (0.05, 30), (1.5, 0), (-2.0, 23), (0.05, 29)):
        expected = (np.float32(value).view(np.uint32) ^ np.uint32(1 << bit)).view(np.float32)
        equal(answer(value, bit), expected, f"{value}, bit {bit}: look at the same 32 bits as an integer (view, not astype)")


@exercise
def hamming_encode(answer):
    """answer(data bits (4,)) -> (8,): p1 p2 d1 p3 d2 d3 d4 and the parity of all."""
    for data in itertools.product((0, 1), repeat=4):
        equal(answer(np.array(data)), _encode(data), f"data {data}: p1 = d1+d2+d4, p2 = d1+d3+d4, p3 = d2+d3+d4, modulo 2",
              tolerance=0)


@exercise
def hamming_decode(answer):
    """answer(word (8,)) -> (data (4,), "ok" | "corrected" | "detected")."""
    for data in itertools.product((0, 1), repeat=4):
        word = np.array(_encode(data))
        for places in [(), *itertools.combinations(range(8), 1), *itertools.combinations(range(8), 2)]:
            damaged = word.copy()
            damaged[list(places)] ^= 1
            found, verdict = several(answer(damaged), 2)
            expect(verdict == ("ok", "corrected", "detected")[len(places)],
                   f"{len(places)} flips at {places}: said {verdict!r}. Odd parity: one flip; a syndrome and even parity: two")
            if len(places) < 2:
                equal(found, data, f"a flip at {places}: the syndrome is the place, counted from 1", tolerance=0)


def _encode(data):
    d1, d2, d3, d4 = data
    word = [d1 ^ d2 ^ d4, d1 ^ d3 ^ d4, d1, d2 ^ d3 ^ d4, d2, d3, d4]
    return [*word, sum(word) % 2]
