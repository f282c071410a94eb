"""A main.c that proves exported C where it runs: one image and its expected logits, compared and told by printf."""
from string import Template

import numpy as np

from tinyvgg.codegen.emit import array_text
from tinyvgg.images import byte_table
from tinyvgg.quant.compressed import CompressedModel
from tinyvgg.quant.model import QuantizedModel
from tinyvgg.rng import generator

TOLERANCE = 1e-4                 # of the largest logit: sums of floats in another order


def main_text(program, template, values):
    """Return the C of main.c; template: client/main.c.in, values: what export fills in everywhere."""
    graph = program.graph
    image, logits = example(graph)
    integer = graph.logits.dtype != "float32"
    expected = logits if integer else logits.astype(np.float32)
    filled = values | {
        "image": array_text(f"static const {program.name}_input image[{values['UPPER']}_INPUT_COUNT]", image.reshape(-1)),
        "expected": array_text(f"static const {program.name}_logit expected[{values['UPPER']}_CLASSES]", expected.reshape(-1)),
        "probabilities": "" if program.softmax is None else "NULL, ",
        "compare": _INTEGER if integer else Template(_FLOAT).substitute(tolerance=f"{TOLERANCE:g}f")}
    return Template(template).substitute(filled)


def example(graph):
    """Return (an image as the network takes it, its logits by the simulation), the same at every call."""
    q = generator(0, "self-test").integers(0, 256, (1, *graph.ops[0].shape), dtype=np.uint8)
    if graph.ops[0].dtype == "uint8":
        model = QuantizedModel(graph)
        return q, model.integer_logits(q)
    image = byte_table(*graph.input_range)[q]
    return image, CompressedModel(graph).logits(image)


_INTEGER = """    for (i = 0; i < COUNT; i++) {
        if (logits[i] != expected[i]) {
            printf("self-test FAILED: logit %u is %ld, expected %ld\\n", i, (long)logits[i], (long)expected[i]);
            wrong = 1;
        }
    }"""
_FLOAT = """    for (i = 0; i < COUNT; i++) largest = fabsf(expected[i]) > largest ? fabsf(expected[i]) : largest;
    for (i = 0; i < COUNT; i++) {
        if (!(fabsf(logits[i] - expected[i]) <= $tolerance * largest)) {
            printf("self-test FAILED: logit %u is %ld millionths, expected %ld\\n", i, (long)(1e6f * logits[i]), (long)(1e6f * expected[i]));
            wrong = 1;
        }
    }"""
