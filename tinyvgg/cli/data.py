"""Look at a data set, or fetch CIFAR-10

DATA is cifar10 (looked for in $TINYVGG_DATA, ./data and Keras' cache), shapes (generated, always there), a folder or archive
of CIFAR-10 in either official layout, or X.npy,Y.npy.

    tinyvgg data info --data shapes
    tinyvgg data download --out data
"""
from tinyvgg.cli._common import add_common, note, print_result
from tinyvgg.errors import OptionError


def add_arguments(parser):
    parser.add_argument("action", choices=("info", "download"), metavar="ACTION",
                        help="info: what a data set holds; download: fetch CIFAR-10 (170 MB)")
    parser.add_argument("--data", metavar="DATA", help="info: which data set (default: cifar10 if found, else shapes)")
    parser.add_argument("--out", metavar="FOLDER", help="download: where to (default $TINYVGG_DATA, else ./data)")
    parser.add_argument("--url", help="download: another address of the archive")
    parser.add_argument("--size", type=int, help="download: its size in bytes, where it is not the official archive")
    parser.add_argument("--sha256", help="download: its SHA-256, where it is not the official archive")
    add_common(parser, seed=False)


def run(arguments):
    strange = {"info": ("out", "url", "size", "sha256"), "download": ("data",)}[arguments.action]
    for name in strange:
        if getattr(arguments, name) is not None:
            other = "info" if arguments.action == "download" else "download"
            raise OptionError(f"--{name} belongs to {other}; {arguments.action} has none", f"tinyvgg data {other} --{name} ...")
    result = info(arguments.data) if arguments.action == "info" else _download(arguments)
    print_result(arguments, result, _text(result))


def info(spec=None):
    """Return what a data set holds, as plain data: {"name", "source", "train", "test", "classes", "sha256"}."""
    import numpy as np

    from tinyvgg import data
    found = data.load(spec)
    parts = {}
    for part, x, y in (("train", found.x_train, found.y_train), ("test", found.x_test, found.y_test)):
        counts = np.bincount(y, minlength=found.n_classes)
        parts[part] = {"n": len(x), "shape": list(x.shape[1:]), "dtype": str(x.dtype), "per_class": counts.tolist()}
    return {"name": found.name, "source": found.source, **parts, "pixel_range": list(found.pixel_range),
            "classes": list(found.classes), "one_part": found.one_part, "sha256": found.sha256}


def _download(arguments):
    from tinyvgg.data import cifar10
    from tinyvgg.data.download import download
    if arguments.size is not None and arguments.size < 1:
        raise OptionError(f"--size is {arguments.size}; expected a number of bytes")
    note(arguments, f"fetching {arguments.url or cifar10.URL}")
    folder = download(arguments.out, url=arguments.url or cifar10.URL, size=arguments.size or cifar10.BYTES,
                      sha256=(arguments.sha256 or cifar10.SHA256).lower(), quiet=arguments.quiet)
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
