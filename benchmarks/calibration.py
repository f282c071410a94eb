"""How far int8's accuracy moves with the images that calibrate it: python benchmarks/calibration.py light_cifar10 --data cifar10

Ten draws of training images, by their own seeds; each calibrates the network anew, by every rule asked for, and the integers are judged
on all test images. --json FILE keeps the rows: least, most, range and deviation of the accuracies in points, and the float network's.
"""
import sys
from pathlib import Path

import numpy as np
from common import command_line, option_parser, write_result

from tinyvgg import data, rng
from tinyvgg.open import open_model
from tinyvgg.quant.prepare import CALIBRATIONS
from tinyvgg.quant.schemes import compress
from tinyvgg.report.record import sha256_arrays
from tinyvgg.report.tables import table


def spread(network, dataset, rule, images, draws):
    """The row of one rule: accuracies in % over the draws."""
    (x, _), (x_test, y_test) = dataset.for_model(network, "train"), dataset.for_model(network, "test")
    found, known = [], {}
    for draw in range(draws):
        chosen = rng.generator(draw, "calibration").permutation(len(x))[:images]
        model = compress(network, "int8", x[chosen], calibration=rule, calibration_images=images)
        if model.sha256 not in known:               # the same integers need not be judged again
            known[model.sha256] = 100 * float(np.mean(model.logits(x_test).argmax(axis=1) == y_test))
        found.append(round(known[model.sha256], 4))
        print(f"{rule}, draw {draw + 1}: {found[-1]:.2f} %", flush=True)
    return {"calibration": rule, "images": images, "draws": draws, "different": len(known), "n": len(y_test), "accuracies": found,
            "mean": float(np.mean(found)), "least": min(found), "most": max(found), "range": max(found) - min(found),
            "deviation": float(np.std(found, ddof=1)) if draws > 1 else 0.0}


def main(argv=None):
    parser = option_parser(__doc__, data="cifar10", draws=10)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--rules", default="best,steady", help=f"of {', '.join(CALIBRATIONS)} (default best,steady)")
    parser.add_argument("--images", type=int, default=1024, metavar="N", help="images a draw (default 1024)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args(argv)
    dataset, rows = data.load(arguments.data), []
    for name in arguments.models:
        network = open_model(name)
        x, y = dataset.for_model(network, "test")
        same = {"model": name, "model_sha256": sha256_arrays(*network.get_weights()), "float": 100 * float(np.mean(network.labels(x) == y))}
        rows += [{**same, **spread(network, dataset, rule, arguments.images, arguments.draws)} for rule in arguments.rules.split(",")]
    print(table(["model", "calibration", "float %", "least %", "most %", "range", "deviation"],
                [[row["model"], row["calibration"], *(f"{row[key]:.2f}" for key in ("float", "least", "most", "range", "deviation"))]
                 for row in rows]))
    again = command_line(__file__, arguments, "data", "rules", "images", "draws", words=arguments.models)
    write_result(arguments.json, again, data=dataset.name, data_sha256=dataset.sha256, rows=rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
