"""MODEL and DATA of a verb: their options, and the images of DATA in the form that MODEL takes."""
import os
from pathlib import Path

from tinyvgg.errors import OptionError
from tinyvgg.open import what_is

DATA = "cifar10, shapes, folder, archive, mlperf-ic:FOLDER, X.npy,Y.npy or X,Y,XT,YT.npy"


def add_model(parser, *, board=False):
    """Add MODEL (with `board`, also the URL of a board) and --input-range; return MODEL's argparse action."""
    kinds = "folder of a run, zoo entry, or URL of a board (virtual:X.elf)" if board else "folder of a run, or zoo entry"
    model = parser.add_argument("model", metavar="MODEL", help=f"model file (.h5, .keras, .tvq, .npz), {kinds}")
    parser.add_argument("--input-range", metavar="LO,HI",
                        help="range of the images that the model takes, if its file does not say it (default: what its first "
                             "Rescaling or Normalization maps from, else 0,1)")
    return model


def network_name(model):
    """Return the name of a network in C and of its files: that of the model's file; None (the model's own name) for a run or a
    zoo entry."""
    from tinyvgg.codegen.emit import check_name, identifier
    kind, place = what_is(model)
    if kind != "file" or not Path(os.path.expanduser(place)).is_file():
        return None
    try:
        return check_name(identifier(Path(place).stem)[:31])
    except OptionError:                     # a keyword of C
        return None


def add_data(parser, default="the data that MODEL was made for"):
    """Add --data."""
    parser.add_argument("--data", metavar="DATA", help=f"{DATA} (default: {default})")


def with_gradients(model, kind=None):
    """Return the straight-through version of an integer model, unless `kind` is "none"; any other model as it is."""
    if type(model).__name__ == "QuantizedModel":        # by name, so that the integer code, which loads slowly, is not imported for floats
        from tinyvgg.quant.straight import straight_through
        return model if kind == "none" else straight_through(model)
    if kind is not None:
        raise OptionError(f"--gradients {kind} is for integer models (.tvq); this is a {type(model).__name__}")
    return model


def images_for(model, dataset, part, limit=None):
    """Return (images, labels) of one part of a DataSet in the form that `model` takes: see DataSet.for_model."""
    return dataset.for_model(model, part, limit)
