"""X-CUBE-AI's JSON: `*_report.json` and `*_c_graph.json` (versions 5 to 8), `*_c_info.json` (9 and later), as a Report."""

import json
import re

from tinyvgg.errors import FormatError
from tinyvgg.xcubeai.report import Array, CLayer, Report, Row, Tensor
from tinyvgg.xcubeai.text import decode, read_bytes
from tinyvgg.xcubeai.textreport import CORE


def parse_json_report(path):
    """Read one of X-CUBE-AI's JSON files -> Report. Raises FormatError for JSON that is none of them."""
    text, notes = decode(read_bytes(path))
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise FormatError(f"{path} is not whole JSON: {error}", "the file as X-CUBE-AI wrote it") from error
    report = Report(str(path), source="json", notes=notes)
    readers = {"graphs": _c_info, "rom_n_macc": _report, "c_layers": _c_graph}
    known = next((reader for key, reader in readers.items() if isinstance(data, dict) and key in data), None)
    if known is None:
        raise FormatError(f"{path} is JSON of another kind", "network_c_info.json, network_report.json or network_c_graph.json")
    try:
        known(data, report)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise FormatError(
            f"{path} lacks what its kind holds: {type(error).__name__} {error}", "the file as X-CUBE-AI wrote it"
        ) from error
    return report


def _c_info(data, report):
    """Version 9 and later: buffers, nodes and the memory of the C graph."""
    environment, memory, graph = data["environment"], data["memory_footprint"], data["graphs"][0]
    tool = environment["tools"][0]
    model = tool["input_model"]
    report.tool = f"{tool['name']} v{tool['version']}"
    release = ".".join(tool["version"].split(".")[:2])
    report.version = CORE.get(release, release)
    arguments = re.search(r"--compression (\S+)", tool.get("arguments", ""))
    report.header = {
        "type": model["type"],
        "model_name": model["name"],
        "Parameters": tool.get("arguments", ""),
        "compression": arguments[1] if arguments else "lossless",
        "model_hash": model["model_files"][0]["signature"] if model.get("model_files") else "",
    }
    buffers = {b["id"]: b for b in data["buffers"]}
    report.arrays = [
        Array(
            i,
            b["name"].removesuffix("_array"),
            _items(b),
            b["size_bytes"],
            "weights" if b["is_param"] else "activations",
            b["format"].removeprefix("STAI_FORMAT_"),
        )
        for i, b in enumerate(data["buffers"])
    ]
    report.layers = [_node(i, node, buffers) for i, node in enumerate(graph["nodes"])]
    report.totals = {
        "parameters": model["n_params"],
        "model_weights": model["size"],
        "weights": memory["weights"],
        "activations": memory["activations"],
        "io": sum(memory["io"]),
        "macc": sum(n["macc"] for n in graph["nodes"]),
    }
    report.metrics = [
        {"name": m.get("desc", ""), **{k: _number(m[k]) for k in m if k != "desc"}}
        for m in (data.get("validation") or {}).get("val_metrics", [])
    ]


def _node(i, node, buffers):
    """One node of the C graph with its tensors."""

    def tensors(role, ids):
        return [
            Tensor(
                "W" if role == "I" and buffers[b]["is_param"] else role,
                buffers[b]["name"].removesuffix("_array"),
                tuple(buffers[b]["shape"]),
                array=b,
            )
            for b in ids
            if b in buffers
        ]

    original = [int(v) for v in node.get("original_nodes", []) if str(v).isdigit()]
    rom = sum(buffers[b]["size_bytes"] for b in node["inputs"] if b in buffers and buffers[b]["is_param"])
    found = tensors("I", node["inputs"]) + tensors("O", node["outputs"]) + tensors("S", node.get("scratchs", []))
    return CLayer(i, node["name"], original[0] if original else None, node["description"], node["macc"], rom, found)


def _items(buffer):
    """Elements of a buffer: by its bits, codebooks by their shape."""
    if "LUT" in buffer["format"]:
        items = 1
        for size in buffer["shape"]:
            items *= size
        return items
    return buffer["size_bytes"] * 8 // max(buffer["nbits"], 1)


def _report(data, report):
    """Versions 5 to 8: layers with their cost."""
    report.tool = f"stm32ai {data.get('cli_version_str', '')}".strip()
    report.version = _version(data)
    arguments = re.search(r"--compression (\S+)", data.get("cli_parameters", ""))
    report.header = {
        "type": data.get("model_type", ""),
        "model_name": data.get("model_name", ""),
        "Parameters": data.get("cli_parameters", ""),
        "compression": arguments[1] if arguments else "none",
        "model_hash": data.get("hash") or data.get("md5") or "",
    }
    for layer in data.get("layers", []):
        extras = layer.get("extras", {})
        shape = layer.get("out_shapes") or [[]]
        report.rows.append(
            Row(
                0,
                layer.get("id"),
                layer["name"],
                layer.get("type", ""),
                "",
                _channels_last(shape[0]),
                extras.get("n_params", 0),
                extras.get("psize", 0),
                extras.get("n_macc", 0),
                list(layer.get("inputs", [])),
                extras.get("rom_size", 0) - extras.get("psize", 0),
                0,
                "",
                extras.get("rom_trans") == "c",
            )
        )
    report.graph = {"compression factor": str((data.get("compression") or {}).get("factor", ""))}
    report.totals = {
        "parameters": data["model_n_params"],
        "model_weights": data["model_size"],
        "macc": data["rom_n_macc"],
        "model_macc": data["rom_n_macc"],
        "weights": data["rom_size"],
        "c_model_weights": data["rom_size"],
    }
    for key, name in (("ram_size", "activations"), ("ram_io_size", "io")):
        value = data.get(key)
        if value is not None:
            report.totals[name] = (sum(value) if name == "io" else value[0]) if isinstance(value, list) else value


def _version(data):
    """ "5.2" of {"major": 5, "minor": 2}."""
    stated = data.get("tools_version")
    return f"{stated['major']}.{stated.get('minor', 0)}" if isinstance(stated, dict) and "major" in stated else ""


def _channels_last(shape):
    """These files put the channels first: (C, H, W) -> (H, W, C)."""
    return (*shape[1:], shape[0]) if len(shape) == 3 else tuple(shape)


def _c_graph(data, report):
    """Versions 5 to 8: arrays and layers of the C graph."""
    report.version = _version(data)
    report.arrays = [
        Array(
            a["c_id"], a["name"].removesuffix("_array"), a["size"], a["c_size_in_byte"], a["mem_pool"], a["c_type"], a["format"]
        )
        for a in data["c_arrays"]
    ]
    shapes = {t["name"]: tuple(t["shape"]) for a in data["c_arrays"] for t in a.get("tensors", [])}
    roles = {"inputs": "I", "outputs": "O", "weights": "W", "scratchs": "S"}
    for layer in data["c_layers"]:
        tensors = [
            Tensor(role, name, shapes.get(name, ())) for key, role in roles.items() for name in layer["tensors"].get(key, [])
        ]
        report.layers.append(
            CLayer(
                layer["c_id"],
                layer["name"],
                layer.get("m_id"),
                layer.get("layer_type", layer.get("type", "")),
                layer["macc"],
                layer["rom"],
                tensors,
            )
        )
    weights = data.get("weights", (data.get("memory_footprint") or {}).get("weights"))
    activations = data.get("activations", (data.get("memory_footprint") or {}).get("activations"))
    report.totals = {"macc": sum(layer.macc for layer in report.layers)}
    report.totals.update({k: v for k, v in (("weights", weights), ("activations", activations)) if isinstance(v, int)})


def _number(value):
    try:
        return float(str(value).rstrip("%")) if value is not None else None
    except ValueError:
        return None
