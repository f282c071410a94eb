import numpy as np


# %% scale_and_zero
def scale_and_zero(low, high):
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255
    return scale, round(-low / scale)


# %% smmulr
def smmulr(a, b):
    return ((a.astype(np.int64) * b.astype(np.int64) + (1 << 31)) >> 32).astype(np.int32)


# %% multiplier
def multiplier(factor, shift):
    return round(factor * 2 ** (32 - shift))


# %% folded_bias
def folded_bias(bias, weights, zero):
    return bias - zero * weights.sum(axis=1)


# %% nearest_entry
def nearest_entry(values, codebook):
    return np.searchsorted((codebook[1:] + codebook[:-1]) / 2, values)


# %% best_centres
def best_centres(values, indices, k):
    counts = np.maximum(np.bincount(indices, minlength=k), 1)
    return np.bincount(indices, weights=values, minlength=k) / counts
