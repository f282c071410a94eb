"""Conv2D, in integers and in floats."""
from dataclasses import dataclass

import numpy as np

from tinyvgg import kernels
from tinyvgg.quant.ops.base import images, need
from tinyvgg.quant.ops.convolution import Convolution
from tinyvgg.quant.ops.weights import weights_of


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv2D(Convolution):
    """acc[i,j,f] = sum_{p,q,c} (x[i*sh + p*dh - top, j*sw + q*dw - left, c] - input_zero) * w[f,p,q,c], then the tail.

    weights (F, KH, KW, C).
    """

    def output_shape(self, before):
        f = self.check_arrays(4, before)
        need(self.weights.shape[3] == before.shape[-1], self, f"weights of shape {self.weights.shape} for {before.shape}")
        return (*self.output_size(before), f)

    def accumulate(self, x):
        f, *taps = self.weights.shape
        dtype = self.exact_dtype()
        matrix = np.ascontiguousarray(weights_of(self).reshape(f, -1).T, dtype)  # (KH*KW*C, F)
        for part, windows in self.windows(x, len(matrix), dtype):
            acc = windows.reshape(-1, len(matrix)) @ matrix
            yield part, acc.reshape(*windows.shape[:3], f)

    def kernel(self, x):
        """The weights as the float kernels take them: (KH, KW, C, F)."""
        return np.ascontiguousarray(weights_of(self).transpose(1, 2, 3, 0), x.dtype)

    def products(self, x):
        return kernels.conv2d(images(x), self.kernel(x), **self.geometry)

    def pull(self, dacc, x, parameters):
        dx, dkernel, _ = kernels.conv2d_backward(dacc, images(x), self.kernel(x), parameters=parameters, **self.geometry)
        return dx, dkernel.transpose(3, 0, 1, 2) if parameters else None

    def mean_sum(self, weights, mean):
        return weights.sum(axis=(1, 2)) @ mean

    def counts(self):
        return {"layer": 1, "outputs": int(np.prod(self.shape)), "results": self.results, "products": self.macc}
