"""Numba kernels with the names and signatures of tinyvgg.kernels.reference; functions that are not here come from there.

These functions are for layers that run one by one. A whole network runs as a plan (nn/plan.py) of the same kernels, fused.
"""
from tinyvgg.kernels.fast.convolution import conv2d, conv2d_backward
from tinyvgg.kernels.fast.normal import gelu, gelu_backward
from tinyvgg.kernels.fast.optimizers import adam_update, momentum_update, rmsprop_update, sgd_update

__all__ = ["adam_update", "conv2d", "conv2d_backward", "gelu", "gelu_backward", "momentum_update", "rmsprop_update", "sgd_update"]
