"""Networks that this library trained, each with a card.

    from tinyvgg import zoo
    zoo.names()                        # ["light_cifar10", ...]
    model = zoo.load("light_cifar10")  # a network, ready to predict
    zoo.path("light_cifar10")          # its .h5, which Keras opens too
    zoo.card("light_cifar10")          # how it was trained, on what, and how well it does

An entry has three files: NAME.h5, its card NAME.json, and the same as a page, NAME.md. `python -m tinyvgg.zoo.pack` makes them
from a training run. Of the entries that only taught others, or that others began with, an installed package has the card alone: their
networks are in the repository.
"""
import json
from pathlib import Path
from typing import Any

from tinyvgg.classifier import MadeFor
from tinyvgg.errors import FormatError, OptionError
from tinyvgg.nn.model import Model
from tinyvgg.report.record import sha256_file
from tinyvgg.report.shown import Card

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Return the names of all networks, sorted."""
    return sorted(p.stem for p in FOLDER.glob("*.h5"))


def cards() -> list[str]:
    """Return the names of all cards, sorted: those of networks that are left out of installed packages too."""
    return sorted(p.stem for p in FOLDER.glob("*.json"))


def path(name: str) -> Path:
    """Return the path of an entry's .h5; OptionError lists the names."""
    _check(name)
    if name not in names():
        raise OptionError(f"installed packages have the card of {name} alone, as of all networks that only taught others",
                          f"the file tinyvgg/zoo/{name}.h5 of the repository, or one of {', '.join(names())}")
    return FOLDER / f"{name}.h5"


def card(name: str) -> dict[str, Any]:
    """Return an entry's card: command, seed, data, accuracy with its interval, loss, calibration error, hours, SHA-256."""
    _check(name)
    return Card(json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))


def _check(name):
    """Raise OptionError unless the zoo knows the name."""
    if name not in cards():
        raise OptionError(f"the zoo has no {name!r}; it has {', '.join(names()) or 'no entry'}")


def load(name: str) -> Model:
    """Return an entry's network; FormatError if the file does not match its card."""
    from tinyvgg.io import load_model
    file, told = path(name), card(name)
    if sha256_file(file) != told["sha256"]:
        raise FormatError(f"{file.name} is not the file that its card describes (its SHA-256 differs)", "install tinyvgg again")
    model: Any = load_model(file)
    model.made_for = MadeFor(told["data"]["name"], tuple(row["class"] for row in told["test"]["per_class"]))
    return model
