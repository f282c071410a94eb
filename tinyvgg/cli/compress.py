"""Compress a model: X-CUBE-AI's float levels, 8-bit integers, shared or coded weights, or bits chosen within a budget

--data gives training images for calibration and fine-tuning, and test images for the accuracy that is printed.
none, low, medium and high need no data. Sizes are those of the constants in C: weights, codebooks, biases, factors that rescale sums.

    tinyvgg compress light.h5 --scheme int8 --data cifar10 --out light.tvq
    tinyvgg compress light.h5 --scheme shared4 --finetune 2 --data cifar10 --out small.tvq
    tinyvgg compress light.h5 --scheme coded --flash 150000 --data cifar10 --out coded.tvq
    tinyvgg compress light.h5 --scheme auto --flash 256K --max-drop 0.5 --data cifar10 --out auto.tvq
"""
from pathlib import Path

from tinyvgg.cli._classifier import add_data, add_model, images_for
from tinyvgg.cli._common import add_common, images_told, parse_size, print_result
from tinyvgg.errors import OptionError
from tinyvgg.open import open_model

AUTO_IMAGES = 4000          # training images for auto: the first ones calibrate, the last ones measure the loss of accuracy


def add_arguments(parser):
    from tinyvgg.quant.prepare import CALIBRATIONS
    from tinyvgg.quant.schemes import SCHEMES
    add_model(parser)
    parser.add_argument("--scheme", required=True, metavar="SCHEME", help=", ".join(SCHEMES))
    parser.add_argument("--out", required=True, metavar="FILE.tvq", help="where the compressed model goes")
    add_data(parser)
    parser.add_argument("--flash", metavar="SIZE", help="auto, coded: bytes of constants, as 256K (KiB) or 262144")
    parser.add_argument("--max-drop", type=float, metavar="POINTS", help="auto: percentage points of accuracy that may be lost, on training images")
    parser.add_argument("--codebook", choices=("int8", "float"), default="int8",
                        help="how the shared schemes store the entries of a codebook (default int8)")
    parser.add_argument("--per", choices=("layer", "channel"), default="layer", help="what has its own codebook (default layer)")
    parser.add_argument("--calibration", choices=CALIBRATIONS, default="best", help="how the ranges of activations are chosen (default best)")
    parser.add_argument("--calibration-images", type=int, default=512, metavar="N", help="training images for the calibration (default 512)")
    parser.add_argument("--finetune", type=int, default=0, metavar="EPOCHS", help="quantisation-aware training (default 0)")
    parser.add_argument("--learning-rate", type=float, default=1e-4, metavar="RATE", help="of fine-tuning (default 1e-4)")
    parser.add_argument("--fixed-indices", action="store_true",
                        help="fine-tuning: each weight keeps its index; only codebooks, biases and factors learn")
    parser.add_argument("-n", type=int, metavar="N", help="only the first N test images")
    add_common(parser)


def run(arguments):
    a = arguments
    options = {"codebook": a.codebook, "per": a.per, "calibration": a.calibration, "calibration_images": a.calibration_images,
               "epochs": a.finetune, "learning_rate": a.learning_rate, "fixed_indices": a.fixed_indices,
               "max_drop": a.max_drop, "seed": a.seed, "quiet": a.quiet}
    result = compress_file(a.model, a.scheme, a.out, a.data, n=a.n, input_range=a.input_range,
                           flash=parse_size(a.flash), **options)
    print_result(arguments, result, _text(result))


def compress_file(model, scheme, out, data=None, *, n=None, input_range=None, **options):
    """Compress a model (its path, or an nn.Model) into `out`; return sizes and, with data, accuracies as plain data.

    options: see quant.prepare.Options. n: only the first n test images.
    """
    from tinyvgg.data import load_for
    from tinyvgg.quant.prepare import Options
    from tinyvgg.quant.schemes import check_scheme, compress, constants, needs_images
    if Path(out).suffix != ".tvq":
        raise OptionError(f"{out} does not end in .tvq", f"--out {Path(out).with_suffix('.tvq')}")
    settings = Options(**options)
    check_scheme(scheme, settings)
    calibrates = needs_images(scheme, settings)
    network = open_model(model, input_range=input_range, board=False)
    if not hasattr(network, "layers"):
        raise OptionError(f"{model} is compressed already; expected a trained network", "what it was made of, .h5 or .npz")
    if calibrates and data is None and network.made_for is None:
        raise OptionError(f"the scheme {scheme} needs the images that the network was trained on", "--data cifar10")
    dataset = load_for(network, data) if calibrates or data is not None else None
    test = None if dataset is None or not len(dataset.x_test) else images_for(network, dataset, "test", n)
    x, y = None, None
    if calibrates:
        enough = max(settings.calibration_images, AUTO_IMAGES if scheme == "auto" else 0)
        x, y = images_for(network, dataset, "train", None if settings.epochs else enough)
    compressed = compress(network, scheme, x, y, **options)
    compressed.save(out)
    return {"scheme": scheme, "out": str(out), "sha256": compressed.sha256, "constants_bytes": constants(compressed),
            **_details(compressed), **(_accuracies(compressed, network, dataset, *test) if test else {})}


def _accuracies(compressed, network, dataset, x, y):
    """Return the accuracy of the compressed model and of the network on test images."""
    from tinyvgg.train import evaluate
    accuracy, float_accuracy = (evaluate(c, x, y)["accuracy"] for c in (compressed, network))
    return {"accuracy": accuracy, "float_accuracy": float_accuracy, **dataset.told("test", len(x))}


def _details(compressed):
    """Return facts about the graph and its plan, as plain data."""
    from tinyvgg.quant.blob import constant_bytes, stored_bits
    from tinyvgg.quant.memory import plan_memory
    plan = plan_memory(compressed.graph)
    sizes = constant_bytes(compressed.graph)
    layers = [{"name": op.name, "bytes": sizes[op.name], "bits": stored_bits(op.weights)}
              for op in compressed.graph.ops if hasattr(op, "weights") and op.name in sizes]
    return {"arena_bytes": plan.size, "arena_lower_bound": plan.lower_bound, "layers": layers, "facts": compressed.graph.facts}


def _text(result):
    size = result["constants_bytes"]
    lines = [f"{result['scheme']}: {size:,} bytes of constants ({size / 1000:.1f} KB, {size / 1024:.1f} KiB) -> {result['out']}"]
    lines += [f"  {row['name']:<22}{row['bits']:>3} bits {row['bytes']:>11,} B" for row in result["layers"]]
    lines.append(f"arena {result['arena_bytes']:,} B (lower bound {result['arena_lower_bound']:,} B)")
    if "accuracy" in result:
        lines.append(f"accuracy {100 * result['accuracy']:.2f} % (float {100 * result['float_accuracy']:.2f} %) "
                     f"on {images_told(result)}")
    return "\n".join(lines)
