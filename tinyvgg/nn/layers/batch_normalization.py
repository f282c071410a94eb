"""Batch normalisation over the last axis."""

from typing import Unpack

from tinyvgg import kernels
from tinyvgg.errors import OptionError
from tinyvgg.nn.layers.base import Layer, number
from tinyvgg.types import LayerOptions


class BatchNormalization(Layer):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta, with the batch's statistics in training, else with the moving ones.

    moving = momentum * moving + (1 - momentum) * batch. With `unbiased_moving_variance` the moving variance uses N / (N - 1)
    times the batch's variance, as Keras 2 does on images; Keras 3 does not.
    """

    options = ("axis", "momentum", "epsilon", "center", "scale", "unbiased_moving_variance")

    def __init__(self, axis: int = -1, momentum: float = 0.99, epsilon: float = 1e-3, center: bool = True, scale: bool = True, *,
                 unbiased_moving_variance: bool = False, **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.axis, self.momentum, self.epsilon = axis, number(momentum, "momentum"), number(epsilon, "epsilon")
        if not 0 <= momentum <= 1 or not epsilon > 0:
            raise OptionError(f"momentum is {momentum} and epsilon {epsilon}; expected momentum in 0..1 and epsilon above 0")
        self.center, self.scale = bool(center), bool(scale)
        self.unbiased_moving_variance = bool(unbiased_moving_variance)

    def output_shape(self, input_shape):
        if self.axis not in (-1, len(input_shape)):
            raise OptionError(f"BatchNormalization {self.name or ''} has axis {self.axis} on inputs of shape {tuple(input_shape)}; "
                              f"expected -1: channels come last here")
        self.check_last_axis(input_shape)
        return input_shape

    def build(self, input_shape, rng):
        channels = input_shape[-1:]
        if self.scale:
            self.add_parameter("gamma", channels, "ones", rng)
        if self.center:
            self.add_parameter("beta", channels, "zeros", rng)
        self.add_state("moving_mean", channels, "zeros")
        self.add_state("moving_variance", channels, "ones")

    def forward(self, x, *, training=False):
        training = training and self.trainable
        if training:
            mean, variance = kernels.batch_statistics(x)
            self.update_moving(mean, variance, x.size // x.shape[-1])
        else:
            mean, variance = self.state["moving_mean"], self.state["moving_variance"]
        self.saved = x, mean, variance, training
        return kernels.batch_norm(x, self.parameters.get("gamma"), self.parameters.get("beta"), mean, variance, epsilon=self.epsilon)

    def backward(self, dy, *, parameters=True):
        x, mean, variance, training = self.saved
        dx, dgamma, dbeta = kernels.batch_norm_backward(dy, x, self.parameters.get("gamma"), mean, variance,
                                                        epsilon=self.epsilon, training=training)
        if parameters:
            self.keep_gradients(gamma=dgamma, beta=dbeta)
        return dx

    def update_moving(self, mean, variance, count):
        """Move the statistics towards a batch's mean and biased variance (C,), taken over `count` values a channel."""
        if self.unbiased_moving_variance and count > 1:
            variance = variance * (count / (count - 1))
        for name, value in (("moving_mean", mean), ("moving_variance", variance)):
            moving = self.state[name]
            moving += ((value - moving) * (1 - self.momentum)).astype(moving.dtype)
