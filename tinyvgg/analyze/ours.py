"""This library's own rules: parameters as Keras counts them, MACC as multiplications of weights, bytes of the integer graph.

The integer graph stores each weight in a byte (or 4 bits, if shared), and two 32-bit numbers a channel: offset and multiplier. If
a batch-norm follows the ReLU, a third one is needed for the bias. Max-pools and activations are part of the layer before them.
`tinyvgg compress` builds that graph and prints its exact bytes; the numbers here are an estimate before it is built.
"""

import math

from tinyvgg.analyze.cost import Cost

CHANNEL_BYTES, BIAS_BYTES = 8, 4
FUSED = ("activation", "batch_norm", "reshape", "pad")


def costs(operations, *, compression="none"):
    """Cost every operation -> list of Cost. compression none, low: 8 bits a weight; medium: dense layers at 4 bits; high: all."""
    rows, normed = [], _normed_after_activation(operations)
    for op in operations:
        if op.kind in ("input", "reshape"):
            continue
        kernel = math.prod(op.parameters.get("kernel", (0,))) + math.prod(op.parameters.get("recurrent_kernel", (0,)))
        bits = 4 if kernel and (compression == "high" or compression == "medium" and op.kind == "dense") else 8
        channel = CHANNEL_BYTES + (BIAS_BYTES if op.name in normed else 0)
        stored = (kernel * bits + 7) // 8 + (16 if bits == 4 else 0) + (channel * op.output_shape[-1] if kernel else 0)
        note = "part of the layer before it" if op.kind in FUSED else "the weights of its first use" if op.shared else ""
        rows.append(
            Cost(
                op.name,
                op.kind,
                op.layer,
                op.output_shape,
                op.keras_parameters,
                op.macc,
                0 if op.shared else stored,
                op.macc,
                4 * op.keras_parameters,
                bits,
                False,
                note,
            )
        )
    return rows


def _normed_after_activation(operations):
    """Names of the layers whose activation is followed by a batch-norm."""
    by_name = {op.name: op for op in operations}
    found = set()
    for op in operations:
        before = by_name.get(op.inputs[0]) if op.kind == "batch_norm" and op.inputs else None
        if before is not None and before.kind == "activation":
            found.add(before.inputs[0])
    return found


def activation_bytes(operations):
    """Estimate the bytes of the two largest consecutive uint8 tensors, plus those that a later sum still needs."""
    kinds = {op.name: op for op in operations}
    last = {name: i for i, op in enumerate(operations) for name in op.inputs}
    roots = {}
    peak, alive = 0, {}
    for i, op in enumerate(operations):
        if not op.inputs:
            alive[op.name] = op.elements
        elif (
            op.kind in FUSED
            or op.kind == "pool"
            and op.settings.get("function") == "max"
            and kinds[op.inputs[0]].kind in (*FUSED, "conv")
        ):
            root = roots.get(op.inputs[0], op.inputs[0])
            roots[op.name] = root
            alive[root] = min(alive.get(root, op.elements), op.elements)
            last[root] = max(last.get(root, 0), last.get(op.name, i))
            peak = max(peak, sum(alive.values()))
        else:
            alive[op.name] = _pooled(op, operations[i + 1 :])
            peak = max(peak, sum(alive.values()))
        kept = roots.get(op.name, op.name)
        alive = {name: size for name, size in alive.items() if last.get(name, 0) > i or name == kept}
    return peak


def _pooled(op, later):
    """Return the elements that a layer writes, after the max-pool that is part of it."""
    size, name = op.elements, op.name
    for nxt in later:
        if name not in nxt.inputs or nxt.kind not in (*FUSED, "pool"):
            return size
        size, name = min(size, nxt.elements), nxt.name
        if nxt.kind == "pool":
            return size
    return size
