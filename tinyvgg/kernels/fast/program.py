"""Steps: one row of numbers per kernel call, so that a whole network is one array that compiled code walks through."""
import numpy as np

# Images in memory: pixel (n, i, j) starts at at + n*image + i*row + j*channels, in float32 elements. A border of zeros lies around
# the pixels where a convolution reads beyond them.
TENSOR = np.dtype([(name, np.int64) for name in ("at", "row", "image", "height", "width", "channels")])

STEP = np.dtype([
    ("kind", np.int64), ("images", np.int64),
    ("x", TENSOR), ("y", TENSOR), ("g", TENSOR),            # input; output (before normalisation in backward steps); gradient
    ("kernel", np.int64), ("packed", np.int64),             # weights as the layer holds them; as the products read them
    ("bias", np.int64), ("mask", np.int64), ("mask_image", np.int64),
    ("affine", np.int64),                                   # scale[channels] then offset[channels]
    ("slope", np.int64),                                    # the two terms that batch normalisation adds to a gradient
    ("sums", np.int64), ("sums_size", np.int64),            # per thread, float64 after float32: two per channel
    ("scratch", np.int64), ("scratch_size", np.int64), ("block", np.int64),
    ("gradient", np.int64), ("partial", np.int64), ("partial_size", np.int64), ("bias_gradient", np.int64),
    ("gamma", np.int64), ("beta", np.int64), ("gamma_gradient", np.int64), ("beta_gradient", np.int64),
    ("moments", np.int64), ("moving_mean", np.int64), ("moving_variance", np.int64), ("count", np.int64),
    ("tail", np.int64), ("gate", np.int64), ("pool", np.int64), ("want_gradient", np.int64), ("want_input", np.int64),
    ("kernel_height", np.int64), ("kernel_width", np.int64), ("stride_height", np.int64), ("stride_width", np.int64),
    ("epsilon", np.float32), ("momentum", np.float32),
])
