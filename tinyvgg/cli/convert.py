"""Write a Keras file that the other version opens too, from a Keras file or a float .tflite

OUT ends in .h5 or .keras (Keras 2.15 and Keras 3 both open it) or .weights.h5. IN is any Keras file with a description, a zoo
entry, or a .tflite of floats. Or OUT ends in .tflite, and IN is an int8 model (.tvq); its logits keep 16 bits, or get 8 with
--logits 8. Or OUT ends in .tvq, and IN is a .tflite of integers: --rounding single is for firmware that rounds once, as with
TFLITE_SINGLE_ROUNDING. The changes are printed. With --for x-cube-ai, OUT can be read by ST's tool up to version 10; --data and --validation
also write the two arrays for its "Validation inputs" and "Validation outputs".

    tinyvgg convert keras2.h5 both.h5
    tinyvgg convert model.tflite model.h5
    tinyvgg convert light.tvq light.tflite --logits 8
    tinyvgg convert int8.tflite once.tvq --rounding single
    tinyvgg convert light.h5 st.h5 --for x-cube-ai --data cifar10 --validation X.npy,Y.npy -n 100
"""
from pathlib import Path

from tinyvgg.cli._common import add_common, note, print_result
from tinyvgg.errors import OptionError
from tinyvgg.images import float_images


def add_arguments(parser):
    parser.add_argument("source", metavar="IN", help="Keras file with a description (.h5 or .keras), .tflite, or zoo entry")
    parser.add_argument("target", metavar="OUT", help="file to write: .h5, .keras, .weights.h5, .tflite or .tvq")
    parser.add_argument("--for", dest="to", choices=("keras", "x-cube-ai"), default="keras",
                        help="who will open OUT (default keras)")
    parser.add_argument("--float32", action="store_true", help="compute in float32 what IN computes in another dtype")
    parser.add_argument("--logits", type=int, choices=(8, 16), help="of a .tflite: bits of its logits (default 16)")
    parser.add_argument("--rounding", choices=("double", "single"), help="of a .tvq from a .tflite: how its factors round (default double)")
    parser.add_argument("--data", metavar="DATA", help="with --validation: cifar10, shapes, folder, archive or X.npy,Y.npy")
    parser.add_argument("--validation", metavar="X.npy,Y.npy", help="also write images and one-hot labels to these two files")
    parser.add_argument("-n", type=int, default=100, metavar="N", help="test images in --validation (default 100)")
    parser.add_argument("--input-range", metavar="LO,HI",
                        help="range of the model's images, where its file does not say (default 0,1)")
    add_common(parser, seed=False)


def run(arguments):
    from tinyvgg.open import model_file
    if arguments.validation is not None:
        _paths(arguments.validation)
    changes = _convert(model_file(arguments.source), arguments)
    result = {"source": arguments.source, "target": arguments.target, "changes": changes}
    if arguments.validation is not None:
        result["validation"] = _validation(arguments)
    for change in changes:
        note(arguments, change)
    written = [arguments.target, *result.get("validation", {}).get("files", [])]
    print_result(arguments, result, f"wrote {', '.join(written)}; {len(changes) or 'no'} kinds of change")


def _convert(source, arguments):
    """Write OUT; return what was changed, as sentences."""
    from tinyvgg.io.keras_h5 import convert
    ending = Path(arguments.target).suffix.lower()
    for option, value, suffix in (("--logits", arguments.logits, ".tflite"), ("--rounding", arguments.rounding, ".tvq")):
        if value is not None and ending != suffix:
            raise OptionError(f"{option} is for a {suffix}; OUT is {arguments.target}", f"the same without {option}")
    if ending in WHOLE:
        return WHOLE[ending](source, arguments)
    if _kind(source) == "tvq":
        raise OptionError(f"{source} is a compressed network (.tvq), which no Keras file holds",
                          f"tinyvgg convert {source} {Path(arguments.target).with_suffix('.tflite')}, or the Keras file that it was compressed from")
    if not _is_tflite(source):
        return convert(source, arguments.target, to=arguments.to, float32=arguments.float32)
    from tinyvgg import io, nn
    if arguments.to != "keras" or arguments.float32:
        raise OptionError(f"--for and --float32 are for Keras files; {source} is a .tflite",
                          f"tinyvgg convert {source} model.h5, then the same with model.h5 as IN")
    model = io.load_model(source)
    if not isinstance(model, nn.Model):
        raise OptionError(f"{source} computes in integers, which no Keras file holds; expected a .tflite of floats",
                          "tinyvgg evaluate, codegen or firmware, which take it as it is")
    io.save_model(model, arguments.target)
    return []


def _of_keras(source, arguments):
    """Raise OptionError if an option is given that only applies to Keras files."""
    if arguments.to != "keras" or arguments.float32:
        raise OptionError(f"--for and --float32 are for Keras files; OUT is a {Path(arguments.target).suffix}",
                          f"tinyvgg convert {source} {arguments.target}")


def _to_tvq(source, arguments):
    from tinyvgg import io
    _of_keras(source, arguments)
    model = io.load_model(source, rounding=arguments.rounding or "double") if _is_tflite(source) else None
    if not hasattr(model, "graph"):
        raise OptionError(f"{source} is not an integer .tflite; only from such a file a .tvq can be made without images",
                          f"tinyvgg compress {source} --scheme int8 --data DATA --out {arguments.target}")
    model.save(arguments.target)
    return []


def _to_tflite(source, arguments):
    from tinyvgg import io
    _of_keras(source, arguments)
    io.save_model(io.load_model(source), arguments.target, logits=arguments.logits or 16)
    return []


WHOLE = {".tflite": _to_tflite, ".tvq": _to_tvq}       # files of integers, by their ending


def _is_tflite(path):
    return _kind(path) == "tflite"


def _kind(path):
    from tinyvgg import io
    return io.kind_of(io.model_path(path))


def _validation(arguments):
    from tinyvgg.cli._classifier import images_for
    from tinyvgg.data import load_for
    from tinyvgg.io.keras_h5.convert import write_validation
    from tinyvgg.open import open_model
    if arguments.n < 1:
        raise OptionError(f"-n is {arguments.n}; expected at least 1")
    x_path, y_path = _paths(arguments.validation)
    model = open_model(arguments.source, input_range=arguments.input_range, board=False)
    dataset = load_for(model, arguments.data)
    x, y = images_for(model, dataset, "test", arguments.n)
    write_validation(model, float_images(x, model.bounds), y, x_path, y_path)
    return {"files": [x_path, y_path], **dataset.told("test", len(y))}


def _paths(spec):
    paths = spec.split(",")
    if len(paths) != 2 or not all(p.endswith(".npy") for p in paths):
        raise OptionError(f"--validation is {spec!r}; expected two names", "--validation X.npy,Y.npy")
    return paths
