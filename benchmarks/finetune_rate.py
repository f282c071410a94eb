"""At which learning rate fine-tuning helps codebooks most: judged on training images that it does not see, never on test images.

    python benchmarks/finetune_rate.py --data cifar10 --bits 4 --rates 3e-5,1e-4,2e-4 --images 24000

Prints a JSON row for each rate: accuracy on the last 4,000 training images, and how far the answers diverge from the float
network's (Kullback-Leibler, nats; the network itself was trained on these images, so the divergence says more than the accuracy).
--out FILE.json keeps each row as it is done; the same command goes on after a stop.
"""
import json
from pathlib import Path

import numpy as np
from common import command_line, option_parser, rows_in, write_result

from tinyvgg import data
from tinyvgg.open import open_model
from tinyvgg.quant.calibrate import as_float_images
from tinyvgg.quant.fuse import fuse
from tinyvgg.quant.prepare import Options, divergence, finished, prepare
from tinyvgg.quant.sharing import sharer
from tinyvgg.quant.simulate import run

HELD_OUT = 4000


def main():
    parser = option_parser(__doc__, model="light_cifar10", data="cifar10", bits=4, rates="3e-5,1e-4,2e-4", epochs=1, out=Path)
    parser.add_argument("--images", type=int, default=24000, help="training images that are seen (default 24000)")
    a = parser.parse_args()
    again, rows = command_line(__file__, a, "model", "data", "bits", "images", "epochs", "rates"), rows_in(a.out)
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
        write_result(a.out, again, rows=rows)


if __name__ == "__main__":
    main()
