"""Generates self-contained C99 from an integer graph or a float model; `host` compiles it and wraps it as a classifier.

    program = codegen.generate(model, "out/light")        # light.h, light.c, light_weights.c, kernels, Makefile, SIZES.md
    codegen.HostModel(model).labels(images)
"""
from tinyvgg.codegen.generate import generate, graph_of
from tinyvgg.codegen.host import HostModel
from tinyvgg.codegen.variants import variant_cost, variants, with_variants

__all__ = ["HostModel", "generate", "graph_of", "variant_cost", "variants", "with_variants"]
