"""Measure the network on test images."""

from tinyvgg.train import evaluate

NEEDS, WISHES = ("train",), ()


def run(story):
    """Return train.evaluate's result and the command that repeats it."""
    x, y = story.images("test", story.sizes.test)
    classes = story.dataset.classes if story.dataset.n_classes == story.model.n_classes else None
    found = evaluate(story.model, x, y, classes=classes, quiet=story.quiet)
    n = f" -n {story.sizes.test}" if story.sizes.test else ""
    return {
        **found,
        "classes": [row["class"] for row in found["per_class"]],
        "command": f"tinyvgg evaluate {story.model_name} --data {story.data}{n}",
    }
