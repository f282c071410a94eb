"""A main.c that tests exported C on its target: it compares the logits of one image with the expected ones, with printf."""
from string import Template

import numpy as np

from tinyvgg.codegen.emit import array_text
from tinyvgg.images import byte_table
from tinyvgg.quant.compressed import CompressedModel
from tinyvgg.quant.model import QuantizedModel
from tinyvgg.quant.simulate import run
from tinyvgg.rng import generator

CANDIDATES = 32                  # images to choose from
TOLERANCE = 1e-4                 # relative to the largest logit, because float sums may be in another order


def main_text(program, template, values):
    """Return the C of main.c; template: client/main.c.in; values: those that export fills into all templates."""
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
    """Return (an image for the network, its logits by the simulation), the same at every call.

    Of a few dozen images of noise, dark and bright, it is the one with the most values other than 0 in every layer: a weight that is
    multiplied by 0 would not be tested.
    """
    random, shape = generator(0, "self-test"), graph.ops[0].shape
    candidates = random.integers(0, 256, (CANDIDATES, *shape), dtype=np.uint8)
    shades = np.linspace(0, 1, CANDIDATES // 2).reshape(-1, *[1] * len(shape))
    candidates[::2] = (candidates[::2] * shades).astype(np.uint8)
    integer = graph.ops[0].dtype == "uint8"
    model = QuantizedModel(graph) if integer else CompressedModel(graph)
    images = candidates if integer else byte_table(*graph.input_range)[candidates]
    values = run(graph, images, keep=True)
    alive = [np.mean(np.reshape(values[op.name], (len(images), -1)) != getattr(op, "zero", 0), axis=1) for op in graph.ops[1:]]
    best = int(np.argmax(np.min(alive, axis=0) + 1e-3 * np.mean(alive, axis=0)))
    image = images[best:best + 1]
    return image, model.integer_logits(image) if integer else model.logits(image)


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
