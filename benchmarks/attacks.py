"""PGD-40 on our kernels beside foolbox and torchattacks on PyTorch: the same weights and images, batch by batch in turns.

    pip install torch foolbox torchattacks && python benchmarks/attacks.py --model light_cifar10 --data cifar10 -n 1000 [--json | --out FILE.json]

All go through all 40 steps of every image (no early stop), L-inf 8/255, step 2/255, no random start, with as many threads; ours
also looks at its images again, as every attack here does. Each batch is attacked by each in turn; ratio = peer_ms / ours_ms, the
median over batches, so above 1 we are faster. On a machine that others use, --cpu-time compares the processor time of one thread
each, and a few images do: -n 200 --batch 50. Without --model the light net has untrained weights: the work is the same.
early_stop_ms is ours where fooled images are left alone.
"""
import json
import os
import statistics
import sys
import time
from importlib.metadata import version

from common import command_line, option_parser, write_result
from train_step import MALLOC

from tinyvgg.report.record import versions

EPS, STEP, STEPS = 8 / 255, 2 / 255, 40
PEERS = ("foolbox", "torchattacks")


def main():
    parser = option_parser(__doc__, data="shapes", n=1000, batch=100, threads=os.cpu_count(), cpu_time=bool, json=bool, out=str)
    parser.add_argument("--model", help="file or zoo entry of a network like the light net; default light, untrained")
    options = parser.parse_args()
    options.threads = 1 if options.cpu_time else options.threads
    if os.environ.get("TINYVGG_NUM_THREADS") != str(options.threads) or "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        os.execve(sys.executable, [sys.executable, *sys.argv],
                  {**os.environ, **MALLOC, "TINYVGG_NUM_THREADS": str(options.threads)})
    rows = compare(options)
    if options.out:
        write(options, rows)
    print(json.dumps(rows) if options.json else "\n".join(map(line, rows)))


def compare(options):
    """Attack batch after batch with each in turn and return a row for each peer."""
    import numpy as np
    import torch
    from torch_peer import Work
    torch.set_num_threads(options.threads)
    model, x, y = ours_and_images(options)
    twin = Work(model)
    difference = float(np.abs(model.logits(x[:20]) - twin.infer(twin.images(x[:20])).numpy()).max())
    if difference > 1e-2:
        sys.exit(f"the two networks differ: logits by {difference:.1e}")
    twin.net.requires_grad_(False)
    attack = {"tinyvgg": lambda a, b: by_tinyvgg(model, a, b), "foolbox": lambda a, b: by_foolbox(twin, a, b),
              "torchattacks": lambda a, b: by_torchattacks(twin, a, b),
              "early_stop": lambda a, b: by_tinyvgg(model, a, b, early_stop=True)}
    clock = time.process_time if options.cpu_time else time.perf_counter
    for function in attack.values():
        function(x[:options.batch], y[:options.batch])                  # compile and warm up
    seconds, right = {name: [] for name in attack}, dict.fromkeys(attack, 0)
    for start in range(0, len(x) - options.batch + 1, options.batch):
        part = slice(start, start + options.batch)
        for name, function in attack.items():
            started = clock()
            adversarial = function(x[part], y[part])
            seconds[name].append(clock() - started)
            right[name] += int((model.labels(np.ascontiguousarray(adversarial)) == y[part]).sum())
        print(", ".join(f"{name} {values[-1]:.2f} s" for name, values in seconds.items()), file=sys.stderr, flush=True)
    return [row(options, seconds, right, peer, difference) for peer in PEERS]


def row(options, seconds, right, peer, difference):
    n = len(seconds[peer]) * options.batch
    milliseconds = {name: round(1000 * statistics.median(values), 1) for name, values in seconds.items()}
    return {"work": f"PGD-{STEPS}", "batch": options.batch, "images": n, "threads": options.threads,
            "clock": "processor" if options.cpu_time else "wall",
            "ours_ms": milliseconds["tinyvgg"], "peer": peer, "peer_ms": milliseconds[peer],
            "ratio": round(statistics.median(b / a for a, b in zip(seconds["tinyvgg"], seconds[peer], strict=True)), 2),
            "early_stop_ms": milliseconds["early_stop"], "robust_ours": right["tinyvgg"] / n, "robust_peer": right[peer] / n,
            "logits_difference": difference}


def write(options, rows):
    """The rows as a result file (see fill_docs.py)."""
    again = command_line(__file__, options, "model", "data", "n", "batch", "cpu_time" if options.cpu_time else "threads")
    write_result(options.out, again, versions={**versions(), **{name: version(name) for name in ("torch", *PEERS)}}, rows=rows)


def line(row):
    return (f"{row['work']}, batches of {row['batch']}, {row['images']} images, {row['threads']} threads, {row['clock']} time: "
            f"tinyvgg {row['ours_ms']:.0f} ms, {row['peer']} {row['peer_ms']:.0f} ms, {row['ratio']:.2f} times as fast; robust "
            f"{row['robust_ours']:.1%} and {row['robust_peer']:.1%}; with early stops {row['early_stop_ms']:.0f} ms; "
            f"logits differ by {row['logits_difference']:.1e}")


def ours_and_images(options):
    """Return the model, float images and labels."""
    from tinyvgg import data, models
    from tinyvgg.data import model_input
    from tinyvgg.open import open_model
    model = open_model(options.model) if options.model else models.light()
    x, y = data.load(options.data).part("test", options.n)
    return model, model_input(x, model.bounds), y


def nhwc(images):
    return images.detach().permute(0, 2, 3, 1).numpy()


def by_tinyvgg(model, x, y, *, early_stop=False):
    from tinyvgg import attacks
    return attacks.pgd(model, x, y, eps=EPS, step=STEP, steps=STEPS, early_stop=early_stop, cycle_stop=early_stop, keep="last",
                       batch_size=len(x)).x_adv


def by_foolbox(twin, x, y):
    import foolbox
    import torch
    fmodel = foolbox.PyTorchModel(twin.net, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfPGD(abs_stepsize=STEP, steps=STEPS, random_start=False)
    return nhwc(attack.run(fmodel, twin.images(x), torch.from_numpy(y), epsilon=EPS))


def by_torchattacks(twin, x, y):
    import torch
    import torchattacks
    attack = torchattacks.PGD(twin.net, eps=EPS, alpha=STEP, steps=STEPS, random_start=False)
    return nhwc(attack(twin.images(x), torch.from_numpy(y)))


if __name__ == "__main__":
    main()
