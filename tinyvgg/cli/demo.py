"""Run everything once and write a report: training, compression, C, board, attacks, bit flips

Trains a small network on generated images; if CIFAR-10 is found or named, takes a trained network of the zoo. Measures the network,
compresses it at every level, writes C, builds firmware and runs it on a virtual board. Attacks the float network, the integer network
and the board, and flips bits in memory. DIR/report.html has all charts and tables, with seeds, versions and the command that repeats
each; it loads nothing from the network. After a stop the same command continues; --resume takes the settings that DIR began with.
Stages whose extra is not installed are skipped, and the page says so.

    tinyvgg demo --out demo
    tinyvgg demo --data cifar10 --out runs/cifar
    tinyvgg demo --model light_robust_8 --data cifar10 --out runs/robust
    tinyvgg demo --resume --out demo
    tinyvgg demo --stage attack --out demo              only that stage and what it needs
    tinyvgg demo --resume --again --stage attack --out demo    run that stage again
"""

from tinyvgg.cli._common import add_common, print_result
from tinyvgg.errors import OptionError


def add_arguments(parser):
    from tinyvgg.demo import STAGES

    parser.add_argument(
        "--data", metavar="DATA", help="cifar10, shapes, folder, archive or X.npy,Y.npy (default cifar10, else shapes)"
    )
    parser.add_argument("--model", metavar="MODEL", help="use this network: a file or a zoo entry")
    parser.add_argument("--out", default="runs/demo", metavar="DIR", help="folder to write (default runs/demo)")
    parser.add_argument(
        "--stage",
        metavar="A,B",
        help=f"only these and what they need: {', '.join(STAGES)}",
    )
    parser.add_argument("--quick", action="store_true", help="a few images and steps: only shows that everything works")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out, with its settings")
    parser.add_argument("--again", action="store_true", help="run stages again, even if they are done")
    add_common(parser)


def run(arguments):
    from tinyvgg.demo import demo

    a = arguments
    if a.resume and (a.data or a.model or a.quick or a.seed):
        raise OptionError("--resume takes the settings that the story began with", "--resume and --out alone")
    result = demo(
        a.out,
        data=a.data,
        model=a.model,
        stages=None if a.stage is None else a.stage.split(","),
        seed=a.seed,
        quick=a.quick,
        resume=a.resume,
        again=a.again,
        quiet=a.quiet,
    )
    print_result(arguments, result, _text(result))
    return 1 if result["failed"] else 0


def _text(result):
    lines = []
    for name, stage in result["stages"].items():
        lines.append(
            f"{name:<10}{stage['seconds']:>8.1f} s"
            if stage["done"]
            else f"{name:<10}skipped: {stage['skipped']}" + (f"\n            Try: {stage['install']}" if stage["install"] else "")
        )
    return "\n".join([*lines, *(f"! {text}" for text in result["failed"]), result["report"]])
