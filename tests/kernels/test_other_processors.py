"""Kernels compiled for a processor without AVX2 and without fused multiply-add, in a process of their own."""
import json
import os
import subprocess
import sys

CODE = """
import json
import numpy as np
from tinyvgg.kernels import reference
from tinyvgg.kernels.fast import convolution, direct, simd
rng = np.random.default_rng(0)
x, kernel = (rng.standard_normal(s).astype(np.float32) for s in ((2, 9, 9, 3), (3, 3, 3, 8)))
y = convolution.conv2d(x, kernel, padding=((1, 1), (1, 1)))
want = reference.conv2d(x.astype(np.float64), kernel.astype(np.float64), padding=((1, 1), (1, 1)))
calls = [k for k in ('llvm.fma.', 'fmaf') if k in direct.forward._compiled.inspect_llvm()]
print(json.dumps([simd.WIDTH, simd.FUSES, calls, float(np.abs(y - want).max() / np.abs(want).max())]))
"""


def test_without_fused_multiply_add(tmp_path):
    """As right as elsewhere, and no fused multiply-add, which would be a call of a function for each number."""
    environment = {**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path),
                   "TINYVGG_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True)
    width, fuses, calls, error = json.loads(run.stdout)
    assert (width, fuses) == (4, False)
    assert error < 1e-4
    assert calls == []
