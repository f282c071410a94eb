"""Graphs of integers by fused kernels of 8-bit products: byte for byte what quant/simulate.py, the definition, computes.

    plan = plan_for(model.graph)        # this thread's
    print(plan.describe())

Each op becomes one step of a program that all threads walk through (kernels/fast). An op, or a variant of one, that no kernel here
knows is simulated between the steps, and the description says so: never a wrong byte, at worst a slow one.
"""
from pathlib import Path

from tinyvgg.kernels.fast import cache

cache.install(Path(__file__).resolve().parent)
