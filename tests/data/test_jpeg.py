"""JPEG's loss: beside Pillow's encoder and decoder, and by itself."""
import io

import numpy as np
import pytest

from tinyvgg import data
from tinyvgg.data.jpeg import COSINES, jpeg
from tinyvgg.errors import OptionError, ShapeError


@pytest.fixture(scope="module")
def X():
    return data.load("shapes").x_test[:24]


def pillow(x, quality):
    """What Pillow makes of one image."""
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    file = io.BytesIO()
    image.fromarray(x[..., 0] if x.shape[2] == 1 else x).save(file, "JPEG", quality=int(quality))
    return np.asarray(image.open(file)).reshape(x.shape)


@pytest.mark.parametrize("shape", [(32, 32, 3), (27, 21, 3), (27, 21, 1)], ids=str)
def test_pixels_are_those_of_pillow_up_to_its_roundings(X, shape):
    x = np.ascontiguousarray(X[:, :shape[0], :shape[1], :shape[2]])
    quality = np.linspace(20, 100, len(x)).astype(int)
    expected = np.stack([pillow(*pair) for pair in zip(x, quality, strict=True)]).astype(int)
    ours, lost = np.abs(jpeg(x, quality) - expected), np.abs(x - expected)
    assert ours.mean() < 1.2 and ours.mean() < lost.mean() / 5


def test_each_image_has_its_own_quality_and_better_ones_lose_less(X):
    mixed = jpeg(X, np.arange(len(X)) * 4 + 5)
    np.testing.assert_array_equal(mixed[3], jpeg(X[3:4], 17)[0])
    lost = [np.abs(jpeg(X, quality).astype(int) - X).mean() for quality in (5, 30, 75, 95)]
    assert lost == sorted(lost, reverse=True) and lost[-1] < lost[0] / 3


def test_a_flat_image_and_the_transform():
    np.testing.assert_allclose(COSINES @ COSINES.T, np.eye(64), atol=1e-6)
    flat = np.full((2, 9, 9, 3), 77, np.uint8)
    assert np.abs(jpeg(flat, 60).astype(int) - 77).max() <= 1 and jpeg(flat[:0], 60).shape == (0, 9, 9, 3)


def test_what_it_refuses(X):
    with pytest.raises(ShapeError, match="uint8 images"):
        jpeg(X / 255, 75)
    with pytest.raises(ShapeError, match="uint8 images"):
        jpeg(X[..., :2], 75)
    with pytest.raises(OptionError, match="expected 1 to 100"):
        jpeg(X, 0)
