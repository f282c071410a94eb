"""Record what the reference implementations of APGD, Square and FAB do on a fixed linear model, as vectors for the tests.

The reference is torchattacks 3.5.1 (MIT), whose apgd.py, square.py and fab.py are the files of the authors of AutoAttack
(fra31/auto-attack) behind another constructor; torch 2.13.0. Every image that the model is asked about is recorded. Model and
images are float64 (but for FAB), for in float32 the cross-entropy of a confident model loses the digits that decide a step.

    pip install torch torchattacks && python benchmarks/interop/record_traces.py tests/attacks/golden/traces.npz
"""
import sys

import numpy as np
import torch

SIDE, CHANNELS, CLASSES, IMAGES = 6, 3, 5, 4


class Linear(torch.nn.Module):
    """logits = x @ w + b on images in NCHW; w is stored for images in NHWC. Keeps what it was asked."""

    def __init__(self, w, b, dtype=torch.float64):
        super().__init__()
        w = w.reshape(SIDE, SIDE, CHANNELS, CLASSES).transpose(2, 0, 1, 3).reshape(-1, CLASSES)
        self.w, self.b = (torch.nn.Parameter(torch.tensor(a, dtype=dtype)) for a in (w, b))
        self.asked = []

    def forward(self, x):
        self.asked.append(x.detach().numpy().transpose(0, 2, 3, 1).astype(np.float32))
        return x.reshape(len(x), -1) @ self.w + self.b


def main(path):
    import torchattacks
    random = np.random.default_rng(20260729)
    w = random.standard_normal((SIDE * SIDE * CHANNELS, CLASSES))
    b = random.standard_normal(CLASSES)
    x = random.uniform(0.1, 0.9, (IMAGES, SIDE, SIDE, CHANNELS))
    y = (x.reshape(IMAGES, -1) @ w + b).argmax(axis=1)
    arrays = {"w": w, "b": b, "x": x, "y": y}
    images, labels = torch.tensor(x.transpose(0, 3, 1, 2).copy()), torch.tensor(y)
    for norm, eps in (("Linf", 0.003), ("L2", 0.03)):
        for loss in ("ce", "dlr"):
            model = Linear(w, b)
            attack = torchattacks.APGD(model, norm=norm, eps=eps, steps=40, loss=loss)
            torch.manual_seed(1)
            attack.attack_single_run(images, labels)
            arrays[f"apgd_{norm}_{loss}"] = np.stack(model.asked)
        model = Linear(w, b)
        attack = torchattacks.Square(model, norm=norm, eps=eps, n_queries=60, resc_schedule=False)
        attack.init_hyperparam(images)
        arrays |= record_square(norm, attack, model, images, labels)
        model = Linear(w, b, torch.float32)                             # its file casts images to float32
        attack = torchattacks.FAB(model, norm=norm, eps=eps, steps=15, n_restarts=1)
        attack.target_class, attack.multi_targeted = 2, True            # the most likely wrong class
        attack.attack_single_run_targeted(images, labels)
        arrays[f"fab_{norm}"] = np.stack(model.asked[2::2])             # two questions of clean images; gradient, label, gradient ...
    np.savez_compressed(path, **arrays)


def record_square(norm, attack, model, images, labels):
    """Record the questions of Square, and the random numbers that led to them."""
    draws = []
    choose, integer, uniform = attack.random_choice, attack.random_int, torch.rand

    def record(function):
        def recorded(*arguments):
            value = function(*arguments)
            draws.append(value.detach().numpy().reshape(-1).copy())
            return value
        return recorded

    def turned(shape, *more):
        value = uniform(shape, *more)
        if list(shape) == [1] and sys._getframe(1).f_code.co_name == "eta":
            draws.append(value.numpy().copy())
        return value

    attack.random_choice, attack.random_int = record(choose), record(integer)
    torch.manual_seed(2)
    torch.rand = turned
    try:
        attack.attack_single_run(images, labels)
    finally:
        torch.rand = uniform
    return {f"square_{norm}": np.stack(model.asked), f"square_{norm}_draws": np.concatenate(draws),
            f"square_{norm}_lengths": np.array([len(d) for d in draws])}


if __name__ == "__main__":
    main(sys.argv[1])
