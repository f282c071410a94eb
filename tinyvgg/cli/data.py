"""Look at a data set, list those that have a name, or fetch CIFAR-10 or CIFAR-100

DATA is cifar10 or cifar100 (looked for in $TINYVGG_DATA, ./data and Keras' cache; cifar100-coarse has the 20 coarse labels), shapes
(generated, always there), a folder or archive of either CIFAR in an official layout, or X.npy,Y.npy: images (N, H, W, C) or
(N, H, W), series (N, W, C) or vectors (N, C).

    tinyvgg data list
    tinyvgg data info --data shapes
    tinyvgg data download --out data
"""
from tinyvgg.cli._common import add_common, note, print_result
from tinyvgg.errors import OptionError


def add_arguments(parser):
    parser.add_argument("action", choices=("list", "info", "download"), metavar="ACTION",
                        help="list: the named sets, and which are found here; info: what a data set holds; download: fetch CIFAR-10 or "
                             "CIFAR-100 (170 MB)")
    parser.add_argument("--data", metavar="DATA", help="info: which data set (default: cifar10 if found, else shapes); download: "
                        "cifar10 (default) or cifar100")
    parser.add_argument("--input-range", metavar="LO,HI", help="info: range of the values, if it is not 0..1, -1..1 or 0..255")
    parser.add_argument("--out", metavar="FOLDER", help="download: folder to write (default $TINYVGG_DATA, else ./data)")
    parser.add_argument("--url", help="download: another address of the archive")
    parser.add_argument("--size", type=int, help="download: size of the archive in bytes, if it is not the official one")
    parser.add_argument("--sha256", help="download: SHA-256 of the archive, if it is not the official one")
    add_common(parser, seed=False)


def run(arguments):
    owners = {"out": ("download",), "url": ("download",), "size": ("download",), "sha256": ("download",), "data": ("info", "download"),
              "input_range": ("info",)}
    for name, actions in owners.items():
        if getattr(arguments, name) is not None and arguments.action not in actions:
            option = f"--{name.replace('_', '-')}"
            raise OptionError(f"{option} belongs to {' and '.join(actions)}; {arguments.action} has none", f"tinyvgg data {actions[0]} {option} ...")
    if arguments.action == "list":
        result = {"data": named()}
        return print_result(arguments, result, "\n".join(f"{row['name']:<16} {row['what']}: {row['found'] or 'not found'}"
                                                         for row in result["data"]))
    result = info(arguments.data, arguments.input_range) if arguments.action == "info" else _download(arguments)
    print_result(arguments, result, _text(result))


def named():
    """Return the named data sets as plain data: {"name", "what", "found": path or None}."""
    from tinyvgg.data import cifar10, cifar100
    found = {"cifar10": cifar10.find(), "cifar100": cifar100.find(), "cifar100-coarse": cifar100.find(), "shapes": "generated, always there"}
    what = {"cifar10": "32x32 colour images, 10 classes", "cifar100": "32x32 colour images, 100 classes",
            "cifar100-coarse": "the same images, 20 coarse classes", "shapes": "32x32 colour figures, 10 classes"}
    return [{"name": name, "what": what[name], "found": None if place is None else str(place)} for name, place in found.items()]


def info(spec=None, input_range=None):
    """Return the contents of a data set as plain data: {"name", "source", "train", "test", "classes", "sha256"}."""
    import numpy as np

    from tinyvgg import data
    from tinyvgg.open import parse_range
    found = data.load(spec, pixel_range=None if input_range is None else parse_range(input_range))
    parts = {}
    for part, x, y in (("train", found.x_train, found.y_train), ("test", found.x_test, found.y_test)):
        counts = np.bincount(y, minlength=found.n_classes)
        parts[part] = {"n": len(x), "shape": list(x.shape[1:]), "dtype": str(x.dtype), "per_class": counts.tolist()}
    return {"name": found.name, "source": found.source, **parts, "pixel_range": list(found.pixel_range),
            "classes": list(found.classes), "one_part": found.one_part, "sha256": found.sha256}


def _download(arguments):
    from tinyvgg.data import cifar10, cifar100
    from tinyvgg.data.download import download
    sets = {None: cifar10, "cifar10": cifar10, "cifar100": cifar100}
    if arguments.data not in sets:
        raise OptionError(f"--data is {arguments.data!r}; download fetches cifar10 or cifar100", "tinyvgg data download --data cifar100")
    official = sets[arguments.data]
    if arguments.size is not None and arguments.size < 1:
        raise OptionError(f"--size is {arguments.size}; expected a number of bytes")
    note(arguments, f"fetching {arguments.url or official.URL}")
    folder = download(arguments.out, url=arguments.url or official.URL, size=arguments.size or official.BYTES,
                      sha256=(arguments.sha256 or official.SHA256).lower(), kind=official.KIND, quiet=arguments.quiet)
    return info(folder)


def _text(result):
    train, test = result["train"], result["test"]
    counts = zip(result["classes"], train["per_class"], test["per_class"], strict=True)
    rows = [f"{name:<12}{a:>8}{b:>8}" for name, a, b in counts]
    same = "  (one pair of files: the test part is a fifth of it, held out by seed 0)" if result["one_part"] else ""
    return "\n".join([f"{result['name']} ({result['source']})",
                      f"{train['n']} training and {test['n']} test images of {tuple((test if test['n'] else train)['shape'])}, "
                      f"{test['dtype']} in {result['pixel_range'][0]:g}..{result['pixel_range'][1]:g}{same}",
                      f"sha256 {result['sha256']}", f"{'class':<12}{'train':>8}{'test':>8}", *rows])
