"""DepthwiseConv2D, in integers and in floats."""
import math
from dataclasses import dataclass

import numpy as np

from tinyvgg import kernels
from tinyvgg.quant.ops.base import images, need
from tinyvgg.quant.ops.convolution import Convolution
from tinyvgg.quant.ops.weights import weights_of


@dataclass(frozen=True, eq=False, kw_only=True)
class DepthwiseConv2D(Convolution):
    """acc[i,j,f] = sum_{p,q} (x[i*sh + p*dh - top, j*sw + q*dw - left, f // M] - input_zero) * w[f,p,q], then the tail; F = C*M.

    weights (F, KH, KW). A batch-norm or activation that cannot be merged into an earlier op becomes one with a 1x1 kernel of 1.
    """

    mixes_channels = False

    @property
    def writes_over_input(self):
        return (tuple(self.weights.shape[1:]) == (1, 1) and self.strides == (1, 1) and self.pool is None
                and not any(map(sum, self.padding)))

    def output_shape(self, before):
        f = self.check_arrays(3, before)
        need(f % before.shape[-1] == 0, self, f"{f} channels from {before.shape[-1]}")
        size = self.output_size(before)
        return (*size, f) if len(before.shape) == 3 else (f,)

    def accumulate(self, x):
        weights = weights_of(self).transpose(1, 2, 0).astype(np.int32)  # (KH, KW, F)
        for part, windows in self.windows(x, weights.size, np.int32):
            repeated = np.repeat(windows, weights.shape[2] // x.shape[-1], axis=-1)
            yield part, np.einsum("nijpqf,pqf->nijf", repeated, weights)

    def kernel(self, x):
        """The weights as the float kernels take them: (KH, KW, C, M)."""
        weights = weights_of(self)
        return np.ascontiguousarray(weights.transpose(1, 2, 0).reshape(*weights.shape[1:], x.shape[-1], -1), x.dtype)

    def products(self, x):
        return kernels.depthwise_conv2d(images(x), self.kernel(x), **self.geometry)

    def pull(self, dacc, x, parameters):
        dx, dkernel, _ = kernels.depthwise_conv2d_backward(dacc, images(x), self.kernel(x), parameters=parameters,
                                                           **self.geometry)
        return dx, dkernel.reshape(*dkernel.shape[:2], -1).transpose(2, 0, 1) if parameters else None

    def mean_sum(self, weights, mean):
        return weights.sum(axis=(1, 2)) * np.repeat(mean, len(weights) // len(mean))

    def counts(self):
        size = math.prod(self.shape)
        results = size * math.prod((self.pool or (1, 1))[:2])
        return {"layer": 1, "outputs": size, "results": results, "products": results * math.prod(self.weights.shape[1:])}
