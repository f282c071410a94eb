"""Packed weights: kept as long as the weights are what was packed, whether the code is fresh or read from disk."""
import os
import subprocess
import sys

PACK_TWICE = """
import numpy as np
from tinyvgg.kernels.fast import packing
from tinyvgg.kernels.fast.arena import Arena, address
from tinyvgg.kernels.fast.fingerprint import STAMP
from tinyvgg.kernels.fast.threads import run_step

arena, weights = Arena(10_000), np.random.default_rng(0).random((64, 48), dtype=np.float32)
packed, stamp = arena.take(64 * 48), arena.take(2 * STAMP)

def packs():
    arena.fill(packed, 1, -1.0)
    run_step(packing.pack, 0, kernel=address(weights), packed=packed, stamp=stamp, depth=64, padded_depth=64, filters=48)
    return bool(arena.matrix(packed, 1, 1)[0, 0] != -1)

results = [packs(), packs()]
weights[63, 47] += 1
print(results, packs(), packs())
"""


def test_packs_only_what_has_changed(tmp_path):
    """Code that was optimised again on its way to disk must not lose the first element of a copy."""
    for _ in ("compiled", "read from disk"):
        result = subprocess.run([sys.executable, "-c", PACK_TWICE], env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
                                capture_output=True, text=True, check=True)
        assert result.stdout.strip() == "[True, False] True False"
