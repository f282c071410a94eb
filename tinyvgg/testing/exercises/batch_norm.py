"""Exercises: batch-norm as an affine map, where it can be folded, and where it cannot."""
import numpy as np

from tinyvgg.kernels import reference
from tinyvgg.testing.exercises._registry import equal, exercise, several


def _norm(generator, channels):
    """gain and shift, gains of both signs."""
    return generator.uniform(0.5, 2, channels) * generator.choice([-1, 1], channels), generator.standard_normal(channels)


@exercise
def gain_and_shift(answer):
    """answer(gamma, beta, mean, variance, epsilon) -> gain, shift."""
    generator = np.random.default_rng(1)
    gamma, beta, mean = generator.standard_normal((3, 6))
    variance = generator.uniform(0, 1e-2, 6)
    for epsilon in (1e-3, 1e-5):
        gain = gamma / np.sqrt(variance + epsilon)
        found = several(answer(gamma, beta, mean, variance, epsilon), 2)
        equal(found[0], gain, f"gain with epsilon {epsilon}: epsilon stands under the root, beside the variance")
        equal(found[1], beta - mean * gain, "shift: what is left when the gain times x is taken away")


@exercise
def fold_before(answer):
    """answer(kernel, bias, gain, shift) -> kernel, bias of conv, then norm, as one convolution."""
    generator = np.random.default_rng(2)
    x, kernel, bias = (generator.standard_normal(shape) for shape in ((2, 5, 5, 3), (3, 3, 3, 4), 4))
    gain, shift = _norm(generator, 4)
    k, b = several(answer(kernel, bias, gain, shift), 2)
    equal(np.shape(k), kernel.shape, "the kernel keeps its shape (KH, KW, C, F)")
    equal(reference.conv2d(x, np.asarray(k), np.asarray(b)), gain * reference.conv2d(x, kernel, bias) + shift,
          "gain * (conv + bias) + shift: the old bias is multiplied too")


@exercise
def fold_forward(answer):
    """answer(kernel, bias, gain, shift) -> kernel, bias of norm, then conv without padding, as one convolution."""
    generator = np.random.default_rng(3)
    x, kernel, bias = (generator.standard_normal(shape) for shape in ((2, 5, 5, 3), (3, 3, 3, 4), 4))
    gain, shift = _norm(generator, 3)
    k, b = several(answer(kernel, bias, gain, shift), 2)
    equal(np.shape(k), kernel.shape, "the kernel keeps its shape (KH, KW, C, F)")
    equal(reference.conv2d(x, np.asarray(k), np.asarray(b)), reference.conv2d(gain * x + shift, kernel, bias),
          "gain and shift belong to the input's channels: kernel[:, :, c, :] takes gain[c], the shifts meet every weight once")


@exercise
def border_value(answer):
    """answer(gain, shift) -> what a border must hold before the norm, so that it is 0 after it."""
    gain, shift = np.array([2.0, -0.5, 4.0]), np.array([1.0, 1.0, 0.0])
    equal(answer(gain, shift), -shift / gain, "gain * border + shift = 0, channel by channel")


@exercise
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
          "where the gain is negative the largest result comes from the smallest x")
    answer(x.view(Watched), gain, shift)
    equal(max([s for s in seen if s >= x.size], default=0), 0, "right, but the norm ran on the whole map; pool x first")
