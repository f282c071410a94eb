import numpy as np


# %% eps_in_units
def eps_in_units(grey_levels, low, high):
    return grey_levels / 255 * (high - low)


# %% pgd_step
def pgd_step(z, x, gradient, step, eps, low, high):
    return np.clip(np.clip(z + step * np.sign(gradient), x - eps, x + eps), low, high)


# %% cross_entropy_gradient
def cross_entropy_gradient(z, y):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    g = e / e.sum(axis=1, keepdims=True)
    g[np.arange(len(z)), y] -= 1
    return g


# %% scaled_gradient
def scaled_gradient(z, y):
    others, rows = z.copy(), np.arange(len(z))
    others[rows, y] = -np.inf
    e = np.exp(others - others.max(axis=1, keepdims=True))
    g = e / e.sum(axis=1, keepdims=True)
    g[rows, y] = -1
    return g


# %% robust_accuracy
def robust_accuracy(y, clean, adversarial):
    return np.mean((clean == y) & (adversarial == y))
