"""Numba kernels with the names and signatures of tinyvgg.kernels.reference; what is not here is the reference's."""
from tinyvgg.kernels.fast.optimizers import adam_update, momentum_update, rmsprop_update, sgd_update

__all__ = ["adam_update", "momentum_update", "rmsprop_update", "sgd_update"]
