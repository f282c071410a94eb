"""The zoo on CIFAR-10 as it was published: python benchmarks/original.py --data FOLDER_OR_ARCHIVE

The entries were trained and are judged on pixels that went through JPEG. Where the official files are, this evaluates every entry on
their 10,000 test images; `--train light_cifar10` trains that entry anew on their 50,000 training images by its card's commands, with the
card's teachers, and evaluates it too (`--epochs 1` for a look). Official are the archive and the six pickled batches whose hashes the
publisher gives; of others the figures are printed with the words "not the official files". No figure of original images is in this
project's pages: it was run on the JPEG layout alone.
"""
import argparse
import hashlib
import shlex
import sys
import tempfile
from pathlib import Path

from repeat import resolved, train

from tinyvgg import data, io, zoo
from tinyvgg.data import cifar10
from tinyvgg.errors import TinyVGGError
from tinyvgg.report.record import sha256_file, versions, write_json
from tinyvgg.report.tables import table
from tinyvgg.train import evaluate

MD5 = {"data_batch_1": "c99cafc152244af753f735de768cd75f", "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
       "data_batch_3": "54ebc095f3ab1f0389bbae665268c751", "data_batch_4": "634d18415352ddfa80567beed471001a",
       "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb", "test_batch": "40351d587109b95175f43aff81a1287e"}


def official(path):
    """Whether a folder or archive is CIFAR-10's, byte for byte."""
    path = Path(path)
    if path.is_file():
        return sha256_file(path) == cifar10.SHA256
    folder = path / "cifar-10-batches-py" if (path / "cifar-10-batches-py").is_dir() else path
    files = {name: folder / name for name in MD5}
    return all(file.is_file() and hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() == MD5[name]
               for name, file in files.items())


def measured(name, model, dataset):
    """The row of one network: its accuracy on the test images, with the interval."""
    result = evaluate(model, *dataset.part("test"), classes=dataset.classes)
    return {"entry": name, **{key: result[key] for key in ("n", "accuracy", "interval", "loss", "ece")}}


def trained(name, source, epochs):
    """The network that an entry's commands give on `source`, with so many epochs of each in place of the card's (None: as it says)."""
    card = zoo.card(name)
    with tempfile.TemporaryDirectory() as folder:
        for line in card["command"].splitlines():
            words = shlex.split(line)
            if epochs is not None:
                words[words.index("--epochs") + 1] = str(epochs)
                words[words.index("--warmup") + 1] = str(min(epochs, float(words[words.index("--warmup") + 1])))
            train(shlex.join(words), source, Path(folder), card.get("threads", 1), None)
        return io.load_model(Path(folder) / "RUN" / "model.h5")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10", help="cifar10, a folder or an archive")
    parser.add_argument("--entries", default=",".join(zoo.names()), metavar="NAMES", help="which to evaluate (default all)")
    parser.add_argument("--train", metavar="NAME", help="an entry to train anew on these images")
    parser.add_argument("--epochs", type=int, metavar="N", help="of --train, in place of the card's")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the rows there")
    arguments = parser.parse_args(argv)
    try:
        dataset, source = data.load(arguments.data), resolved(arguments.data)
        rows = [measured(name, zoo.load(name), dataset) for name in arguments.entries.split(",")]
        if arguments.train:
            rows.append(measured(f"{arguments.train}, trained here", trained(arguments.train, source, arguments.epochs), dataset))
    except TinyVGGError as error:
        parser.error(str(error))
    what = "CIFAR-10's official files" if (known := official(dataset.source)) else "not the official files"
    print(table(["entry", "images", "accuracy %", "from", "to"],
                [[row["entry"], f"{row['n']:,}", *(f"{100 * v:.2f}" for v in (row["accuracy"], *row["interval"]))] for row in rows]))
    print(f"{dataset.source}: {what}")
    if arguments.json:
        write_json(arguments.json, {"official": known, "data_sha256": dataset.sha256, "versions": versions(), "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
