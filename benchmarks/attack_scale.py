"""What the scale of the logits does to PGD-40: three losses on the light net as it is and with its logits times 30.

    python benchmarks/attack_scale.py --model light_cifar10_plain --data cifar10 -n 1000 --out FILE.json

Confident logits make the usual cross-entropy's gradient vanish, which looks like robustness. A row for each loss: what is left of
the network as it is and of the loud one at eps 8/255, and how many images of each were flagged for vanished gradients. Rows are
kept as they are done; the same command goes on after a stop.
"""
import re
from pathlib import Path

from common import command_line, option_parser, rows_in, write_result

from tinyvgg import attacks, data
from tinyvgg.data import model_input
from tinyvgg.open import open_model

EPS, SCALE, STEPS = "8/255", 30, 40
LOSSES = {"ce": "scaled cross-entropy", "ce_plain": "usual cross-entropy", "dlr": "dlr"}


def main():
    a = option_parser(__doc__, model="light_cifar10_plain", data="cifar10", n=1000, out=Path("runs/attack_scale.json")).parse_args()
    model = open_model(a.model)
    x, y = data.load(a.data).part("test", a.n)
    x, networks = model_input(x, model.bounds), {"as_it_is": model, "loud": loud(model)}
    rows = rows_in(a.out)
    for loss, name in LOSSES.items():
        if any(row["loss"] == name for row in rows):
            continue
        rows.append({"loss": name, **{key: left(network, x, y, loss) for key, network in networks.items()}})
        print(rows[-1], flush=True)
        write_result(a.out, command_line(__file__, a, "model", "data", "n"), eps=EPS, scale=SCALE, steps=STEPS, rows=rows)


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
