"""A small file of every format that this library reads from others, and the reader of each as a user calls it."""
import contextlib
import json
import pickle
from pathlib import Path

import numpy as np

import tinyvgg
from tinyvgg import attacks, codegen, faults, firmware, nn, quant  # noqa: F401 (sub-packages that the readers use)
from tinyvgg.nn import layers as L

SHAPE = (6, 6, 3)


def small_model(seed=0):
    """A network of a few hundred weights."""
    return nn.Sequential([L.InputLayer(SHAPE), L.Conv2D(4, 3, padding="same", activation="relu"), L.BatchNormalization(), L.MaxPooling2D(),
                          L.Flatten(), L.Dense(3, activation="softmax")], seed=seed, name="small")


def make(folder):
    """Write one file of each format into `folder`; return {format: (path, reader, ending)}. Files that are there stay."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    made = {name: (folder / path, f"benchmarks.campaign.readers:{reader}", ending) for name, (path, reader, ending) in FORMATS.items()}
    if not all((folder / name).exists() for name in ("complete", *(path for path, _, _ in FORMATS.values()))):
        _write(folder)
        (folder / "complete").touch()
    return made


FORMATS = {
    "h5": ("small.h5", "keras_file", ".h5"), "keras": ("small.keras", "keras_file", ".keras"),
    "weights.h5": ("small.weights.h5", "weights", ".weights.h5"), "tvq int8": ("int8.tvq", "model", ".tvq"),
    "tvq shared": ("shared.tvq", "model", ".tvq"), "tvq float": ("float.tvq", "model", ".tvq"),
    "tflite float": ("float.tflite", "model", ".tflite"), "tflite int8": ("int8.tflite", "model", ".tflite"),
    "checkpoint": ("small.npz", "model", ".npz"), "attack": ("attack.npz", "attack", ".npz"), "batch": ("batch.npz", "batch", ".npz"),
    "answers": ("answers.jsonl", "answers", ".jsonl"), "rows": ("rows.jsonl", "rows", ".jsonl"),
    "flip plan": ("flips.json", "flip_plan", ".json"), "firmware plan": ("plan.json", "firmware_plan", ".json"),
    "elf": ("small.elf", "elf", ".elf"), "images": ("x.npy", "images", ".npy"), "labels": ("y.npy", "labels", ".npy"),
    "cifar records": ("data_batch_1.bin", "cifar", ".bin"), "cifar pickle": ("data_batch_1", "cifar", ""),
    "report json": ("network_c_info.json", "report", ".json"), "report text": ("network_analyze_report.txt", "report", ".txt"),
    "report c": ("network.c", "report", ".c"),
}


def _write(folder):
    from tests.io.tflite_files import float_network
    from tests.xcubeai import samples
    from tinyvgg.firmware.network import build_network
    from tinyvgg.io import tflite
    from tinyvgg.report.record import keep_row, write_json
    generator, model = np.random.default_rng(0), small_model()
    x, y = generator.integers(0, 256, (12, *SHAPE), dtype=np.uint8), generator.integers(0, 3, 12)
    for name in ("small.h5", "small.keras", "small.weights.h5", "small.npz"):
        model.save(folder / name)
    q = quant.quantize(model, x)
    q.save(folder / "int8.tvq")
    tflite.save_model(q, folder / "int8.tflite")
    (folder / "float.tflite").write_bytes(float_network()[0])
    from tinyvgg.quant.schemes import compress
    compress(model, "shared3", x, calibration="minmax").save(folder / "shared.tvq")
    compress(model, "shared4", codebook="float").save(folder / "float.tvq")
    attacks.fgsm(model, x / np.float32(255), y, eps="8/255", quiet=True).save(folder / "attack.npz")
    np.savez_compressed(folder / "batch.npz", a=generator.random((4, 6), dtype=np.float32), seconds=1.0, gradients=3)
    for i in range(8):
        keep_row(folder / "rows.jsonl", {"i": i, "raw": [1, 2, i], "cycles": 5, "seconds": 0.5, "instructions": None})
    (folder / "answers.jsonl").write_text(json.dumps({"images": "a", "model": "b", "protocol": "tinyvgg"}) + "\n"
                                          + (folder / "rows.jsonl").read_text())
    faults.random_plan(faults.open_store(q, "image"), 5).save(folder / "flips.json")
    from tinyvgg.firmware.plan import FORMAT, plain_sha256
    write_json(folder / "plan.json", {"format": FORMAT, "model_sha256": plain_sha256(q.graph), "plan": {
        "variants": {"conv2d": "direct"}, "streams": [], "cycles": 1, "flash_bytes": 1, "ram_bytes": 1, "arena_bytes": 1}})
    build_network(q, folder, name="small")
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    records = [bytes([i % 10]) + generator.bytes(3072) for i in range(5)]
    (folder / "data_batch_1.bin").write_bytes(b"".join(records))
    rows = np.frombuffer(b"".join(r[1:] for r in records), np.uint8).reshape(5, 3072)
    (folder / "data_batch_1").write_bytes(pickle.dumps({b"data": rows, b"labels": [r[0] for r in records]}, protocol=2))
    (folder / "network_analyze_report.txt").write_text(samples.V8)
    (folder / "network_c_info.json").write_text(json.dumps({"version": "1.0", "tensors": [], "nodes": [], "memory_pools": [], "inputs": [],
                                                            "outputs": [], "environment": {"tools": [{"name": "stm.ai", "version": "9"}]}}))
    (folder / "network.c").write_text('AI_ARRAY_OBJ_DECLARE(\n  conv_output_array, AI_ARRAY_FORMAT_FLOAT,\n  NULL, NULL, 32, AI_STATIC)\n' * 6)


# --- readers, as benchmarks of the fuzzer: each takes a path -------------------------------------------------------------------


def keras_file(path):
    from tinyvgg.analyze.open import describe_path
    from tinyvgg.io import keras_h5
    for way in (keras_h5.summary, keras_h5.read, describe_path, tinyvgg.load_model):
        error = None
        try:
            way(path)
        except tinyvgg.errors.TinyVGGError as raised:
            error = raised
    if error is not None:
        raise error


def weights(path):
    small_model().load_weights(path)


def model(path):
    found = tinyvgg.load_model(path)
    found.logits(np.zeros((1, *found.input_shape), np.float32))


def attack(path):
    attacks.load(path).summary()


def batch(path):
    from tinyvgg.report.untrusted import npz_arrays
    npz_arrays(path)


def answers(path):
    from tinyvgg.board.answers import Answers
    key = {"images": "a", "model": "b", "protocol": "tinyvgg"}
    kept = Answers(path, key, key, 8, 3)
    whole = {i: [1, 2, i] for i in range(8)}
    assert all(row["raw"] == whole[i] for i, row in kept.rows.items()), "a damaged answer was believed"
    kept.begin()
    kept.finish()


def rows(path):
    from tinyvgg.report.record import kept_rows
    assert all(row["raw"] == [1, 2, row["i"]] for row in kept_rows(path)), "a damaged row was believed"


def flip_plan(path):
    plan = faults.load_plan(path)
    with contextlib.suppress(tinyvgg.errors.TinyVGGError):
        plan.apply(faults.open_store(quant.load_tvq(_source("int8.tvq")), "image"))


def firmware_plan(path):
    from tinyvgg.firmware.plan import read_plan
    read_plan(path, quant.load_tvq(_source("int8.tvq")))


def elf(path):
    from tinyvgg.faults.elf import bases
    from tinyvgg.firmware.elf import Elf
    Elf(path)
    bases(faults.open_store(quant.load_tvq(_source("int8.tvq")), "image"), path)


def images(path):
    from tinyvgg.data import npy
    npy.load([str(path), str(_source("y.npy"))])


def labels(path):
    from tinyvgg.data import npy
    npy.load([str(_source("x.npy")), str(path)])


def cifar(path):
    from tinyvgg.data import batch_pickle, cifar10
    data = Path(path).read_bytes()
    if path.suffix == ".bin":
        cifar10.read_records(data, str(path))
    else:
        batch_pickle.read_batch(data, str(path))


def report(path):
    from tinyvgg.xcubeai.csource import read_generated
    from tinyvgg.xcubeai.read import read_report
    (read_generated if path.suffix == ".c" else read_report)(path)


def _source(name):
    """A whole file beside the one that is damaged: the fuzzer's folder holds none, the campaign's does."""
    import os
    return Path(os.environ["TINYVGG_CAMPAIGN"]) / name
