"""What a MODEL is, said once for the command line, the library and the benchmarks.

    tinyvgg.open("light_cifar10")           # a network of the zoo (zoo:NAME, where a file or folder has the same name)
    tinyvgg.open("runs/first")              # the folder of a run
    tinyvgg.open("light.h5")                # a file, by its content: .h5, .keras, .tflite, .tvq, .npz
    tinyvgg.open("virtual:light.elf")       # a board: virtual:FILE.elf, /dev/ttyACM0, COM3, socket://HOST:PORT
"""
import json
import os
import sys
import types
import warnings
from contextlib import contextmanager
from pathlib import Path

from tinyvgg.classifier import ANSWERS, MadeFor
from tinyvgg.errors import OptionError, TinyVGGError
from tinyvgg.images import check_range

ZOO = "zoo:"


def open_model(spec, *, input_range=None, board=True, flash_model=None):
    """Return the classifier that `spec` names (a classifier is returned as it is), with `made_for` where its data is known.

    input_range: (low, high) or "LO,HI" of the images, in place of what a file says. board=False refuses boards, whose lines would
    have to be closed. flash_model: of a virtual board, see Machine.
    Raises OptionError for what names nothing, or several things at once; FormatError for a damaged file.
    """
    if any(callable(getattr(spec, name, None)) for name in ANSWERS):
        return spec
    kind, place = what_is(spec)
    if kind == "board":
        if not board:
            raise OptionError(f"{spec} is a board; expected a model file, the folder of a run or a zoo entry")
        if input_range is not None:
            raise OptionError(f"{spec} is a board, which states its own input range", "the same without --input-range")
        return _board(place, flash_model)
    model = _from_zoo(place) if kind == "zoo" else _from_file(place)
    if input_range is not None:
        if hasattr(model, "graph"):
            raise OptionError(f"{spec} is a compressed model, which states its own input range", "the same without --input-range")
        _replace_range(model, parse_range(input_range), spec)
    return model


def _replace_range(model, span, spec):
    """Give a model another range than its own, with a warning where a file or its first layers told that."""
    told = model.input_range is not getattr(model, "assumed_range", None)
    if told and tuple(model.input_range) != span:
        warnings.warn(f"{spec} takes images from {model.input_range[0]:g} to {model.input_range[1]:g}; {span[0]:g} to {span[1]:g} were given, "
                      "and are taken", stacklevel=3)
    model.input_range = span


@contextmanager
def opened(spec, input_range=None, flash_model=None):
    """The classifier that `spec` names, which may be a board; its line is closed at the end."""
    classifier = open_model(spec, input_range=input_range, flash_model=flash_model)
    try:
        yield classifier
    finally:
        if hasattr(classifier, "close"):
            classifier.close()


def what_is(spec):
    """Return ("board", URL), ("zoo", name) or ("file", path of a file or folder); OptionError where `spec` is several of these."""
    from tinyvgg import zoo
    if not isinstance(spec, str | os.PathLike):
        raise OptionError(f"a MODEL is {type(spec).__name__}; expected a name, a path, a board's URL or a classifier")
    spec = os.fspath(spec)
    if not spec.strip():
        raise OptionError("the name of the model is empty; expected a file, the folder of a run, a zoo entry or a board's URL")
    if spec.startswith(ZOO):
        return "zoo", spec.removeprefix(ZOO)
    here = Path(os.path.expanduser(spec))
    there = here.exists()
    what = "folder" if here.is_dir() else "file"
    if is_url(spec):
        if there and not spec.startswith("/dev/"):
            raise OptionError(f"{spec} is a {what} here, and the name of a board's port",
                              f"{os.path.join('.', spec)} for the {what}")
        return "board", spec
    if here.suffix.lower() == ".elf" and not here.is_dir():
        raise OptionError(f"{spec} is firmware, not a model", f"virtual:{spec}, a virtual board that runs it, or the network in it, "
                          f"{here.with_suffix('.tvq')}")
    if spec in zoo.cards():
        if there:
            raise OptionError(f"{spec} is a {what} here, and a network of the zoo",
                              f"{os.path.join('.', spec)} for the {what}, {ZOO}{spec} for the network of the zoo")
        return "zoo", spec
    if spec.isidentifier() and not there:
        raise OptionError(f"there is neither a file {spec!r} here nor a network of that name in the zoo, which has "
                          f"{', '.join(zoo.names())}")
    return "file", spec


def is_url(spec):
    """Whether `spec` names a board rather than a file."""
    return "://" in spec or spec.startswith(("virtual:", "/dev/")) or spec[:3].upper() == "COM" and spec[3:].isdigit()


def model_file(spec):
    """Return the path of the file that `spec` names: that of the zoo's entry, else `spec` as it is."""
    from tinyvgg import zoo
    kind, place = what_is(spec)
    if kind == "board":
        raise OptionError(f"{spec} is a board; expected a model file, the folder of a run or a zoo entry")
    return str(zoo.path(place)) if kind == "zoo" else place


def file_or_word(spec):
    """As model_file, but a word that names neither file nor zoo entry is returned as it is: it may name an architecture."""
    from tinyvgg import zoo
    word = spec.isidentifier() and spec not in zoo.names() and not Path(spec).exists()
    return spec if word else model_file(spec)


def parse_range(text):
    """Return (low, high) for "LO,HI" or for two numbers."""
    try:
        return check_range(text.split(",") if isinstance(text, str) else text)
    except TinyVGGError:
        raise OptionError(f"--input-range is {text!r}; expected two numbers, the lower first", "--input-range 0,1") from None


def _from_zoo(name):
    from tinyvgg import zoo
    return zoo.load(name)


def _from_file(path):
    from tinyvgg import io, nn
    model = io.load_model(path)
    if isinstance(model, nn.MultiModel):
        model.check_images(None)                # which says that it is no classifier
    if getattr(model, "made_for", None) is None and Path(os.path.expanduser(path)).is_dir():
        model.made_for = _of_run(Path(os.path.expanduser(path)))
    return model


def _of_run(folder):
    """The data that config.json of a training run names, or None."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return MadeFor(str(config["data"]["name"]), source=str(config["settings"]["data"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _board(url, flash_model=None):
    """The board at `url`; one that speaks the student protocol has scores alone."""
    from tinyvgg.attacks import as_classifier
    from tinyvgg.board import Board
    from tinyvgg.board.evaluator import image_sha256, model_beside
    board = Board(url, **({} if flash_model is None or not url.startswith("virtual:") else {"flash_model": flash_model}))
    try:
        beside = model_beside(url)
    except TinyVGGError:                        # what lies beside an image need not be whole for the image to run
        beside = None
    if board.protocol == "tinyvgg":
        board.made_for = beside.made_for if beside is not None and beside.sha256 == board.sha256 else None
        return board
    classifier = as_classifier(scores=board.scores, bounds=board.bounds, n_classes=board.n_classes)
    classifier.input_shape, classifier.close, classifier.link = board.input_shape, board.close, board.link
    classifier.name = image_sha256(board)       # None of silicon, where nothing tells one network from another
    return classifier


class _Callable(types.ModuleType):
    """`tinyvgg.open` is this module; calling it calls open_model."""

    def __call__(self, spec, **settings):
        return open_model(spec, **settings)


sys.modules[__name__].__class__ = _Callable
