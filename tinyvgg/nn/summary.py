"""A network in rows: type, output shape, parameters and MACC of each layer."""
import math


def summary_rows(model):
    """Return a dict a layer: name, type, output_shape (without the batch), parameters, macc; a shared layer's MACC is its sum."""
    uses = {}
    for node in model.nodes:
        uses.setdefault(id(node.layer), []).append(node)
    return [summary_row(layer, uses[id(layer)]) for layer in model.layers]


def summary_row(layer, nodes):
    """Return the row of a layer that is used at `nodes`; its arrays need not be made yet."""
    return {"name": layer.name, "type": layer.class_name or type(layer).__name__, "output_shape": list(nodes[-1].shape),
            "parameters": sum(map(math.prod, layer.weight_shapes(nodes[0].input_shape).values())),
            "macc": sum(layer.macc(node.input_shape) for node in nodes)}


def count_macc(model):
    """Return the number of multiplications with weights for one image."""
    return sum(row["macc"] for row in summary_rows(model))


def summary_text(model):
    """Return what model.summary() prints: the rows as a table, with totals."""
    from tinyvgg.report.tables import table
    rows = summary_rows(model)
    body = table(["layer", "type", "output", "parameters", "MACC"],
                 [[r["name"], r["type"], "x".join(map(str, r["output_shape"])), f"{r['parameters']:,}", f"{r['macc']:,}"] for r in rows])
    low, high = model.input_range
    shapes = " and ".join("x".join(map(str, node.shape)) for node in model.nodes if not node.inputs)
    return (f"{model.name}: images {shapes} in {low:g}..{high:g}\n{body}\n"
            f"{sum(r['parameters'] for r in rows):,} parameters, {sum(r['macc'] for r in rows):,} MACC an image")
