"""Measure a model: accuracy with its interval, loss, calibration, per class

Accuracies are of test images. The interval is Wilson's, 95 %. DATA may be the folder of a saved attack: its images are then shown
to this model. MODEL may be a board; one that speaks the student protocol has scores, but no loss.

    tinyvgg evaluate runs/first --data shapes
    tinyvgg evaluate other.h5 --data runs/pgd
    tinyvgg evaluate light.h5 --data cifar10 -n 1000 --json
    tinyvgg evaluate virtual:build/light.elf --data cifar10 -n 20
"""
from pathlib import Path

from tinyvgg.cli._classifier import add_data, add_model, images_for
from tinyvgg.cli._common import add_common, images_told, note_fewer, print_result
from tinyvgg.errors import OptionError
from tinyvgg.open import opened


def add_arguments(parser):
    add_model(parser, board=True)
    add_data(parser)
    parser.add_argument("--part", choices=("test", "train", "all"), default="test",
                        help="which images (default test; of a single pair X.npy,Y.npy a fifth is held out as test images)")
    parser.add_argument("-n", type=int, metavar="N", help="only the first N images")
    parser.add_argument("--predictions", metavar="FILE.csv", help="write each image's answer, label and probabilities to this file")
    parser.add_argument("--batch-size", type=int, default=256, metavar="N", help="images at a time (default 256)")
    add_common(parser)


def run(arguments):
    if arguments.data is not None and (Path(arguments.data) / "attack.npz").exists():
        return _replay(arguments)
    result = evaluate_model(arguments.model, arguments.data, part=arguments.part, n=arguments.n, quiet=arguments.quiet,
                            input_range=arguments.input_range, batch_size=arguments.batch_size, predictions=arguments.predictions)
    note_fewer(arguments, result["n"])
    print_result(arguments, result, _text(result))


def _replay(arguments):
    """Show the images of a saved attack to the model."""
    from tinyvgg import attacks
    from tinyvgg.cli.attack import text_of
    if arguments.predictions is not None:
        raise OptionError(f"{arguments.data} is a saved attack; --predictions are of a data set", "the same without --predictions")
    if arguments.part == "train":
        raise OptionError(f"{arguments.data} is a saved attack, which has no training images", "the same without --part")
    attack = attacks.load(arguments.data)
    with opened(arguments.model, arguments.input_range) as model:
        result = attacks.replay(model, attack, n=arguments.n, batch_size=arguments.batch_size)
    note_fewer(arguments, len(result))
    name = result.name.removeprefix("replay of ")
    print_result(arguments, {"data": name, "accuracy": result.robust_accuracy, **result.summary()}, text_of(result))


def evaluate_model(model, data=None, *, part="test", n=None, input_range=None, batch_size=256, quiet=True, predictions=None):
    """Return train.evaluate's result for a model (path or URL, or the classifier itself) on a data set (spec, or a DataSet).

    predictions: a file for train.save_predictions.
    """
    from tinyvgg.data import load_for
    from tinyvgg.train import evaluate, save_predictions
    if batch_size < 1:
        raise OptionError(f"--batch-size is {batch_size}; expected at least 1")
    if isinstance(model, str):
        with opened(model, input_range) as classifier:
            return evaluate_model(classifier, data, part=part, n=n, batch_size=batch_size, quiet=quiet, predictions=predictions)
    dataset = load_for(model, data)
    x, y = images_for(model, dataset, part, n)
    classes = dataset.classes if len(dataset.classes) == model.n_classes else None
    result = evaluate(model, x, y, batch_size=batch_size, classes=classes, quiet=quiet)
    if predictions is not None:
        save_predictions(predictions, model, x, y, classes=classes, batch_size=batch_size, quiet=quiet)
    return {**result, **dataset.told(part, len(x))}


def _text(result):
    low, high = (100 * v for v in result["interval"])
    line = f"accuracy {100 * result['accuracy']:.2f} % (95 % interval {low:.2f} to {high:.2f}; {images_told(result)})"
    if result["loss"] is not None:
        line += f"\nloss {result['loss']:.4f}, calibration error {result['ece']:.4f}"
    rows = [f"{row['class']:<12}{row['n']:>6}  " + ("-" if row["accuracy"] is None else f"{100 * row['accuracy']:.2f} %")
            for row in result["per_class"]]
    return "\n".join([f"{line}\n{result['seconds']:.1f} s", *rows])
