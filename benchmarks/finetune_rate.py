"""At which learning rate fine-tuning helps codebooks most: judged on training images that it does not see, never on test images.

    python benchmarks/finetune_rate.py --data cifar10 --bits 4 --rates 3e-5,1e-4,2e-4 --images 24000

Prints a JSON row for each rate: accuracy on the last 4,000 training images, and how far the answers diverge from the float
network's (Kullback-Leibler, nats; the network itself was trained on these images, so the divergence says more than the accuracy).
--out FILE.json keeps each row as it is done; the same command goes on after a stop.
"""
import argparse
import json
from pathlib import Path

import numpy as np

from tinyvgg import data
from tinyvgg.open import open_model
from tinyvgg.quant.calibrate import as_float_images
from tinyvgg.quant.fuse import fuse
from tinyvgg.quant.prepare import Options, divergence, finished, prepare
from tinyvgg.quant.sharing import sharer
from tinyvgg.quant.simulate import run
from tinyvgg.report.record import versions, write_json

HELD_OUT = 4000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="light_cifar10", help="a network or zoo entry (default light_cifar10)")
    parser.add_argument("--data", default="cifar10", help="default cifar10")
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--rates", default="3e-5,1e-4,2e-4")
    parser.add_argument("--images", type=int, default=24000, help="training images that are seen (default 24000)")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="keep the rows there, for the pages")
    a = parser.parse_args()
    settings = f"--model {a.model} --data {a.data} --bits {a.bits} --images {a.images} --epochs {a.epochs}"
    command = f"python benchmarks/finetune_rate.py {settings} --rates {a.rates}"
    rows = json.loads(a.out.read_text())["rows"] if a.out and a.out.exists() else []
    x, y = data.load(a.data).part("train")
    y = np.asarray(y).reshape(-1)
    held_x, held_y = x[-HELD_OUT:], y[-HELD_OUT:]
    x, y = x[:min(a.images, len(x) - HELD_OUT)], y[:min(a.images, len(y) - HELD_OUT)]
    graph, quantise = fuse(open_model(a.model)), sharer(a.bits)
    prepared = prepare(graph, x[:512], quantise=quantise, calibration="error")
    batches = (as_float_images(held_x[i:i + 200], graph) for i in range(0, len(held_x), 200))
    reference = np.concatenate([run(graph, batch) for batch in batches])
    for rate in map(float, a.rates.split(",")):
        if any(row["learning_rate"] == rate for row in rows):
            continue
        options = Options(epochs=a.epochs, learning_rate=rate, quiet=True)
        logits = finished(prepared, x, y, quantise, {}, options).logits(held_x)
        row = {"bits": a.bits, "learning_rate": rate, "images": len(x), "epochs": a.epochs,
               "accuracy": float((logits.argmax(axis=1) == held_y).mean()),
               "float_accuracy": float((reference.argmax(axis=1) == held_y).mean()), "divergence": divergence(reference, logits)}
        print(json.dumps(row), flush=True)
        rows = sorted([*rows, row], key=lambda row: row["learning_rate"])
        if a.out:
            write_json(a.out, {"command": command, "versions": versions(), "rows": rows})


if __name__ == "__main__":
    main()
