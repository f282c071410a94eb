"""Train a small network, or take the one that is there."""

from tinyvgg import zoo
from tinyvgg.errors import OptionError
from tinyvgg.io import load_model
from tinyvgg.report.record import read_lines, sha256_arrays, sha256_file
from tinyvgg.train.recipe import train_run
from tinyvgg.train.settings import DEFAULTS

NEEDS, WISHES = (), ()
# Without dropout and with a decaying rate, a few epochs suffice for the generated images.
RECIPE = {"arch": "light", "optimizer": "adamw", "learning_rate": 0.002, "dropout": "0", "schedule": "cosine", "warmup": 1.0}


def run(story):
    """Return {"model", "command", "history", "parameters", SHA-256 of file and weights, ...}."""
    if story.chosen is not None:
        return _ready(story, story.chosen)
    out, sizes = story.folder("train"), story.sizes
    images = story.count(sizes.limit, "train") if sizes.limit else len(story.dataset.x_train)
    given = {
        **RECIPE,
        "data": story.settings.data or story.dataset.name,
        "epochs": sizes.epochs,
        "limit": images if sizes.limit else None,
        "classes": story.dataset.n_classes,
        "seed": story.settings.seed,
    }
    done = train_run(out, given, DEFAULTS, resume=True, quiet=story.quiet)
    words = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in RECIPE.items())
    limit = f" --limit {images}" if sizes.limit else ""
    command = (
        f"tinyvgg train {words} --data {story.data} --epochs {sizes.epochs}{limit} --classes {given['classes']}{story.seed} "
        f"--out {story.inside('train')}"
    )
    return {
        "model": done["model"],
        "trained": True,
        "command": command,
        "history": read_lines(out / "history.jsonl"),
        "images": images,
        "parameters": done["parameters"],
        "sha256": sha256_file(done["model"]),
        "weights_sha256": done["weights_sha256"],
        "seed": done["seed"],
        "note": "",
    }


def _ready(story, spec):
    """A zoo entry or a file: nothing is trained, its card tells how it was."""
    card = zoo.card(spec) if story.is_zoo(spec) else {}
    model = zoo.load(spec) if story.is_zoo(spec) else load_model(spec)
    x, y = story.dataset.part("test") if len(story.dataset.x_test) else story.dataset.part("train")
    same = card.get("data", {}).get("test_sha256") == sha256_arrays(x, y)
    if not hasattr(model, "layers"):
        raise OptionError(f"{spec} is compressed already; expected a trained network", "what it was made of, .h5")
    return {
        "model": spec,
        "trained": False,
        "command": _told(card.get("command", ""), story.data if same else card.get("data", {}).get("name", ""), story),
        "history": card.get("history", []),
        "parameters": model.count_params(),
        "sha256": story.chosen_sha256,
        "weights_sha256": sha256_arrays(*model.get_weights()),
        "seed": card.get("seed"),
        "note": card["data"]["note"] if same else "",
    }


def _told(command, data, story):
    """The command of a card, with placeholders for data and output."""
    words = {"DATA": data, "RUN": story.inside("trained-again")}
    return " ".join(words.get(word, word) for word in command.split())
