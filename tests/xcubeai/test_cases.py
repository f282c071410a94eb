"""Reports that were once read wrongly, or called different without a reason: each kind, tiny, and the real one if it is here."""

import importlib.util
import json
import time
from pathlib import Path

import numpy as np
import pytest

from tinyvgg.analyze import describe_h5, st
from tinyvgg.cli import main
from tinyvgg.errors import FormatError
from tinyvgg.xcubeai import crosscheck, decode_lut, read_generated, read_report

spec = importlib.util.spec_from_file_location("samples", Path(__file__).with_name("samples.py"))
samples = importlib.util.module_from_spec(spec)
spec.loader.exec_module(samples)


def check(tmp_path, text, name="network_generate_report.txt"):
    (tmp_path / name).write_text(text)
    return crosscheck(tmp_path / name)


# --- shapes, columns and figures of a table ---------------------------------------------------------------------------------


def test_none_is_the_batch(tmp_path, cases):
    rows = [
        ("0", "input_1 (Input, None)", "(None,8,8,3)", "", "", "", "", ""),
        ("1", "conv (Conv2D, Conv2D)", "(None,8,8,4)", "112/448", "6,916", "input_1", "", ""),
    ]
    found = check(tmp_path, samples.table(rows, macc=6916, weights=448))
    assert found.agrees and not found.not_rebuilt and [r.shape for r in found.report.rows] == [(8, 8, 3), (8, 8, 4)]
    found = crosscheck(cases / "none_shape_7.1.txt")
    assert found.agrees and not found.not_rebuilt and found.report.rows[1].shape == (32, 32, 8)


def test_a_mark_in_the_rom_column(tmp_path, cases):
    text = samples.V5.replace("610            152", "610            50 (i)").replace(
        "weights (ro)       : 312 B", "weights (ro)       : 210 B"
    )
    report = check(tmp_path, text).report
    assert report.rows[1].size_bytes == 50 and not report.rows[1].compressed and not report.unread
    found = crosscheck(cases / "int8_rom_i_5.1.txt")
    assert found.agrees and not found.not_rebuilt and len(found.rows) == 30 and not found.report.unread


def recurrent(kind, gates, extra, units=4, inputs=3, steps=5):
    core = gates * units * (inputs + units)
    parameters, macc = core + extra * units, steps * (core + (5 if gates == 4 else 2) * units)
    shape = f"[b:1,h:{steps},w:1,c:{units}][b:1,h:1,c:{units}]"
    rows = [
        ("0", "x (Input, )", f"[b:1,h:{steps},c:{inputs}]", "", "", "", "", ""),
        ("1", f"r ({kind}, {kind})", shape, f"{parameters}/{4 * parameters}", f"{macc}", "x", "", ""),
    ]
    return rows, macc, 4 * parameters


@pytest.mark.parametrize(("kind", "gates", "extra"), [("LSTM", 4, 10), ("LSTM", 4, 7), ("GRU", 3, 7)])
def test_recurrent_layers_with_several_outputs(tmp_path, kind, gates, extra):
    rows, macc, weights = recurrent(kind, gates, extra)
    found = check(tmp_path, samples.table(rows, macc=macc, weights=weights, kind="onnx"))
    assert found.agrees and not found.not_rebuilt, found.not_rebuilt
    rows[1] = (*rows[1][:4], f"{macc + 1}", *rows[1][5:])
    found = check(tmp_path, samples.table(rows, macc=macc + 1, weights=weights, kind="onnx"))
    assert any("no rule here gives" in text for text in found.not_rebuilt)


@pytest.mark.parametrize("name", ["lstm_onnx_10.2.txt", "gru_onnx_core3.0.txt"])
def test_real_recurrent_layers(cases, name):
    found = crosscheck(cases / name)
    assert found.agrees and not found.not_rebuilt and {"macc", "weights", "parameters"} <= {t.name for t in found.totals if t.ok}


def test_a_depthwise_kernel_along_one_axis_is_told_by_macc_and_bytes(tmp_path, cases):
    """(3, 1) over 40 channels with a bias: 160 parameters, as 2 x 2 without one would have."""
    rows = [
        ("0", "x (Input, )", "[b:1,h:30,w:1,c:40]", "", "", "", "", ""),
        ("1", "conv2d_0 (Conv2D, DEPTHWISE_CONV_2D)", "[b:1,h:28,w:1,c:40]", "160/280", "3,400", "x", "", ""),
    ]
    found = check(tmp_path, samples.table(rows, macc=3400, weights=280, kind="tflite", format_="ss/sa"))
    assert found.agrees and not found.not_rebuilt, found.not_rebuilt
    found = crosscheck(cases / "depthwise_1d_9.1.txt")
    assert found.agrees and not found.not_rebuilt and all(t.ok for t in found.totals if not t.estimate)


def test_a_leaky_relu_and_a_pool_inside_a_row_of_version_5(cases):
    found = crosscheck(cases / "leaky_5.2.txt")
    assert found.agrees and not found.not_rebuilt and len(found.rows) == 11


def test_a_dense_layer_on_a_sequence(tmp_path, cases):
    """MatMul counts every output times the whole input; the constant of Add counts its elements."""
    rows = [
        ("3", "w (Placeholder, MatMul)", "[b:3,c:4]", "12/48", "", "", "", ""),
        ("5", "b (Placeholder, Add)", "[b:4]", "4/16", "", "", "", ""),
        ("0", "x (Input, )", "[b:1,h:6,c:3]", "", "", "", "", ""),
        ("3", "m (Gemm, MatMul)", "[b:1,h:6,c:4]", "", "456", "x", "", ""),
        ("", "", "", "", "", "w", "", ""),
        ("5", "a (Eltwise, Add)", "[b:1,h:6,c:4]", "", "4", "b", "", ""),
        ("", "", "", "", "", "m", "", ""),
    ]
    found = check(tmp_path, samples.table(rows, macc=460, weights=64, kind="onnx", tool="ST Edge AI Core v3.0.0-20426 123672867"))
    assert found.agrees and not found.not_rebuilt and found.report.version == "11.0", found.not_rebuilt
    found = crosscheck(cases / "matmul_seq_core3.0.txt")
    assert found.agrees and not found.not_rebuilt and found.compared["C layers"] == 3


def test_names_that_are_cut_stand_for_several_rows(tmp_path, cases):
    rows = [
        ("0", "x (Input, )", "[b:1,h:6,w:6,c:1]", "", "", "", "", ""),
        ("1", "f..v_output_0 (Conv2D, Conv)", "[b:1,h:6,w:6,c:2]", "20/80", "650", "x", "", ""),
        ("2", "f..u_output_0 (Nonlinearity, Relu)", "[b:1,h:6,w:6,c:2]", "", "72", "f..v_output_0", "", ""),
        ("3", "f..v_output_0 (Conv2D, Conv)", "[b:1,h:6,w:6,c:4]", "76/304", "2,596", "f..u_output_0", "", ""),
        ("4", "f..u_output_0 (Nonlinearity, Relu)", "[b:1,h:6,w:6,c:4]", "", "144", "f..v_output_0", "", ""),
    ]
    found = check(tmp_path, samples.table(rows, macc=3462, weights=384, kind="onnx"))
    assert found.agrees and len(found.rows) == 5 and not found.not_rebuilt, found.not_rebuilt
    found = crosscheck(cases / "n6_trunc.txt")
    assert found.agrees and len(found.rows) == 5 and not found.not_rebuilt
    assert [p.theirs["parameters"] for p in found.rows if p.kind == "conv"] == [1952, 6416]


def test_a_constant_whose_cut_name_several_bear_is_of_its_own_row(tmp_path):
    rows = [
        ("0", "x (Input, )", "[b:1,c:3]", "", "", "", "", ""),
        ("6", "w6 (Placeholder, )", "[b:5,c:3]", "15/60", "", "", "", ""),
        ("", "dense..VariableOp (Placeholder, )", "[b:5]", "5/20", "", "", "", ""),
        ("", "gemm_6 (Gemm, FULLY_CONNECTED)", "[b:1,c:5]", "", "20", "x", "", ""),
        ("", "", "", "", "", "w6", "", ""),
        ("", "", "", "", "", "dense..VariableOp", "", ""),
        ("7", "w7 (Placeholder, )", "[b:2,c:5]", "10/40", "", "", "", ""),
        ("", "dense..VariableOp (Placeholder, )", "[b:2]", "2/8", "", "", "", ""),
        ("", "gemm_7 (Gemm, FULLY_CONNECTED)", "[b:1,c:2]", "", "12", "gemm_6", "", ""),
        ("", "", "", "", "", "w7", "", ""),
        ("", "", "", "", "", "dense..VariableOp", "", ""),
    ]
    found = check(tmp_path, samples.table(rows, macc=32, weights=128, kind="tflite"))
    assert found.agrees and not found.not_rebuilt, found.not_rebuilt
    assert [p.theirs["parameters"] for p in found.rows if p.kind == "dense"] == [20, 12]


# --- what C adds, and alignment -----------------------------------------------------------------------------------------------


def test_macc_that_c_adds_on_a_reshape(tmp_path, cases):
    rows = [
        ("0", "x (Input, )", "[b:1,h:4,w:4,c:2]", "", "", "", "", ""),
        ("1", "r (Nonlinearity, Relu)", "[b:1,h:4,w:4,c:2]", "", "32", "x", "", ""),
        ("2", "f (Reshape, Flatten)", "[b:1,c:32]", "", "", "r", "", "+16(+100.0%)"),
    ]
    found = check(tmp_path, samples.table(rows, macc=32, c_macc=48, kind="onnx"))
    total = next(t for t in found.totals if t.name == "macc")
    assert found.agrees and total.ok and "16" in total.reason
    found = crosscheck(cases / "silent_delta_9.1_onnx.txt")
    assert found.agrees and not found.not_rebuilt and "448" in next(t.reason for t in found.totals if t.name == "macc")


def test_two_bytes_of_alignment(tmp_path, cases):
    rows = [
        ("0", "x (Input, )", "[b:1,c:3]", "", "", "", "", ""),
        ("1", "d (Dense, Dense)", "[b:1,c:2]", "8/14", "8", "x", "", ""),
    ]
    found = check(tmp_path, samples.table(rows, macc=8, weights=14, c_weights=16, format_="ss/sa"))
    assert found.agrees and all(c.ok for c in found.sums), found.differences
    found = check(tmp_path, samples.table(rows, macc=8, weights=14, c_weights=26, format_="ss/sa"))
    assert not found.agrees and "contradicts itself" in found.differences[0]
    found = crosscheck(cases / "padding_10.2_int8.txt")
    assert found.agrees and not found.not_rebuilt and all(c.ok for c in found.sums)


def test_a_row_that_no_rule_explains_is_not_called_different(tmp_path):
    rows = [
        ("0", "x (Input, )", "[b:1,h:4,w:4,c:2]", "", "", "", "", ""),
        ("1", "z (Wavelet, Wavelet)", "[b:1,h:4,w:4,c:2]", "7/28", "777", "x", "", ""),
        ("2", "r (Nonlinearity, Relu)", "[b:1,h:4,w:4,c:2]", "", "32", "z", "", ""),
    ]
    found = check(tmp_path, samples.table(rows, macc=809, weights=28))
    assert found.verdict == "agree" and not found.differences and len(found.not_rebuilt) >= 1
    assert "line" in found.not_rebuilt[0] and "no rule is known here for Wavelet" in found.not_rebuilt[0]


# --- ST's own error -----------------------------------------------------------------------------------------------------------


def test_sts_own_error_is_printed_and_explained(tmp_path, cases, capsys):
    text = (
        "Neural Network Tools for STM32 v1.2.0 (AI tools v5.0.0)\n\nExec/report summary (generate err=-1)\n-----\n"
        "error              : INVALID MODEL: Couldn't load Keras model m.h5 error: Model saved with Keras 2.8.0 but <= 2.3.1 is "
        "supported\nmodel file         : m.h5\n-----\n"
    )
    for path in (tmp_path / "r.txt", cases / "st_error_5.0.txt"):
        (tmp_path / "r.txt").write_text(text)
        found = crosscheck(path)
        assert found.verdict == "not rebuilt" and "Keras 2.8.0" in found.not_rebuilt[0] and "opens" in found.not_rebuilt[0]
        assert main(["crosscheck", str(path)]) == 1
        out = capsys.readouterr().out
        assert "INVALID MODEL" in out and "THEY DIFFER" not in out


# --- JSON ---------------------------------------------------------------------------------------------------------------------


def test_report_json_1_1(tmp_path, cases):
    def layer(name, kind, macc, parameters, shape, *inputs):
        return {
            "id": 0,
            "name": name,
            "type": kind,
            "original": kind,
            "inputs": list(inputs),
            "extras": {
                "n_macc": macc,
                "n_params": parameters,
                "psize": 4 * parameters,
                "rom_size": 4 * parameters,
                "rom_output": {"shape": shape},
            },
        }

    data = {
        "report_version": 1.1, "tools_version": "2.0.0-20049", "cli_version_str": "2.0.0-20049", "cli_parameters": "-c none",
        "model_n_params": 30, "model_size": 120, "rom_n_macc": 114, "rom_size": 120, "ram_size": 8, "ram_io_size": [0, 0],
        "hash": "0xaa", "model_type": "keras", "compression": [],
        "layers": [layer("x", "Input", 0, 0, [3, 5]), layer("c", "Conv2D", 56, 20, [2, 3], "x"),
                   layer("f", "Reshape", 0, 0, [6], "c"), layer("d", "Dense", 10, 10, [1], "f")],
    }  # fmt: skip
    data["layers"][3] = layer("d", "Dense", 7, 7, [1], "f")
    data |= {"model_n_params": 27, "model_size": 108, "rom_size": 108, "rom_n_macc": 63}
    found = check(tmp_path, json.dumps(data), "network_report.json")
    assert found.report.version == "10.0" and found.report.rows[0].shape == (5, 3)
    assert found.agrees and not found.not_rebuilt, (found.differences, found.not_rebuilt)
    found = crosscheck(cases / "report_v1.1_10.0.json")
    assert found.agrees and not found.not_rebuilt and found.report.version == "10.0" and len(found.rows) >= 8


def test_c_info_of_core_3(tmp_path, cases):
    buffers = [
        {
            "id": i,
            "name": n,
            "shape": s,
            "format": "STAI_FORMAT_FLOAT",
            "nbits": 32,
            "size_bytes": 4 * int(np.prod(s)),
            "is_param": p,
        }
        for i, (n, s, p) in enumerate([("x", [5, 3], False), ("w", [2, 3], True), ("b", [2], True), ("y", [5, 2], False)])
    ]
    node = {"name": "d", "type": "Dense", "inputs": [0, 1, 2], "outputs": [3], "macc": 40, "attributes": {}, "sw_functions": []}
    data = {
        "json_schema_version": "2.0", "buffers": buffers, "graphs": [{"nodes": [node]}],
        "memory_footprint": {"weights": 32, "activations": 60, "io": [0, 0]},
        "environment": {"tools": [{"name": "ST.EdgeAI.Core", "version": "3.0.0-20426", "arguments": "", "input_model":
                                   {"type": "onnx", "name": "m", "n_params": 8, "size": 32}}]},
    }  # fmt: skip
    found = check(tmp_path, json.dumps(data), "network_c_info.json")
    assert found.agrees and found.report.version == "11.0" and found.compared == {"operations": 1, "totals": 2}
    node["macc"] = 41
    assert check(tmp_path, json.dumps(data), "network_c_info.json").not_rebuilt
    found = crosscheck(cases / "c_info_core3.0.json")
    assert found.agrees and not found.not_rebuilt and len(found.rows) == 3


# --- shared weights, generated C ----------------------------------------------------------------------------------------------


def test_rows_of_4_bits_end_at_a_byte(tmp_path):
    book, rows = np.arange(16, dtype="<f4"), np.array([[1, 2, 3], [4, 5, 6]])
    stored = bytes(b for r in rows for b in ((r[0] << 4) | r[1], r[2] << 4))
    assert list(decode_lut(book.tobytes() + stored, 6, 4, row=3).values) == [1, 2, 3, 4, 5, 6]
    assert st.lut_bytes(9350, 4, 187) == 64 + 50 * 94
    (tmp_path / "network_data_params.c").write_text(samples.c_array(book.tobytes() + stored))
    (tmp_path / "network.c").write_text(
        "AI_ARRAY_OBJ_DECLARE( d_weights_array, AI_ARRAY_FORMAT_LUT4_FLOAT, NULL, NULL, 6, AI_STATIC)\n"
        "AI_TENSOR_OBJ_DECLARE( d_weights, AI_STATIC, 0, 0x0, AI_SHAPE_INIT(4, 3, 2, 1, 1), AI_STRIDE_INIT(4, 1, 2, 4, 4), 1, "
        "&d_weights_array, NULL)\nd_weights_array.data = AI_PTR(g_network_weights_map[0] + 64); "
        "d_weights_array.data_start = AI_PTR(g_network_weights_map[0] + 0);"
    )
    found = read_generated(tmp_path)
    assert list(found.values("d_weights")) == [1, 2, 3, 4, 5, 6] and found.tensors["d_weights"].size_bytes == 68


def test_a_report_of_odd_rows(cases):
    found = crosscheck(cases / "lut4_odd_5.0.txt")
    assert (
        found.agrees
        and not found.not_rebuilt
        and [p.theirs["bytes"] for p in found.rows if p.kind == "dense"] == [4964, 1516, 212]
    )


ARRAY = "AI_ARRAY_OBJ_DECLARE( {0}_array, AI_ARRAY_FORMAT_FLOAT, NULL, NULL, 2, AI_STATIC)\n"
PLACE = (
    "{0}_array.data = AI_PTR(g_network_weights_map[{1}] + {2}); "
    "{0}_array.data_start = AI_PTR(g_network_weights_map[{1}] + {2});\n"
)
WEIGHTS = "const ai_u64 {0}[1] = {{ 0x{1:016x}U }};\n"


@pytest.mark.parametrize("with_table", [False, True])
def test_weights_split_over_several_arrays(tmp_path, with_table):
    one, two = (int(np.frombuffer(np.float32([v, v]).tobytes(), "<u8")[0]) for v in (1, 2))
    text = WEIGHTS.format("s_b_weights_array_u64", two) + WEIGHTS.format("s_a_weights_array_u64", one)
    if with_table:
        text += (
            "ai_handle g_network_weights_table[2 + 2] = { AI_HANDLE_PTR(AI_MAGIC_MARKER), AI_HANDLE_PTR(s_a_weights_array_u64),"
        )
        text += " AI_HANDLE_PTR(s_b_weights_array_u64), AI_HANDLE_PTR(AI_MAGIC_MARKER) };\n"
    (tmp_path / "network_data_params.c").write_text(text)
    names = ("a_weights", "b_weights") if with_table else ("b_weights", "a_weights")
    (tmp_path / "network.c").write_text("".join(ARRAY.format(n) + PLACE.format(n, i, 0) for i, n in enumerate(names)))
    found = read_generated(tmp_path)
    assert len(found.blob) == 16 and found.covered == 16 and not found.notes
    assert list(found.values("a_weights")) == [1, 1] and list(found.values("b_weights")) == [2, 2]


def test_dense_layers_of_st_ai(tmp_path):
    (tmp_path / "network.c").write_text(
        "// STAI_API_ENTRY\n/* LITE_KERNEL_SECTION BEGIN out */\n forward_lite_dense_if32of32wf32_args arg_30f51e = {\n"
        ".weights = (float*)(net_ctx->_weights[0] + 0),\n.bias = (float*)(net_ctx->_weights[0] + 8),\n.n_channel_in = 2,\n"
        ".n_channel_out = 1,\n};\n/* LITE_KERNEL_SECTION END out */"
    )
    (tmp_path / "network_data.c").write_text(samples.c_array(np.float32([5, 6, 7]).tobytes(), name="g_network_weights_array"))
    found = read_generated(tmp_path)
    assert list(found.values("out_weights")) == [5, 6] and list(found.values("out_bias")) == [7] and not found.notes


def test_two_networks_in_one_folder(tmp_path):
    for name, macc in (("network", 10), ("network_1", 99)):
        text = ARRAY.format("d_weights") + f".n_macc = {macc},\n" + PLACE.format("d_weights", 0, 0)
        (tmp_path / f"{name}.c").write_text(text)
        (tmp_path / f"{name}_data_params.c").write_text(WEIGHTS.format(f"s_{name}_weights_array_u64", macc))
    found = read_generated(tmp_path)
    assert found.macc == 10 and "network was read, not network_1" in found.notes[0]
    assert read_generated(tmp_path / "network_1.c").macc == 99 == read_generated(tmp_path, "network_1").macc
    assert read_generated(tmp_path, "network_1").blob[0] == 99


def test_bytes_that_no_tensor_names_are_said(tmp_path):
    (tmp_path / "network.c").write_text(ARRAY.format("a_weights") + PLACE.format("a_weights", 0, 0))
    (tmp_path / "network_data_params.c").write_text(samples.c_array(bytes(64)))
    found = read_generated(tmp_path)
    assert found.covered == 8 and "56 of 64 bytes of weights are of no tensor" in found.notes[0]


@pytest.mark.parametrize(
    "text",
    [
        "weights " + "a" * 20_000,
        "weights" * 3_000,
        "weights " + ("AI_TENSOR_OBJ_DECLARE(\n x, AI_STATIC, AI_SHAPE_INIT(4, 1, 2, 3" + " " * 500) * 300,
        "const ai_u64 s_weights[4] = { 0x1," * 300,
        "const ai_u64 s_weights[4] = {" + "/* " * 50_000,
        ("a" * 300 + "_array.data = AI_PTR(") * 1_000 + "weights",
        "ai_handle g_weights_table[1] = {" * 5_000,
        "weights const ai_float * " + "weights_t_weight_" * 10_000,
    ],
)
def test_generated_c_is_read_in_linear_time(tmp_path, text):
    (tmp_path / "network.c").write_text(text)
    start = time.process_time()
    try:
        read_generated(tmp_path)
    except FormatError:
        pass
    assert time.process_time() - start < 2


def test_a_report_of_core_4(cases):
    found = crosscheck(cases / "core4.0.1_keras_ok.txt")
    assert found.agrees and not found.not_rebuilt and not any("never seen" in note for note in found.notes)


def test_a_layer_of_another_number(cases):
    report, model = cases / "renamed_layer_9.0.txt", cases / "renamed_layer_9.0.h5"
    assert crosscheck(report).agrees
    found = crosscheck(report, describe_h5(model))
    assert found.agrees, found.differences
    assert read_report(report).version == "9.0"


# --- a batch-norm folded into what follows it ----------------------------------------------------------------------------------


def normed(padding="valid"):
    from tinyvgg import nn

    layers = nn.layers
    model = nn.Sequential(
        [
            layers.InputLayer((6, 6, 2)),
            layers.BatchNormalization(),
            layers.Conv2D(3, 3, padding=padding),
            layers.Activation("relu"),
            layers.Flatten(),
            layers.BatchNormalization(),
            layers.Dense(4, use_bias=False),
        ],
        seed=2,
    )
    rng = np.random.default_rng(5)
    for layer in model.layers:
        for array in [*layer.parameters.values(), *layer.state.values()]:
            array[...] = rng.uniform(0.3, 1, array.shape)
    return model


def test_batch_norms_fold_forward_from_10_2_on():
    from tinyvgg.analyze import describe

    costs = {release: st.costs(describe(normed()), release=release) for release in ((7, 2), (10, 2))}
    rows = {c.name: c for c in costs[10, 2]}
    assert [c.weights_bytes for c in costs[7, 2] if c.kind == "batch_norm"] == [16, 8 * 48]
    assert all(c.weights_bytes == c.macc == 0 for c in rows.values() if c.kind == "batch_norm")
    assert rows["dense"].weights_bytes == 4 * (48 * 4 + 4) and "bias" in rows["dense"].note
    assert "folded into conv2d after it" in rows["batch_normalization"].note
    same = {c.name: c for c in st.costs(describe(normed("same")), release=(10, 2))}
    assert same["batch_normalization"].weights_bytes == 16 and same["batch_normalization_1"].weights_bytes == 0


def test_the_weights_of_a_forward_fold_compute_the_same(tmp_path):
    from tinyvgg.xcubeai.weights import expected_tensors

    model = normed()
    want = {t.name: t.values.reshape([t.shape[a] for a in t.axes]) for t in expected_tensors(model)}
    assert list(want) == ["conv2d/kernel", "conv2d/bias", "dense/kernel", "dense/bias"]
    x = np.random.default_rng(1).uniform(0, 1, (2, 6, 6, 2)).astype(np.float32)
    patches = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))  # (N, 4, 4, C, KH, KW)
    hidden = np.maximum(np.einsum("nhwcij,fijc->nhwf", patches, want["conv2d/kernel"]) + want["conv2d/bias"], 0)
    out = hidden.reshape(2, -1) @ want["dense/kernel"].T + want["dense/bias"]
    assert np.allclose(out, model.predict(x), rtol=1e-4, atol=1e-5)


def test_real_forward_folds(cases):
    found = crosscheck(cases / "bn_forward_10.2.txt")
    assert found.agrees and not found.not_rebuilt
    assert {t.name: t.ours for t in found.totals if t.name in ("macc", "weights")} == {"macc": 1_234_800, "weights": 144_028}
    assert not any(t.reason for t in found.totals if t.name in ("macc", "weights"))
    model = describe_h5(cases / "bn_forward_gmp.h5")
    found = crosscheck(cases / "bn_forward_gmp_c_info_10.2.json", model)
    assert found.agrees and len(found.rows) == 5, found.differences


def test_a_tensor_in_an_array_that_no_file_holds(tmp_path):
    (tmp_path / "network.c").write_text("".join(ARRAY.format(n) + PLACE.format(n, i, 0) for i, n in enumerate("ab")))
    (tmp_path / "network_data_params.c").write_text(WEIGHTS.format("s_a_weights_array_u64", 1))
    found = read_generated(tmp_path)
    assert any("lie in arrays that no file holds" in note for note in found.notes)
    with pytest.raises(FormatError):
        found.values("b")


# --- what is asked first, and estimates marked ---------------------------------------------------------------------------------


def test_estimates_are_marked_and_the_fullest_moment_is_named(capsys):
    from tinyvgg import models
    from tinyvgg.analyze import analyze

    found = analyze(models.base())
    assert found.activations_bytes == 143_468 and found.peak.operation == "conv2d"
    assert found.peak.tensors == {"input_layer": 12_288, "conv2d": 131_072, "scratch": 108}
    data = found.as_dict()
    assert data["activations_are_estimate"] and data["largest_layer"] == "dense/dense" and not data["fits_is_estimate"]
    assert data["milliseconds_estimate"] == pytest.approx([2414.4, 2414.4], abs=0.1)
    tight = analyze(models.light(), board="nucleo-l476rg", compression="medium")
    assert tight.fits_is_estimate and analyze(models.base(), rules="tinyvgg").as_dict()["fits_is_estimate"] is False
    assert main(["analyze", "light", "--board", "nucleo-l476rg"]) == 0
    out = capsys.readouterr().out
    assert "(estimate)" in out and "activations are fullest at" in out and "as far as an estimate can tell" in out


@pytest.mark.parametrize(
    ("kernel", "filters", "groups", "inputs", "expected"),
    [
        ((3, 3), 32, 32, 32, 1185),
        ((1, 1), 64, 1, 32, 768),
        ((3, 3), 32, 1, 3, 2284),
        ((3, 3), 64, 1, 32, 7168),
        ((3, 3), 16, 1, 8, 2816),
    ],
)
def test_the_scratch_of_integer_convolutions(kernel, filters, groups, inputs, expected):
    """Sizes that public C graphs of versions 8.1 to 10.2 print."""
    from tinyvgg.analyze import Operation

    shape = (*kernel, 1 if groups > 1 else inputs, filters)
    op = Operation(
        "c", "conv", "c", (), (8, 8, inputs), (8, 8, filters), {"kernel": shape}, {"kernel_size": kernel, "groups": groups}
    )
    assert st.scratch_bytes(op, 1) == expected


def test_answers_come_first(tmp_path, cases, capsys):
    assert main(["crosscheck", str(cases / "bn_forward_10.2.txt")]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert "162,502 B of flash and 20,840 B of RAM: fits" in lines[2] and "% of the" in lines[3] and "(estimate" in lines[4]


def layers(*more):
    first = {"class_name": "InputLayer", "config": {"name": "x", "batch_input_shape": [None, 4, 4, 3]}}
    return {
        "class_name": "Sequential",
        "config": {"name": "s", "layers": [first, *({"class_name": c, "config": k} for c, k in more)]},
    }


def test_layers_that_no_report_shows_are_estimates():
    from tinyvgg.analyze import describe_config

    config = layers(
        ("Conv2DTranspose", {"name": "t", "filters": 5, "kernel_size": [3, 3], "strides": [2, 2], "padding": "same"}),
        ("UpSampling2D", {"name": "u", "size": [2, 2]}),
        ("LayerNormalization", {"name": "n", "axis": [3]}),
        ("Activation", {"name": "e", "activation": "elu"}),
        ("Activation", {"name": "h", "activation": "tanh"}),
    )
    costs = {c.name: c for c in st.costs(describe_config(config))}
    assert costs["t"].output_shape == (8, 8, 5) and costs["t"].macc == 16 * 9 * 15 + 5 and costs["t"].estimated
    assert costs["u"].output_shape == (16, 16, 5) and costs["u"].macc == 0 and costs["n"].estimated
    assert costs["n"].weights_bytes == 40 and not costs["e"].estimated and not costs["h"].estimated
    assert (costs["e"].model_macc, costs["e"].macc, costs["h"].macc) == (12 * 1280, 11 * 1280, 10 * 1280)


def test_a_gru_counts_as_core_3_printed_it():
    from tinyvgg.analyze import describe_config

    config = {
        "class_name": "Sequential",
        "config": {"name": "s", "layers": [
            {"class_name": "InputLayer", "config": {"name": "x", "batch_input_shape": [None, 30, 10]}},
            {"class_name": "GRU", "config": {"name": "g", "units": 32, "return_sequences": True}},
            {"class_name": "Bidirectional",
             "config": {"name": "b", "layer": {"class_name": "GRU", "config": {"name": "i", "units": 4}}}},
        ]},
    }  # fmt: skip
    costs = st.costs(describe_config(config))
    assert costs[0].macc == 122_880 and not costs[0].estimated
    assert [c.macc for c in costs[1:3]] == [30 * (3 * 4 * (32 + 4) + 8)] * 2
