"""The deployed network beside the float one and OpenVINO's int8, in turns in one run.

    python benchmarks/integer_speed.py [--openvino PYTHON] [--rows logits_64,logits_1,...] [--before CHECKOUT] [--out FILE.json]

logits_64, logits_1   the integers' logits, the float network's, the simulation's (the definition), and OpenVINO's of the same
                      weights and ranges (--openvino: an interpreter that has it; a process of its own)
gradient_64           a step of PGD: the straight-through gradient beside the float network's, sign and clip included
answers               images a minute: PGD-40 at 8/255 on floats and integers; labels on floats, integers, C on this machine and
                      the virtual board, which have no gradients: attacks by queries pay one label a query
finetune              an epoch of 4,096 images of fine-tuning (shared4) beside one of float training
search                20 bit flips with 500 images (--flips, --images), beside the checkout --before, in a process each

Milliseconds are the median of --rounds turns, and `ratio` is the median over turns of the other's time by ours: above 1 we are
faster. --cpu-time measures one thread's processor time, where others use the machine too. Weights: the zoo's --model.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from common import option_parser, write_result

from tinyvgg.open import open_model
from tinyvgg.quant import quantize
from tinyvgg.quant.straight import straight_through

HERE = Path(__file__).resolve().parent
ROWS = "logits_64,logits_1,gradient_64"


def main():
    parser = option_parser(__doc__, model="light_cifar10", rows=ROWS, rounds=30, threads=os.cpu_count(), cpu_time=bool, flips=20,
                           images=500, out=Path)
    parser.add_argument("--openvino", metavar="PYTHON")
    parser.add_argument("--before", metavar="CHECKOUT")
    parser.add_argument("--child", choices=("search",), help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.threads = 1 if options.cpu_time else options.threads
    threads = dict.fromkeys(("TINYVGG_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(options.threads))
    if any(os.environ.get(name) != number for name, number in threads.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **threads})
    if options.child:
        print(json.dumps(search_seconds(options)))
        return
    work = Work(options)
    rows = {}
    for name in options.rows.split(","):
        rows[name] = getattr(work, name)()
        print(json.dumps({name: rows[name]}), flush=True)
    places = {options.openvino: "PYTHON", options.before: "CHECKOUT"}
    kept = [places.get(word, word) for word in sys.argv[1:] if word not in ("--out", str(options.out))]
    write_result(options.out, " ".join(["python benchmarks/integer_speed.py", *kept]), threads=options.threads,
                 clock="processor" if options.cpu_time else "wall", rows=rows)


class Work:
    """The networks, and a method for each row."""

    def __init__(self, options):
        self.options = options
        self.now = time.process_time if options.cpu_time else time.perf_counter
        self.float = open_model(options.model)
        generator = np.random.default_rng(0)
        self.bytes = generator.integers(0, 256, (256, *self.float.input_shape), dtype=np.uint8)
        low, high = self.float.input_range
        self.images = (low + (high - low) * (self.bytes / 255)).astype(np.float32)
        self.integers = quantize(self.float, self.bytes)
        self.straight = straight_through(self.integers)
        self.logits_64, self.logits_1 = partial(self.logits, 64), partial(self.logits, 1)

    def turns(self, functions, rounds=None):
        """Call each function once a turn; return {name: seconds of each turn}. What a Peer says are its own seconds."""
        found = {name: [] for name in functions}
        for function in functions.values():
            function()
        for _ in range(rounds or self.options.rounds):
            for name, function in functions.items():
                seconds = function()
                if not isinstance(function, Peer):
                    start = self.now()
                    function()
                    seconds = self.now() - start
                found[name].append(seconds)
        return found

    def row(self, functions, rounds=None):
        found = self.turns(functions, rounds)
        ours = found["ours"]
        row = {f"{name}_ms": round(1e3 * statistics.median(seconds), 3) for name, seconds in found.items()}
        for name, seconds in found.items():
            if name != "ours":
                row[f"ratio_{name}"] = round(statistics.median(b / a for a, b in zip(ours, seconds, strict=True)), 2)
        return {**row, "best_ms": {name: round(1e3 * min(seconds), 3) for name, seconds in found.items()}}

    def logits(self, count):
        from tinyvgg.quant.simulate import run
        x, xf, rounds = self.bytes[:count], self.images[:count], self.options.rounds
        functions = {"ours": lambda: self.integers.integer_logits(x), "float": lambda: self.float.logits(xf),
                     "simulation": lambda: run(self.integers.graph, x)}
        about, peer = {}, None
        if self.options.openvino:
            peer = Peer(self, count)
            about, functions["openvino"] = {"openvino": peer.about}, peer
        assert np.array_equal(run(self.integers.graph, x), self.integers.integer_logits(x))
        try:
            return {**self.row(functions, rounds), **about}
        finally:
            if peer:
                peer.close()

    def gradient_64(self):
        x = self.images[:64]
        low, high = self.float.input_range
        g = np.random.default_rng(1).standard_normal((64, self.float.n_classes)).astype(np.float32)

        def step(model):
            return np.clip(x + np.float32(2 / 255) * np.sign(model.vjp(x, lambda logits: g)), low, high)
        return self.row({"ours": lambda: step(self.straight), "float": lambda: step(self.float)})

    def answers(self):
        from tinyvgg.attacks import pgd
        models = {"float": self.float, "integer": self.straight}
        y = self.float.labels(self.images[:64])
        minute = {}
        for name, model in models.items():
            def attack(model=model):
                pgd(model, self.images[:64], y, eps=8 / 255, early_stop=False)
            seconds = self.turns({name: attack}, 3)
            minute[f"pgd40_{name}"] = round(64 * 60 / statistics.median(seconds[name]))
        labels = {"float": (self.float, self.images), "integer": (self.integers, self.bytes)}
        from tinyvgg.board import Board
        from tinyvgg.codegen import HostModel
        from tinyvgg.firmware.network import build_network
        labels["c"] = HostModel(self.integers), self.bytes
        with tempfile.TemporaryDirectory() as folder:
            network = build_network(self.integers, folder, name="network")
            with Board(f"virtual:{network.image.elf}") as board:
                labels["board"] = board, self.bytes[:8]
                for name, (model, x) in labels.items():
                    seconds = self.turns({name: lambda model=model, x=x: model.labels(x)}, 1 if name == "board" else 5)
                    minute[f"labels_{name}"] = round(len(x) * 60 / statistics.median(seconds[name]))
        return minute

    def finetune(self):
        from tinyvgg.quant.calibrate import calibrate
        from tinyvgg.quant.finetune import finetune, start_codebooks
        from tinyvgg.quant.fuse import fuse
        from tinyvgg.quant.sharing import sharer
        count = 4096
        generator = np.random.default_rng(2)
        x = generator.integers(0, 256, (count, *self.float.input_shape), dtype=np.uint8)
        y = generator.integers(0, self.float.n_classes, count)
        graph = fuse(self.float)
        ranges = calibrate(graph, x[:64])

        def ours():
            finetune(graph, ranges, x, y, books=start_codebooks(graph, sharer(4)))

        def floats():
            self.float.fit(x, y, epochs=1, batch_size=64, quiet=True)
        return self.row({"ours": ours, "float": floats}, 3)

    def search(self):
        """Seconds of one search here and in the checkout before, each in a process of its own."""
        row = {"ours_s": self._search(None)}
        if self.options.before:
            row["before_s"] = self._search(self.options.before)
            row["ratio_before"] = round(row["before_s"]["seconds"] / row["ours_s"]["seconds"], 2)
            row["same_flips"] = row["before_s"].pop("plan") == row["ours_s"]["plan"]
        row["ours_s"].pop("plan", None)
        return row

    def _search(self, checkout):
        o = self.options
        words = [sys.executable, __file__, "--child", "search", "--model", o.model, "--flips", str(o.flips),
                 "--images", str(o.images), "--threads", str(o.threads), *(["--cpu-time"] if o.cpu_time else [])]
        environment = {**os.environ, **({"PYTHONPATH": str(Path(checkout).resolve())} if checkout else {})}
        return json.loads(subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout)


def search_seconds(options):
    """One search: its seconds, compiling left out, and the flips that it found."""
    work = Work(options)
    from tinyvgg.faults.search import progressive_search
    x = np.random.default_rng(3).integers(0, 256, (options.images, *work.float.input_shape), dtype=np.uint8)
    y = work.integers.labels(x)
    progressive_search(work.integers, x[:4], y[:4], flips=1)
    start = work.now()
    plan = progressive_search(work.integers, x, y, flips=options.flips)
    return {"seconds": round(work.now() - start, 1), "plan": [str(step.flips) for step in plan.steps]}


class Peer:
    """OpenVINO with the same weights, ranges and images, in another interpreter."""

    def __init__(self, work, count):
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "network.npz"
        export(work, path)
        o = work.options
        self.process = subprocess.Popen(
            [o.openvino, str(HERE / "openvino_peer.py"), str(path), str(count), str(o.threads), "cpu" if o.cpu_time else "wall"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = json.loads(self.process.stdout.readline())

    def __call__(self):
        """Seconds of one batch there."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.folder.cleanup()


def export(work, path):
    """Write the network as openvino_peer.py reads it: of convolutions and dense layers in a chain."""
    from tinyvgg.quant.lower import per_channel_int8
    from tinyvgg.quant.ops.conv2d import Conv2D
    from tinyvgg.quant.ops.dense import Dense
    graph, floats = work.integers.graph, work.integers.float_graph
    arrays, layers = {}, []
    for op in graph.ops[1:]:
        if op.probabilities:
            continue
        if not isinstance(op, Conv2D | Dense) or floats[op.name].tail.activation not in ("none", "relu"):
            sys.exit(f"the peer's network has no {type(op).__name__} ({op.name}); expected convolutions and dense layers")
        twin, dense = floats[op.name], isinstance(op, Dense)
        w, scale = per_channel_int8(twin, np.full(len(twin.weights), 1e-30))
        affine = twin.tail.gain is not None
        arrays.update({f"{op.name}/weights": w, f"{op.name}/scale": scale, f"{op.name}/bias": twin.tail.bias})
        if affine:
            arrays.update({f"{op.name}/gain": twin.tail.gain, f"{op.name}/shift": twin.tail.shift})
        ends = [op.scale * (level - op.zero) for level in (0, 255)]
        layers.append({"name": op.name, "dense": dense, "relu": twin.tail.activation == "relu", "affine": affine,
                       "pool": getattr(op, "pool", None), "range": None if op is graph.logits else ends,
                       **({} if dense else {"padding": op.padding, "strides": op.strides, "dilation": op.dilation})})
    about = {"shape": graph.input_shape, "input_range": graph.input_range, "layers": layers}
    np.savez(path, about=json.dumps(about), images=work.bytes, logits=work.integers.logits(work.bytes), **arrays)


if __name__ == "__main__":
    main()
