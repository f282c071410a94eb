"""The pieces of the course, solved: for teachers, and for the tests."""
import numpy as np


# %% conv_forward
def conv_forward(x, kernel, bias):
    kh, kw = kernel.shape[:2]
    oh, ow = x.shape[1] - kh + 1, x.shape[2] - kw + 1
    y = np.zeros((len(x), oh, ow, kernel.shape[3]))
    for p in range(kh):
        for q in range(kw):
            y += x[:, p:p + oh, q:q + ow] @ kernel[p, q]
    return y + bias


# %% conv_gradient
def conv_gradient(dy, x, kernel):
    oh, ow = dy.shape[1:3]
    dx, dkernel = np.zeros_like(x), np.zeros_like(kernel)
    for p in range(kernel.shape[0]):
        for q in range(kernel.shape[1]):
            dkernel[p, q] = np.einsum("nijc,nijf->cf", x[:, p:p + oh, q:q + ow], dy)
            dx[:, p:p + oh, q:q + ow] += dy @ kernel[p, q].T
    return dx, dkernel, dy.sum(axis=(0, 1, 2))


# %% cross_entropy_gradient
def cross_entropy_gradient(z, y):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    g = e / e.sum(axis=1, keepdims=True)
    g[np.arange(len(z)), y] -= 1
    return g


# %% momentum_step
def momentum_step(value, gradient, velocity, rate, momentum):
    velocity = momentum * velocity - rate * gradient
    return value + velocity, velocity


# %% gain_and_shift
def gain_and_shift(gamma, beta, mean, variance, epsilon):
    gain = gamma / np.sqrt(variance + epsilon)
    return gain, beta - mean * gain


# %% fold_before
def fold_before(kernel, bias, gain, shift):
    return kernel * gain, bias * gain + shift


# %% pgd_step
def pgd_step(z, x, gradient, step, eps, low, high):
    return np.clip(np.clip(z + step * np.sign(gradient), x - eps, x + eps), low, high)


# %% quantise_weights
def quantise_weights(kernel):
    scale = np.abs(kernel).max(axis=(0, 1, 2)) / 127
    return np.rint(kernel / scale).astype(np.int8), scale


# %% smmulr
def smmulr(a, b):
    return ((a.astype(np.int64) * b.astype(np.int64) + (1 << 31)) >> 32).astype(np.int32)


# %% convolution_c
def convolution_c():
    return """
#include <stdint.h>

void convolution(const uint8_t *x, int h, int w, int c, int zero, const int8_t *kernel, const int32_t *bias,
                 int k, int s, int f, int32_t *sums)
{
    for (int i = 0; i + k <= h; i += s)
        for (int j = 0; j + k <= w; j += s)
            for (int filter = 0; filter < f; filter++) {
                int32_t sum = bias[filter];
                for (int p = 0; p < k; p++)
                    for (int q = 0; q < k; q++)
                        for (int channel = 0; channel < c; channel++)
                            sum += (x[((i + p) * w + j + q) * c + channel] - zero)
                                   * kernel[((p * k + q) * c + channel) * f + filter];
                *sums++ = sum;
            }
}
"""


# %% flip_int8
def flip_int8(value, bit):
    byte = (value & 0xFF) ^ (1 << bit)
    return byte - 256 if byte > 127 else byte


# %% checksum
def checksum(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
