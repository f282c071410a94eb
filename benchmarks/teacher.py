"""The teacher that light is distilled from, which is no entry of the zoo: python benchmarks/teacher.py --data cifar10

Trains `--arch teacher` in runs/teacher by the recipe below, goes on with a run that is there already, and evaluates it on the test
images. An epoch of 50,000 images takes three to four minutes of one core; the recipe was chosen by runs of four epochs on 15,000 images,
in which AdamW was far ahead of momentum. `--light` then trains light from its answers, in runs/light.
"""
import argparse
import shlex
import sys
from pathlib import Path

from tinyvgg import cli

RECIPE = ("--arch teacher --epochs 20 --batch-size 128 --optimizer adamw --learning-rate 3e-3 --schedule onecycle --warmup 3 --weight-decay 0.05 "
          "--label-smoothing 0.1 --augment altflip,shift4,cutout8,jpeg70 --ema 0.999 --validation 0")
LIGHT = ("--arch light --epochs 60 --batch-size 128 --optimizer adamw --learning-rate 2e-3 --schedule cosine --warmup 1 --weight-decay 0.02 "
         "--augment flip,shift4,cutout8,jpeg70 --dropout 0 --ema 0.999 --validation 0 --weights light_cifar10 --temperature 2 "
         "--teacher-share 0.9 --views 10")


def commands(data, runs, light, more=()):
    """The command lines, as lists of words: training and evaluation, of the teacher and with `light` of its student.

    more: words that each training is told last, so that they count.
    """
    def both(name, recipe, *words):
        run = str(runs / name)
        resume = ["--resume"] if (runs / name / "checkpoint.npz").is_file() else []
        return [["train", *shlex.split(recipe), *words, "--data", data, *more, "--out", run, *resume], ["evaluate", run, "--data", data]]
    return both("teacher", RECIPE) + (both("light", LIGHT, "--distill", str(runs / "teacher")) if light else [])


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="FOLDER", help="where the runs go (default runs)")
    parser.add_argument("--light", action="store_true", help="train light from it too")
    for name in ("epochs", "limit"):
        parser.add_argument(f"--{name}", type=int, metavar="N", help=f"--{name} of each training, for a look")
    arguments = parser.parse_args(argv)
    more = [word for name in ("epochs", "limit") if getattr(arguments, name) for word in (f"--{name}", str(getattr(arguments, name)))]
    for words in commands(arguments.data, arguments.runs, arguments.light, more):
        print("tinyvgg", shlex.join(words), flush=True)
        if code := cli.main(words):
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
