"""kill -9 at random moments of the long verbs on tiny networks; the same command again must end as an unbroken one.

The verbs run in children of a process that has imported everything, so that most of a child's time is the verb's own. Compared are
the result files, without what differs from run to run (times: those of an answer on its way, too, which depend on where in its
polling the firmware stood; cycles and stalls must be the same); hidden temporary files must be gone.
"""
import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np

from benchmarks.campaign import readers
from tinyvgg import cli, demo, nn
from tinyvgg.nn import layers as L
from tinyvgg.report.record import sha256_file

LEFT_OUT = ("seconds", "versions", "command", "total_ms_per_image", "wire_ms_per_image", "results", "resumed", "repeats", "created",
            "host_ms")


def verbs(folder):
    """{verb: (command line with {out}, the files to compare)}; the models and images lie in `folder`."""
    data = f"--data {folder}/x32.npy,{folder}/y32.npy"
    return {
        "board evaluate": (f"board evaluate --port virtual:{folder}/small.elf {tiny(folder)} -n 24 --out {{out}}", ["answers.jsonl"]),
        "train": (f"train --arch resnet8 {data} --epochs 3 --batch-size 16 --seed 1 --out {{out}} --resume", ["history.csv", "model.h5"]),
        "attack": (f"attack pgd {folder}/small.h5 {tiny(folder)} --steps 20 -n 60 --batch-size 8 --out {{out}}", ["attack.npz"]),
        "attack curve": (f"attack curve {folder}/small.h5 {tiny(folder)} --eps 0,4/255,8/255 --steps 10 -n 60 --out {{out}}", ["curve.jsonl"]),
        "bitflip random": (f"bitflip random {folder}/int8.tvq {tiny(folder)} --flips 1,2,5 --seeds 6 -n 60 --out {{out}}", ["random.jsonl"]),
        "bitflip map": (f"bitflip map {folder}/int8.tvq {tiny(folder)} --samples 2 -n 60 --out {{out}}", ["map.jsonl"]),
        "bitflip search": (f"bitflip search {folder}/int8.tvq {tiny(folder)} --flips 4 -n 60 --out {{out}}", ["plan.json"]),
        "compress": (f"compress {folder}/small.h5 --scheme shared4 --finetune 2 {tiny(folder)} --out {{out}}/m.tvq", ["m.tvq"]),
        "demo": (f"demo --model {folder}/mini.h5 --quick --data {folder}/x32.npy,{folder}/y32.npy,{folder}/x32.npy,{folder}/y32.npy --out {{out}}",
                 [f"{stage}/result.json" for stage in demo.STAGES]),
        "firmware build": (f"firmware build {folder}/int8.tvq --out {{out}}", ["int8.elf", "int8.bin"]),
    }


def tiny(folder):
    return f"--data {folder}/x6.npy,{folder}/y6.npy"


def prepare(folder):
    """The models, images and firmware of the verbs."""
    readers.make(folder)
    if not (folder / "mini.h5").exists():
        nn.Sequential([L.InputLayer((32, 32, 3)), L.Conv2D(6, 3, strides=2, padding="same", activation="relu"), L.MaxPooling2D(), L.Flatten(),
                       L.Dense(3, activation="softmax")], seed=3, name="mini").save(folder / "mini.h5")
    generator = np.random.default_rng(1)
    for size, channels, count in ((32, 3, 64), (6, 3, 120)):
        if not (folder / f"x{size}.npy").exists():
            np.save(folder / f"x{size}.npy", generator.integers(0, 256, (count, size, size, channels), dtype=np.uint8))
            np.save(folder / f"y{size}.npy", generator.integers(0, 3, count))


def killed(verb, count, folder, seed=0):
    """Kill `verb` `count` times, each time going on until it is done -> {"kills", "resumes", "same", "different", "leftovers", "errors"}."""
    folder = Path(folder).resolve()
    prepare(folder)
    line, files = verbs(folder)[verb]
    draw = random.Random(f"{verb} {seed}")
    whole, row = folder / "out" / f"{verb.replace(' ', '_')}_whole", {"kills": 0, "runs": 0, "same": 0, "different": 0, "leftovers": 0, "errors": 0}
    shutil.rmtree(whole, ignore_errors=True)
    began = time.monotonic()
    if _run(line.format(out=whole), None):
        raise SystemExit(f"{line.format(out=whole)} does not work")
    lasts, expected = time.monotonic() - began, {name: content(whole / name, whole) for name in files}
    out = folder / "out" / verb.replace(" ", "_")
    while row["kills"] < count:
        shutil.rmtree(out, ignore_errors=True)
        row["runs"] += 1
        for _ in range(draw.choice((1, 1, 2, 3))):
            code = _run(line.format(out=out), draw.random() * lasts)
            if code is not None:
                break
            row["kills"] += 1
        code = _run(line.format(out=out), None)
        row["errors"] += code != 0
        same = {name: (out / name).exists() and content(out / name, out) for name in files} == expected
        row["same" if same else "different"] += 1
        row["leftovers"] += any(p.name.startswith(".") for p in out.rglob("*"))
        if not same or code:
            shutil.copytree(out, folder / "kept" / f"{verb.replace(' ', '_')}_{row['runs']}", dirs_exist_ok=True)
    return row


def content(path, out):
    """What must be the same: bytes, or plain data without times and without the name of the folder `out`."""
    if path.suffix in (".jsonl", ".json"):
        text = path.read_text().replace(str(out), "OUT")
        return [plain(json.loads(line)) for line in (text.splitlines() if path.suffix == ".jsonl" else [text])]
    if path.suffix == ".npz":
        from tinyvgg.report.untrusted import npz_arrays
        return {name: a.tobytes() for name, a in npz_arrays(path).items() if name != "header"}
    return sha256_file(path)


def plain(value):
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k not in (*LEFT_OUT, "crc")}
    return [plain(v) for v in value] if isinstance(value, list) else value


def _run(line, after):
    """Run a command line in a child; kill it `after` seconds (None: not) -> its exit code, or None if it was killed."""
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        if not os.environ.get("TINYVGG_CAMPAIGN_LOUD"):
            os.dup2(null, 2)
        code = 3
        try:
            code = cli.main([*line.split(), "--quiet"])
        finally:
            os._exit(code)
    end = None if after is None else time.monotonic() + after
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if end is not None and time.monotonic() >= end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.002)
