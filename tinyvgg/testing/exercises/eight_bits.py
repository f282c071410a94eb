"""Exercises: scales and zero points, the one rounding, zero points folded away, codebooks."""
import numpy as np

from tinyvgg.testing.exercises._registry import equal, exercise, expect, several


@exercise
def scale_and_zero(answer):
    """answer(low, high) -> scale, zero with real = scale * (q - zero), q in 0..255."""
    for low, high in ((-1.0, 1.0), (0.0, 6.0), (2.0, 6.0), (-3.0, -1.0), (-0.1, 5.0)):
        scale, zero = several(answer(low, high), 2)
        a, b = min(low, 0.0), max(high, 0.0)
        equal(scale, (b - a) / 255, f"the scale for {low}..{high}: the range must hold 0, a border of zeros is exact")
        expect(float(zero) == int(zero), f"the zero point is {zero}; it is a whole number, so that real 0 has a level of its own")
        equal(zero, round(-a / ((b - a) / 255)), f"the zero point for {low}..{high}: the level of real 0")


@exercise
def smmulr(answer):
    """answer(a, b) -> (a*b + 2^31) >> 32 for int32 arrays."""
    edges = [0, 1, -1, 3, 2**16, -(2**16), 2**30, 2**31 - 1, -(2**31), 2**15, 3 * 2**16]
    pairs = [(a, b) for a in edges for b in edges]
    a, b = np.array(pairs, np.int32).T
    expected = [(x * y + 2**31) >> 32 for x, y in pairs]
    found = answer(a, b)
    equal(found, expected, "products of two int32 need 64 bits; ties go towards plus infinity, also below 0", tolerance=0)


@exercise
def multiplier(answer):
    """answer(factor, shift) -> the integer m with m * 2^shift / 2^32 nearest to factor."""
    for factor, shift in ((0.0123, 4), (-0.5, 0), (0.75, 1), (1e-6, 7)):
        equal(answer(factor, shift), round(factor * 2 ** (32 - shift)),
              "the accumulator is shifted left first, so m is the smaller", tolerance=0)


@exercise
def folded_bias(answer):
    """answer(bias, weights, zero) -> the bias with which sum x w, without the zero point, gives the same."""
    generator = np.random.default_rng(6)
    x, w = generator.integers(0, 256, (5, 20)), generator.integers(-127, 128, (7, 20))
    bias, zero = generator.integers(-1000, 1000, 7), 37
    found = answer(bias, w, zero)
    equal(found, bias - zero * w.sum(axis=1), "sum (x - z) w = sum x w - z sum w", tolerance=0)
    equal(x @ w.T + np.asarray(found), (x - zero) @ w.T + bias, "the sums differ", tolerance=0)


@exercise
def nearest_entry(answer):
    """answer(values, codebook) -> indices of the nearest entries; codebook ascending."""
    book = np.array([-2.0, -0.5, 0.1, 3.0])
    values = np.array([[-5.0, -1.3, -1.2], [0.0, 1.5, 1.6], [3.0, 99.0, -0.19]])
    equal(answer(values, book), np.abs(values[..., None] - book).argmin(axis=-1), "the nearest entry, also beyond both ends",
          tolerance=0)


@exercise
def best_centres(answer):
    """answer(values, indices, k) -> the k entries that minimise the squared error for these indices."""
    values, indices = np.array([1.0, 2.0, 3.0, 10.0, 12.0]), np.array([0, 0, 0, 2, 2])
    found = answer(values, indices, 3)
    equal(np.asarray(found)[[0, 2]] if found is not None else None, [2.0, 11.0], "the mean of the values of each cluster")
