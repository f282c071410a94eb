"""SHA-256 of what this library makes from fixed seeds, to tell a change of meaning from a change of code.

    python benchmarks/fingerprints.py --out before.json
    python benchmarks/fingerprints.py --check before.json           names what differs; exit code 1 if anything does
    python benchmarks/fingerprints.py --only logits,tvq --check before.json

training  weights after one epoch of each of the four networks on 96 images of shapes
tvq       graph, arrays and kept float graph of each scheme, as the file holds them; the versions in it left out
c, elf    C sources and image of three plans, C of three float models
logits    integer and float logits of 500 images
attack    adversarial images and answers of each attack, small settings, on the float model; of some on the integer one
"""
import argparse
import hashlib
import json
import sys
import tempfile
import time
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np

from tinyvgg import attacks, data, load_model, models, zoo
from tinyvgg.codegen import generate
from tinyvgg.data import model_input
from tinyvgg.firmware.network import build_network
from tinyvgg.firmware.plan import apply_plan, make_plan
from tinyvgg.quant.schemes import FLOAT, SHARED, compress
from tinyvgg.report.record import versions, write_json

SCHEMES = {
    **{name: (name, {}) for name in FLOAT},
    "int8": ("int8", {}),
    **{name: (name, {}) for name in SHARED},
    "shared4 of channels": ("shared4", {"per": "channel", "calibration": "minmax"}),
    "shared4 of floats": ("shared4", {"codebook": "float"}),
    "shared3 tuned": ("shared3", {"epochs": 1, "calibration": "percentile"}),
    "auto": ("auto", {"flash": 200_000, "calibration": "minmax"}),
}
PLANS = {"light int8, fastest": ("light_cifar10", "int8", {}),
         "light shared4, small": ("light_cifar10", "shared4", {"flash": 400 << 10, "ram": 62 << 10}),
         "resnet8 int8, row by row": ("resnet8_cifar10", "int8", {"ram": 42 << 10})}
SETTINGS = {
    "noise": {"eps": "8/255", "tries": 2}, "fgsm": {"eps": "8/255"}, "pgd": {"eps": "4/255", "steps": 5},
    "mifgsm": {"eps": "4/255", "steps": 4}, "apgd": {"eps": "4/255", "steps": 8}, "apgd_t": {"eps": "4/255", "steps": 5, "targets": 2},
    "fab": {"steps": 4, "targets": 2}, "square": {"eps": "8/255", "queries": 30}, "deepfool": {"steps": 4},
    "cw": {"steps": 12, "searches": 2}, "fmn": {"steps": 8}, "hopskipjump": {"steps": 2, "draws": 10, "most_draws": 20},
    "rays": {"queries": 40}, "ladder": {"eps": "2/255"},
}
ON_INTEGERS = ("square", "hopskipjump", "rays")


def sha256(*parts):
    """SHA-256 over bytes, texts and arrays (dtype, shape and bytes)."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str} {part.shape} ".encode())
            part = np.ascontiguousarray(part).tobytes()
        digest.update(part.encode() if isinstance(part, str) else part)
    return digest.hexdigest()


@lru_cache(maxsize=1)
def shapes():
    """Images and labels: 512 to train on, 500 to test."""
    found = data.load("shapes")
    return found.x_train[:512], found.y_train[:512], found.x_test[:500], found.y_test[:500]


@lru_cache
def network(name):
    """A network of the zoo."""
    return zoo.load(name)


@lru_cache
def compressed(name, scheme):
    """A network of the zoo, compressed: by a key of SCHEMES."""
    scheme, options = SCHEMES[scheme]
    x, y = shapes()[:2]
    count = 128 if options.get("epochs") else len(x)
    return compress(network(name), scheme, x[:count], y[:count], calibration_images=64, **options)


def training(folder):
    """One seeded epoch of each architecture."""
    x, y = shapes()[:2]
    for name in models.MODELS:
        model = models.build(name, seed=3)
        model.fit(model_input(x[:96], model.bounds), y[:96], epochs=1, batch_size=32, seed=5, quiet=True)
        yield name, sha256(*(part for key, array in model.weights for part in (key, array)))


def tvq(folder):
    """The file of each scheme of the light net; of a residual one with integers and with floats; and what it is read back as."""
    for name, scheme in [*(("light_cifar10", scheme) for scheme in SCHEMES), ("resnet8_cifar10", "int8"), ("resnet8_cifar10", "none")]:
        path = folder / "model.tvq"
        compressed(name, scheme).save(path)
        yield f"{name} {scheme}", content(path)
        load_model(path).save(path)
        yield f"{name} {scheme}, read and written", content(path)


def content(path):
    """SHA-256 of all that a .tvq file holds but the versions."""
    parts = []

    def note(name, item):
        if isinstance(item, h5py.Dataset):
            parts.extend([name, item[()]])

    with h5py.File(path) as f:
        parts.extend(f"{key}={f.attrs[key]}" for key in sorted(f.attrs) if key != "versions")
        f.visititems(note)
    return sha256(*parts)


def code(folder):
    """C sources of the float models, C sources and ELF of the plans."""
    for name, scheme in (("light_cifar10", "none"), ("light_cifar10", "medium"), ("resnet8_cifar10", "none")):
        where = folder / f"c {name} {scheme}"
        generate(compressed(name, scheme), where, name="network")
        yield f"c {name} {scheme}", of_folder(where)
    for key, (name, scheme, budgets) in PLANS.items():
        model = compressed(name, scheme)
        plan = make_plan(model, compiler="zig", **budgets).plan
        yield f"plan {key}", sha256(repr(plan))
        planned, where = apply_plan(model, plan), folder / f"c {key}"
        generate(planned, where, name="network")
        yield f"c {key}", of_folder(where)
        yield f"elf {key}", sha256(build_network(planned, folder / f"elf {key}", name="network", compiler="zig").image.elf.read_bytes())


def of_folder(folder):
    """SHA-256 of a folder's files and their names."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return sha256(*(part for p in files for part in (str(p.relative_to(folder)), p.read_bytes())))


def logits(folder):
    """Logits of 500 images, integer and float."""
    x = shapes()[2]
    for name, scheme in (("light_cifar10", "int8"), ("light_cifar10", "shared3 tuned"), ("resnet8_cifar10", "int8")):
        yield f"{name} {scheme}", sha256(compressed(name, scheme).integer_logits(x), compressed(name, scheme).scores(x))
    for name in ("light_cifar10", "resnet8_cifar10"):
        images = model_input(x, network(name).bounds)
        yield f"{name} floats", sha256(network(name).logits(images))
        yield f"{name} none", sha256(compressed(name, "none").logits(images[:64]))


def attack(folder):
    """Each attack on the float model's own answers; those without gradients, and pgd straight through, on the integer model's."""
    images = shapes()[2][:8]
    victims = {"float": network("light_cifar10"), "int8": compressed("light_cifar10", "int8")}
    for kind, model in victims.items():
        x = model_input(images, model.bounds)
        y = model.labels(x)
        for name, function in attacks.ATTACKS.items():
            if kind == "float" or name in ON_INTEGERS:
                yield f"{name} {kind}", answer(function(model, x, y, **SETTINGS[name], seed=7, quiet=True))
    from tinyvgg.quant.straight import straight_through
    yield "pgd straight-through", answer(attacks.pgd(straight_through(victims["int8"]), x, y, **SETTINGS["pgd"], seed=7, quiet=True))


def answer(result):
    """SHA-256 of an attack's images and of the answers to them."""
    return sha256(result.x_adv, np.asarray(result.pred_adv))


KINDS = {"training": training, "tvq": tvq, "code": code, "logits": logits, "attack": attack}


def take(only, folder):
    """Return {kind: {what: SHA-256}} of the kinds in `only`."""
    found = {}
    for kind in only:
        found[kind], start = {}, time.perf_counter()
        for what, digest in KINDS[kind](folder):
            found[kind][what] = digest
            print(f"{digest[:16]}  {kind}: {what}", flush=True)
        print(f"{kind}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return found


def differences(before, now):
    """Return what is not in both with the same SHA-256, as lines."""
    lines = []
    for kind, rows in now.items():
        old = before.get(kind, {})
        for what in sorted({*old, *rows}):
            if old.get(what) != rows.get(what):
                how = "is new" if what not in old else "is gone" if what not in rows else "differs"
                lines.append(f"{kind}: {what} {how}")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(KINDS), metavar="KINDS", help=f"some of {','.join(KINDS)}")
    parser.add_argument("--out", metavar="FILE", help="write them as JSON")
    parser.add_argument("--check", metavar="FILE", help="compare with such a file")
    arguments = parser.parse_args()
    only = arguments.only.split(",")
    if set(only) - set(KINDS):
        parser.error(f"--only {arguments.only}: expected some of {','.join(KINDS)}")
    before = json.loads(Path(arguments.check).read_text(encoding="utf-8")) if arguments.check else None
    with tempfile.TemporaryDirectory(prefix="tinyvgg-") as folder:
        found = take(only, Path(folder))
    if arguments.out:
        write_json(arguments.out, {"versions": versions(), **found})
    if before is None:
        return 0
    lines = differences(before, found)
    total = sum(map(len, found.values()))
    print("\n".join([*lines, f"{total - sum(not line.endswith('gone') for line in lines)} of {total} as in {arguments.check}"]))
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
