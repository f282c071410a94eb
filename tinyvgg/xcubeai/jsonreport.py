"""X-CUBE-AI's JSON as a Report: `*_report.json` (versions 5 to 10), `*_c_graph.json` (6 to 8), `*_c_info.json` (9 and later)."""

import json
import math
import re
from dataclasses import fields

from tinyvgg.errors import FormatError
from tinyvgg.xcubeai.modeltable import MOST_ROWS
from tinyvgg.xcubeai.report import Array, CLayer, Report, Row, Tensor
from tinyvgg.xcubeai.text import decode, read_bytes
from tinyvgg.xcubeai.textreport import core_version, figure

LARGEST = 1 << 62  # of a figure: no network has more
ROLES = {"inputs": "I", "outputs": "O", "weights": "W", "scratchs": "S"}


def parse_json_report(path):
    """Read one of X-CUBE-AI's JSON files -> Report. Raises FormatError for any other JSON."""
    text, notes = decode(read_bytes(path))
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not whole JSON: {error}", "the file as X-CUBE-AI wrote it") from error
    report = Report(str(path), source="json", notes=notes)
    readers = {"graphs": _c_info, "rom_n_macc": _report, "c_layers": _c_graph}
    known = next((reader for key, reader in readers.items() if isinstance(data, dict) and key in data), None)
    if known is None:
        raise FormatError(f"{path} is JSON of another kind", "network_c_info.json, network_report.json or network_c_graph.json")
    try:
        known(data, report)
        _settle(report)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise FormatError(
            f"{path} lacks what its kind holds: {type(error).__name__} {str(error)[:200]}", "the file as X-CUBE-AI wrote it"
        ) from error
    return report


def _settle(report):
    """Refuse values of another type than the report's fields have; whoever reads the report relies on them."""
    report.header = {key: "" if value is None else value for key, value in report.header.items()}
    report.totals = {name: value for name, value in report.totals.items() if value is not None}
    for name, value in report.header.items():
        _typed(name, value, str)
    for name, value in report.totals.items():
        _typed(name, value, int)
    if len(report.rows) > MOST_ROWS:
        raise ValueError(f"{len(report.rows):,} layers")
    for item in (*report.rows, *report.arrays, *report.layers, *(t for layer in report.layers for t in layer.tensors)):
        for known in fields(item):
            _typed(f"{known.name} of {str(item.name)[:60]!r}", getattr(item, known.name), known.type)


def _typed(what, value, kind):
    """Raise ValueError where a value is not of a kind: int, str, tuple (of sizes), list, dict, bool, or int | None."""
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST
    if kind is tuple:
        right = isinstance(value, tuple) and all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < LARGEST for n in value)
    elif kind is list:
        right = isinstance(value, list) and all(isinstance(v, str | Tensor) for v in value)
    elif kind in (int, int | None):
        right = whole or value is None and kind is not int
    else:
        right = isinstance(value, kind)
    if not right:
        raise ValueError(f"{what} is {str(value)[:60]!r}")


def _compression(arguments, default):
    found = re.search(r"(?:--compression|-c)[ =](\S+)", arguments or "")
    return found[1] if found else default


def _c_info(data, report):
    """Version 9 and later: buffers, nodes and the memory of the C graph."""
    environment, graph = data["environment"], data["graphs"][0]
    memory, tool = data.get("memory_footprint") or {}, environment["tools"][0]
    model = tool["input_model"]
    report.tool = f"{tool['name']} v{tool['version']}"
    report.version = core_version(tool["version"])
    report.header = {
        "type": model["type"] or "",
        "model_name": model["name"] or "",
        "Parameters": tool.get("arguments") or "",
        "compression": _compression(tool.get("arguments"), "lossless"),
        "model_hash": model["model_files"][0]["signature"] if model.get("model_files") else "",
    }
    buffers = {b["id"]: b for b in data["buffers"]}
    report.arrays = [
        Array(
            b["id"],
            b["name"].removesuffix("_array"),
            _items(b),
            b["size_bytes"],
            "weights" if b["is_param"] else "activations",
            "",
            b["format"].removeprefix("STAI_FORMAT_"),
            "",
            *_place(b),
        )
        for b in data["buffers"]
    ]
    report.layers = [_node(i, node, buffers) for i, node in enumerate(graph["nodes"])]
    totals = {"parameters": model.get("n_params"), "model_weights": model.get("size")}
    if memory:
        totals |= {name: memory.get(name) for name in ("weights", "activations")} | {"io": sum(memory.get("io") or [])}
    if any(node.get("mapping") == "NODE_HW" for node in graph["nodes"]):
        report.notes.append("the network runs on the NPU: its file gives epochs without MACC, and buffers")
    else:
        totals["macc"] = sum(node["macc"] for node in graph["nodes"])
    report.totals = {name: value for name, value in totals.items() if isinstance(value, int)}
    report.metrics = [
        {"name": m.get("desc", ""), **{k: figure(m[k]) for k in m if k != "desc"}}
        for m in (data.get("validation") or {}).get("val_metrics") or []
    ]


def _place(buffer):
    """Where a buffer ends, and in which pool; None where the file does not say."""
    start, pool = buffer.get("offset_start"), buffer.get("mpool_id")
    return (start + buffer["size_bytes"], pool) if isinstance(start, int) and isinstance(pool, int) and start >= 0 else (None, None)


def _node(i, node, buffers):
    """One node of the C graph with its tensors; Core 3 and later call its kind `type`."""

    def tensors(role, ids):
        return [
            Tensor(
                "W" if role == "I" and buffers[b]["is_param"] else role,
                buffers[b]["name"].removesuffix("_array"),
                tuple(buffers[b]["shape"]),
                buffers[b]["format"].removeprefix("STAI_FORMAT_"),
                b,
            )
            for b in ids
            if b in buffers
        ]

    kind = node["description"] if "description" in node else node["type"]
    original = [int(v) for v in node.get("original_nodes") or [] if str(v).isdigit()]
    rom = sum({b: buffers[b]["size_bytes"] for b in node["inputs"] if b in buffers and buffers[b]["is_param"]}.values())
    found = tensors("I", node["inputs"]) + tensors("O", node["outputs"]) + tensors("S", node.get("scratchs", []))
    return CLayer(
        i,
        node["name"],
        original[0] if original else None,
        kind or "epoch",
        node["macc"],
        rom,
        found,
        _names(node.get("sw_functions")),
        dict(node.get("attributes") or {}),
    )


def _names(stated):
    """One name, or several in a list, as text."""
    return stated if isinstance(stated, str) else " ".join(map(str, stated or []))


def _items(buffer):
    """Elements of a buffer: by its bits, codebooks by their shape."""
    if "LUT" in buffer["format"]:
        return math.prod(buffer["shape"])
    return buffer["size_bytes"] * 8 // max(buffer["nbits"], 1)


def _report(data, report):
    """Versions 5 to 10: layers with their cost. `rom_n_macc` is that of the C code."""
    report.tool = f"stm32ai {data.get('cli_version_str', '')}".strip()
    report.version = _version(data.get("tools_version"))
    report.header = {
        "type": data.get("model_type", ""),
        "model_name": data.get("model_name", ""),
        "Parameters": data.get("cli_parameters", ""),
        "compression": _compression(data.get("cli_parameters"), "none"),
        "model_hash": data.get("hash") or data.get("md5") or "",
    }
    for layer in data.get("layers", []):
        extras = layer.get("extras", {})
        report.rows.append(
            Row(
                0,
                layer.get("id"),
                layer["name"],
                layer.get("type", ""),
                layer.get("original") or "",
                _row_shape(layer, extras, report.release),
                extras.get("n_params") or 0,
                extras.get("psize") or 0,
                extras.get("n_macc") or 0,
                list(layer.get("inputs", [])),
                (extras.get("rom_size") or 0) - (extras.get("psize") or 0),
                0,
                "",
                extras.get("rom_trans") == "c",
            )
        )
    compression = data.get("compression")
    report.graph = {"compression factor": str((compression if isinstance(compression, dict) else {}).get("factor", ""))}
    report.totals = {
        "parameters": data["model_n_params"],
        "model_weights": data["model_size"],
        "macc": data["rom_n_macc"],
        "weights": data["rom_size"],
        "c_model_weights": data["rom_size"],
    }
    if report.release < (6, 0):
        report.totals["model_macc"] = data["rom_n_macc"]
    for key, name in (("ram_size", "activations"), ("ram_io_size", "io")):
        value = data.get(key)
        if value is not None:
            report.totals[name] = (sum(value) if name == "io" else value[0]) if isinstance(value, list) else value


def _row_shape(layer, extras, release):
    """The shape in channels-last order.

    `out_shapes` (version 5) has the channels first. `rom_output.shape` ends, from 6 to 8, with a 1 that is no size; from 9 on it
    is (width, channels, height).
    """
    if layer.get("out_shapes"):
        return _channels_last(layer["out_shapes"][0])
    shape = tuple((extras.get("rom_output") or {}).get("shape") or ())
    if release < (9, 0):
        return shape[:-1] if len(shape) > 1 and shape[-1] == 1 else shape
    return (shape[2], shape[0], shape[1]) if len(shape) == 3 else shape[::-1]


def _version(stated):
    """ "5.2" of {"major": 5, "minor": 2}, "9.1" of "1.0.0-19895"."""
    if isinstance(stated, dict) and "major" in stated:
        return f"{stated['major']}.{stated.get('minor', 0)}"
    return core_version(stated) if isinstance(stated, str) else ""


def _channels_last(shape):
    """These files put the channels first: (C, H, W) -> (H, W, C)."""
    return (*shape[1:], shape[0]) if len(shape) == 3 else tuple(shape)


def _c_graph(data, report):
    """Versions 5 to 8: arrays and layers of the C graph."""
    report.version = _version(data.get("tools_version") or data.get("stm_ai_version") or data.get("st_ai_version"))
    options = data.get("compilation_options") or {}
    report.header = {
        "type": data.get("type", ""),
        "model_name": data.get("model_name", ""),
        "model_fmt": data.get("model_fmt", ""),
        "compression": str(options.get("compression") or "none"),
        "model_hash": data.get("model_signature", ""),
    }
    report.arrays = [
        Array(
            a["c_id"], a["name"].removesuffix("_array"), a["size"], a["c_size_in_byte"], a["mem_pool"], a["c_type"], a["format"]
        )
        for a in data["c_arrays"]
    ]
    places = {t["name"]: (tuple(t["shape"]), a["format"], a["c_id"]) for a in data["c_arrays"] for t in a.get("tensors", [])}
    for layer in data["c_layers"]:
        tensors = [
            Tensor(role, name, *places.get(name, ((), "", None)))
            for key, role in ROLES.items()
            for name in layer["tensors"].get(key, [])
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
                _names(layer.get("c_forward")),
            )
        )
    footprint = data.get("memory_footprint") or {}
    report.totals = {"macc": data["macc"] if isinstance(data.get("macc"), int) else sum(layer.macc for layer in report.layers)}
    for name in ("weights", "activations"):
        value = next((v for v in (data.get(name), footprint.get(name)) if isinstance(v, int)), None)
        if value is not None:
            report.totals[name] = value
