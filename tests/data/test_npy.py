"""Pairs of .npy files."""
import numpy as np
import pytest

from tinyvgg import data
from tinyvgg.data import npy
from tinyvgg.errors import DataError, FormatError, OptionError, ShapeError, TinyVGGError

RNG = np.random.default_rng(5)
X = RNG.integers(0, 256, (12, 8, 8, 3), np.uint8)
Y = RNG.integers(0, 10, 12)


@pytest.fixture
def pair(tmp_path):
    """Save images and labels, return the spec."""
    def save(x=X, y=Y):
        np.save(tmp_path / "X, a.npy", x)
        np.save(tmp_path / "Y.npy", y)
        return f"{tmp_path / 'X, a.npy'},{tmp_path / 'Y.npy'}"
    return save


def both(spec):
    """The data set that has the same pair as its training and its test part."""
    return data.load(f"{spec},{spec}")


@pytest.mark.parametrize("y", [Y, Y.astype(np.float32), Y[:, None], Y.astype(np.uint8), np.eye(10)[Y], np.eye(10, dtype=bool)[Y]])
def test_label_layouts(pair, y):
    found = both(pair(y=y))
    assert np.array_equal(found.y_test, Y) and found.y_test.dtype == np.int64 and found.n_classes == 10


@pytest.mark.parametrize("x", [X, X.astype(np.float32), X.astype(np.int64), X.astype(">f8"), np.asfortranarray(X)])
def test_bytes_in_any_type(pair, x):
    found = both(pair(x))
    assert found.x_test.dtype == np.uint8 and np.array_equal(found.x_test, X)


@pytest.mark.parametrize("lo, hi", [(0, 1), (-1, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_images_keep_their_values(pair, lo, hi, dtype):
    x = (lo + (hi - lo) * (X / 255)).astype(dtype)
    found = both(pair(x))
    assert found.pixel_range == (lo, hi) and np.array_equal(found.x_test, x.astype(np.float32))
    assert np.allclose(found.as_float((0, 1)).x_test, X / 255, atol=1e-6)


def test_byte_table_is_exact(pair):
    as_float = both(pair()).as_float((0, 1)).x_test
    assert np.array_equal(as_float, (X / 255).astype(np.float32))
    assert data.load(pair()).as_float((-1, 1)).x_test.min() >= -1


def test_four_files(tmp_path, pair):
    spec = pair()
    found = data.load(f"{spec},{spec}")
    assert not found.one_part and len(found.x_train) == 12
    with pytest.raises(OptionError, match="3 .npy files"):
        data.load(f"{spec},{tmp_path / 'Y.npy'}")
    with pytest.raises(DataError, match="one file"):
        data.load(str(tmp_path / "Y.npy"))


def bad(value, index=(3, 1, 2, 0)):
    x = (X / 255).astype(np.float32)
    x[index] = value
    return x


BAD = {
    "channels first": (X.transpose(0, 3, 1, 2), Y, ShapeError, "channels last"),
    "one axis": (X.reshape(-1), Y, ShapeError, "expected images"),
    "five axes": (X[:, None], Y, ShapeError, "expected images"),
    "no image": (X[:0], Y[:0], DataError, "no image"),
    "NaN": (bad(np.nan), Y, DataError, "image 3 has NaN"),
    "infinite": (bad(np.inf), Y, DataError, "image 3 has NaN or infinite"),
    "above": (bad(300), Y, DataError, "values from 0 to 300; expected"),
    "below": (bad(-7), Y, DataError, "values from -7 to"),
    "objects": (np.array([object()]), Y, FormatError, "not a whole .npy"),
    "text": (np.array(["a"]), Y, FormatError, "numbers"),
    "complex": (X * 1j, Y, FormatError, "numbers"),
    "one label short": (X, Y[:-1], ShapeError, "12 images and .* 11 labels"),
    "negative label": (X, Y - 10, DataError, "label -"),
    "half a label": (X, Y + 0.5, DataError, "label .*5; expected whole"),
    "label NaN": (X, np.full(12, np.nan), DataError, "label nan"),
    "probabilities": (X, np.full((12, 10), 0.1), DataError, "one-hot"),
    "cube of labels": (X, np.zeros((12, 2, 2)), ShapeError, "labels"),
    "huge label": (X, Y + 10 ** 9, DataError, "expected whole numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(pair, name):
    x, y, error, words = BAD[name]
    with pytest.raises(error, match=words):
        data.load(pair(x, y))


def test_damaged_files(pair, tmp_path):
    spec = pair()
    path = tmp_path / "X, a.npy"
    whole = path.read_bytes()
    huge = whole.replace(b"(12, 8, 8, 3)", b"(9999999999, 8, 8, 3)", 1)
    for text in (b"", whole[:5], whole[:60], whole[:-1], b"hello" * 100, huge, whole.replace(b"descr", b"dexcr", 1)):
        path.write_bytes(text)
        with pytest.raises(FormatError, match="not a whole .npy"):
            data.load(spec)
    path.unlink()
    with pytest.raises(DataError, match="there is no file"):
        data.load(spec)
    path.mkdir()
    with pytest.raises(TinyVGGError):
        data.load(spec)


def test_explicit_range(pair):
    spec = pair((X / 510).astype(np.float32))
    assert data.load(spec, pixel_range=(-1, 1)).pixel_range == (-1, 1)
    with pytest.raises(DataError, match="expected 0 to 0.1"):
        data.load(spec, pixel_range=(0, 0.1))


def test_save(tmp_path):
    npy.save(X, Y, tmp_path / "a.npy", tmp_path / "b.npy")
    assert np.array_equal(both(f"{tmp_path}/a.npy,{tmp_path}/b.npy").x_test, X)
