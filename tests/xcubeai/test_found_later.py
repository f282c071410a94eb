"""More reports that were once called different without a reason, each of a kind, tiny."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from tinyvgg.analyze import describe_config
from tinyvgg.analyze.description import Operation
from tinyvgg.analyze.lite import describe_graph
from tinyvgg.quant.graph import Graph
from tinyvgg.quant.ops.image import Image
from tinyvgg.quant.ops.level_table import LevelTable
from tinyvgg.xcubeai import crosscheck

spec = importlib.util.spec_from_file_location("samples", Path(__file__).with_name("samples.py"))
samples = importlib.util.module_from_spec(spec)
spec.loader.exec_module(samples)

CORE_9 = "STEdgeAI Core v9.0.0-19802"


def write(tmp_path, text, name="network_generate_report.txt"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def network(*layers):
    return describe_config({"class_name": "Sequential", "config": {"layers": list(layers)}}, "2.4.0")


# --- memory ------------------------------------------------------------------------------------------------------------------

MEMORY = """\
Requested memory size per segment ("stm32l4" series)
----------------------------- -------- -------- ------- --------
module                            text   rodata    data      bss
----------------------------- -------- -------- ------- --------
NetworkRuntime900_CM4_GCC.a     14,844        0       0        0
network.o                          800       64   2,784      168
lib (toolchain)*                 1,484       40     100        0
----------------------------- -------- -------- ------- --------
RT total**                      17,128      104   2,884      168
----------------------------- -------- -------- ------- --------
weights                              0      448       0        0
activations                          0        0       0   13,360
io                                   0        0       0        0
----------------------------- -------- -------- ------- --------
TOTAL                           17,128      552   2,884   13,528
----------------------------- -------- -------- ------- --------
"""
DEVICES = """\

 Summary per type of memory device
 ---------------------------------------------
               FLASH       %      RAM       %
 ---------------------------------------------
 RT total     20,116   47.0%    3,052   18.6%
 ---------------------------------------------
 TOTAL        20,564           16,412
 ---------------------------------------------
"""
CONV = [
    ("0", "x (Input, None)", "[b:1,h:8,w:8,c:3]", "", "", "", "", ""),
    ("1", "conv (Conv2D, Conv2D)", "[b:1,h:8,w:8,c:4]", "112/448", "6,916", "x", "", ""),
]


def test_the_memory_of_9_0(tmp_path):
    text = samples.table(CONV, macc=6916, weights=448) + MEMORY
    found = crosscheck(write(tmp_path, text + DEVICES))
    assert found.agrees and not found.report.unread, found.differences
    assert (found.report.totals["flash_total"], found.report.totals["runtime_ram"]) == (20_564, 3_052)
    found = crosscheck(write(tmp_path, text))  # cut before its summary
    assert found.agrees, found.differences
    found = crosscheck(write(tmp_path, text.replace("14,844", "14,845") + DEVICES))
    assert found.differences == ["the report contradicts itself: flash of the runtime's modules is 20,117, its own total 20,116"]


def test_constants_that_are_placed(tmp_path):
    def file(weights, second=600):
        buffers = [
            {"id": i, "name": name, "shape": [size // 4], "format": "STAI_FORMAT_FLOAT", "nbits": 32, "size_bytes": size,
             "offset_start": start, "mpool_id": 1, "is_param": True}
            for i, (name, size, start) in enumerate([("a_bias", 600, 0), ("b_bias", 24, second + 8)])
        ]
        node = {"id": 0, "name": "epoch_0", "description": "", "macc": 0, "inputs": [0, 1], "outputs": [], "mapping": "NODE_HW"}
        tool = {"name": "ST Edge AI Core", "version": "2.2.0", "arguments": "", "input_model": {
            "type": "onnx", "name": "m", "n_params": 156, "size": 624, "model_files": []}}
        data = {"environment": {"tools": [tool]}, "graphs": [{"nodes": [node]}], "buffers": buffers,
                "memory_footprint": {"weights": weights, "activations": 64, "io": [0, 0]}, "json_schema_version": "2.0"}
        return write(tmp_path, json.dumps(data), "network_c_info.json")

    found = crosscheck(file(632))  # each begins at a multiple of 16
    assert found.agrees, found.differences
    assert not crosscheck(file(634)).agrees and not crosscheck(file(632, second=700)).agrees


# --- recurrent layers, functions of integers, layers that no report shows ----------------------------------------------------


@pytest.mark.parametrize(("tool", "counted", "stored"), [(CORE_9, 0, 6), (samples.CORE_2, 12, 6)])
def test_peepholes_of_keras_layers(tmp_path, tool, counted, stored):
    """Two directions of 2 units: 9.0 does not count the zeros, 10.2 does; both store them once."""
    core, macc = 4 * 2 * (3 + 2 + 1), 5 * (4 * 2 * (3 + 2 + 1) + 2)
    each, weights = core + counted // 2, 4 * (2 * core + stored)
    rows = [
        ("0", "x (Input, None)", "[b:1,h:5,c:3]", "", "", "", "", ""),
        ("1", "forward_lstm (LSTM, Bidirectional)", "[b:1,h:5,c:2]", f"{each}/{4 * each}", macc, "x", f"{weights - 8 * each:+,}(1.0%)", ""),
        ("", "backward_lstm (LSTM, Bidirectional)", "[b:1,h:5,c:2]", f"{each}/{4 * each}", macc, "x", "", ""),
        ("", "both (Concat, Bidirectional)", "[b:1,h:5,c:4]", "", "", "forward_lstm", "", ""),
    ]
    text = samples.table(rows, tool=tool, macc=2 * macc, weights=8 * each, c_weights=weights)
    lstm = {"class_name": "LSTM", "config": {"name": "lstm", "units": 2, "return_sequences": True}}
    model = network({"class_name": "Bidirectional", "config": {"name": "both", "layer": lstm, "batch_input_shape": [None, 5, 3]}})
    found = crosscheck(write(tmp_path, text), model)
    assert found.agrees and not found.not_rebuilt, found.differences
    assert [p.kind for p in found.rows] == ["input", "lstm", "lstm"] and all(t.ok for t in found.totals if not t.estimate)
    assert not crosscheck(write(tmp_path, text.replace(f"{macc} ", f"{macc + 1} ", 1)), model).agrees


def test_a_sigmoid_of_integers(tmp_path):
    """.tflite holds a table of 256 levels; ST prints a sigmoid, of which the C code costs one an element."""
    real = 0.05 * (np.arange(256) - 120)
    table = np.clip(np.round(256 / (1 + np.exp(-real))), 0, 255).astype(np.uint8)[None]
    graph = Graph(name="t", ops=[
        Image(name="x", inputs=(), shape=(6,), scale=0.05, zero=120),
        LevelTable(name="s", inputs=("x",), shape=(6,), scale=1 / 256, zero=0, table=table),
    ], facts={"scheme": "tflite"})
    model = describe_graph(graph, Operation)
    assert [(row.kind, row.settings.get("function")) for row in model] == [("input", None), ("activation", "sigmoid")]
    rows = [
        ("0", "x (Input, )", "[b:1,c:6]", "", "", "", "", ""),
        ("1", "nl_1 (Nonlinearity, LOGISTIC)", "[b:1,c:6]", "", "60", "x", "", "-54(-90.0%)"),
    ]
    text = samples.table(rows, kind="tflite", format_="ss/sa per channel", macc=60, c_macc=6)
    found = crosscheck(write(tmp_path, text), model)
    assert found.agrees and not found.not_rebuilt, found.differences
    assert crosscheck(write(tmp_path, text.replace("60  ", "61  ")), model).verdict == "differ"
    other = LevelTable(name="s", inputs=("x",), shape=(6,), scale=1 / 256, zero=0, table=table[:, ::-1].copy())
    assert describe_graph(Graph(name="t", ops=[graph.ops[0], other], facts={"scheme": "tflite"}), Operation)[1].kind == "other"


def test_a_layer_that_no_report_shows_proves_nothing(tmp_path):
    rows = [
        ("0", "x (Input, None)", "[b:1,h:8,w:8,c:3]", "", "", "", "", ""),
        ("1", "rescaling (Eltwise, Rescaling)", "[b:1,h:8,w:8,c:3]", "", "384", "x", "", ""),
        ("2", "conv (Conv2D, Conv2D)", "[b:1,h:8,w:8,c:4]", "112/448", "6,916", "rescaling", "", ""),
        ("3", "gelu (Nonlinearity, Activation)", "[b:1,h:8,w:8,c:4]", "", "5,120", "conv", "", ""),
    ]
    conv = {"class_name": "Conv2D", "config": {"name": "conv", "filters": 4, "kernel_size": [3, 3], "padding": "same"}}
    model = network(
        {"class_name": "Rescaling", "config": {"name": "rescaling", "scale": 0.5, "offset": 1.0, "batch_input_shape": [None, 8, 8, 3]}},
        conv, {"class_name": "Activation", "config": {"name": "gelu", "activation": "gelu"}},
    )
    total = 384 + 6916 + 5120
    text = samples.table(rows, macc=total, weights=448)
    found = crosscheck(write(tmp_path, text), model)
    assert found.agrees, found.differences
    assert [name in " ".join(found.not_rebuilt) for name in ("rescaling", "gelu", "macc")] == [True, True, True]
    wrong = text.replace("6,916", "6,917").replace(f"{total:,}", f"{total + 1:,}")
    assert any("conv" in line for line in crosscheck(write(tmp_path, wrong), model).differences)
