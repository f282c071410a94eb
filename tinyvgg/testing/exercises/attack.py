"""Exercises: the units of eps, a step of PGD, two gradients of the logits, what robust accuracy counts."""
import numpy as np

from tinyvgg.testing.exercises._registry import equal, exercise, expect


@exercise
def eps_in_units(answer):
    """answer(grey_levels, low, high) -> eps for images in low..high."""
    for levels, low, high, expected in ((8, 0, 1, 8 / 255), (8, -1, 1, 16 / 255), (8, 0, 255, 8), (2, -0.5, 0.5, 2 / 255)):
        equal(answer(levels, low, high), expected, f"{levels} grey levels in {low}..{high}: 255 levels span high - low")


@exercise
def pgd_step(answer):
    """answer(z, x, gradient, step, eps, low, high) -> the next point, L-inf."""
    generator = np.random.default_rng(5)
    x = generator.uniform(0, 1, (3, 4, 4, 3))
    x.reshape(-1)[:6] = (0, 1, 0, 1, 0.001, 0.999)
    z = np.clip(x + generator.uniform(-0.03, 0.03, x.shape), 0, 1)
    gradient = generator.standard_normal(x.shape) * 10.0 ** generator.integers(-9, 3, x.shape)
    gradient.reshape(-1)[6:9] = 0
    before = z.copy()
    found = answer(z, x, gradient, 0.02, 0.03, 0.0, 1.0)
    expected = np.clip(np.clip(z + 0.02 * np.sign(gradient), x - 0.03, x + 0.03), 0, 1)
    equal(np.shape(found) if found is not None else None, x.shape, "a point is as large as the image")
    expect(np.abs(found - x).max() <= 0.03 + 1e-12, "the point left the ball: project around x, not around z")
    expect(found.min() >= 0 and found.max() <= 1, "the point left the box: images stay in low..high")
    equal(found, expected, "a step of length `step` along the gradient's sign, however small the gradient; 0 stays 0")
    expect(np.array_equal(z, before), "z was changed in place; the caller may still need it")


@exercise
def cross_entropy_gradient(answer):
    """answer(z, y) -> d (-log softmax(z)_y) / dz."""
    z = np.array([[1.0, 2.0, 3.0], [1000.0, 0.0, -1000.0], [0.0, 0.0, 0.0]])
    y = np.array([0, 2, 1])
    e = np.exp(z - z.max(axis=1, keepdims=True))
    with np.errstate(all="ignore"):
        equal(answer(z, y), e / e.sum(axis=1, keepdims=True) - np.eye(3)[y],
              "softmax(z) - onehot(y); take the largest logit away before exp, or 1000 overflows")


@exercise
def scaled_gradient(answer):
    """answer(z, y): the same direction, not vanishing where p_y rounds to 1: softmax over the others minus onehot(y)."""
    z = np.array([[1.0, 2.0, 3.0, 0.0], [900.0, 0.0, 1.0, -5.0], [-3.0, 4.0, 4.0, 0.5]])
    y = np.array([2, 0, 3])
    others = z.copy()
    others[np.arange(3), y] = -np.inf
    e = np.exp(others - others.max(axis=1, keepdims=True))
    with np.errstate(all="ignore"):
        equal(answer(z, y), e / e.sum(axis=1, keepdims=True) - np.eye(4)[y],
              "leave z_y out of the softmax (minus infinity), then put -1 in its place")


@exercise
def robust_accuracy(answer):
    """answer(y, clean, adversarial) -> share of images that are right before and after."""
    y, clean, adversarial = np.array([0, 1, 2, 3, 4]), np.array([0, 1, 2, 9, 9]), np.array([0, 9, 2, 3, 9])
    equal(answer(y, clean, adversarial), 0.4, "an image that was wrong before and is right after was not defended")
