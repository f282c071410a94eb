"""Random networks: fast kernels against float64, and C against the simulation."""
import traceback

import numpy as np

from tinyvgg import testing


def floats(start, stop):
    """Networks start..stop, fused and layer by layer -> counts, and the seeds of those that differ."""
    row = {"graphs": 0, "undecided": 0, "different": 0, "largest": 0.0, "seeds": []}
    for seed in range(start, stop):
        generator = np.random.default_rng(seed)
        try:
            model = testing.random_network(seed, chain=seed % 3 == 0)
            n = int(generator.integers(2, 6))
            x = generator.uniform(*model.input_range, (n, *model.input_shape)).astype(np.float32)
            g = generator.standard_normal((n, *model.output_shape)).astype(np.float32)
            error = testing.check_against_float64(model, x, g, training=seed % 2 == 0)
        except Exception as raised:
            row["different"] += 1
            row["seeds"].append([seed, f"{type(raised).__name__}: {str(raised)[:200]}", traceback.extract_tb(raised.__traceback__)[-1].name])
        else:
            row["undecided"] += error is None
            row["graphs"] += error is not None
            row["largest"] = max(row["largest"], error or 0.0)
    return row


def integers(start, stop):
    """Integer networks start..stop, every tensor of every op -> counts, and the seeds of those that differ."""
    row = {"graphs": 0, "different": 0, "seeds": []}
    for seed in range(start, stop):
        try:
            model = testing.random_integer_network(seed, widest=17)
            x = testing.random_images(model.input_shape, 6, np.random.default_rng(seed))
            testing.assert_bit_exact(model, x, flags=("-O1",))
        except Exception as raised:
            row["different"] += 1
            row["seeds"].append([seed, f"{type(raised).__name__}: {str(raised)[:200]}", traceback.extract_tb(raised.__traceback__)[-1].name])
        else:
            row["graphs"] += 1
    return row
