"""A network in rows: type, output shape, parameters and MACC of each layer."""


def summary_rows(model):
    """Return a dict a layer: name, type, output_shape (without the batch), parameters, macc; a shared layer's MACC is its sum."""
    rows = []
    for layer, shapes in _shapes_into(model):
        outputs = [layer.output_shape(shape) for shape in shapes]
        rows.append({"name": layer.name, "type": layer.class_name or type(layer).__name__, "output_shape": list(outputs[-1]),
                     "parameters": sum(a.size for _, a in layer.weights), "macc": sum(layer.macc(shape) for shape in shapes)})
    return rows


def _shapes_into(model):
    """(layer, [shape of its input at each use]) in order."""
    if not hasattr(model, "nodes"):
        return [(layer, [shape]) for layer, shape in zip(model.layers, model._shapes, strict=False)]
    uses = {layer.name: [] for layer in model.layers}
    for node in model.nodes:
        shapes = [n.shape for n in node.inputs] or [node.shape]
        uses[node.layer.name].append(shapes if len(shapes) > 1 else shapes[0])
    return [(layer, uses[layer.name]) for layer in model.layers]


def count_macc(model):
    """Return the multiplications of weights for one image."""
    return sum(row["macc"] for row in summary_rows(model))


def summary_text(model):
    """Return the rows as a table, with totals."""
    from tinyvgg.report.tables import table
    rows = summary_rows(model)
    body = table(["layer", "type", "output", "parameters", "MACC"],
                 [[r["name"], r["type"], "x".join(map(str, r["output_shape"])), f"{r['parameters']:,}", f"{r['macc']:,}"] for r in rows])
    low, high = model.input_range
    return (f"{model.name}: images {'x'.join(map(str, model.input_shape))} in {low:g}..{high:g}\n{body}\n"
            f"{sum(r['parameters'] for r in rows):,} parameters, {sum(r['macc'] for r in rows):,} MACC an image")
