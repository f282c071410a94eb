"""What a verb's MODEL may be: a model file, the folder of a run, the name of a zoo entry, or the URL of a board."""
from contextlib import contextmanager
from pathlib import Path

from tinyvgg.errors import FormatError, OptionError
from tinyvgg.images import rescale


def add_model(parser, *, board=False):
    """Add MODEL (with `board`, also the URL of one) and --input-range."""
    kinds = "folder of a run, zoo entry, or URL of a board (virtual:X.elf)" if board else "folder of a run, or zoo entry"
    parser.add_argument("model", metavar="MODEL", help=f"model file (.h5, .keras, .tvq, .npz), {kinds}")
    parser.add_argument("--input-range", metavar="LO,HI",
                        help="range of the images that the model takes, where its file does not say (default 0,1)")


@contextmanager
def opened(spec, input_range=None):
    """The classifier that `spec` names, which may be a board; its line is closed at the end."""
    classifier = open_board(spec, input_range) if is_url(spec) else open_classifier(spec, input_range)
    try:
        yield classifier
    finally:
        if hasattr(classifier, "close"):
            classifier.close()


def is_url(spec):
    """Whether `spec` names a board rather than a file."""
    return "://" in spec or spec.startswith(("virtual:", "/dev/")) or spec[:3].upper() == "COM" and spec[3:].isdigit()


def open_board(spec, input_range=None):
    """Return the board at the URL `spec` as a classifier: of scores alone where it speaks the student protocol."""
    from tinyvgg.attacks import as_classifier
    from tinyvgg.board import Board
    if input_range is not None:
        raise OptionError(f"{spec} is a board, which states its own input range", "the same without --input-range")
    board = Board(spec)
    if board.protocol == "tinyvgg":
        return board
    classifier = as_classifier(scores=board.scores, bounds=board.bounds, n_classes=board.n_classes)
    classifier.input_shape, classifier.close = board.input_shape, board.close
    return classifier


def open_classifier(spec, input_range=None):
    """Return the model that `spec` names; `input_range` ("LO,HI") replaces what its file says."""
    if is_url(spec):
        raise OptionError(f"{spec} is a board; expected a model file, the folder of a run or a zoo entry")
    model = _open(spec)
    if input_range is not None:
        if hasattr(model, "graph"):
            raise OptionError(f"{spec} is a compressed model, which states its own input range", "the same without --input-range")
        model.input_range = parse_range(input_range)
    return model


def with_gradients(model, kind=None):
    """Return the straight-through version of an integer model, unless `kind` is "none"; any other model as it is."""
    from tinyvgg.quant.model import QuantizedModel
    from tinyvgg.quant.straight import straight_through
    if type(model) is QuantizedModel:
        return model if kind == "none" else straight_through(model)
    if kind is not None:
        raise OptionError(f"--gradients {kind} is for integer models (.tvq); this is a {type(model).__name__}")
    return model


def _open(spec):
    from tinyvgg import io, zoo
    if spec in zoo.names() and not Path(spec).exists():
        return zoo.load(spec)
    return io.load_model(model_file(spec))


def model_file(spec):
    """Return the path of the model that `spec` names: that of the zoo's entry, else `spec` as it is."""
    from tinyvgg import zoo
    found = zoo_path(spec)
    if found.isidentifier() and not Path(found).exists():
        raise OptionError(f"there is neither a file {spec!r} here nor a network of that name in the zoo, which has "
                          f"{', '.join(zoo.names())}")
    return found


def zoo_path(spec):
    """Return the path of the zoo entry that `spec` names, or `spec` as it is, which may also be an architecture."""
    from tinyvgg import zoo
    return str(zoo.path(spec)) if not Path(spec).exists() and spec in zoo.names() else spec


def parse_range(text):
    """Return (lo, hi) for "LO,HI"."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = 0.0
    if not low < high:
        raise OptionError(f"--input-range is {text!r}; expected two numbers, the lower first", "--input-range 0,1")
    return low, high


def images_for(model, dataset, part, limit=None):
    """Return (images, labels) of one part of a DataSet as `model` takes them; bytes stay bytes, for evaluate maps them itself."""
    x, y = dataset.part(part, limit)
    shape = tuple(getattr(model, "input_shape", x.shape[1:]))
    if x.shape[1:] != shape:
        raise FormatError(f"{dataset.name} has images of {x.shape[1:]}; the model takes {shape}")
    value_range = getattr(model, "input_range", getattr(model, "bounds", None))
    if x.dtype.kind == "f" and value_range is not None:
        x = rescale(x, dataset.pixel_range, value_range)
    return x, y
