"""Bit arithmetic against vectors computed by hand."""
import numpy as np
import pytest

from tinyvgg.faults import bits

INT8 = [(21, 7, -107), (-1, 7, 127), (-41, 7, 87), (0, 0, 1), (-128, 7, 0), (-18, 7, 110), (127, 6, 63), (-1, 0, -2)]
INT32 = [(0, 31, -2 ** 31), (-1, 31, 2 ** 31 - 1), (5, 1, 7), (2 ** 30, 30, 0)]
FLOAT32 = [(0.5, 30, 2.0 ** 127), (1.0, 31, -1.0), (1.0, 23, 0.5), (1.5, 22, 1.0), (-0.25, 30, -2.0 ** 126)]


@pytest.mark.parametrize("dtype, rows", [("int8", INT8), ("int32", INT32), ("float32", FLOAT32)])
def test_flips_by_hand(dtype, rows):
    for old, bit, new in rows:
        there = bits.flipped(np.array([old], dtype), bit)
        assert there.dtype == dtype and there[0] == new, (old, bit)
        assert bits.flipped(there, bit)[0] == old
        assert bits.hamming(there, np.array([old], dtype)) == 1


def test_one_times_two_to_the_128_is_infinite():
    assert np.isinf(bits.flipped(np.array([1.0], np.float32), 30)[0])


def test_what_each_fault_may_change():
    values = np.array([[0b01], [-128]], np.int8)
    assert bits.permitted(values, np.arange(8), "flip").all()
    ones = [[True, *[False] * 7], [*[False] * 7, True]]
    assert (bits.permitted(values, np.arange(8), "clear") == ones).all()
    assert (bits.permitted(values, np.arange(8), "set") == ~np.array(ones)).all()
    with pytest.raises(Exception, match="there is no fault 'melt'"):
        bits.permitted(values, 0, "melt")


def test_a_table_of_all_flips():
    table = bits.flipped(np.array([[3], [-3]], np.int8), np.arange(8))
    assert table.shape == (2, 8) and table[0].tolist() == [2, 1, 7, 11, 19, 35, 67, -125]
