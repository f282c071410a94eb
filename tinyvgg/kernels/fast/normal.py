"""Elementwise GELU, with the cumulative normal distribution computed by erfc of the C library."""
import math

import numba
import numpy as np


def gelu(x):
    """x Phi(x): see kernels.reference.gelu."""
    y = np.empty_like(x, order="C")
    _gelu(np.ascontiguousarray(x).reshape(-1), y.reshape(-1))
    return y


def gelu_backward(dy, x):
    """dy (Phi(x) + x phi(x)): see kernels.reference.gelu_backward."""
    dx = np.empty_like(x, order="C")
    _gelu_backward(np.ascontiguousarray(dy, x.dtype).reshape(-1), np.ascontiguousarray(x).reshape(-1), dx.reshape(-1))
    return dx


@numba.njit(cache=True, nogil=True)
def _cumulative(x):
    return math.erfc(-x / math.sqrt(2.0)) / 2


@numba.njit(cache=True, nogil=True)
def _gelu(x, y):
    for i in range(len(x)):
        y[i] = x[i] * _cumulative(float(x[i]))


@numba.njit(cache=True, nogil=True)
def _gelu_backward(dy, x, dx):
    for i in range(len(x)):
        v = float(x[i])
        dx[i] = dy[i] * (_cumulative(v) + v * math.exp(-v * v / 2) / math.sqrt(2 * math.pi))
