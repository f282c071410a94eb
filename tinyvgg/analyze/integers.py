"""The cost of an integer model (.tvq) on a board: constants in flash and arena in RAM, layer by layer, and whether they fit."""
import math

from tinyvgg.analyze import boards
from tinyvgg.quant.blob import constant_bytes
from tinyvgg.quant.memory import plan_memory
from tinyvgg.quant.ops import Weighted

NOTES = ("constants are those of the smallest kernels (`direct`); firmware plan has the others, and code, stack and buffers",)


def graph_rows(graph):
    """Return [{"name", "type", "output_shape", "parameters", "macc"}] for a Graph's ops, like nn.summary_rows for layers.

    parameters: weights and biases; for a codebook, its indices are counted as the weights.
    """
    return [{"name": op.name, "type": type(op).__name__, "output_shape": list(op.shape), "macc": op.macc,
             "parameters": math.prod(op.weights.shape) + op.tail.bias.size if isinstance(op, Weighted) else 0} for op in graph.ops]


def analyze_integers(model, board):
    """Return plain data of a QuantizedModel on a board (name, .toml, or folder with a board.toml): bytes by layer, `fits`."""
    where, graph = boards.load(board), model.graph
    constants, arena = constant_bytes(graph), plan_memory(graph, align=8).size
    rows = [{"layer": op.name, "kind": type(op).__name__, "output_shape": list(op.shape), "constant_bytes": constants.get(op.name, 0)}
            for op in graph.ops]
    flash = sum(row["constant_bytes"] for row in rows)
    missing = {"flash": max(0, flash - where.flash_bytes), "ram": max(0, arena - where.ram_bytes)}
    return {"model": graph.name, "board": where.name, "mcu": where.mcu, "rules": "integers", "layers": rows, "flash_bytes": flash,
            "ram_bytes": arena, "board_flash_bytes": where.flash_bytes, "board_ram_bytes": where.ram_bytes,
            "missing_flash": missing["flash"], "missing_ram": missing["ram"], "fits": not any(missing.values()), "notes": list(NOTES)}
