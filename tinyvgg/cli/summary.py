"""Show a model's layers, output shapes, parameters and MACC

Opens every Keras file (.h5, .keras, .weights.h5 of Keras 2 and 3) and says which layers tinyvgg lacks. Also opens .npz, .tvq
(the ops of its graph) and runs.

    tinyvgg summary light.h5
    tinyvgg summary runs/first --json
"""
from pathlib import Path

from tinyvgg.cli._common import add_common, print_result

COMPRESSED = "a compressed model: parameters are its weights and biases, batch-norms are part of the layer before them"


def add_arguments(parser):
    parser.add_argument("model", metavar="MODEL", help="model file, folder of a run, or zoo entry")
    add_common(parser, seed=False)


def run(arguments):
    result = summarize(arguments.model)
    note = result.pop("note")
    print_result(arguments, result, _text(result, note))


def summarize(path):
    """Return {"parameters", "macc", "layers": [...], "note"} for a model file; see io.keras_h5.summary."""
    from tinyvgg import nn
    from tinyvgg.analyze.integers import graph_rows
    from tinyvgg.io import kind_of
    from tinyvgg.io.keras_h5 import summary
    from tinyvgg.open import open_model, what_is
    kind, place = what_is(str(path))
    file = Path(place).expanduser()
    if kind == "file" and file.is_file() and kind_of(file) in ("h5", "keras"):
        return summary(file)
    model = open_model(str(path), board=False)
    compressed = hasattr(model, "graph")
    rows = graph_rows(model.graph) if compressed else nn.summary_rows(model)
    return {"parameters": sum(r["parameters"] for r in rows), "macc": sum(r["macc"] for r in rows), "layers": rows,
            "note": COMPRESSED if compressed else ""}


def _text(result, note):
    from tinyvgg.report.tables import table
    rows = [[r["name"], _known(r["type"]), _known(r["output_shape"] and "x".join(map(str, r["output_shape"]))),
             f"{r['parameters']:,}", _known(r["macc"], "{:,}")] for r in result["layers"]]
    total = f"{result['parameters']:,} parameters" + (f", {result['macc']:,} MACC an image" if result["macc"] is not None else "")
    lines = [table(["layer", "type", "output", "parameters", "MACC"], rows), total]
    return "\n".join(lines + [f"note: {note}"] if note else lines)


def _known(value, form="{}"):
    return "-" if value is None else form.format(value)
