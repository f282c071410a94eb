"""Exercises: what a flipped bit does to a number, and codes that correct one flip and see two."""
import itertools

import numpy as np

from tinyvgg.testing.exercises._registry import equal, exercise, expect, several


@exercise(where="the sign bit, and values below 0: how does two's complement store them?",
          how="look at the number as a byte 0..255, flip there, and come back: what lies above 127 means a negative number")
def flip_int8(answer):
    """answer(value, bit) -> the int8 value with that bit flipped, bit 7 the sign."""
    for value, bit in itertools.product((-128, -127, -1, 0, 1, 64, 127), range(8)):
        expected = int(np.array(value, np.int8).view(np.uint8) ^ np.uint8(1 << bit))
        equal(answer(value, bit), expected - 256 * (expected > 127), f"{value} with bit {bit} flipped", tolerance=0)


@exercise(where="a conversion to integer rounds the number; you want its 32 bits as they are",
          how="make a float32 array, look at the same memory as unsigned integers, flip there, and look at it as floats again")
def flip_float32(answer):
    """answer(value, bit) -> the float32 value with that bit flipped."""
    for value, bit in ((1.0, 31), (0.05, 30), (1.5, 0), (-2.0, 23), (0.05, 29)):
        expected = (np.float32(value).view(np.uint32) ^ np.uint32(1 << bit)).view(np.float32)
        equal(answer(value, bit), expected, f"{value} with bit {bit} flipped", tolerance=0)


@exercise(where="places are counted from 1; a check bit at place 1, 2 or 4 covers the places whose number has that bit",
          how="write the numbers of the data's places, 3 5 6 7, in binary; each check is the parity of the data it covers; "
              "the last bit is that of all seven")
def hamming_encode(answer):
    """answer(data bits (4,)) -> (8,): p1 p2 d1 p3 d2 d3 d4 and the parity of all."""
    for data in itertools.product((0, 1), repeat=4):
        equal(answer(np.array(data)), _encode(data), f"the word of data {data}", tolerance=0)


@exercise(where="two facts decide: is the parity of all eight odd, and which place do the failing checks name?",
          how="XOR the numbers, from 1, of the first seven places that hold a 1: that is the syndrome; odd parity is one flip, "
              "even with a syndrome two; place 8 is the parity bit itself")
def hamming_decode(answer):
    """answer(word (8,)) -> (data (4,), "ok" | "corrected" | "detected")."""
    for data in itertools.product((0, 1), repeat=4):
        word = np.array(_encode(data))
        for places in [(), *itertools.combinations(range(8), 1), *itertools.combinations(range(8), 2)]:
            damaged = word.copy()
            damaged[list(places)] ^= 1
            found, verdict = several(answer(damaged), 2)
            expected = ("ok", "corrected", "detected")[len(places)]
            flips = f"data {data} with flips at places {[p + 1 for p in places]}"
            expect(isinstance(verdict, str) and verdict == expected,
                   f"{flips}: the verdict is {str(verdict)[:20]!r}; expected {expected!r}")
            if len(places) < 2:
                equal(found, data, f"{flips}: the data", tolerance=0)


def _encode(data):
    d1, d2, d3, d4 = data
    word = [d1 ^ d2 ^ d4, d1 ^ d3 ^ d4, d1, d2 ^ d3 ^ d4, d2, d3, d4]
    return [*word, sum(word) % 2]
