"""Exercises: the units of eps, a step of PGD, two gradients of the logits, what robust accuracy counts."""
import numpy as np

from tinyvgg.testing.exercises._registry import equal, exercise, expect, shaped


@exercise(where="how many grey levels lie between low and high? There are 255 steps, whatever the unit",
          how="find what one grey level is worth in the network's unit; the offset of the range plays no part")
def eps_in_units(answer):
    """answer(grey_levels, low, high) -> eps for images in low..high."""
    for levels, low, high, expected in ((8, 0, 1, 8 / 255), (8, -1, 1, 16 / 255), (8, 0, 255, 8), (2, -0.5, 0.5, 2 / 255)):
        equal(answer(levels, low, high), expected, f"eps for {levels} grey levels of images in {low}..{high}")


@exercise(where="three things in order: a step that only the direction of the gradient decides, the ball, the box",
          how="step along the sign; then clip against the two faces of the ball around the original image; last clip to the box")
def pgd_step(answer):
    """answer(z, x, gradient, step, eps, low, high) -> the next point, L-inf."""
    generator = np.random.default_rng(5)
    x = generator.uniform(0, 1, (3, 4, 4, 3))
    x.reshape(-1)[:6] = (0, 1, 0, 1, 0.001, 0.999)
    z = np.clip(x + generator.uniform(-0.03, 0.03, x.shape), 0, 1)
    gradient = generator.standard_normal(x.shape) * 10.0 ** generator.integers(-9, 3, x.shape)
    gradient.reshape(-1)[6:9] = 0
    found = answer(z, x, gradient, 0.02, 0.03, 0.0, 1.0)
    shaped(found, x.shape, "the point")
    found = np.asarray(found, np.float64)
    expect(np.isfinite(found).all(), "the point holds NaN or infinity")
    expect(np.abs(found - x).max() <= 0.03 + 1e-12, "the point left the ball around the original image")
    expect(found.min() >= 0 and found.max() <= 1, "the point left the box: some pixels lie beyond low..high")
    expected = np.clip(np.clip(z + 0.02 * np.sign(gradient), x - 0.03, x + 0.03), 0, 1)
    expect(not np.allclose(found, np.clip(np.clip(z - 0.02 * np.sign(gradient), x - 0.03, x + 0.03), 0, 1)),
           "the step goes down: an attack climbs the loss")
    equal(found, expected, "the point lies in the ball and in the box, but is not one step from z")
    before = z.copy()
    answer.function(z, x, gradient, 0.02, 0.03, 0.0, 1.0)
    expect(np.array_equal(z, before), "z was changed in place; the caller may still need it")


@exercise(where="two parts: what the softmax gives every class, and what the true class gets besides; and the size of exp(1000)",
          how="a softmax stays the same when one number is taken from a whole row: choose it so that no exponential overflows")
def cross_entropy_gradient(answer):
    """answer(z, y) -> d (-log softmax(z)_y) / dz."""
    z = np.array([[1.0, 2.0, 3.0], [1000.0, 0.0, -1000.0], [0.0, 0.0, 0.0]])
    y = np.array([0, 2, 1])
    e = np.exp(z - z.max(axis=1, keepdims=True))
    equal(answer(z, y), e / e.sum(axis=1, keepdims=True) - np.eye(3)[y],
          "the gradient for the logits [1, 2, 3], [1000, 0, -1000], [0, 0, 0]")


@exercise(where="the true class has no part in this softmax: what must its logit be, so that its exponential is nothing?",
          how="copy the logits, silence the true one before the softmax, and write the true class's own entry after it")
def scaled_gradient(answer):
    """answer(z, y): the same direction, not vanishing where p_y rounds to 1: softmax over the others minus onehot(y)."""
    z = np.array([[1.0, 2.0, 3.0, 0.0], [900.0, 0.0, 1.0, -5.0], [-3.0, 4.0, 4.0, 0.5]])
    y = np.array([2, 0, 3])
    others = z.copy()
    others[np.arange(3), y] = -np.inf
    e = np.exp(others - others.max(axis=1, keepdims=True))
    equal(answer(z, y), e / e.sum(axis=1, keepdims=True) - np.eye(4)[y], "the gradient for the true classes 2, 0, 3")


@exercise(where="an image that was wrong before the attack and is right after it: was it defended?",
          how="two conditions must hold for the same image; count the images where both do, and divide by all of them")
def robust_accuracy(answer):
    """answer(y, clean, adversarial) -> share of images that are right before and after."""
    y, clean, adversarial = np.array([0, 1, 2, 3, 4]), np.array([0, 1, 2, 9, 9]), np.array([0, 9, 2, 3, 9])
    equal(answer(y, clean, adversarial), 0.4, "the share of five images, of which three were right before and three after")
