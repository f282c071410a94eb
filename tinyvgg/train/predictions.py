"""A classifier's answers as a table, one line for each image, for a spreadsheet or pandas."""
import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyvgg.data.dataset import check_labels
from tinyvgg.errors import ShapeError
from tinyvgg.images import check_images
from tinyvgg.kernels.reference import softmax
from tinyvgg.report.record import write_bytes
from tinyvgg.train.evaluate import classify, true_labels
from tinyvgg.types import Images, Labels, PathLike


def save_predictions(path: PathLike, classifier: Any, x: Images, y: Labels | None = None, *, classes: Sequence[str] | None = None,
                     batch_size: int = 256, quiet: bool = True) -> None:
    """Write the answers of a classifier for images x (N, H, W, C) to `path` as CSV; an error leaves no half file. Columns: image
    (its number, from 0), predicted; with labels y (N,) also label and right (1 or 0); for a classifier with logits also the
    probability of each class (softmax). classes: names for the numbers.
    """
    bounds = getattr(classifier, "bounds", None)
    x = check_images(x, getattr(classifier, "input_shape", None), bounds)
    labels = None if y is None else true_labels(y, classifier.n_classes)
    if labels is not None and len(labels) != len(x):
        raise ShapeError(f"{len(x)} images and {len(labels)} labels; expected one label an image")
    if labels is not None:
        check_labels(labels, classifier.n_classes, "labels")
    predicted, logits = classify(classifier, x, bounds, batch_size, quiet)
    names = list(map(str, classes if classes is not None else range(classifier.n_classes)))
    columns = [np.arange(len(x)), [names[k] for k in predicted]]
    heads = ["image", "predicted"]
    if labels is not None:
        heads, columns = [*heads, "label", "right"], [*columns, [names[k] for k in labels], (predicted == labels).astype(int)]
    if logits is not None:
        heads, columns = [*heads, *(f"p_{name}" for name in names)], [*columns, *softmax(logits.astype(np.float64)).T.round(6)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(zip(*columns, strict=True))
    write_bytes(path, text.getvalue())
