"""A report, generated C and validation arrays beside a model: every planted change is found and named."""

import html.parser
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from tinyvgg import models, nn
from tinyvgg.analyze import describe, describe_h5, st
from tinyvgg.cli import main
from tinyvgg.cli._crosscheck_page import render
from tinyvgg.errors import FormatError
from tinyvgg.quant.kmeans1d import nearest, optimal_codebook
from tinyvgg.xcubeai import crosscheck, decode_lut, read_generated
from tinyvgg.xcubeai.weights import compare_weights, expected_tensors

spec = importlib.util.spec_from_file_location("samples", Path(__file__).with_name("samples.py"))
samples = importlib.util.module_from_spec(spec)
spec.loader.exec_module(samples)


# --- real reports ------------------------------------------------------------------------------------------------------


def test_every_real_report_agrees_with_its_network_rebuilt_from_its_table(real_reports):
    for path in sorted(real_reports.glob("*.txt")):
        found = crosscheck(path)
        assert found.agrees, (path.name, found.differences)
        assert len(found.rows) >= 3 and {"parameters", "macc"} <= {t.name for t in found.totals if t.ok}, path.name


@pytest.mark.parametrize("level", ["sans", "low", "medium", "high"])
def test_base_beside_its_four_logs(real_reports, level):
    found = crosscheck(real_reports / f"EMSE_CIFAR10_CNN_v10_{level}_compression.txt", models.base())
    assert found.agrees and len(found.rows) == 29  # the input and 28 operations
    assert all(t.ok for t in found.totals) and len(found.totals) == 7


PAIRS = [
    ("v5.1_HAR_cnn_gmp.txt", "v5.1_HAR_cnn_gmp__cnn_gmp.h5"),
    ("v6.0_cifar10_tflite_int8.txt", "v6.0_cifar10_tflite_int8__network.h5"),
    ("v6.0_cifar10_onnx_float.txt", "v6.0_cifar10_tflite_int8__network.h5"),
]


@pytest.mark.parametrize(("report", "model"), PAIRS)
def test_models_that_lie_beside_their_report(real_reports, report, model):
    found = crosscheck(real_reports / report, describe_h5(real_reports / model), model_path=real_reports / model)
    assert found.agrees, found.differences
    assert {t.name for t in found.totals if t.ok} >= {"parameters", "macc", "model_macc", "weights"}
    if "v5.1" in report:
        assert any("this very file" in note for note in found.notes)


def test_a_report_of_another_model(real_reports):
    found = crosscheck(real_reports / "EMSE_CIFAR10_CNN_v10_low_compression.txt", models.light())
    assert not found.agrees
    assert "conv2d_2" in found.differences[0] and "32" in found.differences[0]


def test_c_info_beside_a_network(real_reports, tmp_path):
    from tinyvgg.xcubeai import read_report
    from tinyvgg.xcubeai.rebuild import rebuild

    operations, _ = rebuild(read_report(real_reports / "v10.2_resnet_v1_32_validate.txt"))
    found = crosscheck(real_reports / "v10.2_resnet_v1_32_validate__network_c_info.json", operations)
    assert found.agrees, found.differences
    assert {t.name for t in found.totals if t.ok} >= {"parameters", "macc", "weights"} and len(found.rows) == 82
    text = (real_reports / "v10.2_resnet_v1_32_validate__network_c_info.json").read_text()
    (tmp_path / "network_c_info.json").write_text(text.replace('"macc": 442384', '"macc": 442385'))
    found = crosscheck(tmp_path / "network_c_info.json", operations)
    assert "conv2d (Conv2D): macc theirs 442,385, ours 442,384" in found.differences[0]


def test_figures_that_make_no_network_are_named(tmp_path):
    text = samples.V5.replace("(2,)  ", "(0,)  ").replace("compression        : 8", "compression        : sideways")
    (tmp_path / "r.txt").write_text(text)
    found = crosscheck(tmp_path / "r.txt")
    assert any("dense" in note and "could not be rebuilt" in note for note in found.notes)
    assert any("'sideways'" in note for note in found.notes) and not found.agrees


# --- planted changes in a report ---------------------------------------------------------------------------------------


def planted(real_reports, tmp_path, old, new):
    text = (real_reports / "EMSE_CIFAR10_CNN_v10_sans_compression.txt").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "log.txt").write_text(text.replace(old, new, 1), encoding="utf-8")
    return crosscheck(tmp_path / "log.txt", models.base())


def test_one_macc_is_named(real_reports, tmp_path):
    found = planted(real_reports, tmp_path, "9,248/36,992          9,437,216", "9,248/36,992          9,437,217")
    assert (
        found.differences[0].startswith("line ")
        and "conv2d_1 (conv): macc theirs 9,437,217, ours 9,437,216" in found.differences[0]
    )
    assert len([p for p in found.rows if not p.ok]) == 1


def test_another_size_of_input_is_named(real_reports, tmp_path):
    found = planted(real_reports, tmp_path, "[b:1,h:32,w:32,c:3]", "[b:1,h:32,w:33,c:3]")
    assert "input_0 (input): shape theirs 32x33x3, ours 32x32x3" in found.differences[0]
    assert [d.split(": ")[1] for d in found.differences[1:]] == ["inputs in the table is 3,168, its own total 3,072"]


def test_one_shape_is_named(real_reports, tmp_path):
    found = planted(real_reports, tmp_path, "[b:1,h:8,w:8,c:128]    73,856", "[b:1,h:8,w:9,c:128]    73,856")
    assert [p.name for p in found.rows if not p.ok] == ["conv2d_4"]
    assert "shape theirs 8x9x128, ours 8x8x128" in found.differences[0]


def test_one_parameter_and_one_total(real_reports, tmp_path):
    found = planted(real_reports, tmp_path, "5,130/20,520 ", "5,131/20,524 ")
    assert "dense_2" in found.differences[0] and "parameters theirs 5,131, ours 5,130" in found.differences[0]
    found = planted(real_reports, tmp_path, "macc               :   32,997,984", "macc               :   32,997,985")
    assert any(d.startswith("macc: theirs 32,997,985") for d in found.differences)


def test_a_ram_total_that_is_not_its_sum(real_reports, tmp_path):
    found = planted(real_reports, tmp_path, "= 143,468 + 0 + 0", "= 143,468 + 12,288 + 0")
    assert len(found.differences) == 1 and "143,468" in found.differences[0] and "contradicts itself" in found.differences[0]


def test_a_missing_layer_is_named(real_reports, tmp_path):
    path = real_reports / "EMSE_CIFAR10_CNN_v10_sans_compression.txt"
    lines = [line for line in path.read_text(encoding="utf-8").split("\n") if "conv2d_3 (Conv2D)   " not in line]
    (tmp_path / "log.txt").write_text("\n".join(lines), encoding="utf-8")
    found = crosscheck(tmp_path / "log.txt", models.base())
    assert "conv2d_3" in " ".join(found.differences) and "the report has no such operation" in " ".join(found.differences)


# --- nothing is said to agree that was not compared ------------------------------------------------------------------


def test_a_report_cut_before_its_figures(tmp_path):
    (tmp_path / "cut.txt").write_text(samples.V8[:300])
    for model in (None, models.light()):
        found = crosscheck(tmp_path / "cut.txt", model)
        assert found.verdict == "not rebuilt" and not found.agrees and found.compared == {}
        assert "nothing was compared" in found.not_rebuilt[0] and "--model" in found.not_rebuilt[0]


def test_a_c_graph_without_a_model_is_checked_by_its_tensors(real_reports):
    found = crosscheck(real_reports / "v10.2_resnet_v1_32_validate__network_c_info.json")
    assert found.agrees and found.compared == {"operations": 82, "totals": 2} and not found.not_rebuilt


def test_integers_are_not_counted_as_compared(tmp_path):
    model = small_model()
    write_app(tmp_path, model)
    code = (tmp_path / "network.c").read_text()
    stored = "dense_1_bias_array, AI_ARRAY_FORMAT_"
    assert f"{stored}FLOAT" in code
    (tmp_path / "network.c").write_text(code.replace(f"{stored}FLOAT", f"{stored}S32"))
    found = crosscheck(tmp_path, model)
    assert found.compared["tensors"] == len(found.weights) - 1 and any("not compared" in note for note in found.notes)
    asked = crosscheck(tmp_path, model, generated=tmp_path)
    assert not asked.agrees and "dense_1_bias" in asked.differences[0]


def test_what_was_asked_for_and_not_compared(tmp_path):
    model = small_model()
    write_app(tmp_path, model)
    report = tmp_path / "network_generate_report.txt"
    assert "--model" in crosscheck(report, describe(model), generated=tmp_path).differences[0]
    assert "simulation was not compared" in crosscheck(report, model, simulation=model).differences[0]
    np.savez(tmp_path / "network_val_io.npz", m_outputs_1=np.ones((2, 4)))
    assert "c_outputs_1" in crosscheck(report, model, validation=tmp_path).differences[0]


def test_the_validation_of_another_network(tmp_path):
    model = small_model()
    write_app(tmp_path, model)
    x, y = np.zeros((3, 6, 6, 2), np.float32), np.ones((3, 7), np.float32)
    np.savez(tmp_path / "network_val_io.npz", c_inputs_1=x, m_outputs_1=y, c_outputs_1=y)
    assert "another network" in crosscheck(tmp_path, model).differences[0]


def test_a_macc_that_network_c_has_otherwise(tmp_path):
    model = small_model()
    write_app(tmp_path, model)
    code = (tmp_path / "network.c").read_text()
    macc = sum(row.macc for row in st.costs(describe(model)))
    assert f"= {macc}," in code
    (tmp_path / "network.c").write_text(code.replace(f"= {macc},", f"= {macc + 1},"))
    found = crosscheck(tmp_path, model)
    assert len(found.differences) == 1 and f"network.c says {macc + 1:,} MACC" in found.differences[0]


def test_metrics_that_are_no_numbers(real_reports, tmp_path):
    name = real_reports / "v10.2_resnet_v1_32_validate"
    y = np.full((10, 1, 1, 100), np.nan, np.float32)
    np.savez(tmp_path / "network_val_io.npz", m_outputs_1=y, c_outputs_1=y)
    found = crosscheck(f"{name}__network_c_info.json", validation=tmp_path)
    assert any("arrays give nan" in d for d in found.differences)


# --- generated C and validation, written here from a model of ours -----------------------------------------------------


def small_model(seed=3):
    rng = np.random.default_rng(seed)
    layers = nn.layers
    model = nn.Sequential(
        [
            layers.InputLayer((6, 6, 2)),
            layers.Conv2D(4, 3, padding="same"),
            layers.Activation("relu"),
            layers.BatchNormalization(),
            layers.Conv2D(3, 1, use_bias=False),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(40, activation="relu"),
            layers.Dense(4, activation="softmax"),
        ],
        seed=seed,
    )
    for layer in model.layers:
        for array in [*layer.parameters.values(), *layer.state.values()]:
            array[...] = rng.uniform(0.2, 1, array.shape) * (1 if array.ndim == 1 else rng.choice([-1, 1], array.shape))
    return model


def write_app(folder, model, *, bits=None):
    """Write network.c, network_data_params.c and the report of `model` as X-CUBE-AI lays them out -> the codebook used."""
    data, tensors, used = b"", [], None
    level, operations = {None: "none", 4: "medium", 8: "low"}[bits], describe(model)
    rows = st.costs(operations, compression=level)
    shared = {f"{row.layer}/kernel" for row in rows if row.bits < 32}
    for want in expected_tensors(model):
        name = f"{want.layer}_{want.role}"
        if want.name in shared:
            book = optimal_codebook(want.values, 2**bits).astype("<f4")
            book = np.concatenate([book, np.repeat(book[-1:], 2**bits - len(book))])
            indices = nearest(want.values, book)
            used = book if want.name == "dense/kernel" else used
            tensors.append((name, f"LUT{bits}_FLOAT", want.values.size, len(data), 4 * 2**bits))
            data += samples.pack_codebook(book, [int(i) for i in indices])
        else:
            tensors.append((name, "FLOAT", want.values.size, len(data), 0))
            data += want.values.astype("<f4").tobytes()
    (folder / "network_data_params.c").write_text(samples.c_array(data))
    (folder / "network.c").write_text(samples.legacy_network(tensors, macc=sum(r.macc for r in rows)))
    (folder / "network_generate_report.txt").write_text(
        "ST Edge AI Core v2.2.0-20266 2adc00962\n\nExec/report summary (generate)\n-----\n"
        f"compression        :   {level}\n"
        "model_fmt          :   float\n"
        f"params #           :   {sum(r.parameters for r in rows):,} items (1 KiB)\n"
        f"macc               :   {sum(r.macc for r in rows):,}\n"
        f"weights (ro)       :   {len(data):,} B (1 KiB) (1 segment)\n-----\n"
    )
    return used


def test_generated_weights_agree(tmp_path):
    model = small_model()
    write_app(tmp_path, model)
    found = crosscheck(tmp_path, model)
    assert found.agrees, found.differences
    assert [w.name for w in found.weights] == [
        "conv2d/kernel",
        "conv2d/bias",
        "conv2d_1/kernel",  # with the batch-norm before it and the one after it, as 10.2 folds them
        "conv2d_1/bias",
        "dense/kernel",
        "dense/bias",
        "dense_1/kernel",
        "dense_1/bias",
    ]


@pytest.mark.parametrize("bits", [None, 4, 8])
def test_generated_code_without_a_report(tmp_path, bits):
    model = small_model()
    write_app(tmp_path, model, bits=bits)
    (tmp_path / "network_generate_report.txt").unlink()
    found = crosscheck(tmp_path, model)
    assert found.agrees, found.differences
    assert {t.name for t in found.totals} >= {"macc", "weights"} and len(found.weights) == 8


def test_one_weight_is_found_and_named(tmp_path):
    model = small_model()
    write_app(tmp_path, model)
    model.layers[1].parameters["kernel"][2, 0, 1, 3] += np.float32(1e-6)
    found = crosscheck(tmp_path, model)
    assert len(found.differences) == 1 and "conv2d/kernel[2, 0, 1, 3]" in found.differences[0]
    assert "one weight differs" in found.differences[0]


def test_another_shape_and_a_missing_tensor(tmp_path):
    write_app(tmp_path, small_model())
    model = nn.Sequential(
        [nn.layers.InputLayer((6, 6, 2)), nn.layers.Conv2D(5, 3, padding="same"), nn.layers.Flatten(), nn.layers.Dense(40)]
    )
    checks = {c.name or c.theirs: c for c in compare_weights(read_generated(tmp_path), model)}
    assert "another shape" in checks["conv2d/kernel"].reason and not checks["dense/kernel"].ok
    assert checks["dense_1_weights"].reason == "the model has no such tensor"


@pytest.mark.parametrize("bits", [4, 8])
def test_shared_weights(tmp_path, bits):
    model = small_model()
    used = write_app(tmp_path, model, bits=bits)
    check = next(w for w in crosscheck(tmp_path, model).weights if w.name == "dense/kernel")
    assert check.ok and check.format == f"LUT{bits}_FLOAT" and check.used <= len(used)
    assert check.mse == pytest.approx(check.best_mse) and check.gain == pytest.approx(0, abs=1e-6)


def test_a_weight_off_its_nearest_entry_and_a_poor_codebook(tmp_path):
    model = small_model()
    write_app(tmp_path, model, bits=4)
    kernel = model.layers[7].parameters["kernel"]
    kernel[5, 7] = -kernel[5, 7]
    check = next(w for w in crosscheck(tmp_path, model).weights if w.name == "dense/kernel")
    assert not check.ok and "dense/kernel[5, 7]" in check.where and check.differing == 1
    generated = read_generated(tmp_path)
    tensor = generated.tensors["dense_weights"]
    poor = np.linspace(kernel.min(), kernel.max(), 16).astype("<f4")
    body = samples.pack_codebook(poor, [int(i) for i in nearest(kernel.T.ravel(), poor)])
    generated.blob = generated.blob[: tensor.start] + body + generated.blob[tensor.start + len(body) :]
    check = next(w for w in compare_weights(generated, model) if w.name == "dense/kernel")
    assert check.ok and 0.01 < check.gain < 1


@pytest.mark.parametrize("bits", [None, 4])
def test_validation_beside_our_simulation(tmp_path, bits):
    from tinyvgg.xcubeai.weights import with_their_weights

    model = small_model()
    write_app(tmp_path, model, bits=bits)
    x = np.random.default_rng(0).uniform(0, 1, (10, 6, 6, 2)).astype(np.float32)
    theirs = with_their_weights(model, read_generated(tmp_path)).predict(x)
    np.savez(
        tmp_path / "network_val_io.npz",
        m_inputs_1=x,
        c_inputs_1=x,
        m_outputs_1=model.predict(x),
        c_outputs_1=theirs[:, None, None],
    )
    found = crosscheck(tmp_path, model)
    assert found.agrees, found.differences
    assert found.validation[-1]["l2r"] < 1e-5 and len(found.validation) == (3 if bits else 2)
    np.savez(tmp_path / "network_val_io.npz", m_inputs_1=x, c_inputs_1=x, m_outputs_1=theirs, c_outputs_1=theirs[::-1].copy())
    assert any("above 0.001" in d for d in crosscheck(tmp_path, model).differences)


def test_a_stated_metric_that_the_arrays_contradict(real_reports, tmp_path):
    name = "v10.2_resnet_v1_32_validate"
    text = (real_reports / f"{name}__network_c_info.json").read_text()
    (tmp_path / "network_c_info.json").write_text(text.replace("1.2616177400559536e-06", "1.3616177400559536e-06"))
    found = crosscheck(tmp_path / "network_c_info.json", validation=real_reports / f"{name}__network_val_io.npz")
    assert any("l2r" in d for d in found.differences)


# --- the library's own writer, the page, the command ---------------------------------------------------------


@pytest.mark.parametrize("scheme", ["low", "medium", "high"])
def test_the_librarys_own_bytes_read_as_st_writes_them(scheme):
    """The writer in quant/ and the reader here were written apart: the reader must find the writer's weights."""
    from dataclasses import replace

    from tinyvgg.quant.blob import weights_blob
    from tinyvgg.quant.fuse import fuse
    from tinyvgg.quant.sharing import share_float

    model = small_model()
    rows = st.costs(describe(model), compression=scheme, release=(7, 2))  # before batch-norms fold forward
    bits = {row.layer: row.bits for row in rows if row.bits < 32}
    graph = fuse(model)
    graph = replace(
        graph,
        ops=tuple(replace(op, weights=share_float(op.weights, bits[op.name])) if op.name in bits else op for op in graph.ops),
    )
    blob, sections = weights_blob(graph)
    ops, shared = {op.name: op for op in graph.ops}, 0
    for section in (s for s in sections if s.tensor == "weights"):
        weights = ops[section.op].weights
        if section.bits == 32:
            values = np.frombuffer(blob, "<f4", section.items, offset=section.offset)
            assert np.array_equal(values, np.asarray(weights).ravel())
        else:
            values = decode_lut(blob[section.offset :], section.items, section.bits).values
            assert np.array_equal(values, weights.expand().ravel())
            shared += 1
    assert shared == sum(row.bits < 32 for row in rows)
    assert len(blob) == sum(row.weights_bytes for row in rows)


class Links(html.parser.HTMLParser):
    """Collects what a page would fetch."""

    def __init__(self):
        super().__init__()
        self.found, self.open = [], []

    def handle_starttag(self, tag, attributes):
        self.found += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_whole_and_alone(tmp_path):
    model = small_model()
    write_app(tmp_path, model, bits=4)
    found = crosscheck(tmp_path, model)
    found.report.header["model_name"] = "<script>alert(1)</script>"
    page, links = render(found), Links()
    links.feed(page)
    assert all(link.startswith("#") for link in links.found) and not links.open and "<script>" not in page
    assert "They agree" in page and "Weights in the generated C" in page


def test_command_line(tmp_path, capsys):
    model = small_model()
    write_app(tmp_path, model)
    assert (
        main(["crosscheck", str(tmp_path), "--html", str(tmp_path / "page.html"), "--quiet", "--model", "light", "--json"]) == 1
    )
    found = json.loads(capsys.readouterr().out)
    assert (
        found["agrees"] is False and found["differences"] and (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    )
    assert main(["crosscheck", str(tmp_path / "no.txt")]) == 2
    assert "there is no" in capsys.readouterr().err
    (tmp_path / "cut.txt").write_text(samples.V5[:-200])
    main(["crosscheck", str(tmp_path / "cut.txt")])
    assert "may be cut" in capsys.readouterr().out


def test_the_model_may_be_a_run_or_a_zoo_entry(tmp_path, capsys, monkeypatch):
    from tinyvgg import zoo

    model, folder, report = small_model(), tmp_path / "run", tmp_path / "network_generate_report.txt"
    write_app(tmp_path, model)
    report.write_text(report.read_text().replace("compression", "model_hash         :   0x" + "0" * 32 + "\ncompression", 1))
    folder.mkdir()
    model.save(folder / "model.h5")
    for known in ("names", "cards"):
        monkeypatch.setattr(zoo, known, lambda: ["mine"])
    monkeypatch.setattr(zoo, "path", lambda name: folder / "model.h5")
    for name in (str(folder), "mine"):
        assert main(["crosscheck", str(tmp_path), "--model", name]) == 0
        text = capsys.readouterr().out
        assert "8 tensors" in text and "made from another file" in text
        assert main(["analyze", name]) == 0 and "conv2d_1" in capsys.readouterr().out


def test_a_folder_of_several_reports_says_which_was_read(tmp_path):
    for name in ("a_generate_report.txt", "b_analyze_report.txt"):
        (tmp_path / name).write_text(samples.V5)
    assert any("a_generate_report.txt was read" in note for note in crosscheck(tmp_path).notes)


def test_asked_for_what_is_not_there(tmp_path):
    (tmp_path / "r.txt").write_text(samples.V5)
    with pytest.raises(FormatError):
        crosscheck(tmp_path / "r.txt", generated=tmp_path)
