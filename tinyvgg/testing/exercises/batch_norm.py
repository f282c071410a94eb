"""Exercises: batch-norm as an affine map, where it can be folded, and where it cannot."""
import numpy as np

from tinyvgg.kernels import reference
from tinyvgg.testing.exercises._registry import equal, exercise, expect, several, shaped


def _norm(generator, channels):
    """gain and shift, gains of both signs."""
    return generator.uniform(0.5, 2, channels) * generator.choice([-1, 1], channels), generator.standard_normal(channels)


@exercise(where="the formula of BN above: what multiplies x, and what is left when that is taken away",
          how="mind where epsilon stands; then put x = 0 into BN to find the shift, with the gain that you have already")
def gain_and_shift(answer):
    """answer(gamma, beta, mean, variance, epsilon) -> gain, shift."""
    generator = np.random.default_rng(1)
    gamma, beta, mean = generator.standard_normal((3, 6))
    variance = generator.uniform(0, 1e-2, 6)
    for epsilon in (1e-3, 1e-5):
        gain = gamma / np.sqrt(variance + epsilon)
        found = several(answer(gamma, beta, mean, variance, epsilon), 2)
        equal(found[0], gain, f"the gain with epsilon {epsilon}")
        equal(found[1], beta - mean * gain, f"the shift with epsilon {epsilon}")


def _check_folded(answer, seed, channels, apart, without):
    """Check the convolution that an answer folds of apart(x, kernel, bias, gain, shift): first `without` biases, then whole."""
    generator = np.random.default_rng(seed)
    x, kernel, bias = (generator.standard_normal(shape) for shape in ((2, 5, 5, 3), (3, 3, 3, 4), 4))
    gain, shift = _norm(generator, channels)
    k, b = several(answer(kernel, bias, gain, shift), 2)
    shaped(k, kernel.shape, "the kernel")
    shaped(b, (4,), "the bias")
    equal(reference.conv2d(x, np.asarray(k, float), np.zeros(4)), apart(x, kernel, np.zeros(4), gain, 0),
          f"the folded kernel, tried on images {without}")
    equal(reference.conv2d(x, np.asarray(k, float), np.asarray(b, float)), apart(x, kernel, bias, gain, shift),
          "the kernel is right; the folded bias, tried on images,")


@exercise(where="the last axis of the kernel is the output channel; and the norm sees the old bias, too",
          how="write out the norm of (conv + bias), sort what multiplies x from what does not, and broadcast over the last axis")
def fold_before(answer):
    """answer(kernel, bias, gain, shift) -> kernel, bias of conv, then norm, as one convolution."""
    _check_folded(answer, 2, 4, lambda x, kernel, bias, gain, shift: gain * reference.conv2d(x, kernel, bias) + shift,
                  "without a bias")


@exercise(where="the third axis of the kernel is the input channel; a shift of channel c meets every weight of that channel",
          how="the gain has to broadcast over the third axis; for the bias, sum weights times shifts over all axes but the last")
def fold_forward(answer):
    """answer(kernel, bias, gain, shift) -> kernel, bias of norm, then conv without padding, as one convolution."""
    _check_folded(answer, 3, 3, lambda x, kernel, bias, gain, shift: reference.conv2d(gain * x + shift, kernel, bias),
                  "without shift and bias")


@exercise(where="which number does the norm turn into 0?",
          how="set the norm's result to 0 and solve for its input, channel by channel; gains may be negative")
def border_value(answer):
    """answer(gain, shift) -> what a border must hold before the norm, so that it is 0 after it."""
    gain, shift = np.array([2.0, -0.5, 4.0]), np.array([1.0, 1.0, 0.0])
    equal(answer(gain, shift), -shift / gain, "the border for gains 2, -0.5, 4 and shifts 1, 1, 0")


@exercise(where="a negative gain turns the order round: which of the four pixels then gives the largest result?",
          how="pool twice, for the largest and the smallest pixel, choose by the gain's sign, then apply the norm once")
def pool_then_norm(answer):
    """answer(x, gain, shift): max-pool 2x2 of gain * x + shift, with the pool first."""
    generator = np.random.default_rng(4)
    x = generator.standard_normal((2, 4, 6, 5))
    gain, shift = _norm(generator, 5)
    gain[:2], seen = (1.5, -1.5), []

    class Watched(np.ndarray):
        """Notes the sizes of what is multiplied: the norm must run on the pooled map."""

        def __array_ufunc__(self, ufunc, method, *inputs, **settings):
            plain = [np.asarray(i) for i in inputs]
            if ufunc in (np.multiply, np.add) and method == "__call__":
                seen.append(max(i.size for i in plain))
            result = getattr(ufunc, method)(*plain, **{k: v for k, v in settings.items() if k != "out"})
            return result.view(Watched) if isinstance(result, np.ndarray) else result

    affine = gain * x + shift
    equal(answer(x, gain, shift), affine.reshape(2, 2, 2, 3, 2, 5).max(axis=(2, 4)),
          "the pooled, normalised map, gains of both signs")
    answer(x.view(Watched), gain, shift)
    expect(max(seen, default=0) < x.size, "the result is right, but the norm ran on the whole map, before the pool")
