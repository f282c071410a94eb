"""My pieces. Fill in the blanks, a lesson at a time; the notebooks read this file each time they ask for it.

Letters: N images, H W rows and columns, C channels in, F filters, KH KW the kernel's rows and columns, K classes.
"""
import numpy as np  # noqa: F401


# --- Lesson 1 ---
def conv_forward(x, kernel, bias):
    """x (N, H, W, C), kernel (KH, KW, C, F), bias (F,) -> y (N, H-KH+1, W-KW+1, F)"""
    ...


# --- Lesson 2 ---
def conv_gradient(dy, x, kernel):
    """dy (N, OH, OW, F) -> dx as x, dkernel as kernel, dbias (F,)"""
    ...


def cross_entropy_gradient(z, y):
    """z (N, K) logits, y (N,) labels -> d (-log softmax(z)_y) / dz, (N, K)"""
    ...


# --- Lesson 3 ---
def momentum_step(value, gradient, velocity, rate, momentum):
    """Arrays of one shape, two numbers -> the new value, the new velocity"""
    ...


# --- Lesson 4 ---
def gain_and_shift(gamma, beta, mean, variance, epsilon):
    """Arrays (C,) -> gain (C,), shift (C,)"""
    ...


def fold_before(kernel, bias, gain, shift):
    """kernel (KH, KW, C, F), bias, gain, shift (F,) -> kernel, bias of the one convolution"""
    ...


# --- Lesson 5 ---
def pgd_step(z, x, gradient, step, eps, low, high):
    """All arrays (N, H, W, C) -> the next z"""
    ...


# --- Lesson 6 ---
def quantise_weights(kernel):
    """kernel (KH, KW, C, F) float -> int8 of the same shape within -127..127, scale (F,): kernel is nearly int8 * scale"""
    ...


def smmulr(a, b):
    """int32 arrays -> (a * b + 2^31) >> 32, int32 array"""
    ...


# --- Lesson 7 ---
def convolution_c():
    """-> the text of a C file with the function below: y = sum of (x - zero) * kernel + bias, stride s, no padding.

    x [h][w][c], kernel [k][k][c][f], bias [f], sums [oh][ow][f] with oh = (h - k) / s + 1 and ow = (w - k) / s + 1
    """
    return """
#include <stdint.h>

void convolution(const uint8_t *x, int h, int w, int c, int zero, const int8_t *kernel, const int32_t *bias,
                 int k, int s, int f, int32_t *sums)
{
}
"""


# --- Lesson 8 ---
def flip_int8(value, bit):
    """value -128..127, bit 0..7 -> -128..127"""
    ...


def checksum(data):
    """bytes -> the CRC-32, as an int"""
    ...
