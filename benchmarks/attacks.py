"""PGD-40 on our kernels beside foolbox and torchattacks on PyTorch: the same weights and images, in the same run.

    pip install torch foolbox torchattacks && python benchmarks/attacks.py --model light.h5 --data cifar10 -n 1000 [--json]

All go through all 40 steps of every image (no early stop), L-inf 8/255, step 2/255, no random start, the same number of threads.
`repeats` rounds are taken in turns and the shortest time of each counts. ours_early_stop_ms is ours where fooled images are left
alone.
Without a model the light net has untrained weights: the work is the same.
"""
import argparse
import json
import os
import time

import numpy as np

EPS, STEP, STEPS = 8 / 255, 2 / 255, 40


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a trained light net; default untrained")
    parser.add_argument("--data", default="shapes")
    parser.add_argument("-n", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    model, x, y = ours_and_images(arguments)
    twin = torch_twin(model, arguments.threads)
    agree = float(np.abs(model.logits(x[:20]) - twin_logits(twin, x[:20])).max())
    functions = {"tinyvgg": lambda a, b: by_tinyvgg(model, a, b, arguments.batch, early_stop=False),
                 "foolbox": lambda a, b: by_foolbox(twin, a, b, arguments.batch),
                 "torchattacks": lambda a, b: by_torchattacks(twin, a, b, arguments.batch)}
    best, adversarial = dict.fromkeys(functions, np.inf), {}
    for function in functions.values():
        function(x[:arguments.batch], y[:arguments.batch])              # compile and warm up
    for _ in range(arguments.repeats):
        for name, function in functions.items():
            started = time.perf_counter()
            adversarial[name] = function(x, y)
            best[name] = min(best[name], time.perf_counter() - started)
    started = time.perf_counter()
    by_tinyvgg(model, x, y, arguments.batch, early_stop=True)
    stopped = time.perf_counter() - started
    rows = [{"work": f"PGD-{STEPS}, {arguments.n} images", "batch": arguments.batch, "ours_ms": 1000 * best["tinyvgg"], "peer": peer,
             "peer_ms": 1000 * best[peer], "ratio": best[peer] / best["tinyvgg"],
             "ours_early_stop_ms": 1000 * stopped,
             "robust_ours": accuracy(model, adversarial["tinyvgg"], y), "robust_peer": accuracy(model, adversarial[peer], y),
             "logits_difference": agree} for peer in ("foolbox", "torchattacks")]
    if arguments.json:
        print(json.dumps(rows))
    for row in [] if arguments.json else rows:
        print(f"{row['work']}, batches of {row['batch']}: tinyvgg {row['ours_ms']:.0f} ms, {row['peer']} {row['peer_ms']:.0f} ms, "
              f"{row['ratio']:.2f} times as fast; robust {row['robust_ours']:.1%} and {row['robust_peer']:.1%}; "
              f"with early stops {row['ours_early_stop_ms']:.0f} ms")


def ours_and_images(arguments):
    """Return the model, float images and labels."""
    from tinyvgg import data, io, models
    from tinyvgg.data import model_input
    model = io.load_model(arguments.model) if arguments.model else models.light()
    x, y = data.load(arguments.data).part("test", arguments.n)
    return model, model_input(x, model.bounds), y


def torch_twin(model, threads):
    """Return the light or base net in PyTorch, with our weights: images NCHW, logits."""
    import torch
    torch.set_num_threads(threads)
    parts = [part for layer in model.layers for part in torch_layers(layer, torch)]
    return torch.nn.Sequential(*parts).eval()


def torch_layers(layer, torch):
    """Return PyTorch's layers for one of ours (those of light and base)."""
    name, p = type(layer).__name__, {k: torch.tensor(np.array(v)) for k, v in (*layer.parameters.items(), *layer.state.items())}
    activation = [torch.nn.ReLU()] if getattr(layer, "activation", None) is not None and layer.activation.name == "relu" else []
    if name == "Conv2D":
        conv = torch.nn.Conv2d(p["kernel"].shape[2], p["kernel"].shape[3], 3, padding=1)
        return [with_values(conv, weight=p["kernel"].permute(3, 2, 0, 1), bias=p["bias"]), *activation]
    if name == "Dense":
        dense = torch.nn.Linear(*p["kernel"].shape)
        return [with_values(dense, weight=p["kernel"].T, bias=p["bias"]), *activation]
    if name == "BatchNormalization":
        norm = torch.nn.BatchNorm2d(len(p["gamma"]), eps=layer.epsilon)
        return [with_values(norm, weight=p["gamma"], bias=p["beta"], running_mean=p["moving_mean"], running_var=p["moving_variance"])]
    if name == "Flatten":
        class Flatten(torch.nn.Module):
            def forward(self, x):
                return x.permute(0, 2, 3, 1).flatten(1)
        return [Flatten()]
    return {"MaxPooling2D": [torch.nn.MaxPool2d(2)], "Activation": activation}.get(name, [])


def with_values(layer, **values):
    """Fill a PyTorch layer."""
    import torch
    with torch.no_grad():
        for name, value in values.items():
            getattr(layer, name).copy_(value)
    return layer


def nchw(x):
    import torch
    return torch.tensor(x.transpose(0, 3, 1, 2).copy())


def twin_logits(twin, x):
    import torch
    with torch.no_grad():
        return twin(nchw(x)).numpy()


def by_tinyvgg(model, x, y, batch, *, early_stop):
    from tinyvgg import attacks
    return attacks.pgd(model, x, y, eps=EPS, step=STEP, steps=STEPS, early_stop=early_stop, cycle_stop=early_stop, keep="last",
                       batch_size=batch).x_adv


def by_foolbox(twin, x, y, batch):
    import foolbox
    import torch
    fmodel = foolbox.PyTorchModel(twin, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfPGD(abs_stepsize=STEP, steps=STEPS, random_start=False)
    images = [attack.run(fmodel, nchw(x[i:i + batch]), torch.tensor(y[i:i + batch]), epsilon=EPS) for i in range(0, len(x), batch)]
    return torch.cat(images).detach().numpy().transpose(0, 2, 3, 1)


def by_torchattacks(twin, x, y, batch):
    import torch
    import torchattacks
    attack = torchattacks.PGD(twin, eps=EPS, alpha=STEP, steps=STEPS, random_start=False)
    images = [attack(nchw(x[i:i + batch]), torch.tensor(y[i:i + batch])) for i in range(0, len(x), batch)]
    return torch.cat(images).detach().numpy().transpose(0, 2, 3, 1)


def accuracy(model, x, y):
    return float((model.labels(np.ascontiguousarray(x)) == y).mean())


if __name__ == "__main__":
    main()
