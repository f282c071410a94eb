"""What the stages share: settings, sizes, the folder, the data, and the models that earlier stages made."""

import json
import shlex
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from tinyvgg import data as data_module
from tinyvgg import rng, zoo
from tinyvgg.errors import FormatError, OptionError
from tinyvgg.images import float_images, rescale
from tinyvgg.io import load_model
from tinyvgg.report.record import sha256_file

ZOO = "light_cifar10"  # the network that CIFAR-10 is shown, where no other is named


@dataclass(frozen=True)
class Sizes:
    """How many images, steps and flips: of the usual story, and of a quick one that shows only that everything works."""

    epochs: int = 4
    limit: int | None = None  # training images
    test: int | None = None  # None: all
    compressed: int = 1000  # test images for each compressed model
    host: int = 100
    board: int = 32
    attacked: int = 200
    steps: int = 40
    curve: int = 50
    curve_steps: int = 20
    replayed: int = 8
    flipped: int = 300
    random: tuple = (1, 10, 100, 1000)
    draws: int = 3
    searched: int = 20
    search_images: int = 64


QUICK = Sizes(
    epochs=1,
    limit=640,
    test=200,
    compressed=100,
    host=8,
    board=2,
    attacked=16,
    steps=5,
    curve=8,
    curve_steps=3,
    replayed=2,
    flipped=60,
    random=(1, 100),
    draws=2,
    searched=2,
    search_images=16,
)


@dataclass(frozen=True)
class Settings:
    """What decides a story's results. data: as --data takes it, None for CIFAR-10 where it is found, else the generated shapes;
    model: a model file or zoo entry to tell the story of, None to train one (on CIFAR-10: the zoo's)."""

    data: str | None = None
    model: str | None = None
    seed: int = 0
    quick: bool = False

    def __post_init__(self):
        rng.generator(self.seed)  # raises for what is no seed
        for name, kind in self.__annotations__.items():
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise OptionError(f"{name} is {value!r}; expected {getattr(kind, '__name__', kind)}")

    def as_dict(self):
        """Return plain data."""
        return asdict(self)


class Story:
    """A folder, its settings, and what was found so far. results: {stage: plain data} of the stages that are done."""

    def __init__(self, out, settings, *, quiet=True):
        self.out, self.settings, self.quiet, self.results = Path(out), settings, quiet, {}
        self.sizes = QUICK if settings.quick else Sizes()

    @cached_property
    def dataset(self):
        """The DataSet."""
        return data_module.load(self.settings.data)

    @property
    def data(self):
        """The data as a command's --data names it."""
        return shlex.quote(self.settings.data or self.dataset.name)

    @property
    def seed(self):
        """--seed of a command, empty for the usual one."""
        return f" --seed {self.settings.seed}" if self.settings.seed else ""

    def folder(self, stage):
        """The folder of a stage."""
        return self.out / stage

    @property
    def chosen(self):
        """The model the user named, or None where one is trained."""
        return self.settings.model or (ZOO if self.dataset.name == "cifar10" else None)

    @cached_property
    def chosen_sha256(self):
        """SHA-256 of the file of the model that was named, None where one is to be trained."""
        if self.chosen is None:
            return None
        path = zoo.path(self.chosen) if self.is_zoo(self.chosen) else Path(self.chosen)
        path = path / "model.h5" if path.is_dir() else path
        if not path.is_file():
            raise FormatError(f"there is no model {self.chosen!r}", f"a model file, or one of the zoo: {', '.join(zoo.names())}")
        return sha256_file(path)

    @staticmethod
    def is_zoo(spec):
        """Whether a model is named by its entry in the zoo."""
        return spec in zoo.names() and not Path(spec).exists()

    @cached_property
    def model(self):
        """The float network."""
        spec = self.results["train"]["model"]
        return zoo.load(spec) if self.is_zoo(spec) else load_model(spec)

    @property
    def model_name(self):
        """The float network as a command names it."""
        return shlex.quote(self.results["train"]["model"])

    def compressed(self, scheme):
        """The model of the stage `compress` by its scheme."""
        return load_model(self.tvq(scheme))

    def tvq(self, scheme):
        """The file of a compressed model."""
        return self.folder("compress") / f"{scheme}.tvq"

    def tvq_name(self, scheme):
        """The same as a command names it."""
        return shlex.quote(str(self.tvq(scheme)))

    def inside(self, *parts):
        """A place in the story's folder as a command names it."""
        return shlex.quote(str(self.out.joinpath(*parts)))

    def again(self, stage):
        """The command that does a stage anew, for figures that no other verb prints."""
        return f"tinyvgg demo --resume --again --stage {stage} --out {self.inside()}"

    def images(self, part, n=None):
        """The first n images and labels of a part, as models take them: bytes, or floats in the model's range."""
        x, y = self.dataset.part(part, n)
        if x.shape[1:] != tuple(self.model.input_shape):
            raise FormatError(f"{self.dataset.name} has images of {x.shape[1:]}; the model takes {tuple(self.model.input_shape)}")
        return (x if x.dtype.kind == "u" else rescale(x, self.dataset.pixel_range, self.model.input_range)), y

    def float_images(self, n):
        """The first n test images in the model's range, and labels: what attacks take."""
        x, y = self.images("test", n)
        return float_images(x, self.model.bounds), y

    def count(self, wanted, part="test"):
        """How many of the wanted images there are."""
        return min(wanted, len(self.dataset.part(part)[0]))


def read_json(path):
    """Return a file's JSON object, or None where there is none that is whole."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
        return value if isinstance(value, dict) else None
    except (OSError, ValueError):
        return None
