"""Checks for your own work: layers' gradients and kernels, an integer model beside its C, the exercises of the notebooks.

    from tinyvgg import testing
    testing.check_layer(MyLayer(), (2, 5, 5, 3))
    testing.assert_bit_exact(quantized, images)
    testing.exercises.check("conv_gradient", my_function)
"""
from tinyvgg.testing import exercises
from tinyvgg.testing.bit_exact import assert_bit_exact
from tinyvgg.testing.float64 import check_against_float64
from tinyvgg.testing.integer_networks import random_images, random_integer_network
from tinyvgg.testing.layers import check_gradient, check_layer, compare_kernels
from tinyvgg.testing.networks import random_network

__all__ = ["assert_bit_exact", "check_against_float64", "check_gradient", "check_layer", "compare_kernels", "exercises",
           "random_images", "random_integer_network", "random_network"]
