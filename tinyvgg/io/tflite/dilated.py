"""Dilated convolutions in the form that converters write: SPACE_TO_BATCH_ND, a convolution, BATCH_TO_SPACE_ND become PAD and one
convolution."""
from dataclasses import replace

import numpy as np

from tinyvgg.io.tflite.read import Operator

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


def joined(steps):
    """Return the operators with each such group of three replaced by two; others are unchanged."""
    readers, found, done = {}, [], set()
    for op in steps:
        for t in op.inputs:
            if t is not None:
                readers.setdefault(t.index, []).append(op)
    for op in steps:
        if id(op) in done:
            continue
        three = _three(op, readers)
        if three is None:
            found.append(op)
            continue
        done.update(map(id, three))
        found += _two(*three)
    return found


def _three(op, readers):
    """(SPACE_TO_BATCH_ND, convolution, BATCH_TO_SPACE_ND) that begin with `op`, or None."""
    def only(op):
        after = readers.get(op.outputs[0].index, [])
        return after[0] if len(after) == 1 else None
    if op.kind != "SPACE_TO_BATCH_ND":
        return None
    middle = only(op)
    last = only(middle) if middle is not None and middle.kind in CONVOLUTIONS else None
    if last is None or last.kind != "BATCH_TO_SPACE_ND":
        return None
    constants = [t.data for t in (*op.inputs[1:3], *last.inputs[1:3])]
    if any(c is None for c in constants):
        return None
    block, padding, blocks, crops = constants
    plain = middle.options["StrideH"] == middle.options["StrideW"] == 1 and not middle.same and block.shape == (2,)
    fits = (block == blocks).all() and padding.shape == crops.shape == (2, 2) and not crops[:, 0].any() and (crops[:, 1] <= padding[:, 1]).all()
    return (op, middle, last) if plain and fits else None


def _two(first, middle, last):
    block, padding, crops = first.inputs[1].data, first.inputs[2].data, last.inputs[2].data
    amounts = np.zeros((4, 2), np.int32)
    amounts[1:3, 0], amounts[1:3, 1] = padding[:, 0], padding[:, 1] - crops[:, 1]
    source = first.inputs[0]
    n, h, w, c = source.shape
    shape = (n, h + int(amounts[1].sum()), w + int(amounts[2].sum()), c)
    padded = replace(first.outputs[0], shape=shape)
    constant = replace(first.inputs[2], data=amounts, shape=(4, 2))
    options = middle.options | {"DilationHFactor": int(block[0]), "DilationWFactor": int(block[1])}
    return (Operator("PAD", (source, constant), (padded,)),
            Operator(middle.kind, (padded, *middle.inputs[1:]), last.outputs, options))
