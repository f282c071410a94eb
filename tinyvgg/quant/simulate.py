"""Compute a graph forward and backward, op by op. For an integer graph this is the definition that the C reproduces bit for
bit."""


def run(graph, x, *, keep=False):
    """x (N, H, W, C), uint8 or in the input range -> logits (N, classes); with `keep`, {op: its result}, including a softmax."""
    values, last = {}, graph.logits.name
    readers = {i: op.name for op in graph.ops for i in op.inputs}
    for op in graph.ops:
        values[op.name] = op.compute(*([values[i] for i in op.inputs] or [x]))
        if op.name == last and not keep:
            return values[last]
        if not keep:
            for i in op.inputs:
                if readers[i] == op.name:
                    values[i] = None
    return values


def pull(graph, values, dlogits, *, parameters=True, limits=None):
    """Pull dlogits (N, classes) back through a float graph: return the gradient of the images and {(op, array): gradient}.

    values: {op: its result as read by later ops}, and the images under ""; limits: {op: (low, high)} of saturated results.
    """
    sums, gradients = {graph.logits.name: dlogits}, {}
    for op in reversed(graph.ops):
        dy = sums.pop(op.name, None)
        if dy is None:
            continue
        inputs = [values[i] for i in op.inputs] or [values[""]]
        dxs, found = op.backward(dy, *inputs, parameters=parameters, limits=(limits or {}).get(op.name))
        gradients.update({(op.name, name): g for name, g in found.items()})
        for source, dx in zip(op.inputs or ("",), dxs, strict=True):
            sums[source] = sums[source] + dx if source in sums else dx
    return sums[""], gradients
