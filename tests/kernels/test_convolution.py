"""The fast convolutions against their definition in float64, over shapes that a property-based search picks."""
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tinyvgg.kernels import fast, reference

DIRECT, WINOGRAD = 3e-6, 1e-5       # relative to the largest value; sums of a few thousand products

shapes = st.fixed_dictionaries({
    "images": st.integers(1, 5), "height": st.integers(1, 14), "width": st.integers(1, 14),
    "channels": st.sampled_from([1, 2, 3, 5, 8, 16, 32, 48]), "filters": st.sampled_from([1, 4, 10, 16, 24, 32, 48, 64, 80]),
    "kernel_size": st.sampled_from([(3, 3), (3, 3), (1, 1), (5, 5), (2, 3), (4, 1)]),
    "strides": st.sampled_from([(1, 1), (1, 1), (2, 2), (1, 3)]),
    "padding": st.sampled_from([((0, 0), (0, 0)), ((1, 1), (1, 1)), ((0, 1), (0, 1)), ((2, 0), (1, 3))]),
    "bias": st.booleans(), "seed": st.integers(0, 99)})


def problem(images, height, width, channels, filters, kernel_size, strides, padding, bias, seed):
    """Return (x, kernel, bias, dy, options), or None where the kernel is larger than the image."""
    rng = np.random.default_rng(seed)
    sizes = [n + sum(p) - k for n, k, p in zip((height, width), kernel_size, padding, strict=True)]
    if min(sizes) < 0:
        return None
    out = [n // s + 1 for n, s in zip(sizes, strides, strict=True)]
    x = rng.standard_normal((images, height, width, channels)).astype(np.float32)
    kernel = rng.standard_normal((*kernel_size, channels, filters)).astype(np.float32)
    dy = rng.standard_normal((images, *out, filters)).astype(np.float32)
    offset = rng.standard_normal(filters).astype(np.float32) if bias else None
    return x, kernel, offset, dy, {"strides": strides, "padding": padding}


def largest_error(case, module=fast):
    """Return the largest relative error of forward and the three gradients."""
    x, kernel, bias, dy, options = case
    wide = [None if a is None else a.astype(np.float64) for a in (x, kernel, bias, dy)]
    pairs = [(module.conv2d(x, kernel, bias, **options), reference.conv2d(*wide[:3], **options))]
    pairs += zip(module.conv2d_backward(dy, x, kernel, **options), reference.conv2d_backward(wide[3], *wide[:2], **options),
                 strict=True)
    for ours, theirs in pairs:
        assert ours.shape == theirs.shape and ours.dtype == np.float32
    return max(np.abs(a - b).max() / max(1, np.abs(b).max()) for a, b in pairs)


@settings(max_examples=120, deadline=None)
@given(shapes)
@example({"images": 3, "height": 9, "width": 6, "channels": 32, "filters": 48, "kernel_size": (3, 3), "strides": (1, 1),
          "padding": ((1, 1), (1, 1)), "bias": True, "seed": 0})
@example({"images": 1, "height": 4, "width": 4, "channels": 16, "filters": 64, "kernel_size": (3, 3), "strides": (1, 1),
          "padding": ((0, 0), (0, 0)), "bias": False, "seed": 1})
def test_any_shape(shape):
    case = problem(**shape)
    if case is not None:
        winograd = shape["kernel_size"] == (3, 3) and shape["strides"] == (1, 1)
        assert largest_error(case) < (WINOGRAD if winograd else DIRECT)


def test_precise_keeps_to_direct(monkeypatch):
    monkeypatch.setenv("TINYVGG_PRECISE", "1")
    case = problem(3, 12, 10, 32, 32, (3, 3), (1, 1), ((1, 1), (1, 1)), True, 0)
    precise = largest_error(case)
    monkeypatch.delenv("TINYVGG_PRECISE")
    assert precise < largest_error(case) < WINOGRAD and precise < DIRECT


@pytest.mark.parametrize("options", [{"dilation": (2, 1)}, {"groups": 2}])
def test_the_rest_is_the_references(options):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 9, 8, 4)).astype(np.float32)
    kernel = rng.standard_normal((3, 3, 4 // options.get("groups", 1), 6)).astype(np.float32)
    assert np.array_equal(fast.conv2d(x, kernel, **options), reference.conv2d(x, kernel, **options))


def test_float64_keeps_its_digits():
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((2, 8, 8, 16)), rng.standard_normal((3, 3, 16, 16))
    y = fast.conv2d(x, kernel)
    assert y.dtype == np.float64 and np.allclose(y, reference.conv2d(x, kernel), rtol=1e-12)


class Wrong:
    """Kernels with planted mistakes, each small enough to train with."""

    def __init__(self, mistake):
        self.mistake = mistake

    def conv2d(self, x, kernel, bias=None, **options):
        if self.mistake == "flipped kernel":
            kernel = np.ascontiguousarray(kernel[::-1])
        y = fast.conv2d(x, kernel, None if self.mistake == "no bias" else bias, **options)
        if self.mistake == "last column":
            y[:, :, -1, -1] *= 1.001
        return y

    def conv2d_backward(self, dy, x, kernel, **options):
        dx, dkernel, dbias = fast.conv2d_backward(dy, x, kernel, **options)
        if self.mistake == "corner of dx":
            dx[:, 0, 0] = 0
        if self.mistake == "one image missing":
            dkernel = fast.conv2d_backward(dy[:-1], x[:-1], kernel, **options)[1]
        return dx, dkernel, dbias


@pytest.mark.parametrize("mistake", ["flipped kernel", "no bias", "last column", "corner of dx", "one image missing"])
def test_planted_mistakes_are_caught(mistake):
    case = problem(3, 9, 6, 32, 16, (3, 3), (1, 1), ((1, 1), (1, 1)), True, 0)
    assert largest_error(case) < WINOGRAD
    assert largest_error(case, Wrong(mistake)) > WINOGRAD
