"""Exercises: scales and zero points, the one rounding, zero points folded away, codebooks."""
import numpy as np

from tinyvgg.testing.exercises._registry import equal, exercise, several, shaped


@exercise(where="ranges that do not hold 0, such as 2..6: a border of zeros must still be exact",
          how="widen the range to hold 0 first; 255 steps span it; the zero point is the steps from its low end to 0, rounded")
def scale_and_zero(answer):
    """answer(low, high) -> scale, zero with real = scale * (q - zero), q in 0..255."""
    for low, high in ((-1.0, 1.0), (0.0, 6.0), (2.0, 6.0), (-3.0, -1.0), (-0.1, 5.0)):
        scale, zero = several(answer(low, high), 2)
        a, b = min(low, 0.0), max(high, 0.0)
        equal(scale, (b - a) / 255, f"the scale for {low}..{high}")
        equal(zero, round(-a / ((b - a) / 255)), f"the zero point for {low}..{high}, a whole number")


@exercise(where="the product of two int32 needs 64 bits; and halves go upwards, also below 0",
          how="widen before you multiply, add half of what the shift will cut off, and shift arithmetically")
def smmulr(answer):
    """answer(a, b) -> (a*b + 2^31) >> 32 for int32 arrays."""
    edges = [0, 1, -1, 3, 2**16, -(2**16), 2**30, 2**31 - 1, -(2**31), 2**15, 3 * 2**16]
    pairs = [(a, b) for a in edges for b in edges]
    a, b = np.array(pairs, np.int32).T
    found, expected = answer(a, b), np.array([(x * y + 2**31) >> 32 for x, y in pairs])
    shaped(found, expected.shape, "the result")
    wrong = np.flatnonzero(~(np.asarray(found, np.float64) == expected))
    if len(wrong):
        x, y = pairs[wrong[0]]
        equal(np.asarray(found)[wrong[0]], expected[wrong[0]], f"the result for a = {x}, b = {y}", tolerance=0)


@exercise(where="the shift is done before the multiplication: does it make m larger or smaller?",
          how="solve m * 2^shift / 2^32 = factor for m, and round to the nearest whole number; factors may be negative")
def multiplier(answer):
    """answer(factor, shift) -> the integer m with m * 2^shift / 2^32 nearest to factor."""
    for factor, shift in ((0.0123, 4), (-0.5, 0), (0.75, 1), (1e-6, 7)):
        equal(answer(factor, shift), round(factor * 2 ** (32 - shift)),
              f"m for the factor {factor} and shift {shift}", tolerance=0)


@exercise(where="each filter has its own sum of weights; which axis of weights (F, K) is the filter?",
          how="expand the sum over (x - zero) w, and move the part without x into the bias, with its sign")
def folded_bias(answer):
    """answer(bias, weights, zero) -> the bias with which sum x w, without the zero point, gives the same."""
    generator = np.random.default_rng(6)
    w, bias = generator.integers(-127, 128, (7, 20)), generator.integers(-1000, 1000, 7)
    for zero in (37, 0):
        equal(answer(bias, w, zero), bias - zero * w.sum(axis=1), f"the bias for zero point {zero}", tolerance=0)


@exercise(where="values beyond both ends, and values in the middle between two entries' halves",
          how="distances to all entries, and the smallest; or: where does a value lie among the middles between entries?")
def nearest_entry(answer):
    """answer(values, codebook) -> indices of the nearest entries; codebook ascending."""
    book = np.array([-2.0, -0.5, 0.1, 3.0])
    values = np.array([[-5.0, -1.3, -1.2], [0.0, 1.5, 1.6], [3.0, 99.0, -0.19]])
    equal(answer(values, book), np.abs(values[..., None] - book).argmin(axis=-1),
          "the indices of the entries nearest to 3 x 3 values, some of them beyond both ends", tolerance=0)


@exercise(where="which number has the smallest sum of squared distances to some others?",
          how="one result for each of the k clusters, from its values alone; an empty one may hold anything, but not stop you")
def best_centres(answer):
    """answer(values, indices, k) -> the k entries that minimise the squared error for these indices."""
    values, indices = np.array([1.0, 2.0, 4.5, 10.0, 12.0]), np.array([0, 0, 0, 2, 2])
    found = answer(values, indices, 3)
    shaped(found, (3,), "the codebook")
    equal(np.asarray(found)[[0, 2]], [2.5, 11.0], "the entries of the two clusters that have values")
