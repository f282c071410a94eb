"""Integer graphs on fused kernels of 8-bit products. They give the same bytes as the definition, quant/simulate.py.

    plan = plan_for(model.graph)        # this thread's
    print(plan.describe())

Each op becomes one step of a program that all threads run (kernels/fast). An op, or a variant of an op, without a kernel here is
simulated between the steps, and the description says so: the bytes are the same, but they take longer.
"""
from pathlib import Path

from tinyvgg.kernels.fast import cache

cache.install(Path(__file__).resolve().parent)
