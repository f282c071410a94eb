import numpy as np


# %% flip_int8
def flip_int8(value, bit):
    byte = (value & 0xFF) ^ (1 << bit)
    return byte - 256 if byte > 127 else byte


# %% flip_float32
def flip_float32(value, bit):
    return (np.array([value], np.float32).view(np.uint32) ^ np.uint32(1 << bit)).view(np.float32)[0]


# %% hamming_encode
def hamming_encode(data):
    d1, d2, d3, d4 = data
    word = [d1 ^ d2 ^ d4, d1 ^ d3 ^ d4, d1, d2 ^ d3 ^ d4, d2, d3, d4]
    return np.array([*word, sum(word) % 2])


# %% hamming_decode
def hamming_decode(word):
    word = word.copy()
    syndrome = 0
    for i in range(7):
        if word[i]:
            syndrome ^= i + 1
    odd = word.sum() % 2
    if odd:
        word[syndrome - 1 if syndrome else 7] ^= 1
    verdict = "corrected" if odd else "detected" if syndrome else "ok"
    return word[[2, 4, 5, 6]], verdict
