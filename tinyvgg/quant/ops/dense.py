"""Dense, in integers and in floats."""
import math
from dataclasses import dataclass

from tinyvgg.quant.ops.base import integers, need
from tinyvgg.quant.ops.weighted import Weighted
from tinyvgg.quant.ops.weights import weights_of

LOGIT_HEADROOM = 4  # int16 logits reach this far beyond the largest one seen in calibration


@dataclass(frozen=True, eq=False, kw_only=True)
class Dense(Weighted):
    """acc[o] = sum_i (x[i] - input_zero) * w[o,i] over the flattened input (channels fastest), then the tail.

    weights (O, I). output: "uint8", or "int16" for logits, which saturate to -32768..32767 and have zero = 0.
    """

    output: str = integers("uint8")
    variant: str = integers("direct")

    @property
    def dtype(self):
        return self.output if self.integer else "float32"

    def output_shape(self, before):
        out = self.check_arrays(2, before)
        need(self.weights.shape[1] == math.prod(before.shape), self, f"weights of shape {self.weights.shape} for {before.shape}")
        need(self.output in ("uint8", "int16"), self, "an unknown output")
        return (out,)

    def levels(self, work):
        if self.name != work.logits:
            return super().levels(work)
        largest = max(map(abs, work.ranges[self.name]))
        if not largest:                     # the logits are always 0, because the input is
            return {"scale": 1.0, "zero": 0, "output": "int16"}
        return {"scale": max(largest, 1e-6) * LOGIT_HEADROOM / 32767, "zero": 0, "output": "int16"}

    def accumulate(self, x):
        dtype = self.exact_dtype()
        flat = x.reshape(len(x), -1).astype(dtype) - dtype(self.input_zero)
        yield slice(0, len(x)), flat @ weights_of(self).T.astype(dtype)

    def products(self, x):
        return x.reshape(len(x), -1) @ weights_of(self).T.astype(x.dtype)

    def pull(self, dacc, x, parameters):
        return dacc @ weights_of(self).astype(x.dtype), dacc.T @ x.reshape(len(x), -1) if parameters else None

    def mean_input(self, v):
        return v.reshape(len(v), -1)

    def mean_sum(self, weights, mean):
        return weights @ mean

    def counts(self):
        return {"layer": 1, "inputs": self.weights.shape[1], "outputs": math.prod(self.shape), "products": self.macc}
