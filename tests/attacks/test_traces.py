"""APGD, Square and FAB go where the reference implementations go, point by point, on a fixed linear model.

golden/traces.npz and traces_l1.npz were written by benchmarks/interop/record_traces.py and record_traces_l1.py, which name their
origin: every image that the reference asked the model about, and the random numbers that it drew.
"""
from pathlib import Path

import numpy as np
import pytest

from tinyvgg.attacks import fab, losses
from tinyvgg.attacks.apgd import _search as search_apgd
from tinyvgg.attacks.norms import Ball
from tinyvgg.attacks.run import run
from tinyvgg.attacks.square import _search as search_square

EPS = {"linf": 0.003, "l2": 0.03, "l1": 0.3}


@pytest.fixture(scope="module")
def traces():
    with np.load(Path(__file__).parent / "golden" / "traces.npz", allow_pickle=False) as stored:
        first = {name: stored[name] for name in stored.files}
    with np.load(Path(__file__).parent / "golden" / "traces_l1.npz", allow_pickle=False) as stored:
        return first | {name: stored[name] for name in stored.files}


@pytest.mark.parametrize("loss", ["ce", "dlr"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_apgd(traces, recorder, norm, loss):
    """41 points of 4 images; nothing is fooled, so the reference goes through all steps, halvings and returns to the best."""
    model = recorder(traces["w"], traces["b"])
    expected = traces[f"apgd_{'Linf' if norm == 'linf' else 'L2'}_{loss}"]

    def attack(batch):
        model.asked.clear()
        search_apgd(batch, norm, losses.get(loss), 40, None, (0,), start=expected[0])
        np.testing.assert_allclose(np.stack(model.asked), expected, atol=2e-7)

    result = run("apgd", attack, model, traces["x"], traces["y"], eps=EPS[norm], norm=norm)
    assert not result.success.any()
    assert np.abs(np.diff(expected, axis=0)).max(axis=(1, 2, 3, 4)).min() < 0.6 * EPS[norm], "the trace halves its steps"


@pytest.mark.parametrize("loss", ["ce", "dlr"])
def test_apgd_l1(traces, recorder, loss):
    """53 points of 4 images in balls of three, two and one times eps; steps along ever fewer of the values."""
    model, expected = recorder(traces["w"], traces["b"]), traces[f"apgd_{loss}"]

    def attack(batch):
        model.asked.clear()
        search_apgd(batch, "l1", losses.get(loss), 50, None, (0,), start=expected[0])
        np.testing.assert_allclose(np.stack(model.asked), expected, atol=3e-7)

    assert not run("apgd", attack, model, traces["x"], traces["y"], eps=0.05, norm="l1").success.any()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_fab_towards_the_nearest(traces, recorder, norm):
    """15 steps towards whichever class has the nearest boundary."""
    model = recorder(traces["w"], traces["b"])
    gradients = []
    plain = model.vjp
    model.vjp = lambda x, g: (gradients.append(x.copy()), plain(x, g))[1]
    fab(model, traces["x"], traces["y"], norm=norm, steps=15, towards="nearest")
    expected = traces[f"fab_nearest_{'Linf' if norm == 'linf' else norm.upper()}"][1::2]
    np.testing.assert_allclose(np.stack(gradients[::4]), expected, atol=5e-6)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_fab(traces, recorder, norm):
    """15 steps towards the most likely wrong class, with overshoot, lean and return."""
    model = recorder(traces["w"], traces["b"])
    gradients = []
    plain = model.vjp
    model.vjp = lambda x, g: (gradients.append(x.copy()), plain(x, g))[1]
    fab(model, traces["x"], traces["y"], norm=norm, steps=15, targets=1)
    expected = traces["fab_L1"][2::2] if norm == "l1" else traces[f"fab_{'Linf' if norm == 'linf' else 'L2'}"]
    np.testing.assert_allclose(np.stack(gradients), expected, atol=5e-6)


class Recorded:
    """The reference's random numbers in place of one's own: it draws one square for all images of a batch."""

    def __init__(self, values, lengths, norm):
        self.values, self.norm, self.at = np.split(values, np.cumsum(lengths)[:-1]), norm, 0
        self.images, self.step = 4, None
        self.pending = {}

    def take(self, going):
        assert going.all()
        return self

    def _next(self):
        self.at += 1
        return self.values[self.at - 1]

    def signs(self, shape, *names):
        if names[0] == "stripes":                                       # drawn as (N, C, 1, W)
            return self._next().reshape(4, 3, 1, 6).transpose(0, 2, 3, 1)
        if names[0] == "tile sign" or self.norm != "linf":                # (N, C, 1, 1)
            return self._next().reshape(4, 1, 1, 3)
        return np.broadcast_to(self._next().reshape(1, 1, 1, 3), (4, 1, 1, 3))

    def corner(self, high, *names):
        return np.full(4, int(self._next()[0]))

    def turned(self, *names):
        return np.full(4, self._next()[0] > 0.5)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_square(traces, recorder, norm):
    """61 questions: the stripes or tiles, then squares of falling size, each kept only if it helps."""
    name = f"square_{'Linf' if norm == 'linf' else norm.upper()}"
    model = recorder(traces["w"], traces["b"])
    draws = Recorded(traces[f"{name}_draws"], traces[f"{name}_lengths"], norm)

    def attack(batch):
        model.asked.clear()
        search_square(batch, np.arange(4), draws, Ball(batch.x, EPS[norm], norm, (0.0, 1.0)), 61, 0.8, False)
        np.testing.assert_allclose(np.stack(model.asked), traces[name], atol=5e-6 if norm == "l1" else 3e-6)

    run("square", attack, model, traces["x"], traces["y"], eps=EPS[norm], norm=norm)
    assert draws.at == len(draws.values), "every random number was used"
