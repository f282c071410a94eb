"""Augmentation: what it does to pixels, the seed, the cost."""
import time

import numpy as np
import pytest

from tinyvgg import models, train
from tinyvgg.data import Augment, batches
from tinyvgg.data.batches import split
from tinyvgg.errors import OptionError

X = np.random.default_rng(1).integers(0, 256, (64, 32, 32, 3), np.uint8)


def generator(seed=0):
    return np.random.default_rng(seed)


def test_flip_mirrors_some_and_leaves_others():
    out = Augment(flip=True)(X, generator())
    mirrored = [np.array_equal(o, x[:, ::-1]) for o, x in zip(out, X, strict=True)]
    same = [np.array_equal(o, x) for o, x in zip(out, X, strict=True)]
    assert all(np.add(mirrored, same) == 1) and 20 < sum(mirrored) < 44


def test_shift_reflects_the_border():
    out = Augment(shift=3)(X, generator())
    found = set()
    for o, x in zip(out, X, strict=True):
        padded = np.pad(x, ((3, 3), (3, 3), (0, 0)), mode="reflect")
        found |= {(r, c) for r in range(7) for c in range(7) if np.array_equal(o, padded[r:r + 32, c:c + 32])}
    assert len(found) > 25 and {0, 6} <= {r for r, _ in found} and {0, 6} <= {c for _, c in found}


def test_cutout_greys_a_square():
    out = Augment(cutout=8)(X, generator())
    cut = (out != X).any(axis=3)
    for mask, image in zip(cut, out, strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert 4 <= np.ptp(rows) + 1 <= 8 and 4 <= np.ptp(columns) + 1 <= 8
        assert (image[mask] == 128).all()


def test_the_input_is_left_alone_and_the_seed_decides():
    before = X.copy()
    augment = Augment.parse("flip,shift4,cutout8")
    a, b, c = augment(X, generator(1)), augment(X, generator(1)), augment(X, generator(2))
    assert np.array_equal(X, before) and np.array_equal(a, b) and not np.array_equal(a, c)


def test_floats_and_odd_sizes():
    x = np.random.default_rng(0).random((5, 9, 7, 1), np.float32)
    out = Augment(flip=True, shift=2, cutout=3)(x, generator())
    assert out.shape == x.shape and out.dtype == np.float32 and 0 <= out.min() and out.max() <= 1


@pytest.mark.parametrize("text", ["flip,shift4,cutout8", "flip", "shift12", "altflip,cutout4,jpeg60"])
def test_parse_and_print(text):
    assert str(Augment.parse(text)) == text


@pytest.mark.parametrize("text", ["", "none", None])
def test_parse_nothing(text):
    assert Augment.parse(text) is None


@pytest.mark.parametrize("text", ["flop", "shift", "shift-4", "cutout8.5", "flip4", "jpeg", "jpeg100"])
def test_parse_mistakes(text):
    with pytest.raises(OptionError, match="expected flip, altflip, shiftN, cutoutN or jpegN"):
        Augment.parse(text)


def test_jpeg_changes_half_of_the_images_and_no_other_draw():
    plain, out = (Augment.parse(text)(X, generator(4)) for text in ("flip,shift4", "flip,shift4,jpeg40"))
    changed = (plain != out).any(axis=(1, 2, 3))
    assert 20 < changed.sum() < 44 and np.abs(plain[changed] - out[changed].astype(int)).max() > 8
    with pytest.raises(OptionError, match="images as bytes"):
        Augment(jpeg=50)(X / np.float32(255), generator())


def test_flips_that_alternate_show_each_image_both_ways_in_two_epochs():
    model, seen = models.resnet8(input_shape=(8, 8, 1), classes=2), []
    x = np.arange(20 * 64, dtype=np.int64).reshape(20, 8, 8, 1).astype(np.uint8)
    def keep(model, x, y):
        seen.append(x[:, 0])
        return x, y
    train.fit(model, x, np.arange(20) % 2, epochs=2, batch_size=8, augment="altflip", batch_hook=keep, quiet=True)
    rows = np.rint(255 * np.concatenate(seen)[..., 0]).astype(int)
    starts = [{tuple(row[[0, -1]]) for row in epoch} for epoch in (rows[:20], rows[20:])]
    assert starts[1] == {row[::-1] for row in starts[0]} and 0 < sum(a > b for a, b in starts[0]) < len(starts[0])
    with pytest.raises(OptionError, match="one of them"):
        Augment.parse("flip,altflip")


def test_too_large():
    with pytest.raises(OptionError, match="too large"):
        Augment(shift=32)(X, generator())


def test_cheap():
    """Well under 5 % of a training step of 30 ms for 64 images; the best of many runs, for the machine may be busy."""
    augment, random, best = Augment.parse("flip,shift4,cutout8"), generator(), 1.0
    for _ in range(50):
        started = time.perf_counter()
        augment(X, random)
        best = min(best, time.perf_counter() - started)
    assert best < 0.0015


def test_batches_cover_all_once_and_depend_on_the_epoch():
    epochs = [np.concatenate(list(batches(103, 10, seed=4, epoch=e))) for e in (0, 1, 0)]
    assert all(np.array_equal(np.sort(e), np.arange(103)) for e in epochs)
    assert np.array_equal(epochs[0], epochs[2]) and not np.array_equal(epochs[0], epochs[1])
    assert [len(b) for b in batches(7, 3)] == [3, 3, 1]


def test_split_is_disjoint():
    train, validation = split(50, 12, 7)
    assert len(validation) == 12 and np.array_equal(np.sort(np.r_[train, validation]), np.arange(50))
    assert np.array_equal(split(50, 12, 7)[1], validation)
