"""The loss of JPEG without writing a file: the pixels after a baseline JPEG of some quality (ITU T.81, tables of its Annex K).
The steps are those of usual encoders and decoders: YCbCr of JFIF, colour at half the resolution in both directions (4:2:0), 8x8
cosine transform, coefficients rounded to multiples of the scaled tables, colour interpolated linearly in decoding.
"""
import numpy as np

from tinyvgg.errors import OptionError, ShapeError
from tinyvgg.types import Images, Integers

LUMINANCE = np.array([16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
                      14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
                      49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99])
CHROMINANCE = np.full((8, 8), 99)
CHROMINANCE[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
TO_YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]], np.float32)
TO_RGB = np.array([[1, 0, 1.402], [1, -0.344136286, -0.714136286], [1, 1.772, 0]], np.float32)


def _cosines():
    """The 8x8 transform of a block as a (64, 64) matrix of orthonormal rows: what JPEG's definition comes to."""
    k, n = np.mgrid[:8, :8]
    rows = np.cos((2 * n + 1) * k * np.pi / 16) / 2
    rows[0] /= np.sqrt(2)
    return np.kron(rows, rows).astype(np.float32)


COSINES = _cosines()


def jpeg(x: Images, quality: Integers) -> Images:
    """Return images (N, H, W, 3 or 1), uint8, after JPEG. quality: (N,) or one number, 1 to 100, as in libjpeg.

    Raises ShapeError for other images and OptionError for a quality outside.
    """
    x = np.asarray(x)
    if x.ndim != 4 or x.shape[3] not in (1, 3) or x.dtype != np.uint8:
        raise ShapeError(f"JPEG takes uint8 images (N, H, W, 3 or 1); these are {x.dtype} {x.shape}")
    if not len(x):
        return x.copy()
    quality = np.broadcast_to(np.asarray(quality), len(x))
    if not (quality.min() >= 1 and quality.max() <= 100):
        raise OptionError(f"the quality is {quality.min()} to {quality.max()}; expected 1 to 100")
    height, width, channels = x.shape[1:]
    side = 16 if channels == 3 else 8
    y = np.pad(x, ((0, 0), (0, -height % side), (0, -width % side), (0, 0)), mode="edge").astype(np.float32)
    if channels == 1:
        y = _coded(y[..., 0], LUMINANCE, quality)[..., None]
    else:
        y = y @ TO_YCBCR.T
        light = _coded(y[..., 0], LUMINANCE, quality)
        colours = [_doubled(_coded(_halved(y[..., c]) + 128, CHROMINANCE.ravel(), quality)) - 128 for c in (1, 2)]
        y = np.stack([light, *colours], axis=-1) @ TO_RGB.T
    return np.clip(np.rint(y[:, :height, :width]), 0, 255).astype(np.uint8)


def _coded(plane, table, quality):
    """Planes (N, H, W) in 0..255 with the coefficients of their blocks rounded by each image's table."""
    n, height, width = plane.shape
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)[:, None]
    steps = np.clip((table * scale + 50) // 100, 1, 255).astype(np.float32)[:, None]
    blocks = (np.rint(plane) - 128).reshape(n, height // 8, 8, width // 8, 8).swapaxes(2, 3).reshape(n, -1, 64)
    blocks = (np.rint(blocks @ COSINES.T / steps) * steps) @ COSINES
    back = blocks.reshape(n, height // 8, width // 8, 8, 8).swapaxes(2, 3).reshape(n, height, width)
    return np.clip(np.rint(back) + 128, 0, 255)


def _halved(plane):
    """The mean of each 2x2 pixels."""
    n, height, width = plane.shape
    return plane.reshape(n, height // 2, 2, width // 2, 2).mean(axis=(2, 4))


def _doubled(plane):
    """Twice the rows and columns: three parts of the nearer value, one of the next."""
    for axis in (1, 2):
        first, last = (np.take(plane, [i], axis) for i in (0, -1))
        padded, size = np.concatenate([first, plane, last], axis), plane.shape[axis]
        before, after = (np.take(padded, np.arange(size) + i, axis) for i in (0, 2))
        plane = np.stack([3 * plane + before, 3 * plane + after], axis + 1) / 4
        plane = plane.reshape([2 * size if i == axis else s for i, s in enumerate(np.delete(plane.shape, axis + 1))])
    return plane
