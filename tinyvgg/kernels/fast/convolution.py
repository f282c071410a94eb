"""conv2d and conv2d_backward of kernels.reference for arrays of any size, computed by the kernels of a plan.

Images are copied into a border of zeros, filters are padded to whole vectors, and the result is cropped. Float64, dilation and
groups are computed by the reference, with NumPy's BLAS.
"""
import os

import numpy as np

from tinyvgg.kernels import reference
from tinyvgg.kernels.fast import direct, packing, winograd
from tinyvgg.kernels.fast.arena import Arena, Tensor, address, whole_vectors
from tinyvgg.kernels.fast.elementwise import PLAIN, READY
from tinyvgg.kernels.fast.fingerprint import STAMP
from tinyvgg.kernels.fast.matrices import POSITIONS
from tinyvgg.kernels.fast.program import Program
from tinyvgg.kernels.fast.simd import WIDTH
from tinyvgg.kernels.fast.threads import pool
from tinyvgg.kernels.fast.tile import WIDE

PRECISE = "TINYVGG_PRECISE"


def precise_wanted(precise=None):
    """Whether to use direct convolutions only: `precise` if given, else the environment variable TINYVGG_PRECISE."""
    if precise is not None:
        return precise
    # os.environ raises and catches an exception for each look at what is not set, which shows beside a small network's time
    held = getattr(os.environ, "_data", None)
    if held is not None and os.environ.encodekey(PRECISE) not in held:
        return False
    return os.environ.get(PRECISE, "0") not in ("", "0")


class _Call:
    """Buffers and fields for one convolution of given shapes."""

    def __init__(self, x_shape, kernel_shape, strides, padding):
        self.images, self.height, self.width, self.channels = x_shape
        self.kernel_size, self.filters = kernel_shape[:2], kernel_shape[3]
        self.strides, self.padding = strides, padding
        self.rows, self.columns = ((n + sum(p) - k) // s + 1 for n, p, k, s in
                                   zip((self.height, self.width), padding, self.kernel_size, strides, strict=True))
        self.winograd = winograd.fits(self.kernel_size, strides, self.channels, self.filters) and not precise_wanted()
        self.padded = whole_vectors(self.filters)
        self.depth = self.kernel_size[0] * self.kernel_size[1] * self.channels
        self.block = winograd.block_of_tiles(self.channels, self.filters)
        self.threads = pool().threads
        self.arena = Arena(0)
        self._allocate()
        self.arena = Arena(self.arena.used)
        self._allocate()

    def _allocate(self):
        take, taps = self.arena.take, self.depth // self.channels
        (top, bottom), (left, right) = self.padding
        if self.winograd:
            bottom = winograd.in_tiles(self.rows) + 2 - top - self.height
            right = winograd.in_tiles(self.columns) + 2 - left - self.width
        border = top, max(bottom, 0), left, max(right, 0)
        self.x, self.dx = (self.arena.images(self.images, self.height, self.width, self.channels, border) for _ in range(2))
        rows, columns = (winograd.in_tiles(n) if self.winograd else n for n in (self.rows, self.columns))
        y = self.arena.images(self.images, rows, columns, self.padded)
        self.y = Tensor(y.at, y.row, y.image, self.rows, self.columns, self.padded)
        per_position = POSITIONS if self.winograd else taps
        self.packed = {"packed": take(per_position * self.channels * self.padded + whole_vectors(self.depth) * self.padded),
                       "stamp": take(self.threads * 2 * STAMP)}
        self.turned = {"packed": take(self.depth * self.padded), "stamp": take(self.threads * 2 * STAMP)}
        self.bias = take(2 * self.padded)
        needs = [self.columns * max(WIDE, whole_vectors(self.depth) + self.padded)]
        needs += [POSITIONS * (self.block * (self.channels + self.padded) + 2 * WIDTH)] if self.winograd else []
        partial, scratch, sums = per_position * self.channels * self.padded, max(needs), 6 * self.padded
        self.working = {"partial": take(self.threads * partial), "partial_size": partial, "scratch": take(self.threads * scratch),
                        "scratch_size": scratch, "sums": take(self.threads * sums), "sums_size": sums}

    def view(self, tensor):
        return self.arena.view(tensor, self.images)

    def window(self, tensor):
        """Return the tensor, starting at the pixel that the kernel's first tap reads."""
        return tensor.shifted(self.padding[0][0], self.padding[1][0])

    def fields(self):
        return {"kernel_height": self.kernel_size[0], "kernel_width": self.kernel_size[1], "stride_height": self.strides[0],
                "stride_width": self.strides[1], "depth": self.depth, "padded_depth": self.depth, "filters": self.filters,
                "dilation_height": 1, "dilation_width": 1,
                "block": self.block, "affine": self.bias, "mask": self.bias, "mask_image": 0,
                "slope": self.bias, "leak": 0.0, "ceiling": 0.0, "pool": False, **self.working}


def conv2d(x, kernel, bias=None, *, strides=(1, 1), padding=reference.NO_PADDING, dilation=(1, 1), groups=1):
    """See kernels.reference.conv2d."""
    if not _ours(dilation, groups, x, kernel):
        return reference.conv2d(x, kernel, bias, strides=strides, padding=padding, dilation=dilation, groups=groups)
    call, kernel = _Call(x.shape, kernel.shape, strides, padding), np.require(kernel, requirements="CA")
    call.view(call.x)[:] = x
    if bias is not None:
        call.arena.matrix(call.bias, 1, call.filters)[:] = bias
    program, fields = Program(), call.fields()
    pack, forward = (winograd.pack, winograd.forward) if call.winograd else (packing.pack, direct.forward)
    program.add(pack, kernel=address(kernel), x=call.x, y=call.y, **call.packed, **fields)
    program.add(forward, x=call.window(call.x), y=call.y, packed=call.packed["packed"], bias=call.bias, tail=PLAIN, **fields)
    program.run(pool(), call.images)
    return np.ascontiguousarray(call.view(call.y)[..., :call.filters])


def conv2d_backward(dy, x, kernel, *, strides=(1, 1), padding=reference.NO_PADDING, dilation=(1, 1), groups=1, parameters=True):
    """See kernels.reference.conv2d_backward."""
    if not _ours(dilation, groups, dy, x, kernel):
        return reference.conv2d_backward(dy, x, kernel, strides=strides, padding=padding, dilation=dilation, groups=groups,
                                         parameters=parameters)
    call, kernel = _Call(x.shape, kernel.shape, strides, padding), np.require(kernel, requirements="CA")
    call.view(call.x)[:] = x
    call.view(call.y)[..., :call.filters] = dy
    dkernel = np.zeros((*kernel.shape[:3], call.padded), np.float32)
    add = _add_winograd if call.winograd else _add_direct
    program = Program()
    add(program, call, kernel, dkernel, parameters)
    program.run(pool(), call.images)
    dx = np.ascontiguousarray(call.view(call.dx))
    if not parameters:
        return dx, None, None
    return dx, np.ascontiguousarray(dkernel[..., :call.filters]), dy.sum(axis=(0, 1, 2))


def _add_winograd(program, call, kernel, dkernel, parameters):
    fields = {**call.fields(), "depth": call.channels, "filters": call.filters}
    top, left = call.padding[0][0], call.padding[1][0]
    program.add(packing.transpose, kernel=address(kernel), **call.turned, **fields)
    program.add(winograd.pack, kernel=call.turned["packed"], x=call.y, y=call.x, **call.packed, **fields)
    program.add(winograd.backward, x=call.window(call.x), y=call.y, g=call.y, dx=call.window(call.dx), gate=READY,
                want_gradient=parameters,
                packed=call.packed["packed"], fresh=call.dx.shifted(top, left).at, **fields)
    if parameters:
        program.add(winograd.gather_gradient, x=call.x, y=call.y, gradient=address(dkernel), **fields)


def _add_direct(program, call, kernel, dkernel, parameters):
    fields = {**call.fields(), "block": 1}
    program.add(packing.pack_transposed, kernel=address(kernel), **call.packed, **fields)
    program.add(direct.backward, x=call.window(call.x), y=call.y, g=call.y, dx=call.window(call.dx), gate=READY,
                want_gradient=parameters, want_input=direct.ADDED, packed=call.packed["packed"], fresh=call.window(call.dx).at,
                **fields)
    if parameters:
        program.add(direct.gather_gradient, gradient=address(dkernel), **{**fields, "filters": call.padded})


def _ours(dilation, groups, *arrays):
    """Whether the fast kernels support this case."""
    return tuple(dilation) == (1, 1) and groups == 1 and all(a.dtype == np.float32 and a.size for a in arrays)
