"""Our training step, PGD gradient and inference beside PyTorch's, in one process, interleaved: the median of paired ratios.

    python benchmarks/train_step.py [--json] [--repeats 15] [--only train,infer] [--threads 2]

needs PyTorch. On a machine that others use, --cpu-time compares the processor time of one thread each. Both use the same
number of threads and the same weights; PyTorch runs channels_last, with malloc told to keep its
memory (it allocates large results anew at each step, we do not). ratio = peer_ms / ours_ms of each pair, so above 1 we are
faster.

Before each timed call, of either side, nothing runs for 20 ms and one call goes untimed. PyTorch's OpenMP threads keep a core
busy for milliseconds after their last call, which the other side would pay for if its turn came at once; and a program that
trains or predicts calls one library again and again, so that its threads are awake. --no-pause leaves both out.
--peers adds inference beside ONNX Runtime, OpenVINO and torch.compile, all in this process (pip install onnx onnxruntime openvino).
Rows with a child process of their own: train-avx2 (both limited to AVX2), cold-start, memory, busy-neighbour, and tensorflow
(where it is installed, or with --tensorflow PYTHON in another interpreter): the two libraries' own processes take turns there.
"""
import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MALLOC = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "1073741824"}
AVX2 = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+sse4.2,+popcnt,+bmi,+bmi2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2"}
SETTLE = 0.02           # seconds
WORKS = [("train", "light", 64), ("train", "light", 256), ("pgd", "light", 64), ("infer", "light", 1), ("infer", "light", 64),
         ("infer", "light", 256), ("train-base", "base", 64), ("train-notebook", "notebook", 64),
         ("train-resnet8", "resnet8", 64)]
NETWORK_WORKS = [(f"{work}-{name}", name, 64)        # see networks.py; --only networks
                 for name in ("conv-bn", "residual", "mnist", "small", "mobile", "leaky", "average")
                 for work in ("train", "pgd", "infer")]
WORKS += NETWORK_WORKS
CHILDREN = ("train-avx2", "cold-start", "memory", "busy-neighbour", "error", "tensorflow")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="one thread each, processor time instead of wall time")
    parser.add_argument("--no-pause", action="store_true", help="time each call at once after the other side's")
    parser.add_argument("--peers", action="store_true", help="inference beside ONNX Runtime, OpenVINO and torch.compile")
    parser.add_argument("--tensorflow", metavar="PYTHON", help="an interpreter that has TensorFlow")
    parser.add_argument("--only", help="names of rows, with commas between")
    parser.add_argument("--out", metavar="FILE.json", help="write the rows there too, sorted for the pages in docs/")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.threads = 1 if options.cpu_time else options.threads
    if os.environ.get("MALLOC_MMAP_THRESHOLD_") is None:
        os.execve(sys.executable, [sys.executable, *sys.argv],
                  {**os.environ, **MALLOC, "TINYVGG_NUM_THREADS": str(options.threads)})
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    if options.child:
        print(json.dumps(CHILD[options.child](options)))
        return
    wanted = options.only.split(",") if options.only else None
    rows = []
    for found in all_rows(options, wanted):
        rows.append(found)
        print(json.dumps(found), file=sys.stderr, flush=True)
    if options.out:
        write(options, rows)
    print(json.dumps(rows, indent=1) if options.json else table(rows))


def all_rows(options, wanted):
    """Yield every row that is wanted."""
    for work, name, batch in WORKS:
        if wanted is None or work in wanted or ("networks" in wanted and (work, name, batch) in NETWORK_WORKS):
            yield {**compare(work, name, batch, options), "network": name}
    for batch in (1, 64, 256) if options.peers else ():
        yield from beside_peers(batch, options)
    for work in CHILDREN:
        if wanted is None or work in wanted:
            yield from CHILD_ROWS[work](options)


# --- pairs in one process ---

def compare(work, name, batch, options):
    """Time one work of one network, ours and PyTorch's by turns."""
    ours, theirs = pair(work.split("-")[0], name, batch, options.threads)
    for _ in range(3):
        theirs(), ours()
    inner = 40 if batch == 1 else 1
    timer = time.process_time if options.cpu_time else time.perf_counter
    times = [tuple(settled(f, inner, timer, options) for f in (ours, theirs)) for _ in range(options.repeats)]
    return row(work, batch, times)


def beside_peers(batch, options):
    """Time light's inference, ours and each inference engine's by turns; yield a row for each."""
    import numpy as np
    from inference_peers import PEERS

    from tinyvgg import models
    model = models.light()
    x = np.random.default_rng(0).random((batch, *model.input_shape), dtype=np.float32)
    works = {"ours": lambda: model.logits(x)}
    works |= dict(make(model, np.ascontiguousarray(x.transpose(0, 3, 1, 2)), options.threads) for make in PEERS)
    for work in works.values():
        for _ in range(3):
            work()
    timer, inner = time.process_time if options.cpu_time else time.perf_counter, 40 if batch == 1 else 1
    times = [[settled(work, inner, timer, options) for work in works.values()] for _ in range(options.repeats)]
    for k, name in enumerate(works):
        if k:
            yield {**row("infer-peers", batch, [(turn[0], turn[k]) for turn in times]), "peer": name}


def settled(function, inner, timer, options):
    """Seconds for one call, once the other side's threads have gone to sleep and this side's are awake."""
    if not options.no_pause:
        time.sleep(SETTLE)
        function()
    return clock(function, inner, timer)


def row(work, batch, times, peer="torch"):
    """One result: medians in milliseconds, the ratio as the median over pairs."""
    ours, theirs = zip(*times, strict=True)
    return {"work": work, "batch": batch, "ours_ms": round(1e3 * statistics.median(ours), 3), "peer": f"{peer} {version()}",
            "peer_ms": round(1e3 * statistics.median(theirs), 3), "ratio": round(statistics.median(b / a for a, b in times), 2)}


def pair(work, name, batch, threads):
    """Return (ours, theirs): functions without arguments that do the work once."""
    import numpy as np
    import torch
    from networks import NETWORKS
    from torch_peer import Work

    from tinyvgg import models
    from tinyvgg.nn.losses import cross_entropy
    from tinyvgg.train.optimizers import Adam
    torch.set_num_threads(threads)
    model, adam = NETWORKS[name]() if name in NETWORKS else models.build(name), Adam(1e-3)
    rng = np.random.default_rng(0)
    x = rng.random((batch, *model.input_shape), dtype=np.float32)
    labels = rng.integers(0, 10, batch)
    peer = Work(model)
    tx, ty = peer.images(x), torch.from_numpy(labels)

    def train():
        _, gradient = cross_entropy(model.forward_logits(x, training=True), labels)
        model.backward_logits(gradient, inputs=False)
        adam.step(model)

    def gradient():
        return model.vjp(x, lambda logits: cross_entropy(logits, labels)[1])
    return {"train": (train, lambda: peer.train(tx, ty)), "pgd": (gradient, lambda: peer.gradient(tx, ty)),
            "infer": (lambda: model.logits(x), lambda: peer.infer(tx))}[work]


def clock(function, times, timer):
    """Seconds for one call."""
    start = timer()
    for _ in range(times):
        function()
    return (timer() - start) / times


def version():
    import torch
    return torch.__version__


# --- children ---

def child(name, options, **environment):
    """Run this file as a child that does one thing and prints it as JSON."""
    command = [sys.executable, __file__, "--child", name, "--repeats", str(options.repeats), "--threads", str(options.threads)]
    command += ["--cpu-time"] * options.cpu_time + ["--no-pause"] * options.no_pause
    result = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{name}: the child failed\n{result.stderr[-2000:]}")
    return json.loads(result.stdout.splitlines()[-1])


def avx2_rows(options):
    """Both limited to AVX2."""
    yield {**child("train", options, **AVX2), "work": "train-avx2"}


def cold_rows(options):
    """The first training step of a new process: with nothing compiled, and with everything on disk."""
    with tempfile.TemporaryDirectory() as cache:
        cold = child("first-step", options, NUMBA_CACHE_DIR=cache)
        cached = min(child("first-step", options, NUMBA_CACHE_DIR=cache) for _ in range(3))
    peer = min(child("first-step-peer", options) for _ in range(3))
    yield {"work": "cold-start", "batch": 64, "ours_ms": round(1e3 * cold), "cached_ms": round(1e3 * cached),
           "peer": f"torch {version()}",
           "peer_ms": round(1e3 * peer), "ratio": round(peer / cold, 3)}


def memory_rows(options):
    """Peak resident memory of a process that trains at batch 64, in megabytes (10^6 bytes)."""
    child("memory", options)
    ours, peer = child("memory", options), child("memory-peer", options)
    yield {"work": "memory", "batch": 64, "ours_mb": ours, "peer": f"torch {version()}", "peer_mb": peer,
           "ratio": round(peer / ours, 2)}


def busy_rows(options):
    """The training step while another process keeps one core busy."""
    neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield {**compare("train", "light", 64, options), "work": "busy-neighbour"}
    finally:
        neighbour.kill()


def tensorflow_rows(options):
    """Training and inference beside TensorFlow, which works in its own process and takes turns with ours."""
    python = options.tensorflow or (sys.executable if importlib.util.find_spec("tensorflow") else None)
    for work, batch in (("train", 64), ("infer", 1), ("infer", 64)) if python else ():
        yield beside_tensorflow(python, work, batch, options)


def beside_tensorflow(python, work, batch, options):
    """Time one work of light, ours and TensorFlow's by turns."""
    from tinyvgg import models
    with tempfile.TemporaryDirectory() as folder:
        models.light().save(Path(folder) / "light.h5")
        command = [python, Path(__file__).with_name("tensorflow_peer.py"), Path(folder) / "light.h5", work, str(batch),
                   str(options.threads)]
        with subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as peer:
            number, (ours, _) = peer.stdout.readline().strip(), pair(work, "light", batch, options.threads)
            if not number:
                sys.exit(f"TensorFlow's side failed; to see why: {' '.join(map(str, command))}")
            ours()
            times = []
            for _ in range(options.repeats):
                mine = settled(ours, 40 if batch == 1 else 1, time.perf_counter, options)
                time.sleep(SETTLE)
                peer.stdin.write("\n")
                peer.stdin.flush()
                times.append((mine, float(peer.stdout.readline())))
            peer.stdin.close()
    return {**row(work, batch, times), "peer": f"tensorflow {number}"}


def error_rows(options):
    """Errors against float64 (our definition in NumPy), ours and PyTorch's, largest over largest."""
    for what, (ours, peer) in child("error", options).items():
        yield {"work": "error", "batch": 32, "what": what, "ours": ours, "peer": f"torch {version()}", "peer_value": peer}


def first_step(options):
    """Seconds from the import to the end of the first training step."""
    start = time.perf_counter()
    import numpy as np

    from tinyvgg import models
    from tinyvgg.nn.losses import cross_entropy
    from tinyvgg.train.optimizers import Adam
    model, x = models.light(), np.zeros((64, 32, 32, 3), np.float32)
    _, gradient = cross_entropy(model.forward_logits(x, training=True), np.zeros(64, np.int64))
    model.backward_logits(gradient, inputs=False)
    Adam(1e-3).step(model)
    return time.perf_counter() - start


def first_step_peer(options):
    start = time.perf_counter()
    _peer_steps(options, 1)
    return time.perf_counter() - start


def _peer_steps(options, count):
    import numpy as np
    import torch
    from torch_peer import Work

    from tinyvgg import models
    torch.set_num_threads(options.threads)
    peer = Work(models.light())
    for _ in range(count):
        peer.train(peer.images(np.zeros((64, 32, 32, 3), np.float32)), torch.zeros(64, dtype=torch.long))


def memory(options):
    """Peak resident memory after three steps."""
    for _ in range(3):
        first_step(options)
    return peak_megabytes()


def peak_megabytes():
    """This process' own peak; getrusage would count what its parent held before it was started."""
    status = Path("/proc/self/status").read_text()
    return round(int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6)


def memory_peer(options):
    _peer_steps(options, 3)
    return peak_megabytes()


def errors(options):
    """{what: (ours, PyTorch's)}: logits and input gradient of light in inference mode, beside float64."""
    import numpy as np
    import torch
    from torch_peer import Work

    from tinyvgg import kernels, models
    from tinyvgg.nn.losses import cross_entropy
    rng = np.random.default_rng(0)
    x, labels = rng.random((32, 32, 32, 3), dtype=np.float32), rng.integers(0, 10, 32)
    model = models.light()
    peer = Work(model)
    tx, ty = peer.images(x), torch.from_numpy(labels)

    def loss_gradient(logits):
        return cross_entropy(logits, labels)[1]
    with kernels.use("reference"):
        exact = model.astype(np.float64)
        logits, gradient = exact.logits(x.astype(np.float64)), exact.vjp(x.astype(np.float64), loss_gradient)

    def relative(a, b):
        return float(f"{np.abs(a - b).max() / np.abs(b).max():.2e}")
    ours_dx, peer_dx = model.vjp(x, loss_gradient), peer.gradient(tx, ty).permute(0, 2, 3, 1).numpy()
    return {"logits": (relative(model.logits(x), logits), relative(peer.infer(tx).numpy(), logits)),
            "input gradient": (relative(ours_dx, gradient), relative(peer_dx, gradient)),
            "input gradient, share of equal signs": tuple(float((np.sign(d) == np.sign(gradient)).mean())
                                                            for d in (ours_dx, peer_dx)),
            **layer_errors()}


def layer_errors():
    """{what: (ours, PyTorch's)} for the three products of each convolution of light, batch 8."""
    import numpy as np
    import torch

    from tinyvgg import kernels
    from tinyvgg.kernels import reference
    rng, same, found = np.random.default_rng(0), ((1, 1), (1, 1)), {}
    for size, channels, filters in ((32, 32, 32), (16, 32, 64), (8, 64, 128), (4, 128, 128)):
        x, dy = (rng.standard_normal((8, size, size, c)).astype(np.float32) for c in (channels, filters))
        kernel = (rng.standard_normal((3, 3, channels, filters)) / 17).astype(np.float32)
        wide = [a.astype(np.float64) for a in (dy, x, kernel)]
        exact = [reference.conv2d(*wide[1:], padding=same), *reference.conv2d_backward(*wide, padding=same)[:2]]
        ours = [kernels.conv2d(x, kernel, padding=same), *kernels.conv2d_backward(dy, x, kernel, padding=same)[:2]]
        tx, td = (torch.from_numpy(a).permute(0, 3, 1, 2) for a in (x, dy))
        tk = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
        back = torch.ops.aten.convolution_backward(td, tx, tk, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1,
                                                     [True, True, False])
        theirs = [torch.conv2d(tx, tk, padding=1).permute(0, 2, 3, 1).numpy(), back[0].permute(0, 2, 3, 1).numpy(),
                  back[1].permute(2, 3, 1, 0).numpy()]
        for name, a, b, e in zip(("forward", "input gradient", "weight gradient"), ours, theirs, exact, strict=True):
            found[f"{channels}->{filters} at {size}x{size}, {name}"] = tuple(float(f"{np.abs(v - e).max() / np.abs(e).max():.2e}")
                                                                             for v in (a, b))
    return found


CHILD = {"train": lambda options: compare("train", "light", 64, options), "first-step": first_step,
         "first-step-peer": first_step_peer,
         "memory": memory, "memory-peer": memory_peer, "error": errors}
CHILD_ROWS = {"train-avx2": avx2_rows, "cold-start": cold_rows, "memory": memory_rows, "busy-neighbour": busy_rows,
              "error": error_rows, "tensorflow": tensorflow_rows}


def write(options, rows):
    """The rows as a result file (see fill_docs.py): timings, errors, and the two single ones by their names."""
    from tinyvgg.report.record import versions, write_json
    single = {row["work"].replace("-", "_"): row for row in rows if row["work"] in ("cold-start", "memory")}
    arguments = [f" --only {options.only}"] * bool(options.only) + [" --cpu-time"] * options.cpu_time
    arguments += [f" --repeats {options.repeats}"] * (options.repeats != 15) + [" --peers"] * options.peers
    arguments += [" --tensorflow PYTHON"] * bool(options.tensorflow)
    write_json(options.out, {
        "command": f"python benchmarks/train_step.py --threads {options.threads}{''.join(arguments)}", "processor": processor(),
        "versions": versions(), **single, **_extremes(rows), "errors": [row for row in rows if row["work"] == "error"],
        "rows": [row for row in rows if row["work"] not in ("cold-start", "memory", "error")]})


def _extremes(rows):
    """The row with the smallest ratio, and the geometric mean of all, of the rows in one process beside PyTorch."""
    timed = [row for row in rows if "network" in row]
    return {"slowest": min(timed, key=lambda row: row["ratio"]),
            "geometric_mean": round(statistics.geometric_mean(row["ratio"] for row in timed), 2)} if timed else {}


def processor():
    """The processor's name and how many cores this process may use."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    wide = "AVX-512" if any("avx512f" in line for line in lines) else "no AVX-512"
    return f"{name}, {os.cpu_count()} cores, {wide}"


def table(rows):
    """The rows as text."""
    lines = [f"{'work':<16} {'batch':>5} {'ours':>10} {'peer':>10} {'ratio':>6}"]
    for r in rows:
        values = [r.get("ours_ms", r.get("ours_mb", r.get("ours"))), r.get("peer_ms", r.get("peer_mb", r.get("peer_value")))]
        extra = r.get("what") or (f"cached {r['cached_ms']}" if "cached_ms" in r else "")
        lines.append(f"{r['work']:<16} {r['batch']:>5} {values[0]:>10} {values[1]:>10} {r.get('ratio', ''):>6}  {extra}".rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    main()
