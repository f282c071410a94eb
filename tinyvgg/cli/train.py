"""Train a network and keep the run in a folder

RUN holds the model, history.csv, config.json (seed, versions, SHA-256 of the data), the curves as a figure, and a checkpoint of
the last complete epoch. After a stop, by Ctrl-C or by force, `tinyvgg train --resume --out RUN` continues; the result has the same
bytes as without a stop.

    tinyvgg train --arch light --data shapes --epochs 3 --out runs/first
    tinyvgg train --arch light --data cifar10 --epochs 30 --schedule cosine --warmup 1 --augment flip,shift4 --out runs/light
    tinyvgg train --arch light --data cifar10 --epochs 30 --adversarial nfgsm --eps 8/255 --out runs/robust
    tinyvgg train --arch light --data cifar10 --epochs 30 --schedule cosine --distill base_cifar10 --out runs/taught
    tinyvgg train --arch imu.json --data X.npy,Y.npy --input-range=-4,4 --epochs 20 --out runs/imu
"""
import argparse
from pathlib import Path

from tinyvgg.cli._classifier import add_data
from tinyvgg.cli._common import add_common, note, print_result


def add_arguments(parser):
    add = parser.add_argument
    add("--out", required=True, metavar="RUN", help="folder of the run")
    add("--resume", action="store_true", help="continue the run in --out, with its settings; a finished one continues with more --epochs")
    add("--arch", type=_architecture, metavar="ARCH", help="light (default), base, notebook, resnet8, teacher, each for the images' shape; or a "
        "file: a Keras configuration (model.to_json()), .keras or .h5, or a Python file with a function model()")
    add_data(parser, "cifar10, else shapes")
    add("--classes", type=int, metavar="K", help="classes of the network (default: those of the data)")
    add("--input-range", metavar="LO,HI", help="range of the values that the network takes; those of --data must lie in it (default 0,1 "
        "for images; what --arch FILE says, else the data's)")
    add("--mean", metavar="M,...", help="mean of the data: one number, or one for each channel. With --deviation, the network takes "
        "(x - mean) / deviation, clipped to --input-range (default then -4,4); every verb does so with its data")
    add("--deviation", metavar="D,...", help="standard deviation of the data; see --mean")
    add("--epochs", type=int, metavar="N", help="times that every image is seen (default 10)")
    add("--batch-size", type=int, metavar="N", help="images in one step (default 64)")
    add("--optimizer", choices=("sgd", "momentum", "adam", "adamw", "rmsprop"), help="default adam; momentum: Nesterov's, 0.9")
    add("--learning-rate", "--lr", type=float, metavar="A", help="default: the optimizer's, as in Keras")
    add("--schedule", choices=("constant", "cosine", "step", "onecycle"), help="of the learning rate (default constant)")
    add("--warmup", type=float, metavar="EPOCHS", help="epochs of linear increase at the start (default 0)")
    add("--weight-decay", type=float, metavar="D", help="decoupled weight decay, on kernels only (default 0; adamw 0.004)")
    add("--label-smoothing", type=float, metavar="S", help="0 to below 1 (default 0)")
    add("--augment", metavar="LIST", help="flip or altflip, shiftN, cutoutN, jpegN, with commas; or none (default none)")
    add("--dropout", metavar="D", help="one number scales all rates of the architecture; SPATIAL,DENSE sets them")
    add("--ema", type=float, metavar="DECAY", help="the model gets an exponential moving average of the weights, e.g. 0.999")
    add("--swa", action="store_true", default=None, help="the model gets the mean of the weights over the last quarter of the epochs")
    add("--validation", type=_number, metavar="V", help="share or number of training images held out for validation (default 0.1)")
    add("--limit", type=int, metavar="N", help="train on N images, drawn by the seed")
    add("--keep", choices=("last", "best", "robust"), help="which epoch's weights the model gets: the last's (default), the best by validation "
        "loss, or with --adversarial the one that gets most validation images right under PGD")
    add("--patience", type=int, metavar="N", help="stop when the validation loss was not better for N epochs")
    add("--weights", metavar="MODEL", help="start from the weights of this model of the same architecture")
    add("--widen", type=float, metavar="F", help="give every convolution F times the channels; with --weights the wider network starts with "
        "the same answers (Net2WiderNet)")
    add("--adversarial", choices=("nfgsm", "fgsm_rs", "pgd", "trades"), help="train on attacked images")
    add("--adversarial-steps", type=int, metavar="N", help="of pgd (default 7) and trades (10): steps of the attack")
    add("--trades-beta", type=float, metavar="B", help="of trades: weight of the attacked images against the clean ones (default 6)")
    add("--eps", metavar="E", help="of --adversarial: L-inf radius in the unit of the model's images (default 8/255 of the range)")
    add("--distill", metavar="MODELS", help="learn from these networks too: files, runs or names of the zoo, with commas")
    add("--temperature", type=float, metavar="T", help="of --distill: softens both answers (default 4)")
    add("--teacher-share", type=float, metavar="A", help="of --distill: the teachers' part of the loss (default 0.9)")
    add("--student-temperature", type=float, metavar="T",
        help="of --distill: of the network's own answers (default: --temperature); 1 uses the teachers' softened answers as labels")
    add("--views", type=int, metavar="N",
        help="of --distill: make N augmented copies of the images (see --augment), ask the teachers once about each, and use another copy in "
        "each epoch (default: ask at each step)")
    add_common(parser)
    parser.set_defaults(seed=None)


def run(arguments):
    from tinyvgg.open import model_file, open_model
    from tinyvgg.train.recipe import train_run
    from tinyvgg.train.settings import DEFAULTS
    given = {name: getattr(arguments, name) for name in DEFAULTS}
    try:
        result = train_run(arguments.out, given, DEFAULTS, resume=arguments.resume, quiet=arguments.quiet,
                           open_model=open_model, find_weights=model_file)
    except KeyboardInterrupt:
        if (Path(arguments.out) / "config.json").is_file():
            note(arguments, f"\ngo on with: tinyvgg train --resume --out {arguments.out}")
        raise
    if arguments.data is None and not arguments.resume and result["data"] == "shapes":
        note(arguments, "no --data was given and CIFAR-10 was not found: these are the generated shapes")
    for text in result.pop("notes"):
        note(arguments, text)
    print_result(arguments, result, _text(result))


def _text(result):
    known = [key for key in ("accuracy", "val_accuracy", "test_accuracy") if result[key] is not None]
    shares = ", ".join(f"{key.replace('_', ' ')} {100 * result[key]:.2f} %" for key in known)
    return (f"{result['arch']} on {result['data']}, {result['epochs']} epochs: loss {result['loss']:.4f}, {shares}\n"
            f"{result['model']}  weights sha256 {result['weights_sha256']}" + "".join(f"\n! {flag}" for flag in result["flags"]))


def _architecture(text):
    from tinyvgg.models import MODELS
    from tinyvgg.train.architecture import is_file
    if text not in MODELS and not is_file(text):
        raise argparse.ArgumentTypeError(f"invalid choice: {text!r} (choose from {', '.join(MODELS)})")
    return text


def _number(text):
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
