"""What the scale of the logits does to PGD-40: three losses on the light net as it is and with its logits times 30.

    python benchmarks/attack_scale.py --model light_cifar10_plain --data cifar10 -n 1000 --out FILE.json

Confident logits make the usual cross-entropy's gradient vanish, which looks like robustness. A row for each loss: what is left of
the network as it is and of the loud one at eps 8/255, and how many images of each were flagged for vanished gradients. Rows are
kept as they are done; the same command goes on after a stop.
"""
import argparse
import json
import re
from pathlib import Path

from tinyvgg import attacks, data
from tinyvgg.data import model_input
from tinyvgg.open import open_model
from tinyvgg.report.record import versions, write_json

EPS, SCALE, STEPS = "8/255", 30, 40
LOSSES = {"ce": "scaled cross-entropy", "ce_plain": "usual cross-entropy", "dlr": "dlr"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="light_cifar10_plain")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("-n", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("runs/attack_scale.json"), metavar="FILE.json", help="default runs/attack_scale.json")
    a = parser.parse_args()
    model = open_model(a.model)
    x, y = data.load(a.data).part("test", a.n)
    x, networks = model_input(x, model.bounds), {"as_it_is": model, "loud": loud(model)}
    rows = json.loads(a.out.read_text())["rows"] if a.out.exists() else []
    for loss, name in LOSSES.items():
        if any(row["loss"] == name for row in rows):
            continue
        rows.append({"loss": name, **{key: left(network, x, y, loss) for key, network in networks.items()}})
        print(rows[-1], flush=True)
        write_json(a.out, {"command": f"python benchmarks/attack_scale.py --model {a.model} --data {a.data} -n {a.n}",
                           "versions": versions(), "eps": EPS, "scale": SCALE, "steps": STEPS, "rows": rows})


def loud(model):
    """The same answers, SCALE times as confident."""
    return attacks.as_classifier(lambda z: SCALE * model.logits(z), bounds=model.bounds, n_classes=model.n_classes,
                                 vjp=lambda z, g: model.vjp(z, lambda logits: SCALE * g(SCALE * logits)))


def left(network, x, y, loss):
    """What PGD leaves of the network, and what it says of the gradients."""
    result = attacks.pgd(network, x, y, eps=EPS, steps=STEPS, loss=loss)
    flag = next((flag for flag in result.flags if "vanished gradients" in flag), "")
    vanished = int(re.search(r"for (\d+) of", flag)[1]) if flag else 0
    return {"robust_accuracy": result.robust_accuracy, "vanished": vanished, "flags": result.flags}


if __name__ == "__main__":
    main()
