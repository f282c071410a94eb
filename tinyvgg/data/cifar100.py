"""CIFAR-100 (Krizhevsky, 2009) in both official layouts: as CIFAR-10, but in one training and one test file, with two labels for
each image.

cifar-100-python: pickled dicts {b"data": (n, 3072) uint8, b"fine_labels", b"coarse_labels": n ints}; cifar-100-binary: records of a
coarse and a fine label byte and 3072 pixel bytes. The fine labels (100 classes) are used, or with coarse=True the 20 coarse ones.
"""
import tarfile
from dataclasses import replace
from pathlib import Path

from tinyvgg.data import cifar10

URL = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
BYTES = 169_001_437
SHA256 = "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"
FINE = tuple("""apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl
hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree
orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea
seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm""".split())
COARSE = tuple("""aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices household_furniture
insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes large_omnivores_and_herbivores medium_mammals
non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2""".split())
CIFAR100 = KIND = cifar10.Kind("cifar100", "CIFAR-100", FINE, ("train",), ("test",), ("cifar-100-binary", "cifar-100-python"),
                        ("cifar-100-python.tar.gz", "cifar-100-binary.tar.gz"), label_bytes=2, label_byte=1, key="fine_labels")
COARSE_KIND = replace(CIFAR100, name="cifar100-coarse", classes=COARSE, label_byte=0, key="coarse_labels")
KINDS = {kind.name: kind for kind in (CIFAR100, COARSE_KIND)}


def find():
    """Return the first folder or archive of CIFAR-100 among cifar10.places(), or None."""
    return next((place for place in _candidates() if holds(place)), None)


def _candidates():
    for place in cifar10.places():
        yield from (place, *(place / name for name in (*CIFAR100.layouts, *CIFAR100.archives)),
                    *(place / f"{layout}-target" for layout in CIFAR100.layouts))


def holds(path):
    """Return whether a folder or archive is CIFAR-100, by the names of its files."""
    path = Path(path)
    if path.is_dir():
        names = {p.name for p in path.iterdir()}
        return {"train", "test", "meta"} <= names or {"train.bin", "test.bin"} <= names or bool(names & set(CIFAR100.layouts))
    if not path.is_file():
        return False
    try:
        with tarfile.open(path) as archive:
            return any("cifar-100" in member.name for member in (archive.next(), archive.next()) if member is not None)
    except (tarfile.TarError, OSError, EOFError, ValueError):
        return "cifar-100" in path.name


def load(path, *, coarse=False):
    """Return the DataSet of a folder or archive of CIFAR-100; raises as cifar10.load does."""
    return cifar10.load(path, COARSE_KIND if coarse else CIFAR100)
